/** An import in a process of its own, and what it cost. */
import type { Digest } from '../src/blobs/digest.ts'
import type { ExpectedLayer, ImportRequest } from '../src/images/importer.ts'
import type { ImageManifest } from '../src/images/manifest.ts'
import { run } from './command.ts'
import type { LayerFile } from './rootfs.ts'

/** What an import cost, and what it made. */
export type ImportCost = {
  seconds: number
  cpuSeconds: number
  /** Most memory that was resident, in bytes (proc_pid_status(5), VmHWM). */
  resident: number
  /** Bytes given to the disk (proc_pid_io(5), write_bytes). */
  written: number
  /** Longest work in a row, during which nothing else had its turn: milliseconds of the processor. */
  stalled: number
  /** Positions of the layers that were sent. */
  sent: number[]
  digest: Digest
  manifest: ImageManifest
}

/** Imports layers into a data folder. */
export async function importInProcess(
  data: string,
  request: ImportRequest,
  layers: readonly LayerFile[],
): Promise<ImportCost> {
  const script = new URL('import-process.ts', import.meta.url).pathname
  const files = layers.map(({ file }) => file)
  // As bin/muster starts it.
  const node = ['MALLOC_ARENA_MAX=2', process.execPath, '--max-semi-space-size=16']
  return JSON.parse(await run('env', [...node, script, data, JSON.stringify(request), ...files])) as ImportCost
}

/** What an OCI image says of a layer. */
export const expected = ({ digest, diffId, size }: LayerFile): ExpectedLayer => ({
  digest: digest as Digest,
  diffId: diffId as Digest,
  size,
})
