/**
 * Files' bytes out of the segments of a version. Node only.
 *
 * Nothing of a segment is used before its digest is checked. Segments are unpacked whole and the last few stay, so that
 * reading all files in the order of their paths reads each segment once; those that are too large for that, which hold one
 * large file, are read twice instead: once to be checked, and once for their bytes.
 */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { createGunzip, gunzip } from 'node:zlib'
import { type ArchiveLimits, defaultLimits } from '../archive/limits.ts'
import { readTar } from '../archive/tar.ts'
import { inOneTurn, plainBytes, through } from '../archive/through.ts'
import { unzstd, unzstdWhole } from '../archive/zstd.ts'
import type { Digest } from '../blobs/digest.ts'
import type { BlobStore, Bytes, Slice } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import type { Contents } from './contents.ts'
import type { ImageManifest, Segment } from './manifest.ts'
import { corrupt, readBlob } from './read-blob.ts'
import type { Tree } from './tree.ts'

/** Segments of at most so many bytes are unpacked in memory. */
const wholeAtMost = 16 * 2 ** 20
/** Bytes of unpacked segments that stay. */
const keptAtMost = 32 * 2 ** 20
const chunkSize = 2 ** 20

/** A segment in memory: its archive, and where in it the files are. */
type Unpacked = { archive: Uint8Array<ArrayBuffer>; files: Map<Digest, Slice> }

const gunzipped = promisify(gunzip)

/** Segments were made here, from trees that were within limits then. */
const limits: ArchiveLimits = { ...defaultLimits, file: Number.MAX_SAFE_INTEGER, total: Number.MAX_SAFE_INTEGER }

