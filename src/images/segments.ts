/**
 * Segments: the tree in small archives, of which a changed file changes one. Node only.
 *
 * Where one ends is decided by the path that ends it, not by a count of bytes from the start, so that the cuts before and
 * after a change stay where they were: content-defined chunking, with names for content.
 */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip as gzipWhole } from 'node:zlib'
import { type ByteString, byteString, readable } from '../archive/byte-string.ts'
import { gzip } from '../archive/gzip.ts'
import { type PaxEntry, paxHeader, paxPadding, paxTrailer } from '../archive/pax-writer.ts'
import { streamOf } from '../archive/stream.ts'
import { plainBytes } from '../archive/through.ts'
import { zstd, zstdWhole } from '../archive/zstd.ts'
import { type Digest, digestOf } from '../blobs/digest.ts'
import { streamOf as streamOfBytes } from '../blobs/gather.ts'
import type { BlobStore, Bytes } from '../blobs/store.ts'
import type { Contents } from './contents.ts'
import type { Compression, Segment } from './manifest.ts'
import type { FileInode, Inode, Tree } from './tree.ts'
import { wholeFile } from './whole-file.ts'

/** What one segment holds, in the order of its archive: `above`, then `own`. */
export type SegmentMembers = {
  /**
   * The directories above its entries that do not come before them in `own`, parents first; never the root, which is there
   * wherever something is unpacked.
   */
  above: ByteString[]
  /** Its own entries. Each path of a tree is in one segment; the names of one file are together. */
  own: ByteString[]
}

/** A segment that is ready to be stored. Sizes are in bytes; `unpackedSize` is the archive's. */
export type PackedSegment = { unpackedSize: number; entries: number } & (
  | { bytes: Uint8Array<ArrayBuffer>; digest: Digest; size: number }
  /** One that is too large for memory. Read it once, or cancel it. */
  | { stream: Bytes }
)

/** A segment has at least so many bytes (headers and files), unless it stands before a large file or at the end. */
const smallest = 256 * 1024
/** A segment that has so many ends. A file that has so many begins one, so that its neighbours do not drag it along. */
const largest = 4 * 2 ** 20
/** Beyond `smallest`, so many bytes lie between cuts on average. */
const spread = 2 ** 20 / 3
/** Segments whose archive has at most so many bytes are packed in memory. Only a file beyond `largest` makes larger ones. */
export const wholeAtMost = 8 * 2 ** 20
const headerSize = 512

/** All segments of a tree. */
export const cutSegments = (tree: Tree): SegmentMembers[] => [...eachSegment(tree)]

/**
 * The segments of a tree, in the order of its paths. The later names of a file stand behind its first. Depends on nothing
 * but names, sizes and which names are one file.
 */
export function* eachSegment(tree: Tree): Generator<SegmentMembers> {
  const groups = namesByInode(tree)
  let own: ByteString[] = []
  let size = 0
  for (const path of tree.paths) {
    const inode = tree.get(path)
    const names = inode && (groups.get(inode) ?? [path])
    // A later name, which went with the first.
    if (names?.[0] !== path) continue
    const cost = headerSize * names.length + (inode?.type === 'file' ? inode.size : 0)
    if (cost >= largest && own.length > 0) {
      yield { above: directoriesAbove(own), own }
      own = []
      size = 0
    }
    for (const name of names) own.push(name)
    size += cost
    if (size < largest && (size < smallest || fractionOf(path) >= cost / spread)) continue
    yield { above: directoriesAbove(own), own }
    own = []
    size = 0
  }
  if (own.length > 0) yield { above: directoriesAbove(own), own }
}

/** Files with several names in the tree, and the names in their order. */
function namesByInode(tree: Tree): Map<Inode, ByteString[]> {
  const groups = new Map<Inode, ByteString[]>()
  for (const path of tree.paths) {
    const inode = tree.get(path)
    if (!inode || inode.links < 2) continue
    const names = groups.get(inode)
    if (names) names.push(path)
    else groups.set(inode, [path])
  }
  return groups
}

/** See `above` of {@link SegmentMembers}. */
function directoriesAbove(own: ByteString[]): ByteString[] {
  const seen = new Set<ByteString>()
  const above: ByteString[] = []
  for (const path of own) {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const directory = path.slice(0, end)
      if (seen.has(directory)) break
      seen.add(directory)
      above.push(directory)
    }
    seen.add(path)
  }
  return above.sort()
}

/**
 * A fraction from 0 to 1 that looks random and hangs on the path's bytes alone: FNV-1a with 32 bits, a multiplication a
 * byte, then the last mixing steps of MurmurHash3, because FNV's upper bits hardly see the last bytes, in which neighbours
 * differ. Nobody gains by choosing names: a segment's size has bounds. Part of the format: another hash cuts elsewhere.
 */
