/**
 * The index of a version: every entry of its tree and the segment that holds it, as JSON lines in zstd. Node only.
 *
 *     {"schema":1,"segments":["sha256:…",…]}      keys of the segments, in their order: `segmentKey` in `segments.ts`
 *     {"path":"usr/bin/ls","type":"file","mode":493,"uid":0,"gid":0,"mtime":1700000000,"size":9,"digest":"sha256:…","segment":0}
 *     {"path":"usr/bin/dir","type":"hardlink","target":"usr/bin/ls","segment":0}
 *
 * Paths, targets and names of attributes are byte strings, values of attributes are base64, a number is decimal, and
 * directories have the times that their segments leave out. Lines come in the order of the paths.
 */
import { type ByteString, byteString, bytesOf } from '../archive/byte-string.ts'
import { streamOf } from '../archive/stream.ts'
import { unzstd, zstd } from '../archive/zstd.ts'
import type { Digest } from '../blobs/digest.ts'
import type { BlobStore } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import type { ImageManifest } from './manifest.ts'
import type { Inode, Tree } from './tree.ts'

/** What an index holds besides the tree's form: see {@link unpackIndex}. */
export type ImageIndex = {
  /** Keys of the segments, in their order. */
  keys: Digest[]
  inodes: Map<ByteString, Inode>
  /** For each path, in the order of `inodes`, the position of its segment. */
  segments: Uint32Array
}

/** Bounds on an index that is read. It was written here, so that they are only for what a fault could have put there. */
const mostEntries = 2_100_000
const longestLine = 16 * 2 ** 20
const largestIndex = 2 ** 31

const batchSize = 256 * 1024

/** One entry, as a line. */
type Line = { path: ByteString; segment: number } & (
  | { type: 'hardlink'; target: ByteString }
  | ({ mode: number; uid: number; gid: number; mtime: number; xattrs?: [name: ByteString, base64: string][] } & (
      | { type: 'file'; size: number; digest: Digest }
      | { type: 'link'; target: ByteString }
      | { type: 'character' | 'block'; major: number; minor: number }
      | { type: 'directory' }
      | { type: 'fifo' }
    ))
)

/**
 * The index of a tree, compressed. The same tree, segments and keys give the same bytes. `segmentOf` answers the position of
 * the segment that has a path's own entry; `told` hears how many bytes go in.
 */
export async function* packIndex(
  tree: Tree,
  segmentOf: (path: ByteString) => number | undefined,
  keys: readonly Digest[],
  told: (bytes: number) => void = () => {},
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  async function* counted() {
    for (const chunk of linesOf(tree, segmentOf, keys)) {
      told(chunk.length)
      yield chunk
    }
  }
  yield* zstd(counted())
}

/** Packs and stores the index of a tree; answers what a manifest says of it. */
export async function storeIndex(
  blobs: BlobStore,
  tree: Tree,
  segmentOf: (path: ByteString) => number | undefined,
  keys: readonly Digest[],
): Promise<ImageManifest['index']> {
  let unpackedSize = 0
  const packed = packIndex(tree, segmentOf, keys, (bytes) => {
    unpackedSize += bytes
  })
  return { ...(await blobs.add(streamOf(packed))), unpackedSize }
}

/**
 * Reads an index. The directories in it count as ones that an archive has. Throws `ARCHIVE_LIMIT` for what is too large and
 * `UNSUPPORTED` for the form of another release; of bytes whose digest was not checked it can throw anything.
 */
export async function unpackIndex(packed: AsyncIterable<Uint8Array>): Promise<ImageIndex> {
  const inodes = new Map<ByteString, Inode>()
  const segments: number[] = []
  let keys: Digest[] | undefined
  for await (const line of linesIn(unzstd(packed))) {
    if (keys === undefined) {
      keys = keysIn(line)
      continue
    }
    if (inodes.size >= mostEntries) throw tooLarge(`more than ${mostEntries} entries`)
    // What was checked by its digest is what was written here.
    const entry = JSON.parse(line) as Line
    const inode = entry.type === 'hardlink' ? inodes.get(entry.target) : inodeOf(entry)
    if (!inode) throw new Error(`the index has a hard link to ${JSON.stringify(entry)} before its file`)
    if (entry.type === 'hardlink') inode.links += 1
    inodes.set(entry.path, inode)
    segments.push(entry.segment)
  }
  if (!keys) throw new Error('the index is empty')
  return { keys, inodes, segments: Uint32Array.from(segments) }
}

