/** Reads a blob that an image refers to, whole. */
import { digestOf } from '../blobs/digest.ts'
import type { BlobStore } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import type { BlobReference } from './manifest.ts'

/**
 * The blob's bytes, checked against its digest; `undefined` when the store has no such blob. Throws `BLOB_CORRUPT` for other
 * bytes. `what` names it in the message: `segment 3 of sha256:…`.
 */
export async function readBlob(
  blobs: BlobStore,
  { digest, size }: BlobReference,
  what: string,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const body = await blobs.open(digest)
  if (!body) return undefined
  const bytes = new Uint8Array(size)
  let filled = 0
  for await (const piece of body) {
    if (filled + piece.length > size) throw corrupt(digest, what, `it has more than its ${size} bytes`)
    bytes.set(piece, filled)
    filled += piece.length
  }
  if (filled < size) throw corrupt(digest, what, `it has ${filled} bytes, not ${size}`)
  if ((await digestOf(bytes)) !== digest) throw corrupt(digest, what, 'its bytes are not the ones that were stored')
  return bytes
}

/** `BLOB_CORRUPT`: the blob, what it is, what is wrong with it, and what tells more. */
export const corrupt = (digest: string, what: string, fault: string): AppError =>
  new AppError('BLOB_CORRUPT', `the blob ${digest}, ${what}, is damaged: ${fault}; see \`muster image verify\``)
