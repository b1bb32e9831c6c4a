/** The root archive: a tree as one newc cpio, as a stream. The same tree gives the same bytes, in whatever order it came. */
import { type ByteString, bytesOf, readable } from '../archive/byte-string.ts'
import { cpioHeader, cpioPadding, cpioTrailer, fileType } from '../archive/cpio.ts'
import { AppError } from '../errors.ts'
import type { Spool } from './spool.ts'
import { type FileInode, type Inode, impliedDirectory, type Tree } from './tree.ts'
import { xattrsPath } from './xattrs.ts'

/** A part of the archive: bytes that are at hand, or a file's content that is in the spool. */
type Part = Uint8Array | FileInode

const blockSize = 2 ** 20

/**
 * Everything in the tree, sorted by the bytes of its path, so parents first, and `xattrs` as `/muster/xattrs`. Files keep
 * their times, which Python's caches and `rpm --verify` go by; everything else has none, so that a touched directory makes
 * no new image. A file with several names has its data under the first of them. Throws `ARCHIVE_INVALID` or `ARCHIVE_LIMIT` with the name
 * of what a cpio cannot hold. Comes in blocks of 1 MiB, of which it holds one.
 */
export async function* rootArchive(
  tree: Tree,
  spool: Spool,
  xattrs?: FileInode,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let block = new Uint8Array(blockSize)
  let filled = 0
  for (const part of partsOf(membersOf(tree, xattrs))) {
    const size = part instanceof Uint8Array ? part.length : part.size
    for (let start = 0; start < size; ) {
      const room = block.subarray(filled, filled + size - start)
      if (part instanceof Uint8Array) room.set(part.subarray(start, start + room.length))
      else await spool.fill(room, part.extents, start)
      start += room.length
      filled += room.length
      if (filled < blockSize) continue
      yield block
      block = new Uint8Array(blockSize)
      filled = 0
    }
  }
  if (filled > 0) yield block.subarray(0, filled)
}

function* partsOf(members: Iterable<[ByteString, Inode]>): Generator<Part> {
  const numbers = new Map<Inode, number>()
  let count = 0
  for (const [path, inode] of members) {
    count += 1
    // The kernel links by number, and takes data from the first: init/initramfs.c, maybe_link. It has no hard links to
    // symbolic links: those become several.
    const shared = inode.links > 1 && inode.type !== 'link'
    const number = numbers.get(inode) ?? count
    if (shared) numbers.set(inode, number)
    const data = number === count ? dataOf(inode) : undefined
    const size = data === undefined ? 0 : data instanceof Uint8Array ? data.length : data.size
    yield cpioHeader({
      name: bytesOf(path || '.'),
      mode: fileType[inode.type] | inode.mode,
      ino: number,
      uid: inode.uid,
      gid: inode.gid,
      links: inode.type === 'directory' ? 2 : shared ? inode.links : 1,
      size,
      ...('mtime' in inode && { mtime: inode.mtime }),
      ...('major' in inode && { major: inode.major, minor: inode.minor }),
    })
    if (data) yield data
    yield new Uint8Array(cpioPadding(size))
  }
  yield cpioTrailer()
}

function dataOf(inode: Inode): Part | undefined {
  if (inode.type === 'link') return bytesOf(inode.target)
  return inode.type === 'file' ? inode : undefined
}

/** The tree's entries with our own file among them, in order. */
function* membersOf(tree: Tree, xattrs: FileInode | undefined): Generator<[ByteString, Inode]> {
  const ours = ownMembers(tree, xattrs)
  for (const path of tree.paths) {
    while (ours[0] && ours[0][0] < path) yield* ours.splice(0, 1)
    const inode = tree.get(path)
    if (inode && path !== xattrsPath) yield [path, inode]
  }
  yield* ours
}

function ownMembers(tree: Tree, xattrs: FileInode | undefined): [ByteString, Inode][] {
  if (!xattrs) return []
  const folder = xattrsPath.slice(0, xattrsPath.lastIndexOf('/'))
  const above = tree.get(folder)
  if (above && above.type !== 'directory')
    throw new AppError('ARCHIVE_INVALID', `${readable(folder)} must be a directory: extended attributes are kept in it`)
  return above
    ? [[xattrsPath, xattrs]]
    : [
        [folder, impliedDirectory()],
        [xattrsPath, xattrs],
      ]
}
