/** How NVIDIA GPUs are divided (MIG), from the tag `gpuMigProfiles`. */

/** `profiles` as `nvidia-smi mig -cgi` takes them. `index` is a GPU's number, or `all`; a text, because templates take 0 for nothing. */
export type MigView = { gpus: { index: string; profiles: string }[] }

/**
 * Reads `9,9` (for every GPU), or `9,9:19:` (for GPU 0, GPU 1, and nothing for GPU 2): colons between GPUs, commas between
 * the profiles of one.
 */
export function migView(tag: string | undefined): MigView {
  if (tag === undefined || tag === '') return { gpus: [] }
  if (!tag.includes(':')) return { gpus: [{ index: 'all', profiles: tag }] }
  const gpus = tag.split(':').map((profiles, index) => ({ index: String(index), profiles }))
  return { gpus: gpus.filter(({ profiles }) => profiles !== '') }
}
