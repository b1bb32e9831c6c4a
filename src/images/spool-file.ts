/** A temporary file without a name: written at its end, read anywhere. Node only. */
import { open, unlink } from 'node:fs/promises'

/** Bytes on a disk. */
export type SpoolFile = {
  /** Takes bytes, which nobody may change afterwards. Waits while as much as it holds in memory is on its way to the disk. */
  append(bytes: Uint8Array): Promise<void>
  /** Waits until everything is in the file. */
  flush(): Promise<void>
  /** Bytes that were taken so far. */
  size(): number
  /** Fills `target` with the bytes at `offset`; throws when there are not so many. */
  read(target: Uint8Array, offset: number): Promise<void>
  /** Gives the space back. */
  close(): Promise<void>
}

/** Bytes that are written together. */
const batchSize = 2 ** 20

/** A new file. It loses its name at once, so that the kernel removes it however we end. */
export async function openSpoolFile(path: string): Promise<SpoolFile> {
  const file = await open(path, 'wx+', 0o600)
  let end = 0
  let pending: Uint8Array[] = []
  let pendingSize = 0
  let writing: Promise<void> = Promise.resolve()

  async function write(parts: Uint8Array[], start: number): Promise<void> {
    let at = start
    for (let left = parts; left.length > 0; ) {
      const { bytesWritten } = await file.writev(left, at)
      at += bytesWritten
      left = after(left, bytesWritten)
    }
  }

  /** Starts to write what is pending, once what was before it is written. */
  async function push(): Promise<void> {
    await writing
    const [parts, start] = [pending, end]
    end += pendingSize
    pending = []
    pendingSize = 0
    writing = write(parts, start)
    // Whoever waits next hears of a failure; nobody waits when the import ends before.
    writing.catch(() => {})
  }

  try {
    await unlink(path)
  } catch (error) {
    await file.close()
    throw error
  }
  return {
    async append(bytes) {
      pending.push(bytes)
      pendingSize += bytes.length
      if (pendingSize >= batchSize) await push()
    },
    async flush() {
      if (pendingSize > 0) await push()
      await writing
    },
    size: () => end + pendingSize,
    async read(target, offset) {
      for (let at = 0; at < target.length; ) {
        const { bytesRead } = await file.read(target, at, target.length - at, offset + at)
        if (bytesRead === 0) throw new Error(`the spool ends at byte ${offset + at}`)
        at += bytesRead
      }
    },
    async close() {
      // The descriptor must not be somebody else's by the time that a write begins.
      await writing.catch(() => {})
      await file.close()
    },
  }
}

/** What is left of parts once so many bytes of them are written. */
function after(parts: Uint8Array[], written: number): Uint8Array[] {
  let passed = 0
  const first = parts.findIndex((part) => {
    passed += part.length
    return passed > written
  })
  const part = parts[first]
  return part ? [part.subarray(part.length - (passed - written)), ...parts.slice(first + 1)] : []
}
