/** Reads a version's manifest out of the blob store. */
import { type Digest, digestOf } from '../blobs/digest.ts'
import { gather } from '../blobs/gather.ts'
import type { BlobStore } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import type { ImageManifest } from './manifest.ts'

/** No manifest is larger: 200,000 segments have room in it. */
const largestManifest = 32 * 2 ** 20

/** The manifest of a version, checked against its digest. `undefined` when the store has none; throws `BLOB_CORRUPT`. */
export async function readManifest(blobs: BlobStore, digest: Digest): Promise<ImageManifest | undefined> {
  const found = await blobs.stat(digest)
  if (!found) return undefined
  const corrupt = (fault: string) =>
    new AppError('BLOB_CORRUPT', `the manifest ${digest} ${fault}: see \`muster image verify\``)
  if (found.size > largestManifest) throw corrupt(`has ${found.size} bytes`)
  const body = await blobs.open(digest)
  if (!body) return undefined
  const bytes = await gather(body, largestManifest)
  if ((await digestOf(bytes)) !== digest) throw corrupt('is not what was stored')
  return JSON.parse(new TextDecoder().decode(bytes)) as ImageManifest
}
