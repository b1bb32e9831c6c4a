/** An imported version, opened: what `open.ts` answers, for those who never need to know how it is read. */
import type { Digest } from '../blobs/digest.ts'
import type { Contents } from './contents.ts'
import type { ImageManifest } from './manifest.ts'
import type { Tree } from './tree.ts'

/** An imported version, opened. */
export type OpenedImage = {
  digest: Digest
  manifest: ImageManifest
  tree: Tree
  /** Position in `manifest.segments` of the segment that holds a path's own entry. */
  segmentOf(path: string): number | undefined
  /** Keys of the segments, in their order: see `segmentKey` in `segments.ts`. */
  keys: readonly Digest[]
  /** Files by digest; the few segments that were read last stay unpacked in memory. */
  contents: Contents
}