function fractionOf(path: ByteString): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < path.length; at++) hash = Math.imul(hash ^ path.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

/**
 * What a segment's bytes and its number of entries hang on, as a digest: equal keys, equal segments. Made of the tree alone,
 * no file is read, so that an import knows which segments it has already.
 */
export function segmentKey(members: SegmentMembers, tree: Tree, compression: Compression): Digest {
  const lines = [`segment 1 ${compression} ${members.above.length}`]
  for (const { entry, file } of entriesOf(members, tree)) {
    const { path, type, mode, uid, gid, mtime } = entry
    const more = file?.digest ?? ('target' in entry ? entry.target : 'major' in entry ? [entry.major, entry.minor] : 0)
    const xattrs = sortedXattrs(entry).map(([name, value]) => [name, byteString(value)])
    lines.push(JSON.stringify([path, type, mode, uid, gid, mtime, more, file?.size ?? 0, ...xattrs]))
  }
  // Every character is a byte.
  return `sha256:${createHash('sha256').update(lines.join('\n'), 'latin1').digest('hex')}`
}

/**
 * Packs a segment: a pax tar, compressed on its own, with zstd at level 3 (sizes in the frame, no checksum: the digest is
 * one) or gzip at level 6. The bytes depend on nothing but the members and the release of the compressor. Compressing and hashing are done off
 * the event loop, one thread each, so that a few can be packed at once. Throws what `contents.read` throws.
 *
 * `scratch` is where the archive is put together when it has room there: nobody else may touch it until the segment is packed.
 * A buffer of its own for each of a thousand segments would wait for the collector, which comes late for what is off its heap.
 */
export async function packSegment(
  members: SegmentMembers,
  tree: Tree,
  contents: Contents,
  compression: Compression,
  scratch: Uint8Array<ArrayBuffer> = new Uint8Array(0),
): Promise<PackedSegment> {
  const parts = [...partsOf(members, tree)]
  const unpackedSize = parts.reduce((sum, part) => sum + (part instanceof Uint8Array ? part.length : part.file.size), 0)
  const entries = members.own.length
  if (unpackedSize > wholeAtMost) {
    const archive = chunksOf(parts, contents)
    return {
      unpackedSize,
      entries,
      stream: streamOf(compression === 'zstd' ? zstd(archive, unpackedSize) : gzip(archive)),
    }
  }
  const archive = unpackedSize <= scratch.length ? scratch.subarray(0, unpackedSize) : new Uint8Array(unpackedSize)
  let at = 0
  for (const part of parts) {
    if (!(part instanceof Uint8Array) && contents.fill) {
      await contents.fill(part.file, archive.subarray(at, at + part.file.size))
      at += part.file.size
      continue
    }
    for await (const chunk of chunksOf([part], contents)) {
      archive.set(chunk, at)
      at += chunk.length
    }
  }
  const bytes = await (compression === 'zstd' ? zstdWhole(archive) : gzipped(archive))
  return { unpackedSize, entries, bytes, digest: await digestOf(bytes), size: bytes.length }
}

/** Stores a packed segment; answers what a manifest says of it. */
export async function storeSegment(blobs: BlobStore, packed: PackedSegment): Promise<Segment> {
  const { unpackedSize, entries } = packed
  if ('stream' in packed) return { ...(await blobs.add(packed.stream)), unpackedSize, entries }
  const { bytes, digest, size } = packed
  await blobs.put({ digest, size }, streamOfBytes(bytes, { offset: 0, length: size }))
  return { digest, size, unpackedSize, entries }
}

/** A piece of an archive: bytes, or a file to be read. */
type Part = Uint8Array<ArrayBuffer> | { path: ByteString; file: FileInode }

const deflated = promisify(gzipWhole)

/** The output buffer holds all of what does not shrink, so that it is one trip to the pool. */
async function gzipped(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const chunkSize = bytes.length + Math.ceil(bytes.length / 256) + 4096
  return plainBytes(await deflated(bytes, { level: 6, chunkSize }))
}

function* partsOf(members: SegmentMembers, tree: Tree): Generator<Part> {
  for (const { entry, file } of entriesOf(members, tree)) {
    yield paxHeader(entry)
    if (!file || file.size === 0) continue
    yield { path: entry.path, file }
    yield new Uint8Array(paxPadding(file.size))
  }
  yield paxTrailer()
}

/** What the headers of a segment say, in order; with a file, the data that follows. */
function* entriesOf(members: SegmentMembers, tree: Tree): Generator<{ entry: PaxEntry; file?: FileInode }> {
  const first = new Map<Inode, ByteString>()
  for (const path of [...members.above, ...members.own]) {
    const inode = tree.get(path)
    if (!inode) throw new Error(`the segment has ${readable(path)}, the tree does not`)
    const target = first.get(inode)
    if (inode.links > 1) first.set(inode, target ?? path)
    yield entryOf(path, inode, target)
  }
}

/** The header of one name. Directories have no time: what is unpacked into them, in whatever order, would change it. */
function entryOf(path: ByteString, inode: Inode, target?: ByteString): { entry: PaxEntry; file?: FileInode } {
  const { mode, uid, gid, mtime, xattrs } = inode
  const common = { path: path || '.', mode, uid, gid, mtime }
  if (target !== undefined) return { entry: { ...common, type: 'hardlink', target } }
  const whole = { ...common, ...(xattrs && { xattrs }) }
  switch (inode.type) {
    case 'file':
      return { entry: { ...whole, type: 'file', size: inode.size }, file: inode }
    case 'link':
      return { entry: { ...whole, type: 'link', target: inode.target } }
    case 'character':
    case 'block':
      return { entry: { ...whole, type: inode.type, major: inode.major, minor: inode.minor } }
    case 'directory':
      return { entry: { ...whole, mtime: 0, type: 'directory' } }
    case 'fifo':
      return { entry: { ...whole, type: 'fifo' } }
  }
}

async function* chunksOf(parts: Part[], contents: Contents): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (const part of parts)
    if (part instanceof Uint8Array) yield part
    else yield* wholeFile(part.path, part.file, contents)
}

const sortedXattrs = ({ xattrs = new Map() }: PaxEntry): [ByteString, Uint8Array][] =>
  [...xattrs].sort(([one], [other]) => (one < other ? -1 : 1))
