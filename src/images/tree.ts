/**
 * An image's file system as an index: where the data of each file is in the archive, nothing extracted. What would step out
 * of the tree when extracted is refused by name, though it could do no harm here: such an archive is not what it seems.
 */
import { type ByteString, readable } from '../archive/byte-string.ts'
import { type ArchiveLimits, defaultLimits, exceeded, invalid } from '../archive/limits.ts'
import type { Extent } from '../archive/sparse.ts'
import type { TarEntry } from '../archive/tar.ts'

/** What a name stands for. Hard links are names with the same inode. */
export type Inode = {
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
  xattrs?: Map<ByteString, Uint8Array>
  /** How many names it has. Stays 1 for directories. */
  links: number
} & (
  | { type: 'file'; size: number; mtime: number; extents: Extent[] }
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

/** A tree while it grows. */
export type TreeBuilder = {
  /** Adds an entry; throws `ARCHIVE_INVALID` or `ARCHIVE_LIMIT` with its name. */
  add(entry: TarEntry): void
  finish(): Tree
}

/** Symbolic links in one path, as the kernel counts (MAXSYMLINKS). */
const mostLinks = 40

/** An empty tree, to be filled in the order of the archive. */
export function createTree(limits: ArchiveLimits = defaultLimits): TreeBuilder {
  const inodes = new Map<ByteString, Inode>([['', impliedDirectory()]])
  const sockets: ByteString[] = []
  const acls: ByteString[] = []
  let weight = 0

  function set(path: ByteString, inode: Inode): void {
    weight += path.length + weightOf(inode)
    if (weight > limits.index) throw exceeded(path, 'names and attributes are too long with it', limits.index)
    inodes.set(path, inode)
    if (inodes.size > limits.entries) throw exceeded(path, 'there are too many entries', limits.entries)
  }

  /** Makes sure that all above a path are directories; makes the missing ones. */
  function makeParents(path: ByteString): void {
    const missing: ByteString[] = []
    for (let above = parentOf(path); ; above = parentOf(above)) {
      const inode = inodes.get(above)
      if (inode?.type === 'directory') break
      if (inode?.type === 'link') throw invalid(path, `it lies below the symbolic link ${readable(above)}`)
      if (inode) throw invalid(path, `it lies below ${readable(above)}, which is no directory`)
      missing.push(above)
    }
    for (const above of missing.reverse()) set(above, impliedDirectory())
  }

  /** The inode that a hard link names, which must have come before it. */
  function linked(path: ByteString, name: ByteString): Inode {
    const target = normalised(name, path, 'the target of its hard link')
    const inode = inodes.get(target)
    if (inode?.type === 'directory') throw invalid(path, `it is a hard link to the directory ${readable(target)}`)
    if (inode) return inode
    for (let above = parentOf(target); above !== ''; above = parentOf(above))
      if (inodes.get(above)?.type === 'link')
        throw invalid(path, `it is a hard link through the symbolic link ${readable(above)}`)
    throw invalid(path, `it is a hard link to ${readable(target)}, which does not come before it`)
  }

  return {
    add(entry) {
      const path = normalised(entry.path, entry.path, 'its name')
      if (entry.type === 'socket') {
        sockets.push(path)
        return
      }
      if (entry.acl) acls.push(path)
      const inode = entry.type === 'hardlink' ? linked(path, entry.target) : inodeOf(entry)
      if (path === '' && inode.type !== 'directory')
        throw invalid(entry.path, 'it stands for the root, but is no directory')
      const before = inodes.get(path)
      if (before && !isRepeated(before, inode)) throw invalid(path || '.', repetition(before, inode))
      if (!before) makeParents(path)
      set(path, inode)
      if (entry.type === 'hardlink') inode.links += 1
    },
    finish: () => treeOf(inodes, [...dropped(sockets, 'socket'), ...dropped(acls, 'ACL')]),
  }
}

function treeOf(inodes: Map<ByteString, Inode>, warnings: string[]): Tree {
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
      return paths
        .filter((other) => other !== '' && other.startsWith(start) && !other.includes('/', start.length))
        .map((other) => other.slice(start.length))
    },
  }
}

/** Slashes and dots taken out. `what` names the thing when it has `..`. */
function normalised(name: ByteString, entry: ByteString, what: string): ByteString {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw invalid(entry, `${what} has ".."`)
  return parts.join('/')
}

function inodeOf(entry: Exclude<TarEntry, { type: 'hardlink' | 'socket' }>): Inode {
  const { mode, uid, gid, xattrs } = entry
  const common = { mode, uid, gid, links: 1, ...(xattrs && { xattrs }) }
  if (entry.type === 'file')
    return { ...common, type: 'file', size: entry.size, mtime: clampedTime(entry.mtime), extents: entry.extents }
  if (entry.type === 'link') return { ...common, type: 'link', target: entry.target }
  if (entry.type === 'directory') return { ...common, type: 'directory', implied: false }
  if (entry.type === 'fifo') return { ...common, type: 'fifo' }
  return { ...common, type: entry.type, major: entry.major, minor: entry.minor }
}

/** A time that newc has room for. */
const clampedTime = (seconds: number): number => Math.min(seconds, 0xffffffff)

/** A directory that the archive does not have, as `mkdir -p` would make it. */
export const impliedDirectory = (): Inode => ({
  type: 'directory',
  implied: true,
  mode: 0o755,
  uid: 0,
  gid: 0,
  links: 1,
})

/** Archives in the wild repeat directories; the same one again says nothing new. */
function isRepeated(before: Inode, inode: Inode): boolean {
  if (before.type !== 'directory' || inode.type !== 'directory') return false
  if (before.implied) return true
  if (before.mode !== inode.mode || before.uid !== inode.uid || before.gid !== inode.gid) return false
  const [one, other] = [before.xattrs ?? new Map(), inode.xattrs ?? new Map()]
  return one.size === other.size && [...one].every(([name, value]) => String(value) === String(other.get(name)))
}

function repetition(before: Inode, inode: Inode): string {
  if (before.type !== 'directory') return 'the archive has it twice'
  if (inode.type !== 'directory') return 'the archive has it twice, first as a directory'
  return 'the archive has this directory twice, with different owners, modes or attributes'
}

/** Roughly what an inode holds in memory besides itself. */
function weightOf(inode: Inode): number {
  let weight = 0
  for (const [name, value] of inode.xattrs ?? []) weight += name.length + value.length
  if (inode.type === 'file') weight += 24 * Math.max(0, inode.extents.length - 1)
  return weight + (inode.type === 'link' ? inode.target.length : 0)
}

/** The directory of a path; the root is its own. */
const parentOf = (path: ByteString): ByteString => path.slice(0, Math.max(0, path.lastIndexOf('/')))

const byBytes = (one: ByteString, other: ByteString): number => (one < other ? -1 : one > other ? 1 : 0)

/** One warning for all entries of which something was left out, with the first three names. */
function dropped(paths: ByteString[], what: string): string[] {
  if (paths.length === 0) return []
  const names = paths.slice(0, 3).map((path) => readable(path))
  return [
    `left out ${paths.length} ${what}${paths.length > 1 ? 's' : ''} (${names.join(', ')}${paths.length > 3 ? ' …' : ''})`,
  ]
}
