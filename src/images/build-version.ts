/** Makes a version out of layers: the tree, its segments, its index, its manifest. Node only. */
import type { ByteString } from '../archive/byte-string.ts'
import type { ArchiveLimits } from '../archive/limits.ts'
import { type Digest, digestOf } from '../blobs/digest.ts'
import { streamOf } from '../blobs/gather.ts'
import { AppError } from '../errors.ts'
import { canonicalJson } from '../registry/canonical.ts'
import type { Contents } from './contents.ts'
import { bytesIn, compressionOf, describe } from './describe.ts'
import { storeIndex } from './image-index.ts'
import type { ImportRequest } from './importer.ts'
import type { Layer } from './layer.ts'
import type { ImageManifest, Segment } from './manifest.ts'
import { mergeSteps } from './merge.ts'
import { openImage } from './open.ts'
import { type PackOptions, packSegments } from './pack-segments.ts'
import { isGone, joinContents, missingIn, openRelatives } from './relatives.ts'
import { rootWarnings } from './root.ts'
import type { SegmentMembers } from './segments.ts'
import { syncUsers } from './sync-users.ts'
import type { Tree } from './tree.ts'
import { inTurns } from './turns.ts'

/** A version whose blobs are all stored. */
export type MadeVersion = {
  manifest: ImageManifest
  digest: Digest
  /** What the root archive of a boot in a single stage will lack. */
  rootWarnings: string[]
}

/** What a version is made with. */
export type BuildOptions = Omit<PackOptions, 'compression' | 'known'> & {
  request: ImportRequest
  limits: ArchiveLimits
  /** The layers, lowest first. Called when they are merged; they are not kept. */
  load: () => Promise<Layer[]>
  /** Bytes of the files that were sent. */
  sent: Contents
  /** Told which files' bytes are nowhere. Throws when somebody can send them. */
  onLost: (lost: ReadonlySet<Digest>) => Promise<void>
}

/**
 * Lays layers upon one another and stores what they make. Segments that a relative has too are used again without their
 * files being read. The same layers give the same bytes. Throws as `finish` of an import does.
 */
export async function buildVersion(options: BuildOptions): Promise<MadeVersion> {
  const { request, blobs, sent, onLost } = options
  const base = request.base && (await openImage(blobs, request.base))
  const merged = await merge(options, base?.tree)
  const missing = await inTurns(missingIn(merged, joinContents(base ? [sent, base.contents] : [sent])))
  const relatives = await openRelatives(blobs, request.relatives ?? [], missing, base)
  if (missing.size > 0) {
    await onLost(missing)
    throw new AppError('BLOB_UNKNOWN', `${missing.size} files of the base are in no version that is still there`)
  }
  const sources = joinContents([sent, ...relatives.contents])
  try {
    const { tree, contents } = request.syncUsers
      ? await syncUsers({ tree: merged, contents: sources }, request.syncUsers.host, {
          settle: request.syncUsers.mode === 'write',
        })
      : { tree: merged, contents: sources }
    return await storeVersion(tree, contents, relatives.segments, options)
  } catch (error) {
    if (isGone(error)) await onLost(sources.lost)
    throw error
  }
}

/** A function of its own, so that nothing holds the layers when they are merged. */
const merge = async ({ load, limits, signal }: BuildOptions, base?: Tree): Promise<Tree> =>
  inTurns(mergeSteps(await load(), { limits, ...(base && { base }) }), signal)

async function storeVersion(
  tree: Tree,
  contents: Contents,
  known: ReadonlyMap<Digest, Segment>,
  options: BuildOptions,
): Promise<MadeVersion> {
  const { blobs, limits, hold } = options
  const description = await describe(tree, contents, blobs, limits)
  for (const { digest } of description.kernels) hold(digest)
  const compression = compressionOf(tree)
  const { segments, members, keys } = await packSegments(tree, contents, { ...options, compression, known })
  const positions = await inTurns(positionsOf(members))
  const index = await storeIndex(blobs, tree, (path) => positions.get(path), keys)
  hold(index.digest)
  const manifest: ImageManifest = {
    schema: 1,
    ...description,
    compression,
    segments,
    index,
    entries: tree.paths.length,
    unpackedSize: await inTurns(bytesIn(tree)),
  }
  const bytes = new TextEncoder().encode(canonicalJson(manifest))
  const digest = await digestOf(bytes)
  hold(digest)
  await blobs.put({ digest, size: bytes.length }, streamOf(bytes, { offset: 0, length: bytes.length }))
  return { manifest, digest, rootWarnings: rootWarnings(tree) }
}

/** Position of each path's segment, in steps. */
function* positionsOf(members: readonly SegmentMembers[]): Generator<undefined, Map<ByteString, number>, undefined> {
  const positions = new Map<ByteString, number>()
  for (const [at, { own }] of members.entries()) {
    for (const path of own) positions.set(path, at)
    yield
  }
  return positions
}
