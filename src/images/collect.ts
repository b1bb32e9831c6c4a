/**
 * Collects garbage: deletes blobs that nothing refers to.
 *
 * First everything is marked that is referred to, then the store is listed and what is neither marked nor young is deleted.
 * Nobody is kept from importing, deleting or booting meanwhile. Why nothing that is needed can go:
 *
 * - `before` is a time before the marking. `delete(digest, before)` spares what was put or kept since then, and whoever is
 *   about to refer to a blob puts it or keeps it first. So a reference that is made after the marking protects itself, and
 *   it makes no difference that the store is listed later.
 * - A reference that was made earlier is seen by the marking, if it looks in the direction in which references move:
 *   imports under way first, then versions, because an import ends after its version is committed; versions before boots,
 *   because a boot is told of a version that is there. All versions come from one query, so that one that is renamed or
 *   copied at this moment is seen under one name at least.
 * - Rows that count as references but are no longer needed go before their blobs do. A crash in between, or at any other
 *   moment, leaves garbage and nothing else.
 * - What cannot be read may refer to anything: a manifest that is missing or damaged stops the collection.
 *
 * Imports of another process are seen by what they put and keep alone, so the grace must be longer than an import takes.
 */
import { type BlobsWanted, blobsWanted } from '../activity/blobs-wanted.ts'
import type { Journal } from '../activity/journal.ts'
import type { ActivityDatabase } from '../activity/schema.ts'
import { type Digest, parseDigest } from '../blobs/digest.ts'
import type { BlobStore, Descriptor } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import { forgetUnused, listLayerIndexes, listRoots, versionNames } from '../registry/image-blobs.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import type { Importer } from './importer.ts'
import { partsOf, readWholeManifest } from './references.ts'

/** What a collection works with. Blobs' times are compared with `now`. */
export type CollectServices = {
  registry: RegistryDatabase
  activity: ActivityDatabase
  /** Boots that were told a moment ago are written out first. */
  journal: Pick<Journal, 'flush'>
  blobs: BlobStore
  importer?: Importer
  now: () => Date
}

/** How a collection goes about it. */
export type CollectOptions = {
  /** Seconds for which a blob is spared after it was last put or kept. */
  grace: number
  /** Delete nothing, say what would be. */
  dryRun?: boolean
  /** Aborted when the service stops. */
  signal?: AbortSignal
}

/** What a collection did. */
export type Collection = {
  /** Blobs that somebody refers to. */
  kept: number
  /** Blobs that nobody refers to and that are not old enough. */
  young: number
  /** Blobs that were deleted, or would be, and their bytes. */
  deleted: number
  bytes: number
  /** The first of them, of a dry run. */
  garbage?: Descriptor[]
}

/** For how long after its script a boot may fetch blobs: as long as its ticket is good. */
const bootHours = 24
/** Blobs that a dry run names. */
const namedAtMost = 1000

/** Deletes what nobody refers to. Throws `BLOB_CORRUPT`, having deleted nothing, when some version cannot be read. */
export async function collect(services: CollectServices, options: CollectOptions): Promise<Collection> {
  const { blobs, now } = services
  const { grace, dryRun = false, signal } = options
  const before = new Date(now().getTime() - grace * 1000)
  const wanted = await mark(services, before, dryRun)
  const collection: Collection = { kept: 0, young: 0, deleted: 0, bytes: 0, ...(dryRun && { garbage: [] }) }
  for await (const { digest, size, keptAt } of blobs.list()) {
    signal?.throwIfAborted()
    if (wanted.has(digest)) collection.kept += 1
    else if (keptAt >= before || !(dryRun || (await blobs.delete(digest, before)))) collection.young += 1
    else {
      collection.deleted += 1
      collection.bytes += size
      if (collection.garbage && collection.garbage.length < namedAtMost) collection.garbage.push({ digest, size })
    }
  }
  if (!dryRun) await blobs.clearIncoming?.(before)
  return collection
}

/** Digests of everything that somebody refers to. Forgets rows that need not be one of them, unless it is a dry run. */
async function mark(services: CollectServices, before: Date, dryRun: boolean): Promise<Set<string>> {
  const { registry, activity, journal, blobs, importer, now } = services
  const wanted = new Set<string>()
  for (const session of importer?.running() ?? []) for (const digest of session.held()) wanted.add(digest)
  await markVersions(await versionNames(registry), blobs, wanted)
  await journal.flush()
  await markBoots(await blobsWanted(activity, new Date(now().getTime() - bootHours * 3_600_000)), blobs, wanted)
  if (!dryRun) await forgetUnused(registry, before)
  for (const { digest } of await listRoots(registry)) wanted.add(digest)
  for (const digest of await listLayerIndexes(registry, before)) wanted.add(digest)
  return wanted
}

/** Marks the blobs of all versions. Throws `BLOB_CORRUPT` with every version that cannot be read. */
async function markVersions(versions: Map<Digest, string[]>, blobs: BlobStore, wanted: Set<string>): Promise<void> {
  const faults: { field: string; message: string }[] = []
  for (const [digest, names] of versions) {
    try {
      for (const part of partsOf(digest, await readWholeManifest(blobs, digest))) wanted.add(part.digest)
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'BLOB_CORRUPT') throw error
      faults.push({ field: names.join(', '), message: error.message })
    }
  }
  if (faults.length === 0) return
  const unread = faults.map(({ field }) => field).join(', ')
  throw new AppError(
    'BLOB_CORRUPT',
    `nothing was collected, because nobody can say which blobs ${unread} needs: import the same source again, or delete it`,
    { faults },
  )
}

/** Marks what boots were told to fetch, and the rest of their images as far as it is still there. */
async function markBoots({ images, all }: BlobsWanted, blobs: BlobStore, wanted: Set<string>): Promise<void> {
  for (const digest of all) wanted.add(digest)
  for (const text of images) {
    const digest = parseDigest(text)
    // A version that went and cannot be read is no reason to keep all garbage: no node can boot it any more.
    const manifest = await readWholeManifest(blobs, digest).catch(ofCorrupt)
    if (manifest) for (const part of partsOf(digest, manifest)) wanted.add(part.digest)
  }
}

function ofCorrupt(error: unknown): undefined {
  if (!(error instanceof AppError) || error.code !== 'BLOB_CORRUPT') throw error
}
