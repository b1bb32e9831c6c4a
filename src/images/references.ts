/** Which blobs a version consists of. */
import type { Digest } from '../blobs/digest.ts'
import type { BlobStore } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import type { ImageManifest } from './manifest.ts'
import { readManifest } from './read-manifest.ts'

/** What a blob is to a version. */
export type Part = 'manifest' | 'index' | 'segment' | 'kernel'

/** The blobs of a version, its manifest too. One that it uses twice comes twice. */
export function* partsOf(digest: Digest, manifest: ImageManifest): Generator<{ digest: Digest; part: Part }> {
  yield { digest, part: 'manifest' }
  yield { digest: manifest.index.digest, part: 'index' }
  for (const segment of manifest.segments) yield { digest: segment.digest, part: 'segment' }
  for (const kernel of manifest.kernels) yield { digest: kernel.digest, part: 'kernel' }
}

/**
 * Reads a manifest of which every blob has to be known. Throws `BLOB_CORRUPT` when it is not there, damaged, or of a form
 * that this release does not know.
 */
export async function readWholeManifest(blobs: BlobStore, digest: Digest): Promise<ImageManifest> {
  const manifest = await readManifest(blobs, digest).catch(async (cause: unknown) => {
    // A disk or a store that cannot give these bytes back says so in its own words.
    if ((await blobs.check(digest)) !== false) throw cause
    throw new AppError('BLOB_CORRUPT', `the manifest ${digest} is damaged`, { cause })
  })
  if (!manifest) throw new AppError('BLOB_CORRUPT', `the manifest ${digest} is not in the store`)
  const form: number = manifest.schema
  if (form !== 1) throw new AppError('BLOB_CORRUPT', `the manifest ${digest} has the form ${form}, of a newer release`)
  return manifest
}
