/** Images and their versions: queries and edits. What a version consists of is `images/manifest.ts`. */
import { and, asc, count, desc, eq, gt, sql } from 'drizzle-orm'
import { type Digest, digestOf } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import type { ImageManifest } from '../images/manifest.ts'
import { canonicalJson } from './canonical.ts'
import { checkRevision } from './members.ts'
import { type Editor, edit } from './revisions.ts'
import { images, imageVersions, nodes, profiles, type RegistryDatabase } from './schema.ts'
import { nameSchema } from './settings.ts'

/** An image: its name and which version nodes get that do not ask for one. */
export type Image = typeof images.$inferSelect
/** One version of an image. */
export type ImageVersion = typeof imageVersions.$inferSelect

/** Images by name, from the one after `after`. */
export async function listImages(
  db: RegistryDatabase,
  page: { after?: string; limit?: number } = {},
): Promise<Image[]> {
  const query = db
    .select()
    .from(images)
    .where(page.after === undefined ? undefined : gt(images.name, page.after))
    .orderBy(asc(images.name))
  return page.limit === undefined ? query.all() : query.limit(page.limit).all()
}

/** An image. Throws `IMAGE_UNKNOWN`. */
export async function getImage(db: RegistryDatabase, name: string): Promise<Image> {
  const image = await db.select().from(images).where(eq(images.name, name)).get()
  if (!image) throw new AppError('IMAGE_UNKNOWN', `no image ${name}`)
  return image
}

/** The versions of an image, newest first. Throws `IMAGE_UNKNOWN` when there is no such image. */
export async function listVersions(db: RegistryDatabase, name: string): Promise<ImageVersion[]> {
  await getImage(db, name)
  return db.select().from(imageVersions).where(eq(imageVersions.image, name)).orderBy(desc(imageVersions.number)).all()
}

/** The version that `name`, `name@3` or `name@sha256:…` means. Throws `IMAGE_UNKNOWN`, saying which part is missing. */
export async function resolveImage(db: RegistryDatabase, reference: string): Promise<ImageVersion> {
  const [name = '', wanted] = reference.split('@')
  const image = await db.select().from(images).where(eq(images.name, name)).get()
  if (!image)
    throw new AppError('IMAGE_UNKNOWN', `no image ${name}: import it with \`muster image import SOURCE ${name}\``, {
      field: 'image',
    })
  const version = await db
    .select()
    .from(imageVersions)
    .where(
      and(
        eq(imageVersions.image, name),
        wanted?.startsWith('sha256:')
          ? eq(imageVersions.digest, wanted as Digest)
          : eq(imageVersions.number, wanted === undefined ? (image.current ?? 0) : Number(wanted)),
      ),
    )
    .get()
  if (version) return version
  const what = wanted === undefined ? 'has no current version' : `has no version ${wanted}`
  throw new AppError('IMAGE_UNKNOWN', `image ${name} ${what}: see \`muster image versions ${name}\``, {
    field: 'image',
  })
}

/** How many versions each image has; one query. */
export async function countVersions(db: RegistryDatabase): Promise<Map<string, number>> {
  const rows = await db
    .select({ image: imageVersions.image, versions: count() })
    .from(imageVersions)
    .groupBy(imageVersions.image)
    .all()
  return new Map(rows.map((row) => [row.image, row.versions]))
}

/** Throws `NAME_INVALID` for what cannot name an image. */
export function refuseImageName(name: string): void {
  const { error } = nameSchema.safeParse(name)
  if (!error) return
  throw new AppError('NAME_INVALID', `image name ${JSON.stringify(name)} ${error.issues[0]?.message}`, {
    field: 'name',
  })
}

/**
 * Adds a version, and the image with its first one. The newest version's own content imported again makes no new
 * version: then `created` is false. The version becomes the current one when `current` is set or it is the first.
 */
