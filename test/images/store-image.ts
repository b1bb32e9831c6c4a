/** Stores a tree as a version, without an import: for tests of what reads versions. */
import { bytesOf } from '../../src/archive/byte-string.ts'
import type { Digest } from '../../src/blobs/digest.ts'
import { digestOf } from '../../src/blobs/digest.ts'
import { streamOf } from '../../src/blobs/gather.ts'
import type { BlobStore } from '../../src/blobs/store.ts'
import type { Contents } from '../../src/images/contents.ts'
import { storeIndex } from '../../src/images/image-index.ts'
import type { ImageManifest, Segment } from '../../src/images/manifest.ts'
import { cutSegments, packSegment, type SegmentMembers, segmentKey, storeSegment } from '../../src/images/segments.ts'
import { type Inode, type Tree, treeOf } from '../../src/images/tree.ts'
import { canonicalJson } from '../../src/registry/canonical.ts'

/** Stores segments, index and manifest of a tree; answers the manifest's digest. It has no kernels unless `facts` says so. */
export async function storeImage(
  tree: Tree,
  contents: Contents,
  blobs: BlobStore,
  facts: Partial<ImageManifest> = {},
): Promise<Digest> {
  const compression = facts.compression ?? 'zstd'
  const cut = cutSegments(tree)
  const segments: Segment[] = []
  for (const members of cut)
    segments.push(await storeSegment(blobs, await packSegment(members, tree, contents, compression)))
  const keys = cut.map((members) => segmentKey(members, tree, compression))
  const manifest: ImageManifest = {
    schema: 1,
    architecture: 'x86_64',
    kernels: [],
    compression,
    segments,
    index: await storeIndex(blobs, tree, placesOf(cut), keys),
    entries: tree.paths.length,
    unpackedSize: [...filesOf(tree)].reduce((sum, { size }) => sum + size, 0),
    warnings: [],
    ...facts,
  }
  const bytes = new TextEncoder().encode(canonicalJson(manifest))
  const digest = await digestOf(bytes)
  await blobs.put({ digest, size: bytes.length }, streamOf(bytes, { offset: 0, length: bytes.length }))
  return digest
}

/** Which segment, by its position, has a path's own entry. */
export function placesOf(segments: SegmentMembers[]): (path: string) => number | undefined {
  const places = new Map(segments.flatMap(({ own }, position) => own.map((path) => [path, position] as const)))
  return (path) => places.get(path)
}

function* filesOf(tree: Tree) {
  const seen = new Set<Inode>()
  for (const path of tree.paths) {
    const inode = tree.get(path)
    if (inode?.type !== 'file' || seen.has(inode)) continue
    seen.add(inode)
    yield inode
  }
}

/** An entry of {@link treeWith}: what is not given is what root would make. A text is a file, `->` begins a symbolic link. */
export type Entry =
  | string
  | Uint8Array<ArrayBuffer>
  | (Partial<Pick<Inode, 'mode' | 'uid' | 'gid' | 'mtime' | 'xattrs'>> &
      (
        | { type?: 'file'; data?: string | Uint8Array<ArrayBuffer> }
        | { type: 'link'; target: string }
        /** Another name of an entry before it. */
        | { type: 'hardlink'; to: string }
        | { type: 'character' | 'block'; major: number; minor: number }
        | { type: 'directory' }
        | { type: 'fifo' }
      ))

/** A tree out of entries by path (byte strings), parents made where they are missing, and its files' bytes. */
export async function treeWith(
  entries: Record<string, Entry> | ReadonlyMap<string, Entry>,
): Promise<{ tree: Tree; contents: CountedContents }> {
  const inodes = new Map<string, Inode>([['', directory()]])
  const bytes = new Map<Digest, Uint8Array<ArrayBuffer>>()
  for (const [path, entry] of entries instanceof Map ? entries : Object.entries(entries)) {
    const parts = path.split('/')
    for (const end of parts.keys()) {
      const above = parts.slice(0, end).join('/')
      if (!inodes.has(above)) inodes.set(above, directory())
    }
    inodes.set(path, await inodeOf(entry, inodes, bytes))
  }
  return { tree: treeOf(inodes), contents: contentsOf(bytes) }
}

const directory = (): Inode => ({ type: 'directory', implied: false, mode: 0o755, uid: 0, gid: 0, mtime: 0, links: 1 })

async function inodeOf(
  entry: Entry,
  inodes: Map<string, Inode>,
  bytes: Map<Digest, Uint8Array<ArrayBuffer>>,
): Promise<Inode> {
  if (typeof entry === 'string' && entry.startsWith('->'))
    return inodeOf({ type: 'link', target: entry.slice(2).trim() }, inodes, bytes)
  if (typeof entry === 'string' || entry instanceof Uint8Array) return inodeOf({ data: entry }, inodes, bytes)
  const common = {
    mode: entry.mode ?? (entry.type === 'directory' ? 0o755 : entry.type === 'link' ? 0o777 : 0o644),
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    mtime: entry.mtime ?? 1_700_000_000,
    links: 1,
    ...(entry.xattrs && { xattrs: entry.xattrs }),
  }
  switch (entry.type) {
    case 'hardlink': {
      const inode = inodes.get(entry.to)
      if (!inode) throw new Error(`${entry.to} does not come before its hard link`)
      inode.links += 1
      return inode
    }
    case 'link':
      return { ...common, type: 'link', target: entry.target }
    case 'character':
    case 'block':
      return { ...common, type: entry.type, major: entry.major, minor: entry.minor }
    case 'directory':
      return { ...common, type: 'directory', implied: false }
    case 'fifo':
      return { ...common, type: 'fifo' }
    default: {
      const data =
        typeof entry.data === 'string' ? new Uint8Array(bytesOf(entry.data)) : (entry.data ?? new Uint8Array(0))
      const digest = await digestOf(data)
      bytes.set(digest, data)
      return { ...common, type: 'file', size: data.length, digest }
    }
  }
}

/** Contents that count what was read of them. */
export type CountedContents = Contents & { reads: Digest[]; bytes: Map<Digest, Uint8Array<ArrayBuffer>> }

/** Contents that are in memory. */
export function contentsOf(bytes: Map<Digest, Uint8Array<ArrayBuffer>>): CountedContents {
  const reads: Digest[] = []
  return {
    reads,
    bytes,
    has: (digest) => bytes.has(digest),
    async *read({ digest, size }, length = size) {
      const found = bytes.get(digest)
      if (!found) throw new Error(`no content ${digest}`)
      reads.push(digest)
      const end = Math.min(found.length, length)
      for (let at = 0; at < end; at += 2 ** 20) yield found.slice(at, Math.min(end, at + 2 ** 20))
    },
  }
}