function keysIn(line: string): Digest[] {
  const head = JSON.parse(line) as { schema: number; segments: Digest[] }
  if (head.schema !== 1)
    throw new AppError('UNSUPPORTED', `the image's index has form ${head.schema}, of a newer release: upgrade Muster`)
  return head.segments
}

/** The lines of an index, in chunks of about 256 KiB. */
function* linesOf(
  tree: Tree,
  segmentOf: (path: ByteString) => number | undefined,
  keys: readonly Digest[],
): Generator<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder()
  const first = new Map<Inode, ByteString>()
  let text = `${JSON.stringify({ schema: 1, segments: keys })}\n`
  for (const path of tree.paths) {
    const inode = tree.get(path)
    const segment = segmentOf(path)
    if (!inode || segment === undefined) throw new Error(`the index has no segment for ${JSON.stringify(path)}`)
    const target = first.get(inode)
    if (inode.links > 1 && target === undefined) first.set(inode, path)
    text += `${JSON.stringify(target === undefined ? lineOf(path, inode, segment) : { path, type: 'hardlink', target, segment })}\n`
    if (text.length < batchSize) continue
    yield encoder.encode(text)
    text = ''
  }
  yield encoder.encode(text)
}

/** Lines of a stream of UTF-8. A line that is not ended is none. */
async function* linesIn(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let rest = ''
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > largestIndex) throw tooLarge(`more than ${largestIndex} bytes`)
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > longestLine) throw tooLarge(`a line of more than ${longestLine} bytes`)
    yield* lines
  }
  if (rest !== '') throw new Error('the index is cut off')
}

function lineOf(path: ByteString, inode: Inode, segment: number): Line {
  const { mode, uid, gid, mtime, xattrs } = inode
  const common = { path, type: inode.type, mode, uid, gid, mtime }
  const last = { ...(xattrs && { xattrs: base64Of(xattrs) }), segment }
  switch (inode.type) {
    case 'file':
      return { ...common, type: 'file', size: inode.size, digest: inode.digest, ...last }
    case 'link':
      return { ...common, type: 'link', target: inode.target, ...last }
    case 'character':
    case 'block':
      return { ...common, type: inode.type, major: inode.major, minor: inode.minor, ...last }
    case 'directory':
    case 'fifo':
      return { ...common, type: inode.type, ...last }
  }
}

function inodeOf(line: Exclude<Line, { type: 'hardlink' }>): Inode {
  const { mode, uid, gid, mtime } = line
  const xattrs = line.xattrs && new Map(line.xattrs.map(([name, value]) => [name, bytesOf(atob(value))]))
  const common = { mode, uid, gid, mtime, links: 1, ...(xattrs && { xattrs }) }
  switch (line.type) {
    case 'file':
      return { ...common, type: 'file', size: line.size, digest: line.digest }
    case 'link':
      return { ...common, type: 'link', target: line.target }
    case 'character':
    case 'block':
      return { ...common, type: line.type, major: line.major, minor: line.minor }
    case 'directory':
      return { ...common, type: 'directory', implied: false }
    case 'fifo':
      return { ...common, type: 'fifo' }
  }
}

/** In the order of their names, which is a tree's and not an archive's. */
const base64Of = (xattrs: Map<ByteString, Uint8Array>): [ByteString, string][] =>
  Array.from(xattrs, ([name, value]): [ByteString, string] => [name, btoa(byteString(value))]).sort(([one], [other]) =>
    one < other ? -1 : 1,
  )

const tooLarge = (what: string): AppError => new AppError('ARCHIVE_LIMIT', `the index of an image has ${what}`)
