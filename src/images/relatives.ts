/** What versions that are there already give to an import: segments to use again, and bytes of files that nobody sends. */
import type { Digest } from '../blobs/digest.ts'
import type { BlobStore } from '../blobs/store.ts'
import { AppError, type ErrorCode } from '../errors.ts'
import { type Content, type Contents, fillFrom } from './contents.ts'
import type { Segment } from './manifest.ts'
import { openImage } from './open.ts'
import type { OpenedImage } from './opened-image.ts'
import type { Tree } from './tree.ts'

/** What the relatives of an import give. */
export type Relatives = {
  /** Their segments by key: see `segmentKey` in `segments.ts`. Whether a blob is still there, the store knows. */
  segments: Map<Digest, Segment>
  /** Files' bytes: of the base, and of those that have some that were missing. */
  contents: Contents[]
}

/** How reading a version says that it is not there any more, or not whole. */
const goneCodes: readonly ErrorCode[] = ['IMAGE_UNKNOWN', 'BLOB_UNKNOWN', 'BLOB_CORRUPT']

/** Whether a failure means that a version's bytes are gone, and not that the store is broken. */
export const isGone = (error: unknown): error is AppError => error instanceof AppError && goneCodes.includes(error.code)

/** Entries between two steps: a millisecond or so. */
const stride = 4096

/** Digests of a tree's files that `contents` does not have, in steps. */
export function* missingIn(tree: Tree, contents: Contents): Generator<undefined, Set<Digest>, undefined> {
  const missing = new Set<Digest>()
  for (const [at, path] of tree.paths.entries()) {
    const inode = tree.get(path)
    if (inode?.type === 'file' && inode.size > 0 && !contents.has(inode.digest)) missing.add(inode.digest)
    if (at % stride === stride - 1) yield
  }
  return missing
}

/** Versions of the same image, whose segments are worth to be compared even if all bytes are sent. */
const closest = 2

/**
 * Opens versions one after another and takes out of `missing` what each has. One that has nothing of it is let go again: an
 * open version takes as much memory as the tree of the import. The first two give their segments in any case, the others
 * are opened only while something is missing. One that is gone or damaged has nothing to give. `base` is open already, and
 * nothing that it has is in `missing`.
 */
export async function openRelatives(
  blobs: BlobStore,
  digests: readonly Digest[],
  missing: Set<Digest>,
  base?: OpenedImage,
): Promise<Relatives> {
  const segments = new Map<Digest, Segment>()
  const contents: Contents[] = base ? [base.contents] : []
  if (base) addSegments(segments, base)
  const others = [...new Set(digests)].filter((digest) => digest !== base?.digest)
  for (const [at, digest] of others.entries()) {
    if (at >= closest && missing.size === 0) break
    const opened = await openImage(blobs, digest).catch((error) => {
      if (!isGone(error)) throw error
    })
    if (!opened) continue
    addSegments(segments, opened)
    const before = missing.size
    for (const wanted of missing) if (opened.contents.has(wanted)) missing.delete(wanted)
    if (missing.size < before) contents.push(opened.contents)
  }
  return { segments, contents }
}

function addSegments(segments: Map<Digest, Segment>, { keys, manifest }: OpenedImage): void {
  for (const [at, key] of keys.entries()) {
    const segment = manifest.segments[at]
    if (segment && !segments.has(key)) segments.set(key, segment)
  }
}

/** Contents of several sources. */
export type JoinedContents = Contents & {
  /** What was asked for and no source could give, though one said that it has it. */
  lost: ReadonlySet<Digest>
}

/**
 * Contents from whichever source has them, the first of them first. A source whose bytes turn out to be gone or damaged is
 * passed over; when there is no other, `read` throws what it threw.
 */
export function joinContents(sources: readonly Contents[]): JoinedContents {
  const lost = new Set<Digest>()

  async function* read(content: Content, length = content.size): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    if (content.size === 0) return
    let failure: AppError | undefined
    for (const source of sources) {
      if (!source.has(content.digest)) continue
      let begun = false
      try {
        for await (const chunk of source.read(content, length)) {
          begun = true
          yield chunk
        }
        return
      } catch (error) {
        if (!isGone(error)) throw error
        failure = error
        if (begun) break
      }
    }
    lost.add(content.digest)
    throw (
      failure ?? new AppError('BLOB_UNKNOWN', `the bytes of ${content.digest} are in no version that is still there`)
    )
  }

  /** Whoever sent a file has its bytes for as long as the import takes: no other source need be tried. */
  async function fill(content: Content, target: Uint8Array<ArrayBuffer>): Promise<void> {
    const first = sources.find((source) => source.has(content.digest))
    return first?.fill ? first.fill(content, target) : fillFrom({ has: () => true, read }, content, target)
  }

  return { lost, has: (digest) => sources.some((source) => source.has(digest)), read, fill }
}
