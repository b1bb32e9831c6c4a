/** Cuts a tree into segments and stores those that are not there yet. Node only. */
import type { Digest } from '../blobs/digest.ts'
import type { BlobStore } from '../blobs/store.ts'
import { type Content, type Contents, fillFrom } from './contents.ts'
import type { Compression, Segment } from './manifest.ts'
import { inParallel } from './parallel.ts'
import { isGone } from './relatives.ts'
import { eachSegment, packSegment, type SegmentMembers, segmentKey, storeSegment, wholeAtMost } from './segments.ts'
import type { FileInode, Inode, Tree } from './tree.ts'
import { inTurns } from './turns.ts'

/** A tree's segments. */
export type PackedTree = { segments: Segment[]; members: SegmentMembers[]; keys: Digest[] }

/** What segments are packed with. */
export type PackOptions = {
  blobs: BlobStore
  compression: Compression
  /** Segments by key that other versions have. */
  known: ReadonlyMap<Digest, Segment>
  /** Segments by key that this import stored before. What is stored now joins them. */
  packed: Map<Digest, Segment>
  /** Aborted when the import is closed. */
  signal: AbortSignal
  /** Told how many bytes of files will be read, as soon as that is known. */
  onTotal: (bytes: number) => void
  /** Told of each chunk that is read. */
  onRead: (bytes: number) => void
  /** Told of each blob before the version relies on it. */
  hold: (digest: Digest) => void
}

/** Segments that are packed at a time: compressing takes one thread each, and each has some 8 MiB in memory at most. */
const packers = 2
/** Questions to the blob store at a time. */
const askers = 8

/**
 * Stores the segments of a tree. One whose key is known and whose blob is still there is used again, and its files are not
 * read. Throws what reading throws, when all that can be stored is.
 */
export async function packSegments(tree: Tree, contents: Contents, options: PackOptions): Promise<PackedTree> {
  const { blobs, compression, packed, signal, onRead, hold } = options
  const { members, keys } = await inTurns(cut(tree, compression), signal)
  const found = await findSegments(keys, options)
  const counted = counting(contents, onRead)
  const missing = members.filter((_, at) => !found[at])
  options.onTotal(await inTurns(bytesOf(missing, tree), signal))
  const failures: unknown[] = []
  const scratches = Array.from({ length: packers }, () => new Uint8Array(wholeAtMost))

  async function pack(each: SegmentMembers): Promise<Segment | undefined> {
    const scratch = scratches.pop()
    try {
      const ready = await packSegment(each, tree, counted, compression, scratch)
      if ('digest' in ready) hold(ready.digest)
      const segment = await storeSegment(blobs, ready)
      hold(segment.digest)
      return segment
    } catch (error) {
      if (!isGone(error)) throw error
      failures.push(error)
      // Others of its files may be gone as well: all of them are asked for at once, not one by one.
      for (const file of filesOf(each, tree)) await probe(file, contents)
      return undefined
    } finally {
      if (scratch) scratches.push(scratch)
    }
  }

  const segments = await inParallel(keys, packers, async (key, at) => {
    signal.throwIfAborted()
    const each = members[at]
    const segment = found[at] ?? (each && (await pack(each)))
    if (segment) packed.set(key, segment)
    return segment
  })
  const stored = segments.filter((segment) => segment !== undefined)
  if (stored.length < keys.length) throw failures[0]
  return { segments: stored, members, keys }
}

function* cut(
  tree: Tree,
  compression: Compression,
): Generator<undefined, { members: SegmentMembers[]; keys: Digest[] }, undefined> {
  const members: SegmentMembers[] = []
  const keys: Digest[] = []
  for (const each of eachSegment(tree)) {
    members.push(each)
    keys.push(segmentKey(each, tree, compression))
    yield
  }
  return { members, keys }
}

/** The segments that are in the store already, each where its key is. */
const findSegments = (
  keys: readonly Digest[],
  { blobs, known, packed, hold }: PackOptions,
): Promise<(Segment | undefined)[]> =>
  inParallel(keys, askers, async (key) => {
    const segment = packed.get(key) ?? known.get(key)
    if (!segment) return undefined
    hold(segment.digest)
    const kept = await blobs.keep(segment.digest)
    return kept?.size === segment.size ? segment : undefined
  })

/** The files of a segment, one with several names once. */
function filesOf({ own }: SegmentMembers, tree: Tree): FileInode[] {
  const files = new Set<Inode>(own.flatMap((path) => tree.get(path) ?? []))
  return [...files].filter((inode) => inode.type === 'file')
}

/** Bytes of all files of segments, in steps. */
function* bytesOf(members: readonly SegmentMembers[], tree: Tree): Generator<undefined, number, undefined> {
  let bytes = 0
  for (const each of members) {
    for (const { size } of filesOf(each, tree)) bytes += size
    yield
  }
  return bytes
}

/** Reads as much of a file as tells the contents whether they have it. */
async function probe(file: Content, contents: Contents): Promise<void> {
  try {
    for await (const _ of contents.read(file, 1)) break
  } catch (error) {
    if (!isGone(error)) throw error
  }
}

const counting = (contents: Contents, onRead: (bytes: number) => void): Contents => ({
  has: (digest) => contents.has(digest),
  async *read(content, length) {
    for await (const chunk of contents.read(content, length)) {
      onRead(chunk.length)
      yield chunk
    }
  },
  async fill(content, target) {
    await fillFrom(contents, content, target)
    onRead(target.length)
  },
})
