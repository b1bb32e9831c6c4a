/** What the registry says about blobs: which of them somebody refers to. Collecting and verifying ask it. */
import { gte, or, type SQL, sql } from 'drizzle-orm'
import type { Digest } from '../blobs/digest.ts'
import { imageLayers, imageVersions, type RegistryDatabase, rootArchives } from './schema.ts'

/** Names of all versions, `rocky9@3`, by the digest of their manifest. One query: a version that is copied or renamed meanwhile is in it. */
export async function versionNames(db: RegistryDatabase): Promise<Map<Digest, string[]>> {
  const rows = await db
    .select({ image: imageVersions.image, number: imageVersions.number, digest: imageVersions.digest })
    .from(imageVersions)
    .orderBy(imageVersions.image, imageVersions.number)
    .all()
  const names = new Map<Digest, string[]>()
  for (const { image, number, digest } of rows) names.set(digest, [...(names.get(digest) ?? []), `${image}@${number}`])
  return names
}

/** Root archives of versions that there are: the blob, and the version's manifest. */
export async function listRoots(db: RegistryDatabase): Promise<{ image: Digest; digest: Digest }[]> {
  const rows = await db.select().from(rootArchives).where(ofVersion()).all()
  return rows.map(({ image, root }) => ({ image, digest: root.digest }))
}

/** Blobs with the entries of layers that a version was made of, or that were used since `before`. */
export async function listLayerIndexes(db: RegistryDatabase, before: Date): Promise<Digest[]> {
  const rows = await db
    .select({ index: imageLayers.index })
    .from(imageLayers)
    .where(or(ofSomeVersion(), gte(imageLayers.usedAt, before)))
    .all()
  return rows.map(({ index }) => index)
}

/** Forgets the root archives and layers that the two lists above leave out. Nobody refers to their blobs afterwards. */
export async function forgetUnused(db: RegistryDatabase, before: Date): Promise<void> {
  await db.batch([
    db.delete(rootArchives).where(sql`not ${ofVersion()}`),
    db.delete(imageLayers).where(sql`not (${ofSomeVersion()} or ${gte(imageLayers.usedAt, before)})`),
  ])
}

/** Forgets the root archive or layer entries that are in this blob. Both are made again when they are needed. */
export async function forgetMade(db: RegistryDatabase, digest: Digest): Promise<void> {
  await db.batch([
    db.delete(rootArchives).where(sql`${rootArchives.root}->>'digest' = ${digest}`),
    db.delete(imageLayers).where(sql`${imageLayers.index} = ${digest}`),
  ])
}

const ofVersion = (): SQL => sql`${rootArchives.image} in (select ${imageVersions.digest} from ${imageVersions})`

const ofSomeVersion = (): SQL =>
  sql`${imageLayers.diffId} in (
    select layer.value from ${imageVersions}, json_each(${imageVersions.provenance}, '$.layers') as layer)`
