/** Where the bytes of a parcel come from while it is being sent. Node only. */
import { read } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { Socket } from 'node:net'
import type { HotBlobs, Piece } from './hot.ts'
import type { Parcel } from './parcel.ts'
import type { Bytes, Descriptor, Slice } from './store.ts'

/** Slices up to this size, and all when memory is scarce, go through a little memory of their own. */
const smallSize = 32 * 1024

/** Bytes in order. */
export interface Source {
  /** The next bytes, never none; valid until the next call. Throws when there are not as many as were promised. */
  next(): Promise<Uint8Array>
  /** Gives memory and file back. Call it once, when no `next` is under way. */
  close(): Promise<void>
}

/** Opens a parcel. `socket` is the one that it is for: a stream whose client has gone is cancelled at once. */
export function sourceOf(parcel: Parcel, hot: HotBlobs, socket: Socket): Source {
  return 'path' in parcel ? fileSource(parcel, hot) : streamSource(parcel, socket)
}

/** Reads a file piece by piece, one piece ahead. Opens it only when a piece is not in memory already. */
function fileSource(parcel: Descriptor & Slice & { path: string }, hot: HotBlobs): Source {
  const leave = hot.enter(parcel.digest)
  const end = parcel.offset + parcel.length
  let at = parcel.offset
  let opened: Promise<FileHandle> | undefined
  let piece: Piece | undefined
  let ahead: Piece | undefined
  let small: Uint8Array | undefined

  async function fill(into: Uint8Array, position: number): Promise<void> {
    opened ??= open(parcel.path)
    const file = await opened
    for (let filled = 0; filled < into.length; ) {
      const count = await readAt(file.fd, into.subarray(filled), position + filled)
      if (count === 0) throw new Error(`${parcel.path} ends before byte ${position + into.length}`)
      filled += count
    }
  }

  async function nextSmall(): Promise<Uint8Array> {
    small ??= Buffer.allocUnsafeSlow(Math.min(smallSize, parcel.length))
    const bytes = small.subarray(0, Math.min(small.length, end - at))
    await fill(bytes, at)
    return bytes
  }

  return {
    async next() {
      piece?.release()
      piece = ahead ?? (parcel.length > smallSize ? hot.take(parcel, at, fill) : undefined)
      const following = hot.after(at)
      ahead = piece && following < end ? hot.take(parcel, following, fill, true) : undefined
      await piece?.filled
      const bytes = piece ? piece.bytes(at, end) : await nextSmall()
      at += bytes.length
      return bytes
    },

    async close() {
      // A read under way needs its memory and its file, also when nobody waits for it any more.
      await Promise.allSettled([piece?.filled, ahead?.filled])
      piece?.release()
      ahead?.release()
      leave()
      await opened?.then((file) => file.close()).catch(() => {}) // what failed to open needs no closing
    },
  }
}

function streamSource({ digest, length, body }: Slice & { digest: string; body: Bytes }, socket: Socket): Source {
  const reader = body.getReader()
  const cancel = () => void reader.cancel().catch(() => {}) // a stream that failed already says so by `next`
  socket.once('close', cancel)
  let got = 0
  return {
    async next() {
      const { value = new Uint8Array() } = await reader.read()
      got += value.length
      if (value.length === 0 || got > length) throw new Error(`the store gave ${got} of ${length} bytes of ${digest}`)
      return value
    },
    async close() {
      socket.off('close', cancel)
      cancel()
    },
  }
}

/** Reads what one system call gives. By callback: it costs less CPU per GB than `FileHandle.read`. */
const readAt = (fd: number, into: Uint8Array, position: number): Promise<number> =>
  new Promise((resolve, reject) => {
    read(fd, into, 0, into.length, position, (error, count) => (error ? reject(error) : resolve(count)))
  })
