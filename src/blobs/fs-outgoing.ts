/**
 * How a blob leaves the disk. Node only; part of `fs.ts`.
 *
 * Nothing tells the kernel to unlink a file only if it is old, so a blob is first moved out of everybody's way, then looked
 * at once more, and put back when it was kept in the meantime. What a crash leaves aside is put back as well: it may be
 * garbage, and the next collection takes it; it may be something that was kept a moment before.
 */
import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Digest, hexOf, parseDigest } from './digest.ts'

/** Blobs that are aside. */
export interface Outgoing {
  /** Moves a blob's file aside and says where it is now; `undefined` when there was none. */
  take(digest: Digest): Promise<string | undefined>
  /** Puts a file back under its name, unless the blob was put anew meanwhile, and forgets where it was aside. */
  putBack(aside: string, digest: Digest): Promise<void>
  /** Removes a file that is aside. */
  remove(aside: string): Promise<void>
  /** Puts back what crashes left aside; what this process has just moved there is spared. */
  recover(): Promise<void>
}

/** Files that leave by way of `folder`; `file` is the path that a blob has otherwise. */
export function outgoing(folder: string, file: (digest: Digest) => string): Outgoing {
  const moving = new Set<string>()

  async function putBack(aside: string, digest: Digest): Promise<void> {
    try {
      await mkdir(dirname(file(digest)), { recursive: true })
      await link(aside, file(digest)).catch(tolerate('EEXIST', 'ENOENT')) // another process may have put it back
      await syncFolder(dirname(file(digest)))
      await unlink(aside).catch(tolerate('ENOENT'))
    } finally {
      moving.delete(aside)
    }
  }

  async function remove(aside: string): Promise<void> {
    try {
      await unlink(aside).catch(tolerate('ENOENT'))
    } finally {
      moving.delete(aside)
    }
  }

  return {
    async take(digest) {
      const aside = join(folder, `${hexOf(digest)}.${randomUUID()}`)
      moving.add(aside)
      try {
        await rename(file(digest), aside).catch(async (error) => {
          tolerate('ENOENT')(error)
          await mkdir(folder, { recursive: true }) // either the file is not there or, once, the folder
          await rename(file(digest), aside)
        })
        return aside
      } catch (error) {
        moving.delete(aside)
        return tolerate('ENOENT')(error)
      }
    },
    putBack,
    remove,
    async recover() {
      for (const name of (await readdir(folder).catch(tolerate('ENOENT'))) ?? []) {
        const aside = join(folder, name)
        const digits = /^([0-9a-f]{64})\./.exec(name)?.[1]
        if (digits && !moving.has(aside)) await putBack(aside, parseDigest(`sha256:${digits}`))
      }
    },
  }
}

/** Makes what was done in a folder outlive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Turns some system errors into `undefined` and lets every other through: only they mean what the caller says. */
export const tolerate =
  (...codes: string[]) =>
  (error: unknown): undefined => {
    if (!(error instanceof Error) || !('code' in error) || !codes.includes(String(error.code))) throw error
  }
