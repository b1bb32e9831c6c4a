/**
 * Blobs as files. Node only.
 *
 *     <root>/
 *       sha256/<first two digits>/<all 64 digits>   a blob, mode 0444, never changed once it has this name
 *       incoming/<random>                           a blob that is being written
 *       outgoing/<all 64 digits>.<random>           a blob that is being deleted
 *       quarantine/<all 64 digits>                  bytes that are not, or no longer, those of their name
 *
 * A blob gets its name by `rename` when it is whole, hashed and on the disk, so that a plain web server can serve the
 * same files: nginx maps `/blobs/sha256/<digits>` by `location ~ "^/blobs/sha256/(..)(.*)$"` and
 * `alias <root>/sha256/$1/$1$2;`. Its mtime is when it was last put or kept.
 */
import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { AppError } from '../errors.ts'
import { type Digest, hexOf, parseDigest } from './digest.ts'
import { outgoing, syncFolder, tolerate } from './fs-outgoing.ts'
import { digestOfFile, reading } from './fs-read.ts'
import { compare, create, write } from './fs-write.ts'
import { sliceWithin } from './gather.ts'
import type { BlobStore, Bytes, Descriptor, Listed, Pace } from './store.ts'

/** A blob store that keeps plain files. */
export interface FsBlobStore extends BlobStore {
  /** Path of the blob's file, whether it is there or not. */
  file(digest: Digest): string
  /**
   * Removes what interrupted writers left in `incoming/` and says how many files that were; what was being deleted is put
   * back. Blobs that this store is writing are spared. Another process that writes into the same root would lose what it
   * is writing, unless it has written since `before`.
   */
  clearIncoming(before?: Date): Promise<number>
}

/** Keeps blobs as files below `root`, which is made when it is not there. */
export function fsBlobStore(root: string): FsBlobStore {
  const blobs = join(root, 'sha256')
  const incoming = join(root, 'incoming')
  const quarantined = join(root, 'quarantine')
  const writing = new Set<string>()

  const file = (digest: Digest): string => join(blobs, hexOf(digest).slice(0, 2), hexOf(digest))
  const leaving = outgoing(join(root, 'outgoing'), file)

  async function find(digest: Digest): Promise<Listed | undefined> {
    const found = await stat(file(digest)).catch(absent)
    if (found && !found.isFile()) throw new Error(`${file(digest)} is not a file`)
    return found && { digest, size: found.size, keptAt: found.mtime }
  }

  /** A blob's file, opened, and its size. Whoever calls closes it. */
  async function openFile(digest: Digest): Promise<{ handle: FileHandle; size: number } | undefined> {
    const handle = await open(file(digest)).catch(absent)
    if (!handle) return undefined
    try {
      const found = await handle.stat()
      if (!found.isFile()) throw new Error(`${file(digest)} is not a file`)
      return { handle, size: found.size }
    } catch (error) {
      await handle.close()
      throw error
    }
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
        if (promised) refuseOther(promised, blob)
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
    await settle(path)
  }

  const settle = (path: string) => Promise.all([dirname(path), blobs, root].map(syncFolder))

  /**
   * The time is set first and the file looked at afterwards: where it is then, no deletion that began before can take it
   * without seeing the new time.
   */
  async function keep(digest: Digest): Promise<Descriptor | undefined> {
    const now = new Date()
    if ((await find(digest)) === undefined) return undefined
    await utimes(file(digest), now, now).catch(absent)
    const kept = await find(digest)
    return kept && { digest, size: kept.size }
  }

  async function check(path: string, digest: Digest, pace: Pace = async () => {}): Promise<boolean | undefined> {
    const handle = await open(path).catch(absent)
    if (!handle) return undefined
    try {
      return (await digestOfFile(handle, pace)) === digest
    } finally {
      await handle.close()
    }
  }

  return {
    file,
    keep,

    async stat(digest) {
      const found = await find(digest)
      return found && { digest, size: found.size }
    },

    async open(digest, slice) {
      const found = await openFile(digest)
      if (!found) return undefined
      try {
        return reading(found.handle, sliceWithin(found.size, slice), file(digest))
      } catch (error) {
        await found.handle.close()
        throw error
      }
    },

    /** What is there already is read and not written, unless it turns out to be damaged. */
    async put(blob, body) {
      const found = await openFile(blob.digest).catch(async (error) => {
        await body.cancel(error)
        throw error
      })
      if (found?.size !== blob.size) {
        await found?.handle.close()
        await receive(body, blob)
        return
      }
      try {
        const compared = await compare(found.handle, body)
        if ('whole' in compared) {
          await receive(compared.whole, blob)
          return
        }
        refuseOther(blob, compared.same)
        // It may have been deleted meanwhile; its bytes can be read as long as the file is open.
        if (await keep(blob.digest)) await settle(file(blob.digest))
        else await receive(reading(found.handle, { offset: 0, length: blob.size }, file(blob.digest)), blob)
      } finally {
        await found.handle.close()
      }
    },

    add: (body) => receive(body),

    async delete(digest, before) {
      if (!before)
        return rm(file(digest)).then(
          () => true,
          (error) => absent(error) ?? false,
        )
      const found = await find(digest)
      if (!found || found.keptAt >= before) return false
      const aside = await leaving.take(digest)
      if (aside === undefined) return false
      const again = await stat(aside).catch(absent) // the start of another process may have put it back
      if (again && again.mtime < before) {
        await leaving.remove(aside)
        return true
      }
      await leaving.putBack(aside, digest)
      return false
    },

    async *list(after) {
      const from = after === undefined ? '' : hexOf(after)
      for (const folder of await names(blobs)) {
        if (folder < from.slice(0, 2)) continue
        for (const name of await names(join(blobs, folder))) {
          if (!/^[0-9a-f]{64}$/.test(name) || !name.startsWith(folder) || name <= from) continue
          const blob = await find(parseDigest(`sha256:${name}`))
          if (blob) yield blob
        }
      }
    },

    check: (digest, pace) => check(file(digest), digest, pace),

    async quarantine(digest) {
      const aside = await leaving.take(digest)
      if (aside === undefined) return false
      if (await check(aside, digest)) {
        await leaving.putBack(aside, digest)
        return false
      }
      await mkdir(quarantined, { recursive: true })
      await rename(aside, join(quarantined, hexOf(digest)))
      await leaving.remove(aside)
      await Promise.all([quarantined, dirname(file(digest))].map(syncFolder))
      return true
    },

    async clearIncoming(before) {
      await leaving.recover()
      let cleared = 0
      for (const name of await names(incoming)) {
        const path = join(incoming, name)
        const found = writing.has(name) ? undefined : await stat(path).catch(absent)
        if (!found || (before && found.mtime >= before)) continue
        await rm(path, { force: true, recursive: true })
        cleared += 1
      }
      return cleared
    },
  } satisfies FsBlobStore
}

const names = async (folder: string): Promise<string[]> => ((await readdir(folder).catch(absent)) ?? []).sort()

function refuseOther(promised: Descriptor, got: Descriptor): void {
  if (promised.digest === got.digest && promised.size === got.size) return
  throw new AppError(
    'DIGEST_MISMATCH',
    `expected ${promised.size} bytes of ${promised.digest}, got ${got.size} bytes of ${got.digest}`,
  )
}

/** Only ENOENT means that something is not there; every other error is a broken disk and must be seen as one. */
const absent = tolerate('ENOENT')
