/** Tags: names for versions that people choose and move. */
import { and, eq } from 'drizzle-orm'
import { AppError } from '../errors.ts'
import { tagSchema } from './image-reference.ts'
import { tagUsers, usersText } from './image-users.ts'
import { getImage, type Image, type ImageEdit, type ImageTags, imageDocument, resolveImage, tagsOf } from './images.ts'
import { checkRevision } from './members.ts'
import { type Edit, type Editor, edit } from './revisions.ts'
import { images, imageTags, type RegistryDatabase, type Statement } from './schema.ts'

/**
 * Gives a version a tag, or moves the tag to it. The version is named by its number, another tag or a digest. Answers the
 * image's tags. Throws `NAME_INVALID`, `IMAGE_UNKNOWN`, `REVISION_CONFLICT`.
 */
export async function setTag(
  db: RegistryDatabase,
  editor: Editor,
  wanted: { image: string; tag: string; version: number | string; expected?: number | '*' | undefined },
): Promise<ImageEdit<ImageTags>> {
  const { image: name, tag } = wanted
  const { error } = tagSchema.safeParse(tag)
  if (error)
    throw new AppError('NAME_INVALID', `tag ${JSON.stringify(tag)} ${error.issues[0]?.message}`, { field: 'tag' })
  return edit(db, editor, async (revision) => {
    const image = await getImage(db, name)
    checkRevision(`image ${name}`, image, wanted.expected)
    const { number } = await resolveImage(db, `${name}@${wanted.version}`)
    const tags = (await tagsOf(db, [name])).get(name) ?? {}
    if (tags[tag] === number) return { changes: [], statements: [], result: tags }
    const row = { image: name, tag, number, revision }
    const insert = db
      .insert(imageTags)
      .values(row)
      .onConflictDoUpdate({ target: [imageTags.image, imageTags.tag], set: { number, revision } })
    return retagged(db, editor, revision, image, tags, { ...tags, [tag]: number }, insert)
  })
}

/**
 * Takes a tag away; its version stays. Answers the tags that are left. Throws `IMAGE_UNKNOWN`, `IMAGE_USED`,
 * `REVISION_CONFLICT`.
 */
export async function deleteTag(
  db: RegistryDatabase,
  editor: Editor,
  wanted: { image: string; tag: string; expected?: number | '*' | undefined },
): Promise<ImageEdit<ImageTags>> {
  const { image: name, tag } = wanted
  return edit(db, editor, async (revision) => {
    const image = await getImage(db, name)
    checkRevision(`image ${name}`, image, wanted.expected)
    const tags = (await tagsOf(db, [name])).get(name) ?? {}
    if (!Object.hasOwn(tags, tag)) throw new AppError('IMAGE_UNKNOWN', `image ${name} has no tag ${tag}`)
    const users = await tagUsers(db, name, tag)
    if (users.length > 0)
      throw new AppError(
        'IMAGE_USED',
        `tag ${tag} of image ${name} is used by ${usersText(users)}: give them another version first, or move the tag`,
      )
    const { [tag]: _gone, ...left } = tags
    const remove = db.delete(imageTags).where(and(eq(imageTags.image, name), eq(imageTags.tag, tag)))
    return retagged(db, editor, revision, image, tags, left, remove)
  })
}

/** The image with other tags is another thing to whoever saw it: its own revision moves, too. */
function retagged(
  db: RegistryDatabase,
  { at }: Editor,
  revision: number,
  image: Image,
  before: ImageTags,
  after: ImageTags,
  statement: Statement,
): Edit<ImageTags> {
  const change = { noun: 'image' as const, name: image.name }
  return {
    changes: [{ ...change, before: imageDocument(image, before), after: imageDocument(image, after) }],
    statements: [statement, db.update(images).set({ revision, changedAt: at }).where(eq(images.name, image.name))],
    result: after,
  }
}
