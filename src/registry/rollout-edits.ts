/** Edits of rollouts: a step changes the rollout, its nodes' own images and perhaps the image, in one revision. */
import { eq, sql } from 'drizzle-orm'
import { AppError } from '../errors.ts'
import { getImage, imageDocument, tagsOf } from './images.ts'
import { inherit, type Member } from './inherit.ts'
import { foldNames } from './name-ranges.ts'
import { nodesEdit } from './nodes.ts'
import { profileMap } from './profiles.ts'
import { type Change, type Edit, type Editor, edit } from './revisions.ts'
import { activeRollouts, getRollout, type OwnImage, type OwnImages, pinOf, type Rollout } from './rollouts.ts'
import { images, nodes, type RegistryDatabase, rollouts } from './schema.ts'
import type { Json, Settings } from './settings.ts'

/** A step as it will be committed: the rollout afterwards, and what else changes. */
export type Move = Pick<Rollout, 'state' | 'plan'> & {
  /** The own image that each of these nodes shall have; `undefined` is none. */
  images: OwnImages
  /** The current version that the image shall have; absent to leave it alone. */
  current?: number | null
}

/** What an edit of a rollout came to. */
export type RolloutEdit = { revision: number; changes: Change[]; result: Rollout }

/**
 * Begins a rollout. `prepare` is told the registry's revision, reads what it decides on, and may run more than once. Throws
 * what it throws, and `ROLLOUT_ACTIVE` when the image has a rollout that is under way or a node is in one.
 */
export async function addRollout(
  db: RegistryDatabase,
  editor: Editor,
  prepare: (current: number) => Promise<{ image: string; number: number; move: Move }>,
): Promise<RolloutEdit> {
  return edit(db, editor, async (revision) => {
    const { image, number, move } = await prepare(revision - 1)
    refuseSecond(await activeRollouts(db), image, move)
    const { id } = (await db
      .select({ id: sql<number>`coalesce(max(${rollouts.id}), 0) + 1` })
      .from(rollouts)
      .get()) ?? { id: 1 }
    const { author, at } = editor
    const { state, plan } = move
    const row: Rollout = { id, image, number, state, plan, author, revision, createdAt: at, changedAt: at }
    const around = await aroundEdit(db, editor, revision, row, move)
    return {
      changes: [
        { noun: 'rollout' as const, name: String(id), before: null, after: documentOf(row) },
        ...around.changes,
      ],
      statements: [db.insert(rollouts).values(row), ...around.statements],
      result: row,
    }
  })
}

/**
 * Changes a rollout. `prepare` gets it as it is, reads what it decides on, and may run more than once; `undefined` changes
 * nothing. Throws what it throws, and `ROLLOUT_UNKNOWN`.
 */
export async function changeRollout(
  db: RegistryDatabase,
  editor: Editor,
  id: number,
  prepare: (rollout: Rollout) => Promise<Move | undefined>,
): Promise<RolloutEdit> {
  return edit(db, editor, async (revision) => {
    const before = await getRollout(db, id)
    const move = await prepare(before)
    if (!move) return { changes: [], statements: [], result: before }
    const { state, plan } = move
    const after: Rollout = { ...before, state, plan, revision, changedAt: editor.at }
    const around = await aroundEdit(db, editor, revision, after, move)
    const { id: _key, ...set } = after
    return {
      changes: [
        { noun: 'rollout' as const, name: String(id), before: documentOf(before), after: documentOf(after) },
        ...around.changes,
      ],
      statements: [db.update(rollouts).set(set).where(eq(rollouts.id, id)), ...around.statements],
      result: after,
    }
  })
}

/** Own images of those of the named nodes that exist; one query, which reads nothing else of them. */
export async function ownImages(db: RegistryDatabase, names: readonly string[]): Promise<OwnImages> {
  const rows = await db
    .select({ name: nodes.name, image: sql<string | null>`${nodes.settings}->'image'` })
    .from(nodes)
    .where(sql`${nodes.name} in (select value from json_each(${JSON.stringify(names)}))`)
    .all()
  return new Map(rows.map((row) => [row.name, decoded(row.image)]))
}

