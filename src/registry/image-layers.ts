/** Layers that were imported before: where the index of each is. What is in an index is `images/layer-index.ts`. */
import { desc, eq, inArray, sql } from 'drizzle-orm'
import type { Digest } from '../blobs/digest.ts'
import { imageLayers, images, imageVersions, type RegistryDatabase } from './schema.ts'

/** The blob of entries of each layer that is known, by the digest of its uncompressed tar. */
export async function findLayerIndexes(db: RegistryDatabase, diffIds: readonly Digest[]): Promise<Map<Digest, Digest>> {
  if (diffIds.length === 0) return new Map()
  const rows = await db
    .select()
    .from(imageLayers)
    .where(inArray(imageLayers.diffId, [...diffIds]))
    .all()
  return new Map(rows.map((row) => [row.diffId, row.index]))
}

/** Remembers layers, or that they were used again. Their indexes are stored already. */
export async function keepLayerIndexes(
  db: RegistryDatabase,
  layers: ReadonlyMap<Digest, Digest>,
  usedAt: Date,
): Promise<void> {
  if (layers.size === 0) return
  const rows = [...layers].map(([diffId, index]) => ({ diffId, index, usedAt }))
  await db.batch([
    db
      .insert(imageLayers)
      .values(rows)
      .onConflictDoUpdate({
        target: imageLayers.diffId,
        set: { index: sql`excluded."index"`, usedAt: sql`excluded.used_at` },
      }),
  ])
}

/** Versions of other images that a layer is looked for in: they share a base, and the newest has most in common. */
const mostOthers = 3

/**
 * Manifest digests of versions that have much in common with a new version of an image, the likeliest first: its newest and
 * its current one, then the newest of all images that were made of one of the layers.
 */
export async function relativesOf(db: RegistryDatabase, image: string, diffIds: readonly Digest[]): Promise<Digest[]> {
  const newest = await db
    .select({ digest: imageVersions.digest })
    .from(imageVersions)
    .where(eq(imageVersions.image, image))
    .orderBy(desc(imageVersions.number))
    .limit(1)
    .all()
  const current = await db
    .select({ digest: imageVersions.digest })
    .from(images)
    .innerJoin(
      imageVersions,
      sql`${imageVersions.image} = ${images.name} and ${imageVersions.number} = ${images.current}`,
    )
    .where(eq(images.name, image))
    .all()
  const layer = sql`(select 1 from json_each(${imageVersions.provenance}, '$.layers') where value in ${diffIds})`
  const others =
    diffIds.length === 0
      ? []
      : await db
          .select({ digest: imageVersions.digest })
          .from(imageVersions)
          .where(sql`exists ${layer}`)
          .orderBy(desc(imageVersions.revision))
          .limit(mostOthers)
          .all()
  return [...new Set([...newest, ...current, ...others].map(({ digest }) => digest))]
}
