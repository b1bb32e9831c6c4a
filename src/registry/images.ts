/** Images, their versions and tags: queries, new versions, and which one is current. What a version consists of is `images/manifest.ts`. */
import { and, asc, count, desc, eq, gt, type SQL, sql } from 'drizzle-orm'
import { AppError } from '../errors.ts'
import { type ImageReference, parseReference } from './image-reference.ts'
import { checkRevision } from './members.ts'
import { type Change, type Editor, edit } from './revisions.ts'
import { images, imageTags, imageVersions, type RegistryDatabase } from './schema.ts'
import { type Json, nameSchema } from './settings.ts'

/** An image: its name and which version nodes get that do not ask for one. */
export type Image = typeof images.$inferSelect
/** One version of an image. */
export type ImageVersion = typeof imageVersions.$inferSelect
/** Tags of an image, each with the number of its version. */
export type ImageTags = Record<string, number>

/** A version that was imported. Its blobs are stored already. */
export type NewVersion = Pick<ImageVersion, 'image' | 'digest' | 'summary' | 'source' | 'provenance'> & {
  /** Nodes that ask for no version get it from their next boot on. */
  current: boolean
}

/** What an edit of an image did, or would do. */
export type ImageEdit<Result> = { revision: number; changes: Change[]; result: Result }

/** What adding a version came to. */
export type AddedVersion = {
  version: ImageVersion
  /** False when the image has a version of that content already: it is `version`. */
  created: boolean
  /** Number of the version that is current now, and of the one that was before. */
  current: number
  before: number | null
}

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

/** An image, or `undefined`. */
export async function findImage(db: RegistryDatabase, name: string): Promise<Image | undefined> {
  return (await db.select().from(images).where(eq(images.name, name)).get()) ?? undefined
}

/** An image. Throws `IMAGE_UNKNOWN`. */
export async function getImage(db: RegistryDatabase, name: string): Promise<Image> {
  const image = await findImage(db, name)
  if (!image) throw new AppError('IMAGE_UNKNOWN', `no image ${name}`)
  return image
}

/** The versions of an image, newest first. Throws `IMAGE_UNKNOWN` when there is no such image. */
export async function listVersions(db: RegistryDatabase, name: string): Promise<ImageVersion[]> {
  await getImage(db, name)
  return db.select().from(imageVersions).where(eq(imageVersions.image, name)).orderBy(desc(imageVersions.number)).all()
}

/**
 * The version that `name`, `name@3`, `name@tag` or `name@sha256:…` means. Throws `IMAGE_UNKNOWN`, saying which part is
 * missing.
 */
export async function resolveImage(db: RegistryDatabase, reference: string): Promise<ImageVersion> {
  const wanted = parseReference(reference)
  const { name } = wanted
  const image = await findImage(db, name)
  if (!image)
    throw new AppError('IMAGE_UNKNOWN', `no image ${name}: import it with \`muster image import SOURCE ${name}\``, {
      field: 'image',
    })
  const version = await db
    .select()
    .from(imageVersions)
    .where(and(eq(imageVersions.image, name), isMeant(db, image, wanted.version)))
    .get()
  if (version) return version
  const what = wanted.version ? `has no version ${reference.slice(name.length + 1)}` : 'has no current version'
  throw new AppError('IMAGE_UNKNOWN', `image ${name} ${what}: see \`muster image versions ${name}\``, {
    field: 'image',
  })
}

