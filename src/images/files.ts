/** Looks into the tree of an opened version: lists of entries in the order of their paths, and files. Pure but for reading. */
import type { ByteString } from '../archive/byte-string.ts'
import { AppError } from '../errors.ts'
import { pathOf, pathText } from './path-text.ts'
import type { FileInode, Inode, Tree } from './tree.ts'

/** An entry of a tree. */
export type TreeEntry = { path: ByteString; inode: Inode }

/** What a list is asked for. Paths are texts (`path-text.ts`). */
export type FileQuery = {
  /** A directory, or one entry. Links are followed. */
  under: string
  /** Everything below the directory; else only what is in it. The directory itself is never listed. */
  recursive: boolean
  /** Begin after this path. */
  after?: string | undefined
  limit: number
}

/** Entries under a path, at most `limit` in the order of their paths. Throws `FILE_UNKNOWN`. */
export function listFiles(tree: Tree, { under, recursive, after, limit }: FileQuery): TreeEntry[] {
  const top = existing(tree, under)
  const behind = after === undefined ? undefined : pathOf(tree, after)
  if (inodeAt(tree, top).type !== 'directory') {
    return behind === undefined || top > behind ? [{ path: top, inode: inodeAt(tree, top) }] : []
  }
  const prefix = top === '' ? '' : `${top}/`
  const found: TreeEntry[] = []
  for (const path of recursive ? below(tree, prefix, behind) : within(tree, top, prefix, behind)) {
    if (found.length === limit) break
    found.push({ path, inode: inodeAt(tree, path) })
  }
  return found
}

/** The regular file that a path leads to. Throws `FILE_UNKNOWN`, saying what else stands there. */
export function fileAt(tree: Tree, text: string): FileInode {
  const path = existing(tree, text)
  const inode = inodeAt(tree, path)
  if (inode.type === 'file') return inode
  const kinds = { directory: 'a directory', character: 'a character device', block: 'a block device', fifo: 'a fifo' }
  const what = inode.type === 'link' ? 'a symbolic link' : kinds[inode.type]
  throw new AppError('FILE_UNKNOWN', `${pathText(path)} is ${what}, not a file`, { field: 'path' })
}

/** The path that a text leads to, links followed within the tree. */
function existing(tree: Tree, text: string): ByteString {
  const path = pathOf(tree, text)
  const resolved = tree.resolve(path)
  if (resolved !== undefined && tree.get(resolved)) return resolved
  const why = tree.get(path)?.type === 'link' ? ': it is a symbolic link that leads nowhere in the image' : ''
  throw new AppError('FILE_UNKNOWN', `no ${text.startsWith('/') ? text : `/${text}`} in the image${why}`, {
    field: 'path',
  })
}

function inodeAt(tree: Tree, path: ByteString): Inode {
  const inode = tree.get(path)
  if (!inode) throw new Error(`the tree lists ${pathText(path)} and does not have it`)
  return inode
}

/** Paths that begin with a prefix stand in a row. */
function* below({ paths }: Tree, prefix: ByteString, behind: ByteString | undefined): Generator<ByteString> {
  const from = firstAfter(paths, behind === undefined || behind < prefix ? prefix : behind)
  for (let at = from; at < paths.length; at++) {
    const path = paths[at] ?? ''
    if (!path.startsWith(prefix)) return
    yield path
  }
}

function* within(
  tree: Tree,
  top: ByteString,
  prefix: ByteString,
  behind: ByteString | undefined,
): Generator<ByteString> {
  for (const name of tree.names(top)) if (behind === undefined || prefix + name > behind) yield prefix + name
}

/** Index of the first path that comes after the given one; paths are sorted. */
function firstAfter(paths: readonly ByteString[], path: ByteString): number {
  let [low, high] = [0, paths.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((paths[middle] ?? '') <= path) low = middle + 1
    else high = middle
  }
  return low
}
