/** An image under another name: renamed, with everything that refers to it, or copied. */
import { eq, sql } from 'drizzle-orm'
import { AppError } from '../errors.ts'
import { sameJson } from './canonical.ts'
import { activeRolloutsOf, imageReferrers } from './image-users.ts'
import {
  findImage,
  getImage,
  type Image,
  type ImageEdit,
  imageDocument,
  listVersions,
  refuseImageName,
  resolveImage,
  tagsOf,
  versionChange,
} from './images.ts'
import { checkRevision, documentOf } from './members.ts'
import { type Change, type Editor, edit } from './revisions.ts'
import type { Rollout } from './rollouts.ts'
import { images, imageTags, imageVersions, nodes, profiles, type RegistryDatabase, rollouts } from './schema.ts'

/** How many settings followed a renamed image. */
export type Renamed = { image: Image; nodes: number; profiles: number }

/**
 * Renames an image with its versions and tags; nodes and profiles that name it themselves name it anew, all in one
 * revision. Nothing that boots changes. Throws `NAME_INVALID`, `IMAGE_UNKNOWN`, `IMAGE_EXISTS`, `ROLLOUT_ACTIVE` while a
 * rollout remembers the old name, `REVISION_CONFLICT`.
 */
export async function renameImage(
  db: RegistryDatabase,
  editor: Editor,
  wanted: { from: string; to: string; expected?: number | '*' | undefined },
): Promise<ImageEdit<Renamed>> {
  const { from, to } = wanted
  refuseImageName(to)
  return edit(db, editor, async (revision) => {
    const image = await getImage(db, from)
    checkRevision(`image ${from}`, image, wanted.expected)
    if (to === from) return { changes: [], statements: [], result: { image, nodes: 0, profiles: 0 } }
    await refuseTaken(db, to)
    const [rollout] = await activeRolloutsOf(db, from)
    if (rollout)
      throw new AppError(
        'ROLLOUT_ACTIVE',
        `rollout ${rollout.id} of image ${from} is under way: let it finish, or take it back with \`muster rollout revert ${rollout.id}\``,
      )
    const tags = (await tagsOf(db, [from])).get(from)
    const row: Image = { ...image, name: to, revision, changedAt: editor.at }
    const members = await followers(db, from, to)
    const past = (await db.select().from(rollouts).all()).flatMap((one) => renamedRollout(one, from, to) ?? [])
    const set = { revision, changedAt: editor.at }
    const renamed = (table: typeof nodes | typeof profiles, kind: 'node' | 'profile') =>
      db
        .update(table)
        .set({ ...set, settings: sql`json_set(${table.settings}, '$.image', ${to} || ${referenceAfter(table, from)})` })
        .where(sql`${table.name} in (select value from json_each(${namesOf(members, kind)}))`)
    return {
      changes: [
        { noun: 'image' as const, name: from, before: imageDocument(image, tags), after: null },
        { noun: 'image' as const, name: to, before: null, after: imageDocument(row, tags) },
        ...members,
        ...past.map(({ id }) => ({
          noun: 'rollout' as const,
          name: String(id),
          before: { image: from },
          after: { image: to },
        })),
      ],
      statements: [
        // Versions and tags refer to a row that must be there: the new one comes first, the old one goes last.
        db.insert(images).values(row),
        db.update(imageVersions).set({ image: to }).where(eq(imageVersions.image, from)),
        db.update(imageTags).set({ image: to }).where(eq(imageTags.image, from)),
        ...past.map(({ id, image, plan }) =>
          db.update(rollouts).set({ image, plan, revision, changedAt: editor.at }).where(eq(rollouts.id, id)),
        ),
        db.delete(images).where(eq(images.name, from)),
        renamed(nodes, 'node'),
        renamed(profiles, 'profile'),
      ],
      result: {
        image: row,
        nodes: members.filter(({ noun }) => noun === 'node').length,
        profiles: members.filter(({ noun }) => noun === 'profile').length,
      },
    }
  })
}

