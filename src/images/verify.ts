/**
 * Verifies blobs: reads them through, takes those out of service whose bytes are not those of their name, and says which
 * versions that hurts. It goes by digest and in steps, because all blobs of a site may take hours, and no faster than it is
 * told to, because nodes boot meanwhile.
 */
import type { Digest } from '../blobs/digest.ts'
import type { BlobStore, Listed, Pace } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import { forgetMade, listLayerIndexes, listRoots, versionNames } from '../registry/image-blobs.ts'
import { resolveImage } from '../registry/images.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import { type Part, partsOf, readWholeManifest } from './references.ts'

/** What is verified, and how far in one step. */
export type VerifyRequest = {
  /** Begin after this digest: `next` of the step before. */
  after?: Digest | undefined
  /** One version alone, as `resolveImage` takes it; every blob when absent. */
  image?: string | undefined
  /** Bytes after which the step ends, with the blob that it is at. */
  bytes: number
  /** Bytes a second at most. */
  rate: number
}

/** A blob that is not what it should be. */
export type BadBlob = {
  digest: Digest
  /** `wrong`: its bytes are not those of its name, or the disk cannot read them. */
  fault: 'missing' | 'wrong'
  /** What it is to those who refer to it. Root archives and layers are made again on need; `unused` hurts nobody. */
  part: Part | 'root archive' | 'layer' | 'unused'
  /** The versions that it hurts: `rocky9@3`. */
  versions: string[]
  /** Whether this step took it out of service. */
  quarantined: boolean
}

/** What a step found. */
export type Verification = {
  /** Blobs and bytes that were read through. */
  checked: number
  bytes: number
  bad: BadBlob[]
  /** Where the next step begins; absent when this was the last. */
  next?: Digest
}

type Use = Pick<BadBlob, 'part' | 'versions'>
type Uses = ReadonlyMap<Digest, Use>

/** Verifies one step. Throws `IMAGE_UNKNOWN` for a version that there is not. */
export async function verify(
  { registry, blobs }: { registry: RegistryDatabase; blobs: BlobStore },
  { after, image, bytes: most, rate }: VerifyRequest,
): Promise<Verification> {
  const readUses = () => usesOf(registry, blobs, image)
  const uses = await readUses()
  const wanted = [...uses.keys()].filter((digest) => after === undefined || digest > after).sort()
  const digests = image === undefined ? merged(blobs.list(after), wanted) : wanted
  const found: Verification = { checked: 0, bytes: 0, bad: [] }
  const pace = paced(rate, (count) => {
    found.bytes += count
  })
  for await (const digest of digests) {
    const whole = await blobs.check(digest, pace)
    if (whole !== undefined) found.checked += 1
    const use = uses.get(digest)
    if (whole === false) await condemn(digest, use)
    else if (whole === undefined && use) found.bad.push({ digest, fault: 'missing', ...use, quarantined: false })
    if (found.bytes >= most) {
      found.next = digest
      break
    }
  }
  return { ...found, bad: await stillBad(found.bad) }

  async function condemn(digest: Digest, use: Use = { part: 'unused', versions: [] }): Promise<void> {
    // Whoever asks for a root archive must find it gone, and make it again, rather than find a row without a blob.
    if (isMade(use)) await forgetMade(registry, digest)
    if (await blobs.quarantine(digest)) found.bad.push({ digest, fault: 'wrong', ...use, quarantined: true })
  }

  /** Without what is missing because its version was deleted while this step ran. */
  async function stillBad(bad: BadBlob[]): Promise<BadBlob[]> {
    if (!bad.some(({ fault }) => fault === 'missing')) return bad
    const now = await readUses()
    const still = bad.filter(({ digest, fault }) => fault === 'wrong' || now.has(digest))
    for (const one of still) if (one.fault === 'missing' && isMade(one)) await forgetMade(registry, one.digest)
    return still
  }
}

const isMade = ({ part }: Use): boolean => part === 'root archive' || part === 'layer'

/** Who refers to which blob; the part is the first that was found. Of a manifest that cannot be read, itself alone. */
async function usesOf(registry: RegistryDatabase, blobs: BlobStore, image: string | undefined): Promise<Uses> {
  const uses = new Map<Digest, Use>()
  const add = (digest: Digest, part: Use['part'], versions: readonly string[]) => {
    const known = uses.get(digest)
    uses.set(digest, { part: known?.part ?? part, versions: [...new Set([...(known?.versions ?? []), ...versions])] })
  }
  const all = await versionNames(registry)
  const only = image === undefined ? undefined : (await resolveImage(registry, image)).digest
  for (const [digest, names] of all) {
    if (only !== undefined && digest !== only) continue
    add(digest, 'manifest', names)
    const manifest = await readWholeManifest(blobs, digest).catch(ofCorrupt)
    if (manifest) for (const { digest: blob, part } of partsOf(digest, manifest)) add(blob, part, names)
  }
  for (const root of await listRoots(registry)) {
    if (only === undefined || root.image === only) add(root.digest, 'root archive', all.get(root.image) ?? [])
  }
  if (only === undefined) for (const digest of await listLayerIndexes(registry, new Date(0))) add(digest, 'layer', [])
  return uses
}

/** What the store has and what somebody wants, in order, each once. Both are in order. */
async function* merged(listed: AsyncIterable<Listed>, wanted: readonly Digest[]): AsyncGenerator<Digest> {
  let at = 0
  for await (const { digest } of listed) {
    for (; at < wanted.length; at++) {
      const next = wanted[at]
      if (next === undefined || next >= digest) break
      yield next
    }
    if (wanted[at] === digest) at++
    yield digest
  }
  yield* wanted.slice(at)
}

/** Counts bytes, and waits as long as they came faster than `rate` a second. */
function paced(rate: number, count: (bytes: number) => void): Pace {
  const begun = performance.now()
  let total = 0
  return async (bytes) => {
    count(bytes)
    total += bytes
    const early = (total / rate) * 1000 - (performance.now() - begun)
    if (early > 1) await new Promise((resolve) => setTimeout(resolve, early))
  }
}

/** Nothing instead of a manifest that is missing or damaged: it is checked itself, in its turn. */
function ofCorrupt(error: unknown): undefined {
  if (!(error instanceof AppError) || error.code !== 'BLOB_CORRUPT') throw error
}
