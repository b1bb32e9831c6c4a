/** How a blob comes from the disk. Node only; part of `fs.ts`. */
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { type Digest, digestOf } from './digest.ts'
import { fill } from './fs-write.ts'
import type { Bytes, Pace, Slice } from './store.ts'

const readSize = 256 * 1024

/** Up to this size a file is hashed in one go, by a thread of its own; larger ones piece by piece on the event loop. */
const hashedAtOnce = 16 * 1024 * 1024

/** A part of an open file as a stream, which closes the file when it ends, fails or is cancelled. */
export function reading(handle: FileHandle, { offset, length }: Slice, path: string): Bytes {
  const end = offset + length
  let at = offset
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          if (at < end) {
            const piece = new Uint8Array(Math.min(readSize, end - at))
            const { bytesRead } = await handle.read(piece, 0, piece.length, at)
            if (bytesRead === 0) throw new Error(`${path} ends at ${at}, before byte ${end}`)
            at += bytesRead
            controller.enqueue(piece.subarray(0, bytesRead))
          }
          if (at === end) {
            await handle.close()
            controller.close()
          }
        } catch (error) {
          await handle.close()
          throw error
        }
      },
      cancel: () => handle.close(),
    },
    { highWaterMark: 0 }, // reads when it is read, so that a body nobody asks for costs nothing
  )
}

/** The digest of what an open file has; `undefined` when the disk cannot give it back (EIO), as worn ones do. */
export async function digestOfFile(handle: FileHandle, pace: Pace): Promise<Digest | undefined> {
  try {
    const { size } = await handle.stat()
    if (size <= hashedAtOnce) {
      const bytes = new Uint8Array(size)
      const filled = await fill(handle, bytes, 0)
      const digest = await digestOf(bytes.subarray(0, filled))
      await pace(filled)
      return digest
    }
    const hash = createHash('sha256')
    const piece = new Uint8Array(readSize)
    for (let at = 0; ; ) {
      const { bytesRead } = await handle.read(piece, 0, piece.length, at)
      if (bytesRead === 0) return `sha256:${hash.digest('hex')}`
      hash.update(piece.subarray(0, bytesRead))
      at += bytesRead
      await pace(bytesRead)
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EIO') return undefined
    throw error
  }
}
