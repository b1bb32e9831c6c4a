/** An image's file system as an index: names and attributes of everything, and the digests of the files instead of their bytes. */
import type { ByteString } from '../archive/byte-string.ts'
import type { Digest } from '../blobs/digest.ts'

/** What a name stands for. Hard links are names with the same inode. */
export type Inode = {
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
  /** When its content last changed: whole seconds since 1970. 0 for a directory that no archive has. */
  mtime: number
  xattrs?: Map<ByteString, Uint8Array>
  /** How many names it has. Stays 1 for directories. */
  links: number
} /** Its bytes are with whoever has the contents (`contents.ts`). */ & (
  | { type: 'file'; size: number; digest: Digest }
  | { type: 'link'; target: ByteString }
  | { type: 'character' | 'block'; major: number; minor: number }
  | { type: 'directory'; implied: boolean }
  | { type: 'fifo' }
)

/** A regular file's inode. */
export type FileInode = Extract<Inode, { type: 'file' }>

/** A file system. Paths are relative to its root, without a slash at either end; the root itself is the empty path. */
export type Tree = {
  /** Names in the order of their bytes, so that a directory comes before what is in it. */
  paths: ByteString[]
  /** What stands under a path, links not followed. */
  get(path: ByteString): Inode | undefined
  /** The path that symbolic links lead to, never out of the tree; `undefined` when they lead nowhere. */
  resolve(path: ByteString): ByteString | undefined
  /** The regular file that a path leads to. */
  file(path: ByteString): FileInode | undefined
  /** Names in the directory that a path leads to, sorted; none when it is no directory. */
  names(path: ByteString): ByteString[]
  /** What was left out, for people. */
  warnings: string[]
}

/** Symbolic links in one path, as the kernel counts (MAXSYMLINKS). */
export const mostLinks = 40

/**
 * The tree of inodes by path. Every directory above a path must be there, the root (the empty path) too. The map is kept,
 * not copied: nobody may change it afterwards. Cheapest when its paths come in the order of their bytes.
 */
export function treeOf(inodes: ReadonlyMap<ByteString, Inode>, warnings: string[] = []): Tree {
  const paths = [...inodes.keys()].sort(byBytes)

  function resolve(path: ByteString): ByteString | undefined {
    const ahead = path.split('/').reverse()
    let here: ByteString = ''
    for (let links = 0; ahead.length > 0; ) {
      const part = ahead.pop()
      if (part === undefined || part === '' || part === '.') continue
      if (part === '..') {
        here = parentOf(here)
        continue
      }
      const next = here === '' ? part : `${here}/${part}`
      const inode = inodes.get(next)
      if (!inode) return undefined
      if (inode.type !== 'link') {
        here = next
        continue
      }
      links += 1
      if (links > mostLinks) return undefined
      // An absolute target starts at the image's own root.
      if (inode.target.startsWith('/')) here = ''
      ahead.push(...inode.target.split('/').reverse())
    }
    return here
  }

  /** Position of the first path that is not before `path`. */
  function positionOf(path: ByteString): number {
    let from = 0
    for (let to = paths.length; from < to; ) {
      const middle = (from + to) >>> 1
      if ((paths[middle] ?? '') < path) from = middle + 1
      else to = middle
    }
    return from
  }

  return {
    paths,
    warnings,
    resolve,
    get: (path) => inodes.get(path),
    file(path) {
      const found = resolve(path)
      const inode = found === undefined ? undefined : inodes.get(found)
      return inode?.type === 'file' ? inode : undefined
    },
    names(path) {
      const found = resolve(path)
      if (found === undefined) return []
      const start = found === '' ? '' : `${found}/`
      const names: ByteString[] = []
      // The empty path is the root itself, which stands in no directory.
      for (let at = Math.max(1, positionOf(start)); paths[at]?.startsWith(start); ) {
        const rest = paths[at]?.slice(start.length) ?? ''
        const slash = rest.indexOf('/')
        if (slash < 0) names.push(rest)
        // What is below a name ends before the name with the character after the slash, "0".
        at = slash < 0 ? at + 1 : positionOf(`${start}${rest.slice(0, slash)}0`)
      }
      return names
    },
  }
}

/** A directory that the archive does not have, as `mkdir -p` would make it. */
export const impliedDirectory = (): Extract<Inode, { type: 'directory' }> => ({
  type: 'directory',
  implied: true,
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: 0,
  links: 1,
})

/** The directory of a path; the root is its own. */
export const parentOf = (path: ByteString): ByteString => path.slice(0, Math.max(0, path.lastIndexOf('/')))

/** Order of byte strings as of their bytes. */
export const byBytes = (one: ByteString, other: ByteString): number => (one < other ? -1 : one > other ? 1 : 0)
