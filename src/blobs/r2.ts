/**
 * Blobs in a Cloudflare R2 bucket. Portable: all it needs is the binding.
 *
 *     blobs/sha256/<64 digits>   a blob, with the headers of the blob route
 *
 * The keys are the paths of the blob route, so that a bucket with a public domain is a mirror as it stands. R2 stores
 * an object whole or not at all, and checks the sha256 that a put names. When a blob was last kept is when its object was
 * uploaded: to keep an old one means to put it again.
 *
 * R2 has no conditional delete. A deletion looks at the time right before it, so a blob is lost that somebody keeps within
 * that one round trip, which had been older than the grace of the collection, and unused, until then.
 */
import { AppError } from '../errors.ts'
import { type Digest, digestOf, hex, hexOf, parseDigest } from './digest.ts'
import { gather, sliceWithin, streamOf } from './gather.ts'
import type { BlobStore, Bytes, Descriptor, Pace, Slice } from './store.ts'

const folder = 'blobs/sha256/'

/** The part of an R2 bucket that is used here; the `R2Bucket` of a Worker's environment is one. */
export interface BlobBucket {
  head(key: string): Promise<{ size: number; uploaded: Date } | null>
  get(key: string, options: { range: { offset: number; length: number } }): Promise<{ body: ReadableStream } | null>
  put(key: string, value: ReadableStream | Uint8Array<ArrayBuffer>, options: PutOptions): Promise<unknown>
  delete(key: string): Promise<void>
  list(options: { prefix: string; cursor?: string; startAfter?: string }): Promise<Listing>
}

type PutOptions = { sha256: string; httpMetadata: { contentType: string; cacheControl: string } }
type Listing = { objects: { key: string; size: number; uploaded: Date }[] } & (
  | { truncated: false }
  | { truncated: true; cursor: string }
)

/** Settings of {@link r2BlobStore}. */
export type R2BlobStoreOptions = {
  /**
   * The largest blob, in bytes, that `add` takes: R2 wants size and digest before the bytes, so `add` holds them in
   * memory, of which a Worker has 128 MiB. Also the limit of `put` in a runtime without `FixedLengthStream` (any but
   * Workers). 64 MiB when not given. `put` on Workers streams and has R2's own limit.
   */
  limit?: number
  /**
   * Milliseconds for which `keep` takes a blob for kept already and spares the bucket another put: a blob that was kept
   * may be listed as so much older. One minute when not given, which is little beside the grace of any collection.
   */
  keptFor?: number
}

/** Keeps blobs in an R2 bucket. */
export function r2BlobStore(
  bucket: BlobBucket,
  { limit = 64 * 1024 * 1024, keptFor = 60_000 }: R2BlobStoreOptions = {},
): BlobStore {
  const save = (digest: Digest, value: ReadableStream | Uint8Array<ArrayBuffer>): Promise<unknown> =>
    bucket.put(keyOf(digest), value, {
      sha256: hexOf(digest),
      httpMetadata: {
        contentType: 'application/octet-stream',
        cacheControl: 'public, max-age=31536000, immutable',
      },
    })

  async function open(digest: Digest, slice?: Slice): Promise<Bytes | undefined> {
    const found = await bucket.head(keyOf(digest))
    if (!found) return undefined
    const range = sliceWithin(found.size, slice)
    if (range.length === 0) return streamOf(new Uint8Array(), { offset: 0, length: 0 }) // R2 has no empty ranges
    return (await bucket.get(keyOf(digest), { range }))?.body
  }

  async function put(blob: Descriptor, body: Bytes): Promise<void> {
    const fixed = fixedLengthStream(blob.size)
    if (fixed) return pour(blob, body, fixed, save)
    const bytes = await gather(body, limit)
    const digest = await digestOf(bytes)
    if (digest !== blob.digest || bytes.length !== blob.size) throw mismatch(blob)
    await save(digest, bytes)
  }

  async function check(digest: Digest, pace?: Pace): Promise<boolean | undefined> {
    const body = await open(digest)
    return body && (await digestOfStream(body, limit, pace)) === digest
  }

  return {
    async stat(digest) {
      const found = await bucket.head(keyOf(digest))
      return found ? { digest, size: found.size } : undefined
    },

    open,
    put,

    async add(body) {
      const bytes = await gather(body, limit)
      const digest = await digestOf(bytes)
      await save(digest, bytes)
      return { digest, size: bytes.length }
    },

    async keep(digest) {
      const found = await bucket.head(keyOf(digest))
      if (!found) return undefined
      const blob = { digest, size: found.size }
      if (Date.now() - found.uploaded.getTime() < keptFor) return blob
      const body = await open(digest)
      if (!body) return undefined
      await put(blob, body)
      return blob
    },

    async delete(digest, before) {
      const found = await bucket.head(keyOf(digest))
      if (!found || (before && found.uploaded >= before)) return false
      await bucket.delete(keyOf(digest))
      return true
    },

    async *list(after) {
      const start = after === undefined ? {} : { startAfter: keyOf(after) }
      let cursor: string | undefined
      do {
        const page: Listing = await bucket.list({ prefix: folder, ...(cursor === undefined ? start : { cursor }) })
        for (const { key, size, uploaded } of page.objects) {
          const digits = key.slice(folder.length)
          if (/^[0-9a-f]{64}$/.test(digits)) yield { digest: parseDigest(`sha256:${digits}`), size, keptAt: uploaded }
        }
        cursor = page.truncated ? page.cursor : undefined
      } while (cursor !== undefined)
    },

    check,

    async quarantine(digest) {
      if ((await check(digest)) !== false) return false
      await bucket.delete(keyOf(digest))
      return true
    },
  }
}

