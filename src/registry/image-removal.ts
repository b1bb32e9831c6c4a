/** Deleting images and versions that nobody needs. Their blobs become garbage, which a collection takes. */
import { and, eq, sql } from 'drizzle-orm'
import { AppError } from '../errors.ts'
import { activeRolloutsOf, type ImageUser, imageReferrers, usersText, versionUsers } from './image-users.ts'
import {
  getImage,
  type Image,
  type ImageEdit,
  type ImageVersion,
  imageDocument,
  listVersions,
  resolveImage,
  tagsOf,
  versionChange,
} from './images.ts'
import { checkRevision } from './members.ts'
import { type Edit, type Editor, edit } from './revisions.ts'
import { images, imageVersions, type RegistryDatabase } from './schema.ts'

/** What an edit of an image may expect of it. */
type Expected = { expected?: number | '*' | undefined }

/** Deletes an image with its versions and tags. Throws `IMAGE_UNKNOWN`, `IMAGE_USED`, `REVISION_CONFLICT`. */
export async function deleteImage(
  db: RegistryDatabase,
  editor: Editor,
  name: string,
  expected?: number | '*',
): Promise<ImageEdit<undefined>> {
  return edit(db, editor, async () => {
    const image = await getImage(db, name)
    checkRevision(`image ${name}`, image, expected)
    const referrers = await imageReferrers(db, name)
    if (referrers.length > 0)
      throw new AppError(
        'IMAGE_USED',
        `image ${name} is used by ${usersText(referrers)}: give them another image first`,
      )
    const [rollout] = await activeRolloutsOf(db, name)
    if (rollout)
      throw new AppError(
        'IMAGE_USED',
        `image ${name} is used by rollout ${rollout.id}: let it finish, or take it back with \`muster rollout revert ${rollout.id}\``,
      )
    const tags = (await tagsOf(db, [name])).get(name)
    return {
      changes: [{ noun: 'image' as const, name, before: imageDocument(image, tags), after: null }],
      statements: [db.delete(images).where(eq(images.name, name))],
      result: undefined,
    }
  })
}

/**
 * Deletes one version, named by its number, a tag or a digest. Its number is never given again; an image whose current
 * version went has none. Throws `IMAGE_UNKNOWN`, `IMAGE_USED` with the users and the way out, `REVISION_CONFLICT`.
 */
export async function deleteVersion(
  db: RegistryDatabase,
  editor: Editor,
  wanted: { image: string; version: number | string } & Expected,
): Promise<ImageEdit<ImageVersion>> {
  const { image: name } = wanted
  return edit(db, editor, async (revision) => {
    const image = await getImage(db, name)
    checkRevision(`image ${name}`, image, wanted.expected)
    const version = await resolveImage(db, `${name}@${wanted.version}`)
    const users = (await versionUsers(db, image, await listVersions(db, name))).get(version.number) ?? []
    if (users.length > 0)
      throw new AppError(
        'IMAGE_USED',
        `${name}@${version.number} is used by ${usersText(users)}: ${wayOut(name, users)}`,
      )
    return { ...(await without(db, editor, revision, image, [version])), result: version }
  })
}

/** What a pruning deleted, and what older than the newest ones it kept, because somebody needs it. Numbers of versions. */
export type Pruned = { deleted: number[]; kept: { number: number; users: string }[] }

/**
 * Deletes the versions beyond the newest `keep` that nobody needs. The current version always stays. Throws
 * `IMAGE_UNKNOWN`, `REVISION_CONFLICT`.
 */
export async function pruneVersions(
  db: RegistryDatabase,
  editor: Editor,
  wanted: { image: string; keep: number } & Expected,
): Promise<ImageEdit<Pruned>> {
  const { image: name } = wanted
  return edit(db, editor, async (revision) => {
    const image = await getImage(db, name)
    checkRevision(`image ${name}`, image, wanted.expected)
    const versions = await listVersions(db, name)
    const users = await versionUsers(db, image, versions)
    const old = versions.slice(wanted.keep).toReversed()
    const isNeeded = ({ number }: ImageVersion) => number === image.current || users.has(number)
    const gone = old.filter((version) => !isNeeded(version))
    const kept = old.filter(isNeeded).map(({ number }) => ({
      number,
      users: [...(number === image.current ? ['current'] : []), ...textOf(users.get(number))].join(', '),
    }))
    const result = { deleted: gone.map(({ number }) => number), kept }
    if (gone.length === 0) return { changes: [], statements: [], result }
    return { ...(await without(db, editor, revision, image, gone)), result }
  })
}

/** The edit that leaves an image without some of its versions. */
async function without(
  db: RegistryDatabase,
  { at }: Editor,
  revision: number,
  image: Image,
  gone: readonly ImageVersion[],
): Promise<Omit<Edit<unknown>, 'result'>> {
  const { name } = image
  const numbers = gone.map(({ number }) => number)
  const current = numbers.some((number) => number === image.current) ? null : image.current
  const tags = (await tagsOf(db, [name])).get(name)
  const [before, after] = [imageDocument(image, tags), imageDocument({ ...image, current }, tags)]
  return {
    changes: [
      ...(current === image.current ? [] : [{ noun: 'image' as const, name, before, after }]),
      ...gone.map((version) => versionChange(version, 'deleted')),
    ],
    statements: [
      db
        .delete(imageVersions)
        .where(
          and(
            eq(imageVersions.image, name),
            sql`${imageVersions.number} in (select value from json_each(${JSON.stringify(numbers)}))`,
          ),
        ),
      db.update(images).set({ current, revision, changedAt: at }).where(eq(images.name, name)),
    ],
  }
}

const textOf = (users: readonly ImageUser[] | undefined): string[] => (users ? [usersText(users)] : [])

/** What frees a version, in the order in which it is to be done. */
function wayOut(name: string, users: readonly ImageUser[]): string {
  const tag = users.find(({ kind }) => kind === 'tag')
  const rollout = users.find(({ kind }) => kind === 'rollout')
  if (rollout) return `let it finish, or take it back with \`muster rollout revert ${rollout.name}\``
  if (tag) return `take the tag away first with \`muster image untag ${name} ${tag.name}\``
  return 'give them another version first'
}
