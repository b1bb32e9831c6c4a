/** Rollouts: which version of an image goes to which nodes, wave by wave. Rows; edits are `rollout-edits.ts`. */
import { desc, eq, inArray, lt, sql } from 'drizzle-orm'
import type { Digest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import { type RegistryDatabase, rollouts } from './schema.ts'
import type { Settings } from './settings.ts'

/**
 * `running` gives waves out, `paused` gives out no further wave, `finished` has every wave behind it, `reverted` took the
 * version back, by hand or because too many nodes failed.
 */
export const rolloutStates = ['running', 'paused', 'finished', 'reverted'] as const
/** One of {@link rolloutStates}. */
export type RolloutState = (typeof rolloutStates)[number]

/** A node's own `image`: `null` hides what profiles say, `undefined` is none. */
export type OwnImage = Settings['image']

/** Own images by node, as they are now; a node that is not in it is deleted. */
export type OwnImages = ReadonlyMap<string, OwnImage>

/** A node of a rollout. */
export type RolloutNode = {
  name: string
  /** The node's own `image` when the rollout began, which a revert puts back; absent for none. */
  before?: Exclude<OwnImage, undefined>
  /** The rollout neither waits for it nor counts its failure, because somebody said so. */
  skipped?: true
  /** What came of it, once its wave or the rollout has ended. `left`: it has another image by somebody else's hand, or is gone. */
  outcome?: 'ready' | 'failed' | 'left'
  /** How it failed or why it was left alone, for people. */
  why?: string
}

/** When a wave began, and when the next one did or the rollout ended: milliseconds since 1970. */
export type WaveTimes = { begunAt: number; endedAt?: number }

/** What a rollout does, and how far it is. */
export type RolloutPlan = {
  /** The version's manifest, by which its boots are told. */
  digest: Digest
  /** Lowest wave first; every node in one of them, by name. */
  waves: RolloutNode[][]
  /** How many nodes each wave has. */
  sizes: number[]
  /** Of the waves that have begun. All of them but the newest have ended. */
  times: WaveTimes[]
  /** Nodes that may fail before everything is taken back. */
  maxFailed: number
  /** Seconds that a node has to become ready, from its boot script on. */
  readySeconds: number
  /** The selector that chose the nodes, for people. */
  selector: string
  /** The image's current version when the rollout began. */
  current: number | null
  /** Set when the end made the version the image's current one: which one was it before. */
  promoted?: { from: number | null }
  /** Why it was reverted, or what its end left behind, for people. */
  reason?: string
}

/** A rollout as the registry has it. */
export type Rollout = typeof rollouts.$inferSelect

/** A rollout without its nodes. */
export type RolloutHead = Omit<Rollout, 'plan'> & { plan: Omit<RolloutPlan, 'waves'> }

/** What nodes of a rollout have as their own `image`: `rocky9@4`. */
export const pinOf = ({ image, number }: Pick<Rollout, 'image' | 'number'>): string => `${image}@${number}`

/** Rollouts that run or are paused, the oldest first. What they refer to must stay: their version, and what a revert puts back. */
export async function activeRollouts(db: RegistryDatabase): Promise<Rollout[]> {
  return db
    .select()
    .from(rollouts)
    .where(inArray(rollouts.state, ['running', 'paused']))
    .orderBy(rollouts.id)
    .all()
}

/** A rollout. Throws `ROLLOUT_UNKNOWN`. */
export async function getRollout(db: RegistryDatabase, id: number): Promise<Rollout> {
  const rollout = await db.select().from(rollouts).where(eq(rollouts.id, id)).get()
  if (!rollout) throw new AppError('ROLLOUT_UNKNOWN', `no rollout ${id}: see \`muster rollout list\``)
  return rollout
}

/** Rollouts newest first, without their nodes. `before` continues an earlier page. */
export async function listRollouts(
  db: RegistryDatabase,
  page: { before?: number; limit: number },
): Promise<RolloutHead[]> {
  const rows = await db
    .select({
      id: rollouts.id,
      image: rollouts.image,
      number: rollouts.number,
      state: rollouts.state,
      plan: sql<string>`json_remove(${rollouts.plan}, '$.waves')`,
      author: rollouts.author,
      revision: rollouts.revision,
      createdAt: rollouts.createdAt,
      changedAt: rollouts.changedAt,
    })
    .from(rollouts)
    .where(page.before === undefined ? undefined : lt(rollouts.id, page.before))
    .orderBy(desc(rollouts.id))
    .limit(page.limit)
    .all()
  // The column's own decoder does not run on an expression; what is decoded is what `edit` wrote.
  return rows.map((row) => ({ ...row, plan: JSON.parse(row.plan) as RolloutHead['plan'] }))
}
