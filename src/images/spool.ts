/** A spool: one temporary file that a stream passes through, to be read again in any order. Node only. */
import { randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Extent } from '../archive/sparse.ts'

/** A temporary file without a name. */
export type Spool = {
  /** Passes the stream on and keeps it. */
  keep(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>
  /** Keeps bytes at the end; answers where they are. */
  append(bytes: Uint8Array): Promise<number>
  /** Fills `chunk` with a file's bytes from `start` on. The chunk comes as zeros: where nothing is stored it stays so. */
  fill(chunk: Uint8Array, extents: Extent[], start: number): Promise<void>
  /** A file's bytes, up to `length` of them, in chunks of at most 1 MiB. */
  read(file: { size: number; extents: Extent[] }, length?: number): AsyncGenerator<Uint8Array<ArrayBuffer>>
  /** Gives the space back. */
  close(): Promise<void>
}

const prefix = 'import-'
const chunkSize = 2 ** 20

/** Makes the folder, and removes what an import left there that was killed before its file lost its name. */
export function prepareSpool(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(folder)) if (name.startsWith(prefix)) rmSync(join(folder, name))
}

/** A new spool in the folder. Its file loses its name at once, so that the kernel removes it however we end. */
export async function openSpool(folder: string): Promise<Spool> {
  const path = join(folder, `${prefix}${randomUUID()}.tar`)
  const file = await open(path, 'wx+', 0o600)
  let end = 0

  async function append(bytes: Uint8Array): Promise<number> {
    const start = end
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, at, bytes.length - at, end)
      at += bytesWritten
      end += bytesWritten
    }
    return start
  }

  /** Reads from `offset` until the target is full. */
  async function readAt(target: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < target.length; ) {
      const { bytesRead } = await file.read(target, at, target.length - at, offset + at)
      if (bytesRead === 0) throw new Error(`the spool ends at byte ${offset + at}`)
      at += bytesRead
    }
  }

  async function fill(chunk: Uint8Array, extents: Extent[], start: number): Promise<void> {
    for (const extent of extents) {
      const from = Math.max(start, extent.at)
      const to = Math.min(start + chunk.length, extent.at + extent.length)
      if (from < to) await readAt(chunk.subarray(from - start, to - start), extent.offset + from - extent.at)
    }
  }

  try {
    await unlink(path)
  } catch (error) {
    await file.close()
    throw error
  }
  return {
    append,
    fill,
    close: () => file.close(),
    async *keep(source) {
      for await (const chunk of source) {
        await append(chunk)
        yield chunk
      }
    },
    async *read({ size, extents }, length = size) {
      const until = Math.min(size, length)
      for (let start = 0; start < until; start += chunkSize) {
        const chunk = new Uint8Array(Math.min(chunkSize, until - start))
        await fill(chunk, extents, start)
        yield chunk
      }
    },
  }
}
