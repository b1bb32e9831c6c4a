/** How a blob comes onto the disk. Node only; part of `fs.ts`. */
import { createHash } from 'node:crypto'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { AppError } from '../errors.ts'
import type { Bytes, Descriptor } from './store.ts'

/** A new file that nobody else can read yet, and the folders above it. */
export async function create(path: string): Promise<FileHandle> {
  await mkdir(dirname(path), { recursive: true })
  return open(path, 'wx', 0o600)
}

/** Writes a stream to a new file, synced to the disk, and says what it was. Stops at the first byte beyond `limit`. */
export async function write(handle: FileHandle, body: Bytes, limit = Number.POSITIVE_INFINITY): Promise<Descriptor> {
  try {
    const hash = createHash('sha256')
    let size = 0
    for await (const piece of body) {
      size += piece.length
      if (size > limit) throw new AppError('DIGEST_MISMATCH', `more than the ${limit} bytes that were promised`)
      hash.update(piece)
      for (let at = 0; at < piece.length; ) at += (await handle.write(piece, at)).bytesWritten
    }
    await handle.chmod(0o444) // the mode given to open() is cut by the umask; a web server must be able to read
    const now = new Date() // the file system's own clock lags by some milliseconds
    await handle.utimes(now, now)
    await handle.sync()
    return { digest: `sha256:${hash.digest('hex')}`, size }
  } finally {
    await handle.close()
  }
}

/**
 * Compares a stream with the file that is said to have the same bytes. Answers what the stream was when it said nothing
 * new; at the first byte that differs or is beyond the file, a stream of all its bytes, for which the file must stay open.
 */
export async function compare(handle: FileHandle, body: Bytes): Promise<{ same: Descriptor } | { whole: Bytes }> {
  const reader = body.getReader()
  const hash = createHash('sha256')
  let size = 0
  try {
    for (;;) {
      const { done, value: piece } = await reader.read()
      if (done) return { same: { digest: `sha256:${hash.digest('hex')}`, size } }
      const there = Buffer.allocUnsafe(piece.length)
      const filled = await fill(handle, there, size)
      if (filled < piece.length || !there.equals(piece)) return { whole: resumed(handle, size, piece, reader) }
      hash.update(piece)
      size += piece.length
    }
  } catch (error) {
    await reader.cancel(error)
    throw error
  }
}

/** Reads into `bytes` until it is full or the file ends, and says how much that was. */
export async function fill(handle: FileHandle, bytes: Uint8Array, position: number): Promise<number> {
  let filled = 0
  while (filled < bytes.length) {
    const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}

const pieceSize = 256 * 1024

/** The first `length` bytes of the file, then the piece, then what the reader still has. */
function resumed(
  handle: FileHandle,
  length: number,
  piece: Uint8Array<ArrayBuffer>,
  reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
): Bytes {
  let at = 0
  let waiting: Uint8Array<ArrayBuffer> | undefined = piece
  return new ReadableStream(
    {
      async pull(controller) {
        if (at < length) {
          const bytes = new Uint8Array(Math.min(pieceSize, length - at))
          if ((await fill(handle, bytes, at)) < bytes.length) throw new Error('a blob became shorter while it was read')
          at += bytes.length
          controller.enqueue(bytes)
        } else if (waiting) {
          controller.enqueue(waiting)
          waiting = undefined
        } else {
          const { done, value } = await reader.read()
          if (done) controller.close()
          else controller.enqueue(value)
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
}