function isMeant(db: RegistryDatabase, image: Image, version: ImageReference['version']): SQL {
  if (!version) return eq(imageVersions.number, image.current ?? 0)
  if ('number' in version) return eq(imageVersions.number, version.number)
  if ('digest' in version) return eq(imageVersions.digest, version.digest)
  const tagged = db
    .select({ number: imageTags.number })
    .from(imageTags)
    .where(and(eq(imageTags.image, image.name), eq(imageTags.tag, version.tag)))
  return sql`${imageVersions.number} = ${tagged}`
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

/** The current versions of the named images, by image; one query. */
export async function currentVersions(
  db: RegistryDatabase,
  names: readonly string[],
): Promise<Map<string, ImageVersion>> {
  const rows = await db
    .select()
    .from(imageVersions)
    .innerJoin(images, and(eq(images.name, imageVersions.image), eq(images.current, imageVersions.number)))
    .where(sql`${images.name} in (select value from json_each(${JSON.stringify(names)}))`)
    .all()
  return new Map(rows.map((row) => [row.images.name, row.image_versions]))
}

/** The versions that have one of these digests, oldest first; one query. A digest can be several versions. */
export async function versionsWithDigests(
  db: RegistryDatabase,
  digests: readonly string[],
): Promise<Pick<ImageVersion, 'image' | 'number' | 'digest'>[]> {
  if (digests.length === 0) return []
  const { image, number, digest } = imageVersions
  return db
    .select({ image, number, digest })
    .from(imageVersions)
    .where(sql`${digest} in (select value from json_each(${JSON.stringify(digests)}))`)
    .orderBy(asc(image), asc(number))
    .all()
}

/** The tags of the named images, by image, sorted; one query. Images without tags are missing from the map. */
export async function tagsOf(db: RegistryDatabase, names: readonly string[]): Promise<Map<string, ImageTags>> {
  const rows = await db
    .select()
    .from(imageTags)
    .where(sql`${imageTags.image} in (select value from json_each(${JSON.stringify(names)}))`)
    .orderBy(asc(imageTags.image), asc(imageTags.tag))
    .all()
  const byImage = Map.groupBy(rows, (row) => row.image)
  return new Map(
    [...byImage].map(([image, some]) => [image, Object.fromEntries(some.map((row) => [row.tag, row.number]))]),
  )
}

/** Throws `NAME_INVALID` for what cannot name an image. */
export function refuseImageName(name: string): void {
  const { error } = nameSchema.safeParse(name)
  if (!error) return
  throw new AppError('NAME_INVALID', `image name ${JSON.stringify(name)} ${error.issues[0]?.message}`, {
    field: 'name',
  })
}

/** An image as a revision remembers it. */
export const imageDocument = ({ current, newest }: Image, tags: ImageTags = {}): Json => ({
  current,
  newest,
  ...(Object.keys(tags).length > 0 && { tags }),
})

/** A version that was made or deleted, as a revision remembers it: a thing of its own, `rocky9@3`. */
export function versionChange(version: ImageVersion, fate: 'made' | 'deleted'): Change {
  const document = { digest: version.digest, source: version.source }
  return {
    noun: 'image',
    name: `${version.image}@${version.number}`,
    before: fate === 'made' ? null : document,
    after: fate === 'made' ? document : null,
  }
}

/**
 * Adds a version, and the image with its first one. Content that a version of this image has already makes no new one: it
 * answers that version, and `created` is false. The version becomes the current one when `current` is set or there is none.
 */
export async function addVersion(
  db: RegistryDatabase,
  editor: Editor,
  wanted: NewVersion,
): Promise<{ revision: number; changes: Change[] } & AddedVersion> {
  refuseImageName(wanted.image)
  const { image: name, digest, summary, source, provenance } = wanted
  const { result, ...made } = await edit(db, editor, async (revision) => {
    const image = await findImage(db, name)
    const same = await db
      .select()
      .from(imageVersions)
      .where(and(eq(imageVersions.image, name), eq(imageVersions.digest, digest)))
      .get()
    const { author, at: createdAt, message = '' } = editor
    const number = (image?.newest ?? 0) + 1
    const version = same ?? {
      image: name,
      ...{ number, digest, summary, source, provenance, message, author, revision, createdAt },
    }
    const current = wanted.current || image?.current == null ? version.number : image.current
    const result = { version, created: !same, current, before: image?.current ?? null }
    if (same && image?.current === current) return { changes: [], statements: [], result }
    const row: Image = { name, current, newest: image?.newest ?? 0, revision, changedAt: createdAt }
    if (!same) row.newest = number
    const { name: _key, ...set } = row
    const tags = (await tagsOf(db, [name])).get(name)
    const before = image ? imageDocument(image, tags) : null
    return {
      changes: [
        { noun: 'image' as const, name, before, after: imageDocument(row, tags) },
        ...(same ? [] : [versionChange(version, 'made')]),
      ],
      statements: [
        db.insert(images).values(row).onConflictDoUpdate({ target: images.name, set }),
        ...(same ? [] : [db.insert(imageVersions).values(version)]),
      ],
      result,
    }
  })
  return { ...made, ...result }
}

/**
 * Makes a version, named by its number, a tag or a digest, the current one: the way forward and the way back. Throws
 * `IMAGE_UNKNOWN`, `REVISION_CONFLICT`.
 */
export async function setCurrent(
  db: RegistryDatabase,
  editor: Editor,
  name: string,
  wanted: number | string,
  expected?: number | '*',
): Promise<ImageEdit<Image>> {
  return edit(db, editor, async (revision) => {
    const image = await getImage(db, name)
    checkRevision(`image ${name}`, image, expected)
    const { number } = await resolveImage(db, `${name}@${wanted}`)
    if (image.current === number) return { changes: [], statements: [], result: image }
    const row = { ...image, current: number, revision, changedAt: editor.at }
    const tags = (await tagsOf(db, [name])).get(name)
    return {
      changes: [{ noun: 'image' as const, name, before: imageDocument(image, tags), after: imageDocument(row, tags) }],
      statements: [
        db.update(images).set({ current: number, revision, changedAt: editor.at }).where(eq(images.name, name)),
      ],
      result: row,
    }
  })
}
