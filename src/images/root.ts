/**
 * The root archive: a tree as one newc cpio, as a stream, for boots in a single stage. The same tree gives the same bytes,
 * however it was imported.
 */
import { type ByteString, bytesOf, readable } from '../archive/byte-string.ts'
import { cpioHeader, cpioPadding, cpioTrailer, fileType } from '../archive/cpio.ts'
import { AppError } from '../errors.ts'
import type { Contents } from './contents.ts'
import { type FileInode, type Inode, impliedDirectory, type Tree } from './tree.ts'
import { wholeFile } from './whole-file.ts'
import { dumpXattrs, xattrsPath, xattrWarnings } from './xattrs.ts'

/** Our own file among those of the tree. */
type OwnFile = { type: 'own'; bytes: Uint8Array<ArrayBuffer> }

/** A part of the archive: bytes that are at hand, or a file that is with the contents. */
type Part = Uint8Array<ArrayBuffer> | { path: ByteString; file: FileInode }

const blockSize = 2 ** 20
/** Sizes and times have 32 bits. */
const most = 2 ** 32 - 1

/**
 * Everything in the tree, sorted by the bytes of its path, so parents first, and `xattrs` as `/muster/xattrs`: unless told,
 * the attributes of the tree, see `xattrs.ts`. Files keep their times, which Python's caches and `rpm --verify` go by; all
 * else has none, so that a touched directory makes no new archive. A file with several names has its data under the first of
 * them. Contents are read in the order of the paths. Throws `IMAGE_UNBOOTABLE` with the name of a file of 4 GiB or more, before
 * anything else; `ARCHIVE_INVALID` or `ARCHIVE_LIMIT` with the name of what a cpio cannot hold; and what `contents.read`
 * throws. Comes in blocks of 1 MiB, of which it holds one.
 */
export async function* rootArchive(
  tree: Tree,
  contents: Contents,
  xattrs: Uint8Array<ArrayBuffer> | undefined = dumpXattrs(tree),
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const [large] = tooLarge(tree)
  if (large !== undefined)
    throw new AppError(
      'IMAGE_UNBOOTABLE',
      `${readable(large)} has 4 GiB or more, which no cpio can hold: boot the image in two stages, or take the file out`,
    )
  let block = new Uint8Array(blockSize)
  let filled = 0
  for await (const chunk of chunksOf(partsOf(membersOf(tree, xattrs)), contents))
    for (let at = 0; at < chunk.length; ) {
      const piece = chunk.subarray(at, at + blockSize - filled)
      block.set(piece, filled)
      at += piece.length
      filled += piece.length
      if (filled < blockSize) continue
      yield block
      block = new Uint8Array(blockSize)
      filled = 0
    }
  if (filled > 0) yield block.subarray(0, filled)
}

/** What a root archive cannot carry of a tree, or not make use of, for people. */
export function rootWarnings(tree: Tree): string[] {
  const late = tree.paths.filter((path) => {
    const inode = tree.get(path)
    return inode?.type === 'file' && inode.mtime > most
  })
  return [
    ...listed(tooLarge(tree), 'has a file of 4 GiB or more, which no cpio can hold, so it boots in two stages only'),
    ...listed(late, 'has a time after the year 2106, which becomes that year'),
    ...xattrWarnings(tree),
  ]
}

/** Regular files that have no room in a cpio. */
const tooLarge = (tree: Tree): ByteString[] =>
  tree.paths.filter((path) => {
    const inode = tree.get(path)
    return inode?.type === 'file' && inode.size > most
  })

/** One warning for all paths, with the first three of them; none when there are none. */
function listed(paths: ByteString[], fault: string): string[] {
  if (paths.length === 0) return []
  const names = paths.slice(0, 3).map((path) => readable(path))
  return [`${fault} (${names.join(', ')}${paths.length > 3 ? ` and ${paths.length - 3} more` : ''})`]
}

function* partsOf(members: Iterable<[ByteString, Inode | OwnFile]>): Generator<Part> {
  const numbers = new Map<Inode, number>()
  let count = 0
  for (const [path, member] of members) {
    count += 1
    if (member.type === 'own') {
      const { bytes } = member
      const own = { mode: fileType.file | 0o600, uid: 0, gid: 0, links: 1, size: bytes.length }
      yield cpioHeader({ name: bytesOf(path), ino: count, ...own })
      yield bytes
      yield new Uint8Array(cpioPadding(bytes.length))
      continue
    }
    // The kernel links by number, and takes data from the first: init/initramfs.c, maybe_link. It has no hard links to
    // symbolic links: those become several.
    const shared = member.links > 1 && member.type !== 'link'
    const number = numbers.get(member) ?? count
    if (shared) numbers.set(member, number)
    const data = number === count ? dataOf(path, member) : undefined
    const size = data === undefined ? 0 : data instanceof Uint8Array ? data.length : data.file.size
    yield cpioHeader({
      name: bytesOf(path || '.'),
      mode: fileType[member.type] | member.mode,
      ino: number,
      uid: member.uid,
      gid: member.gid,
      links: member.type === 'directory' ? 2 : shared ? member.links : 1,
      size,
      ...(member.type === 'file' && { mtime: Math.min(member.mtime, most) }),
      ...('major' in member && { major: member.major, minor: member.minor }),
    })
    if (data) yield data
    yield new Uint8Array(cpioPadding(size))
  }
  yield cpioTrailer()
}

function dataOf(path: ByteString, inode: Inode): Part | undefined {
  if (inode.type === 'link') return bytesOf(inode.target)
  return inode.type === 'file' ? { path, file: inode } : undefined
}

async function* chunksOf(parts: Iterable<Part>, contents: Contents): AsyncGenerator<Uint8Array> {
  for (const part of parts)
    if (part instanceof Uint8Array) yield part
    else yield* wholeFile(part.path, part.file, contents)
}

/** The tree's entries with our own file among them, in order. */
function* membersOf(tree: Tree, xattrs: Uint8Array<ArrayBuffer> | undefined): Generator<[ByteString, Inode | OwnFile]> {
  const ours = ownMembers(tree, xattrs)
  for (const path of tree.paths) {
    while (ours[0] && ours[0][0] < path) yield* ours.splice(0, 1)
    const inode = tree.get(path)
    if (inode && path !== xattrsPath) yield [path, inode]
  }
  yield* ours
}

function ownMembers(tree: Tree, bytes: Uint8Array<ArrayBuffer> | undefined): [ByteString, Inode | OwnFile][] {
  if (!bytes) return []
  const folder = xattrsPath.slice(0, xattrsPath.lastIndexOf('/'))
  const above = tree.get(folder)
  if (above && above.type !== 'directory')
    throw new AppError('ARCHIVE_INVALID', `${readable(folder)} must be a directory: extended attributes are kept in it`)
  const own: [ByteString, OwnFile] = [xattrsPath, { type: 'own', bytes }]
  return above ? [own] : [[folder, impliedDirectory()], own]
}
