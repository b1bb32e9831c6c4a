/** Bytes for tests: the same for the same seed, and no two blocks of them alike. */
import { createHash } from 'node:crypto'
import type { Digest } from '../../src/blobs/digest.ts'
import type { Bytes, Descriptor } from '../../src/blobs/store.ts'

/** `size` bytes that depend on `seed`. */
export function bytesOf(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(size / 4))
  let state = (seed * 2654435761) >>> 0 || 1
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13 // xorshift32
    state ^= state >>> 17
    state ^= state << 5
    words[at] = state >>> 0
  }
  return new Uint8Array(words.buffer, 0, size)
}

/** Digest and size of bytes, by another implementation than the one under test uses for bytes in memory. */
export const describeBytes = (bytes: Uint8Array): Descriptor => ({ digest: digestOfBytes(bytes), size: bytes.length })

/** Digest of bytes. */
export const digestOfBytes = (bytes: Uint8Array): Digest => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** Bytes as a stream, `pieceSize` at a time; `before` is awaited before each piece and may fail. */
export function streamOfBytes(
  bytes: Uint8Array,
  pieceSize = 10_000,
  before: (at: number) => Promise<void> | void = () => {},
): Bytes {
  let at = 0
  return new ReadableStream({
    async pull(controller) {
      await before(at)
      if (at < bytes.length) controller.enqueue(new Uint8Array(bytes.subarray(at, at + pieceSize)))
      at += pieceSize
      if (at >= bytes.length) controller.close()
    },
  })
}

/** Everything that a stream gives. */
export async function read(stream: ReadableStream | null | undefined): Promise<Uint8Array<ArrayBuffer>> {
  if (!stream) throw new Error('there is nothing to read')
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/** Everything that an iterable gives. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}