export async function addVersion(
  db: RegistryDatabase,
  editor: Editor,
  wanted: { image: string; manifest: ImageManifest; source: string; current: boolean },
): Promise<{ revision: number; version: ImageVersion; created: boolean }> {
  refuseImageName(wanted.image)
  const digest = await digestOf(new TextEncoder().encode(canonicalJson(wanted.manifest)))
  const { revision, result } = await edit(db, editor, async (revision) => {
    const image = await db.select().from(images).where(eq(images.name, wanted.image)).get()
    const newest = image
      ? await db
          .select()
          .from(imageVersions)
          .where(eq(imageVersions.image, image.name))
          .orderBy(desc(imageVersions.number))
          .limit(1)
          .get()
      : undefined
    const same = newest?.digest === digest
    const number = same ? newest.number : (image?.newest ?? 0) + 1
    const current = wanted.current || image?.current == null ? number : image.current
    const row: Image = {
      name: wanted.image,
      current,
      newest: Math.max(number, image?.newest ?? 0),
      revision,
      changedAt: editor.at,
    }
    const version: ImageVersion = same
      ? newest
      : {
          image: wanted.image,
          number,
          digest,
          manifest: wanted.manifest,
          source: wanted.source,
          author: editor.author,
          revision,
          createdAt: editor.at,
        }
    if (same && image?.current === current) return { changes: [], statements: [], result: { version, created: false } }
    const { name: _key, ...set } = row
    return {
      changes: [
        { noun: 'image' as const, name: row.name, before: image ? documentOf(image) : null, after: documentOf(row) },
      ],
      statements: [
        db.insert(images).values(row).onConflictDoUpdate({ target: images.name, set }),
        ...(same ? [] : [db.insert(imageVersions).values(version)]),
      ],
      result: { version, created: !same },
    }
  })
  return { revision, ...result }
}

/** Makes a version the current one: the way forward and the way back. Throws `IMAGE_UNKNOWN`, `REVISION_CONFLICT`. */
export async function setCurrent(
  db: RegistryDatabase,
  editor: Editor,
  name: string,
  number: number,
  expected?: number | '*',
): Promise<{ revision: number; result: Image }> {
  return edit(db, editor, async (revision) => {
    const image = await getImage(db, name)
    checkRevision(`image ${name}`, image, expected)
    await resolveImage(db, `${name}@${number}`)
    if (image.current === number) return { changes: [], statements: [], result: image }
    const row = { ...image, current: number, revision, changedAt: editor.at }
    return {
      changes: [{ noun: 'image' as const, name, before: documentOf(image), after: documentOf(row) }],
      statements: [
        db.update(images).set({ current: number, revision, changedAt: editor.at }).where(eq(images.name, name)),
      ],
      result: row,
    }
  })
}

/** Deletes an image with its versions; their blobs become garbage. Throws `IMAGE_UNKNOWN`, `IMAGE_USED`, `REVISION_CONFLICT`. */
export async function deleteImage(
  db: RegistryDatabase,
  editor: Editor,
  name: string,
  expected?: number | '*',
): Promise<{ revision: number }> {
  return edit(db, editor, async () => {
    const image = await getImage(db, name)
    checkRevision(`image ${name}`, image, expected)
    const users = await imageUsers(db, name)
    if (users.length > 0)
      throw new AppError('IMAGE_USED', `image ${name} is used by ${users.join(', ')}: give them another image first`)
    return {
      changes: [{ noun: 'image' as const, name, before: documentOf(image), after: null }],
      statements: [db.delete(images).where(eq(images.name, name))],
      result: undefined,
    }
  })
}

async function imageUsers(db: RegistryDatabase, name: string, limit = 10): Promise<string[]> {
  const uses = (settings: typeof nodes.settings | typeof profiles.settings) =>
    sql`(${settings}->>'image' = ${name} or substr(${settings}->>'image', 1, ${name.length + 1}) = ${`${name}@`})`
  const [usedByNodes, usedByProfiles] = await Promise.all([
    db.select({ name: nodes.name }).from(nodes).where(uses(nodes.settings)).limit(limit).all(),
    db.select({ name: profiles.name }).from(profiles).where(uses(profiles.settings)).limit(limit).all(),
  ])
  return [...usedByNodes.map((row) => `node ${row.name}`), ...usedByProfiles.map((row) => `profile ${row.name}`)]
}

const documentOf = (image: Image) => ({ current: image.current, newest: image.newest })