const keyOf = (digest: Digest): string => folder + hexOf(digest)

/** Workers hash streams by a class of their own (developers.cloudflare.com/workers/runtime-apis/web-crypto), hence the cast. */
async function digestOfStream(body: Bytes, limit: number, pace: Pace = async () => {}): Promise<Digest> {
  const { DigestStream } = crypto as { DigestStream?: new (algorithm: string) => Digester }
  if (!DigestStream) {
    const bytes = await gather(body, limit)
    await pace(bytes.length)
    return digestOf(bytes)
  }
  const stream = new DigestStream('SHA-256')
  const writer = stream.getWriter()
  try {
    for await (const piece of body) {
      await writer.write(piece)
      await pace(piece.length)
    }
    await writer.close()
  } catch (error) {
    stream.digest.catch(() => {}) // it fails with the stream, and nobody waits for it any more
    await writer.abort(error)
    throw error
  }
  return `sha256:${hex(new Uint8Array(await stream.digest))}`
}

type Digester = WritableStream<Uint8Array> & { digest: Promise<ArrayBuffer> }

type Save = (digest: Digest, value: ReadableStream) => Promise<unknown>
type Pipe = { readable: ReadableStream; writable: WritableStream<Uint8Array> }

/** A pipe of which R2 knows the length beforehand, as it must. Only Workers have it, hence the cast. */
function fixedLengthStream(size: number): Pipe | undefined {
  const { FixedLengthStream } = globalThis as { FixedLengthStream?: new (size: number) => Pipe }
  return FixedLengthStream && new FixedLengthStream(size)
}

/** Streams a blob into R2, which keeps it only when the pipe was filled exactly and the sha256 is right. */
async function pour(blob: Descriptor, body: Bytes, pipe: Pipe, save: Save): Promise<void> {
  const saved = save(blob.digest, pipe.readable)
  const filled = fill(blob, body, pipe.writable)
  const [filling, saving] = await Promise.allSettled([filled, saved])
  if (filling.status === 'fulfilled' && filling.value) throw filling.value.fault
  if (saving.status === 'rejected') throw isChecksumFault(saving.reason) ? mismatch(blob) : saving.reason
  if (filling.status === 'rejected') throw filling.reason
}

/** Fills the pipe. Answers with the body's own fault, if it had one; throws when the pipe broke. */
async function fill(
  blob: Descriptor,
  body: Bytes,
  pipe: WritableStream<Uint8Array>,
): Promise<{ fault: unknown } | undefined> {
  const reader = body.getReader()
  const writer = pipe.getWriter()
  const giveUp = async (fault: unknown) => {
    await Promise.allSettled([writer.abort(fault), reader.cancel(fault)])
    return { fault }
  }
  let size = 0
  while (true) {
    let read: ReadableStreamReadResult<Uint8Array<ArrayBuffer>>
    try {
      read = await reader.read()
    } catch (fault) {
      return giveUp(fault)
    }
    size += read.value?.length ?? 0
    if (size > blob.size || (read.done && size < blob.size)) return giveUp(mismatch(blob))
    try {
      if (read.done) {
        await writer.close()
        return undefined
      }
      await writer.write(read.value)
    } catch (error) {
      await reader.cancel(error)
      throw error
    }
  }
}

/** R2's answer to a sha256 that is not that of the bytes: error 10037, told apart by its text alone. */
const isChecksumFault = (error: unknown): boolean => error instanceof Error && /checksum|10037/i.test(error.message)

const mismatch = (promised: Descriptor): AppError =>
  new AppError('DIGEST_MISMATCH', `the bytes are not the ${promised.size} bytes of ${promised.digest}`)
