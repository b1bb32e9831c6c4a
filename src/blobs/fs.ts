/**
 * Blobs as files. Node only.
 *
 *     <root>/
 *       sha256/<first two digits>/<all 64 digits>   a blob, mode 0444, never changed once it has this name
 *       incoming/<random>                           a blob that is being written
 *
 * A blob gets its name by `rename` when it is whole, hashed and on the disk, so that a plain web server can serve the
 * same files: nginx maps `/blobs/sha256/<digits>` by `location ~ "^/blobs/sha256/(..)(.*)$"` and
 * `alias <root>/sha256/$1/$1$2;`.
 */
import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { AppError } from '../errors.ts'
import { type Digest, hexOf, parseDigest } from './digest.ts'
import { sliceWithin } from './gather.ts'
import type { BlobStore, Bytes, Descriptor, Slice } from './store.ts'

const readSize = 256 * 1024

/** A blob store that keeps plain files. */
export interface FsBlobStore extends BlobStore {
  /** Path of the blob's file, whether it is there or not. */
  file(digest: Digest): string
  /**
   * Removes what interrupted writers left in `incoming/` and says how many files that were. Blobs that this store is
   * writing are spared; another process that writes into the same root would lose what it is writing.
   */
  clearIncoming(): Promise<number>
}

/** Keeps blobs as files below `root`, which is made when it is not there. */
export function fsBlobStore(root: string): FsBlobStore {
  const blobs = join(root, 'sha256')
  const incoming = join(root, 'incoming')
  const writing = new Set<string>()

  const file = (digest: Digest): string => join(blobs, hexOf(digest).slice(0, 2), hexOf(digest))

  async function find(digest: Digest): Promise<Descriptor | undefined> {
    const found = await stat(file(digest)).catch(absent)
    if (found && !found.isFile()) throw new Error(`${file(digest)} is not a file`)
    return found && { digest, size: found.size }
  }

  /** Takes bytes in, and gives them their name when they are the ones that were promised. */
  async function receive(body: Bytes, promised?: Descriptor): Promise<Descriptor> {
    const name = randomUUID()
    const partial = join(incoming, name)
    writing.add(name)
    try {
      const handle = await create(partial).catch(async (error) => {
        await body.cancel(error)
        throw error
      })
      try {
        const blob = await write(handle, body, promised?.size)
        if (promised && (blob.digest !== promised.digest || blob.size !== promised.size)) {
          throw mismatch(promised, `${blob.size} bytes of ${blob.digest}`)
        }
        await place(partial, file(blob.digest))
        return blob
      } finally {
        await rm(partial, { force: true })
      }
    } finally {
      writing.delete(name)
    }
  }

  /**
   * Moves a finished file to its name, durably. The folders above are synced each time, not only by whoever made
   * them: of two writers that need the same new folder, the one that found it there may be done first.
   */
  async function place(partial: string, path: string): Promise<void> {
    await mkdir(dirname(path), { recursive: true })
    await rename(partial, path)
    await Promise.all([dirname(path), blobs, root].map(syncFolder))
  }

  return {
    file,
    stat: find,

    async open(digest, slice) {
      const handle = await open(file(digest)).catch(absent)
      if (!handle) return undefined
      try {
        const found = await handle.stat()
        if (!found.isFile()) throw new Error(`${file(digest)} is not a file`)
        return reading(handle, sliceWithin(found.size, slice), file(digest))
      } catch (error) {
        await handle.close()
        throw error
      }
    },

    async put(blob, body) {
      await receive(body, blob)
    },

    add: (body) => receive(body),

    async delete(digest) {
      await rm(file(digest)).catch(absent)
    },

    async *list() {
      for (const folder of await names(blobs)) {
        for (const name of await names(join(blobs, folder))) {
          if (!/^[0-9a-f]{64}$/.test(name) || !name.startsWith(folder)) continue
          const blob = await find(parseDigest(`sha256:${name}`))
          if (blob) yield blob
        }
      }
    },

    async clearIncoming() {
      const leftovers = (await names(incoming)).filter((name) => !writing.has(name))
      for (const name of leftovers) await rm(join(incoming, name), { force: true, recursive: true })
      return leftovers.length
    },
  } satisfies FsBlobStore
}

/** Writes a stream to a new file, synced to the disk, and says what it was. Stops at the first byte beyond `limit`. */
async function write(handle: FileHandle, body: Bytes, limit = Number.POSITIVE_INFINITY): Promise<Descriptor> {
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
    await handle.sync()
    return { digest: `sha256:${hash.digest('hex')}`, size }
  } finally {
    await handle.close()
  }
}

async function create(path: string): Promise<FileHandle> {
  await mkdir(dirname(path), { recursive: true })
  return open(path, 'wx', 0o600)
}

/** A part of an open file as a stream, which closes the file when it ends, fails or is cancelled. */
function reading(handle: FileHandle, { offset, length }: Slice, path: string): Bytes {
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

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const names = async (folder: string): Promise<string[]> => (await readdir(folder).catch(absent)) ?? []

const mismatch = (promised: Descriptor, got: string): AppError =>
  new AppError('DIGEST_MISMATCH', `expected ${promised.size} bytes of ${promised.digest}, got ${got}`)

/** Only ENOENT means that something is not there; every other error is a broken disk and must be seen as one. */
function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
