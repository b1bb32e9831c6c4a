/** Whole blobs in memory, for the backends that cannot take or give a stream. Their callers state the limit. */
import { AppError } from '../errors.ts'
import type { Bytes, Slice } from './store.ts'

const pieceSize = 64 * 1024

/** Reads a stream to its end. Throws `BODY_TOO_LARGE` as soon as it exceeds `limit` bytes, and then cancels it. */
export async function gather(body: Bytes, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array<ArrayBuffer>[] = []
  let size = 0
  for await (const piece of body) {
    size += piece.length
    if (size > limit) {
      throw new AppError('BODY_TOO_LARGE', `this blob store holds a blob in memory and takes at most ${limit} bytes`)
    }
    pieces.push(piece)
  }
  const whole = new Uint8Array(size)
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}

/** A slice of bytes as a stream of copies, so that what a reader does to them cannot reach the stored bytes. */
export function streamOf(bytes: Uint8Array, { offset, length }: Slice): Bytes {
  const end = offset + length
  let at = offset
  return new ReadableStream({
    pull(controller) {
      if (at < end) controller.enqueue(new Uint8Array(bytes.subarray(at, Math.min(at + pieceSize, end))))
      at += pieceSize
      if (at >= end) controller.close()
    },
  })
}

/** The slice that was asked for, or all `size` bytes. Throws `RANGE_INVALID` when it leaves the blob. */
export function sliceWithin(size: number, slice: Slice = { offset: 0, length: size }): Slice {
  const { offset, length } = slice
  if (
    !Number.isSafeInteger(offset) ||
    !Number.isSafeInteger(length) ||
    offset < 0 ||
    length < 0 ||
    offset + length > size
  ) {
    throw new AppError('RANGE_INVALID', `no ${length} bytes at ${offset} in a blob of ${size} bytes`)
  }
  return slice
}
