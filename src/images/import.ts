/**
 * Imports images: layers in, segments and a manifest out. Node only.
 *
 * A layer is parsed as it comes in and kept, uncompressed, in a temporary file without a name; everything else reads from
 * there. No tree is unpacked. `import-session.ts` is one import, `build-version.ts` what it ends with.
 */
import { randomUUID } from 'node:crypto'
import { type ArchiveLimits, defaultLimits } from '../archive/limits.ts'
import type { Digest } from '../blobs/digest.ts'
import type { BlobStore } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import { findLayerIndexes } from '../registry/image-layers.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import { openSession } from './import-session.ts'
import type { ImageImport, Importer, ImportRequest } from './importer.ts'
import { readManifest } from './read-manifest.ts'
import { openSpool, prepareSpool } from './spool.ts'

/** What an importer is given. */
export type ImporterOptions = {
  /** Where segments, kernels and manifests go. */
  blobs: BlobStore
  /** A folder of its own for temporary files, with room for the largest image, uncompressed. Made when absent. */
  spool: string
  /** Remembers layers. */
  registry: RegistryDatabase
  /** Tighter or wider bounds than {@link defaultLimits}. */
  limits?: Partial<ArchiveLimits>
  /** Imports at a time: 4 unless said otherwise. */
  atMost?: number
  /** Milliseconds without a sign of life after which an import is closed: an hour unless said otherwise. */
  idle?: number
  now?: () => Date
}

const hour = 3_600_000

/** An importer. Clears what killed imports left in `spool`. */
export function createImporter({
  blobs,
  spool: folder,
  registry,
  limits: given,
  atMost = 4,
  idle = hour,
  now = () => new Date(),
}: ImporterOptions): Importer {
  const limits = { ...defaultLimits, ...given }
  const sessions = new Map<string, { session: ImageImport; touch: () => void }>()
  let beginning = 0
  prepareSpool(folder)

  async function begin(request: ImportRequest): Promise<ImageImport> {
    const held = request.base ? await blobsOf(blobs, request.base) : []
    const known = await knownLayers(blobs, registry, request)
    const id = randomUUID()
    const spool = await openSpool(folder, limits)
    let waiting: NodeJS.Timeout | undefined
    const touch = () => void waiting?.refresh()
    const session = openSession({
      id,
      request,
      known,
      held: [...held, ...known.values()],
      spool,
      blobs,
      registry,
      limits,
      now,
      touch,
      onClose() {
        clearTimeout(waiting)
        sessions.delete(id)
      },
    })
    waiting = setTimeout(() => void session.close(), idle).unref()
    sessions.set(id, { session, touch })
    return session
  }

  return {
    async begin(request) {
      if (sessions.size + beginning >= atMost)
        throw new AppError('IMPORT_LIMIT', `${atMost} imports are under way: wait for one of them to end`)
      beginning += 1
      try {
        return await begin(request)
      } finally {
        beginning -= 1
      }
    },
    find(id) {
      const found = sessions.get(id)
      if (!found) throw new AppError('IMPORT_UNKNOWN', `no import ${id}: it ended or was closed. Begin another`)
      found.touch()
      return found.session
    },
    *running() {
      for (const { session } of sessions.values()) yield session
    },
  }
}

/** Every blob of a version, its manifest too. Throws `IMAGE_UNKNOWN` when the store has no such manifest. */
async function blobsOf(blobs: BlobStore, digest: Digest): Promise<Digest[]> {
  const manifest = await readManifest(blobs, digest)
  if (!manifest) throw new AppError('IMAGE_UNKNOWN', `the version ${digest} is not in the store`, { field: 'base' })
  const parts = [manifest.index, ...manifest.segments, ...manifest.kernels]
  return [digest, ...parts.map((part) => part.digest)]
}

/** Where the entries of the layers are that were imported before, by their position in the request. */
async function knownLayers(
  blobs: BlobStore,
  registry: RegistryDatabase,
  { layers }: ImportRequest,
): Promise<Map<number, Digest>> {
  const indexes = await findLayerIndexes(
    registry,
    layers.flatMap(({ diffId }) => (diffId ? [diffId] : [])),
  )
  const known = new Map<number, Digest>()
  for (const [position, { diffId }] of layers.entries()) {
    const index = diffId && indexes.get(diffId)
    if (index && (await blobs.keep(index))) known.set(position, index)
  }
  return known
}