/** Which image every node boots, and would boot if it had another one of its own. */
export type ImageUse = {
  /** All nodes, by name. */
  names: string[]
  /** The image that holds for a node with this own one: `rocky9`, `debian12@2`. With none given, the one that it has. */
  effective(node: string, ...own: [OwnImage?]): string | undefined
}

/** Reads what {@link ImageUse} needs of all nodes and profiles: their images and nothing else. */
export async function imageUse(db: RegistryDatabase): Promise<ImageUse> {
  const [rows, profiles] = await Promise.all([
    db
      .select({ name: nodes.name, profiles: nodes.profiles, image: sql<string | null>`${nodes.settings}->'image'` })
      .from(nodes)
      .orderBy(nodes.name)
      .all(),
    profileMap(db),
  ])
  const members = new Map(rows.map((row) => [row.name, member(row, decoded(row.image))]))
  const slim = new Map([...profiles].map(([name, profile]) => [name, member(profile, profile.settings.image)]))
  return {
    names: [...members.keys()],
    effective(node, ...own) {
      const known = members.get(node)
      return known && inherit(own.length > 0 ? member(known, own[0]) : known, slim).image
    },
  }
}

const member = ({ name, profiles }: Pick<Member, 'name' | 'profiles'>, image: OwnImage): Member => ({
  name,
  profiles,
  settings: withImage({}, image),
})

/** An expression has no decoder of its column: `->` gives JSON text, SQL's null where there is no such field. */
const decoded = (text: string | null): OwnImage => (text === null ? undefined : (JSON.parse(text) as OwnImage))

function withImage({ image: _before, ...settings }: Settings, image: OwnImage): Settings {
  return image === undefined ? settings : { image, ...settings }
}

/** What a step changes besides the rollout itself. Nodes that are gone by now are passed over. */
async function aroundEdit(
  db: RegistryDatabase,
  editor: Editor,
  revision: number,
  rollout: Rollout,
  { images: wanted, current }: Move,
): Promise<Pick<Edit<unknown>, 'changes' | 'statements'>> {
  const edited =
    wanted.size === 0
      ? { changes: [], statements: [] }
      : await nodesEdit(db, editor, revision, [...wanted.keys()], (name, before) =>
          before ? { profiles: before.profiles, settings: withImage(before.settings, wanted.get(name)) } : undefined,
        )
  if (current === undefined) return edited
  const image = await getImage(db, rollout.image)
  if (image.current === current) return edited
  const tags = (await tagsOf(db, [image.name])).get(image.name)
  const before = imageDocument(image, tags)
  const after = imageDocument({ ...image, current }, tags)
  return {
    changes: [...edited.changes, { noun: 'image', name: image.name, before, after }],
    statements: [
      ...edited.statements,
      db.update(images).set({ current, revision, changedAt: editor.at }).where(eq(images.name, image.name)),
    ],
  }
}

function refuseSecond(active: readonly Rollout[], image: string, { plan }: Move): void {
  const wanted = new Set(plan.waves.flat().map((node) => node.name))
  for (const rollout of active) {
    const way = `finish, revert or wait for it: see \`muster rollout status ${rollout.id}\``
    if (rollout.image === image)
      throw new AppError('ROLLOUT_ACTIVE', `rollout ${rollout.id} of ${pinOf(rollout)} is under way: ${way}`, {
        field: 'image',
      })
    const shared = rollout.plan.waves.flat().flatMap(({ name }) => (wanted.has(name) ? [name] : []))
    if (shared.length > 0)
      throw new AppError('ROLLOUT_ACTIVE', `${foldNames(shared).slice(0, 200)} are in rollout ${rollout.id}: ${way}`, {
        field: 'nodes',
      })
  }
}

/** A rollout as a revision remembers it: without its nodes, whose own changes stand beside it. */
function documentOf(rollout: Rollout): Json {
  const { plan } = rollout
  const skipped = plan.waves.flat().flatMap((node) => (node.skipped ? [node.name] : []))
  return {
    image: pinOf(rollout),
    nodes: plan.selector,
    state: rollout.state,
    wave: `${plan.times.length} of ${plan.waves.length}`,
    ...(skipped.length > 0 && { skipped: foldNames(skipped) }),
    ...(plan.reason !== undefined && { reason: plan.reason }),
  }
}