/** The files of a tree. `segmentOf` answers the position of the segment that has a path's own entry. */
export function segmentContents(
  blobs: BlobStore,
  { compression, segments }: Pick<ImageManifest, 'compression' | 'segments'>,
  tree: Tree,
  segmentOf: (path: string) => number | undefined,
): Contents {
  const places = placesByDigest(tree, segmentOf)
  const kept = new Map<number, { size: number; unpacked: Promise<Unpacked> }>()
  let last = 0

  /** The segment to take a content from, of those that have it: one that is at hand, else the next in order. */
  function choose(digest: Digest): number {
    const [first, ...others] = places.get(digest) ?? []
    if (first === undefined) throw new AppError('BLOB_UNKNOWN', `no file of the image has the content ${digest}`)
    if (others.length === 0) return first
    const all = [first, ...others]
    return all.find((position) => kept.has(position)) ?? all.find((position) => position >= last) ?? first
  }

  function segmentAt(position: number): { segment: Segment; what: string } {
    const segment = segments[position]
    if (!segment) throw new Error(`the index names segment ${position} of ${segments.length}`)
    return { segment, what: `segment ${position + 1} of ${segments.length} of an image` }
  }

  const missing = ({ digest }: Segment, what: string): AppError =>
    new AppError('BLOB_UNKNOWN', `the blob ${digest}, ${what}, is not in the blob store: import the image again`)

  /** A small segment, from memory or into it. */
  function unpackedAt(position: number): Promise<Unpacked> {
    const found = kept.get(position)
    const { segment, what } = segmentAt(position)
    const unpacked = found?.unpacked ?? unpack(segment, what)
    kept.delete(position)
    kept.set(position, { size: segment.unpackedSize, unpacked })
    let size = 0
    for (const one of kept.values()) size += one.size
    for (const [oldest, one] of kept) {
      if (size <= keptAtMost) break
      kept.delete(oldest)
      size -= one.size
    }
    unpacked.catch(() => {
      if (kept.get(position)?.unpacked === unpacked) kept.delete(position)
    })
    return unpacked
  }

  async function unpack(segment: Segment, what: string): Promise<Unpacked> {
    const bytes = await readBlob(blobs, segment, what)
    if (!bytes) throw missing(segment, what)
    const { unpackedSize } = segment
    const archive =
      compression === 'zstd'
        ? await unzstdWhole(bytes, unpackedSize)
        : plainBytes(await gunzipped(bytes, inOneTurn(unpackedSize)))
    if (archive.length !== unpackedSize) throw new Error(`${what} has ${archive.length} bytes, not ${unpackedSize}`)
    return { archive, files: await filesIn([archive]) }
  }

  /** Where the regular files of an archive are; with `wanted`, only until that is found. */
  async function filesIn(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, wanted?: Digest) {
    const files = new Map<Digest, Slice>()
    for await (const entry of readTar(asynchronous(chunks), limits)) {
      if (entry.type !== 'file') continue
      const inode = tree.get(entry.path)
      if (inode?.type !== 'file')
        throw new Error(`a segment has ${JSON.stringify(entry.path)}, which is no file of the tree`)
      files.set(inode.digest, { offset: entry.extents[0]?.offset ?? 0, length: inode.size })
      if (inode.digest === wanted) break
    }
    return files
  }

  async function open({ digest, ...segment }: Segment, what: string): Promise<Bytes> {
    const body = await blobs.open(digest)
    if (!body) throw missing({ digest, ...segment }, what)
    return body
  }

  async function check(segment: Segment, what: string): Promise<void> {
    const hash = createHash('sha256')
    for await (const piece of await open(segment, what)) hash.update(piece)
    if (`sha256:${hash.digest('hex')}` !== segment.digest)
      throw corrupt(segment.digest, what, 'its bytes are not the ones that were stored')
  }

  async function* archiveOf(segment: Segment, what: string): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const packed = asynchronous(await open(segment, what))
    yield* compression === 'zstd' ? unzstd(packed) : through(packed, createGunzip({ chunkSize }))
  }

  async function* readLarge(position: number, digest: Digest, length: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const { segment, what } = segmentAt(position)
    await check(segment, what)
    const slice = (await filesIn(archiveOf(segment, what), digest)).get(digest)
    if (!slice) throw notInSegment(digest, what)
    const end = slice.offset + Math.min(slice.length, length)
    let at = 0
    for await (const chunk of archiveOf(segment, what)) {
      const part = chunk.slice(Math.max(0, slice.offset - at), Math.max(0, end - at))
      at += chunk.length
      if (part.length > 0) yield part
      if (at >= end) return
    }
  }

  async function* readSmall(position: number, digest: Digest, length: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const { archive, files } = await unpackedAt(position)
    const slice = files.get(digest)
    if (!slice) throw notInSegment(digest, segmentAt(position).what)
    const end = slice.offset + Math.min(slice.length, length)
    for (let at = slice.offset; at < end; at += chunkSize) yield archive.slice(at, Math.min(at + chunkSize, end))
  }

  return {
    has: (digest) => places.has(digest),
    async *read({ digest, size }, length = size) {
      if (size === 0 || length <= 0) return
      const position = choose(digest)
      last = position
      const { segment } = segmentAt(position)
      yield* segment.unpackedSize <= wholeAtMost
        ? readSmall(position, digest, length)
        : readLarge(position, digest, length)
    },
  }
}

/** Positions of the segments that have a content, in order. Most are in one. */
function placesByDigest(tree: Tree, segmentOf: (path: string) => number | undefined): Map<Digest, number[]> {
  const places = new Map<Digest, number[]>()
  for (const path of tree.paths) {
    const inode = tree.get(path)
    const position = inode?.type === 'file' ? segmentOf(path) : undefined
    if (inode?.type !== 'file' || position === undefined) continue
    const found = places.get(inode.digest)
    if (!found) places.set(inode.digest, [position])
    else if (!found.includes(position)) found.push(position)
  }
  return places
}

const notInSegment = (digest: Digest, what: string): Error =>
  new Error(`${what} has no file with the content ${digest}, though the index says so`)

/** Also: a web stream as a plain generator, which cancels it when it is left. */
async function* asynchronous(source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* source
}
