/** What differs between two trees, and what a node would have to fetch to go from one version to the other. Pure. */
import type { ByteString } from '../archive/byte-string.ts'
import type { Digest } from '../blobs/digest.ts'
import type { ImageManifest } from './manifest.ts'
import { byBytes, type Inode, parentOf, type Tree } from './tree.ts'

/** What of an entry can differ. A hard link's partners are told by their number. */
export const aspects = ['type', 'content', 'target', 'device', 'mode', 'owner', 'xattrs', 'links'] as const
/** One of {@link aspects}. */
export type Aspect = (typeof aspects)[number]

/**
 * A difference. `entries` says how many there are below a directory that is wholly new or gone; they are not told one by one.
 */
export type FileDifference = { path: ByteString } & (
  | { change: 'added'; after: Inode; entries: number }
  | { change: 'removed'; before: Inode; entries: number }
  | { change: 'changed'; before: Inode; after: Inode; what: Aspect[] }
)

/** All differences by path, and how many entries they are. */
export type TreeDifference = {
  files: FileDifference[]
  added: number
  removed: number
  changed: number
  /** Files and links of which nothing but the time of the last change differs. */
  touched: number
}

/** What a node that has the blobs of one version, or a mirror that does, fetches for the other. All in bytes but `segments`. */
export type Transfer = {
  /** Segments that only the other version has. */
  segments: number
  /** Those segments, compressed. */
  bytes: number
  /** Kernels that only the other version has. */
  kernelBytes: number
  /** All segments of the other version, compressed. */
  totalBytes: number
}

/** Compares two trees. */
export function diffTrees(before: Tree, after: Tree): TreeDifference {
  const found: TreeDifference = { files: [], added: 0, removed: 0, changed: 0, touched: 0 }
  const wholes = {
    added: new Map<ByteString, { entries: number }>(),
    removed: new Map<ByteString, { entries: number }>(),
  }

  /** Counts what is below a directory that is told as a whole; answers whether it was. */
  function covered(change: 'added' | 'removed', path: ByteString, inode: Inode): boolean {
    const whole = wholes[change].get(parentOf(path))
    if (!whole || path === '') return false
    whole.entries += 1
    if (inode.type === 'directory') wholes[change].set(path, whole)
    return true
  }

  for (const path of bothPaths(before, after)) {
    const [one, other] = [before.get(path), after.get(path)]
    if (one && other) {
      const what = differences(one, other)
      if (what.length > 0) {
        found.changed += 1
        found.files.push({ path, change: 'changed', before: one, after: other, what })
      } else if (one.type !== 'directory' && one.mtime !== other.mtime) found.touched += 1
      continue
    }
    const inode = one ?? other
    if (!inode) continue
    const change = one ? 'removed' : 'added'
    found[change] += 1
    if (covered(change, path, inode)) continue
    const difference: FileDifference = one
      ? { path, change: 'removed', before: one, entries: 0 }
      : { path, change: 'added', after: inode, entries: 0 }
    if (inode.type === 'directory') wholes[change].set(path, difference)
    found.files.push(difference)
  }
  return found
}

/** What has to be fetched for `after` by whoever has `before`. */
export function transferOf(before: ImageManifest, after: ImageManifest): Transfer {
  const segments = missing(before.segments, after.segments)
  return {
    segments: segments.length,
    bytes: sizeOf(segments),
    kernelBytes: sizeOf(missing(before.kernels, after.kernels)),
    totalBytes: sizeOf(after.segments),
  }
}

type Blob = { digest: Digest; size: number }

/** Blobs of the second list that the first does not have, each once. */
function missing(before: readonly Blob[], after: readonly Blob[]): Blob[] {
  const had = new Set(before.map(({ digest }) => digest))
  const wanted = new Map(after.filter(({ digest }) => !had.has(digest)).map((blob) => [blob.digest, blob]))
  return [...wanted.values()]
}

const sizeOf = (blobs: readonly Blob[]): number => blobs.reduce((sum, { size }) => sum + size, 0)

/** Every path of either tree once, in order. */
function* bothPaths({ paths: ones }: Tree, { paths: others }: Tree): Generator<ByteString> {
  let [at, to] = [0, 0]
  for (;;) {
    const [one, other] = [ones[at], others[to]]
    if (one === undefined && other === undefined) return
    const order = one === undefined ? 1 : other === undefined ? -1 : byBytes(one, other)
    if (order <= 0) at += 1
    if (order >= 0) to += 1
    yield (order <= 0 ? one : other) ?? ''
  }
}

function differences(one: Inode, other: Inode): Aspect[] {
  const differ: Record<Aspect, boolean> = {
    type: one.type !== other.type,
    content: one.type === 'file' && other.type === 'file' && one.digest !== other.digest,
    target: one.type === 'link' && other.type === 'link' && one.target !== other.target,
    device: 'major' in one && 'major' in other && (one.major !== other.major || one.minor !== other.minor),
    mode: one.mode !== other.mode,
    owner: one.uid !== other.uid || one.gid !== other.gid,
    xattrs: !sameXattrs(one.xattrs, other.xattrs),
    links: one.type === 'file' && other.type === 'file' && one.links !== other.links,
  }
  return aspects.filter((aspect) => differ[aspect])
}

function sameXattrs(one: Inode['xattrs'], other: Inode['xattrs']): boolean {
  if (one === other) return true
  if ((one?.size ?? 0) !== (other?.size ?? 0)) return false
  return [...(one ?? [])].every(([name, value]) => {
    const counterpart = other?.get(name)
    return counterpart?.length === value.length && value.every((byte, at) => byte === counterpart[at])
  })
}