/**
 * Makes a new image of another one's version, which becomes its version 1, or with `history` of all its versions under the
 * same numbers, with the tags. No blob is copied. Throws `NAME_INVALID`, `IMAGE_UNKNOWN`, `IMAGE_EXISTS`.
 */
export async function copyImage(
  db: RegistryDatabase,
  editor: Editor,
  wanted: { from: string; to: string; version?: number | string | undefined; history?: boolean },
): Promise<ImageEdit<Image>> {
  const { from, to, version, history = false } = wanted
  refuseImageName(to)
  return edit(db, editor, async (revision) => {
    const source = await getImage(db, from)
    await refuseTaken(db, to)
    const { author, at: changedAt } = editor
    const one = history ? undefined : await resolveImage(db, version === undefined ? from : `${from}@${version}`)
    const message = editor.message || `copied from ${from}${one ? `@${one.number}` : ''}`
    const tags = history ? (await tagsOf(db, [from])).get(from) : undefined
    const versions = one
      ? [{ ...one, image: to, number: 1, message, author, revision, createdAt: changedAt }]
      : (await listVersions(db, from)).map((row) => ({ ...row, image: to, revision })).toReversed()
    const row: Image = { ...(one ? { current: 1, newest: 1 } : source), name: to, revision, changedAt }
    return {
      changes: [
        { noun: 'image' as const, name: to, before: null, after: imageDocument(row, tags) },
        ...versions.map((made) => versionChange(made, 'made')),
      ],
      statements: [
        db.insert(images).values(row),
        // One at a time: D1 takes 100 parameters a statement.
        ...versions.map((made) => db.insert(imageVersions).values(made)),
        ...Object.entries(tags ?? {}).map(([tag, number]) =>
          db.insert(imageTags).values({ image: to, tag, number, revision }),
        ),
      ],
      result: row,
    }
  })
}

async function refuseTaken(db: RegistryDatabase, name: string): Promise<void> {
  if (await findImage(db, name))
    throw new AppError('IMAGE_EXISTS', `there is an image ${name} already: choose another name, or delete it first`)
}

/** Nodes and profiles that name an image themselves, before and after they name it anew. */
async function followers(db: RegistryDatabase, from: string, to: string): Promise<Change[]> {
  const referrers = await imageReferrers(db, from)
  const read = async (kind: 'node' | 'profile'): Promise<Change[]> => {
    const table = kind === 'node' ? nodes : profiles
    const names = JSON.stringify(referrers.filter((one) => one.kind === kind).map(({ name }) => name))
    const rows = await db
      .select()
      .from(table)
      .where(sql`${table.name} in (select value from json_each(${names}))`)
      .all()
    return rows.map((row) => {
      const image = `${to}${row.settings.image?.slice(from.length) ?? ''}`
      const after = documentOf({ ...row, settings: { ...row.settings, image } })
      return { noun: kind, name: row.name, before: documentOf(row), after }
    })
  }
  return [...(await read('node')), ...(await read('profile'))]
}

/** A rollout that is over can still be taken back: what it remembers follows the name. `undefined` when it names another. */
function renamedRollout(rollout: Rollout, from: string, to: string): Rollout | undefined {
  const rename = (reference: string) =>
    reference.split('@')[0] === from ? to + reference.slice(from.length) : reference
  const waves = rollout.plan.waves.map((wave) =>
    wave.map((node) => (node.before ? { ...node, before: rename(node.before) } : node)),
  )
  const renamed = { ...rollout, image: rename(rollout.image), plan: { ...rollout.plan, waves } }
  return sameJson(renamed.plan, rollout.plan) && renamed.image === rollout.image ? undefined : renamed
}

const namesOf = (changes: readonly Change[], noun: 'node' | 'profile'): string =>
  JSON.stringify(changes.filter((change) => change.noun === noun).map(({ name }) => name))

/** What stands behind the name in a reference: nothing, or `@` and the version. */
const referenceAfter = (table: typeof nodes | typeof profiles, name: string) =>
  sql`substr(${table.settings}->>'image', ${name.length + 1})`
