/** What is known of a rollout's nodes → what comes next. Pure. */
import type { Outcome } from '../boot/outcome.ts'
import { type OwnImages, pinOf, type Rollout, type RolloutNode } from '../registry/rollouts.ts'

/** A boot of the rollout's version. */
export type VersionBoot = { startedAt: Date; outcome: Outcome }

/** What is known of the nodes of the newest wave. */
export type Known = {
  own: OwnImages
  /** Boots of the version since the wave began, oldest first, by node. */
  boots: ReadonlyMap<string, readonly VersionBoot[]>
  now: Date
}

/**
 * How a node is doing: `queued` until its wave begins, `waiting` until it asks for its script, `booting`, `ready` or `failed`;
 * `skipped` when nobody waits for it, `left` when it has another image by somebody else's hand, or is deleted.
 */
export const nodeStates = ['queued', 'waiting', 'booting', 'ready', 'failed', 'skipped', 'left'] as const
/** One of {@link nodeStates}. */
export type NodeState = (typeof nodeStates)[number]

/** A node with its state and, of a failed or left one, why. */
export type JudgedNode = { name: string; state: NodeState; why?: string }

/** What comes next. */
export type Decision =
  | { kind: 'wait' }
  | { kind: 'begin' }
  | { kind: 'finish' }
  | { kind: 'revert'; failed: readonly JudgedNode[] }

/** Boots without getting ready that make a node a failed one. */
const bootsAtMost = 3

/** The nodes of the newest wave; none before the first. */
export const newestWave = ({ plan }: Pick<Rollout, 'plan'>): readonly RolloutNode[] =>
  plan.waves[plan.times.length - 1] ?? []

/** How the nodes of the newest wave are doing. */
export function judgeWave(rollout: Rollout, known: Known): JudgedNode[] {
  return newestWave(rollout).map((node) => judge(node, rollout, known))
}

/** How the nodes of all waves are doing, by wave; `newest` is what {@link judgeWave} says, and for an ended rollout nothing. */
export function judgeAll({ plan }: Pick<Rollout, 'plan'>, newest: readonly JudgedNode[]): JudgedNode[][] {
  const judged = new Map(newest.map((node) => [node.name, node]))
  return plan.waves.map((nodes, wave) =>
    nodes.map((node) => judged.get(node.name) ?? remembered(node, wave < plan.times.length)),
  )
}

/** What a rollout that is under way does next. */
export function decide({ state, plan }: Pick<Rollout, 'state' | 'plan'>, newest: readonly JudgedNode[]): Decision {
  const failed = judgeAll({ plan }, newest)
    .flat()
    .filter((node) => node.state === 'failed')
  if (failed.length > plan.maxFailed) return { kind: 'revert', failed }
  if (state === 'paused') return { kind: 'wait' }
  const are = (state: NodeState) => newest.some((node) => node.state === state)
  if (are('waiting') || are('booting')) return { kind: 'wait' }
  // Failures are tolerated beside nodes that the version boots, not instead of them.
  if (are('failed') && !are('ready')) return { kind: 'wait' }
  return { kind: plan.times.length < plan.waves.length ? 'begin' : 'finish' }
}

function judge(node: RolloutNode, rollout: Rollout, { own, boots: known, now }: Known): JudgedNode {
  const { name } = node
  const left = leftWhy(node, rollout, own)
  if (left !== undefined) return { name, state: 'left', why: left }
  const boots = known.get(name) ?? []
  const sinceReady = boots.slice(boots.findLastIndex(({ outcome }) => outcome === 'ready') + 1)
  const why = fault(sinceReady, rollout.plan.readySeconds, now)
  if (why !== undefined) return node.skipped ? { name, state: 'skipped' } : { name, state: 'failed', why }
  if (sinceReady.length < boots.length) return { name, state: 'ready' }
  if (node.skipped) return { name, state: 'skipped' }
  return { name, state: boots.length > 0 ? 'booting' : 'waiting' }
}

/** Why a node of a wave that has begun is none of the rollout's any more; `undefined` while it is. */
export function leftWhy(
  node: RolloutNode,
  rollout: Pick<Rollout, 'image' | 'number'>,
  own: OwnImages,
): string | undefined {
  if (node.outcome === 'left') return node.why ?? 'it was edited'
  if (!own.has(node.name)) return 'it was deleted'
  const image = own.get(node.name)
  return image === pinOf(rollout) ? undefined : `its own image is ${image ?? 'none'} by somebody else's hand`
}

/** What is wrong with boots of which none got ready, oldest first; `undefined` when nothing is yet. */
function fault(boots: readonly VersionBoot[], readySeconds: number, now: Date): string | undefined {
  const newest = boots.at(-1)
  if (!newest) return undefined
  if (boots.some(({ outcome }) => outcome === 'failed')) return 'its boot failed'
  if (boots.length >= bootsAtMost) return `it asked for its script ${boots.length} times without getting ready`
  // An older boot that was not heard of again was cut short by the newer one.
  if (newest.outcome === 'silent') return 'nothing was heard of its boot any more'
  const seconds = (now.getTime() - newest.startedAt.getTime()) / 1000
  return seconds >= readySeconds ? `it was not ready ${durationText(readySeconds)} after its script` : undefined
}

function remembered({ name, outcome, skipped, why }: RolloutNode, begun: boolean): JudgedNode {
  if (outcome === 'failed' && skipped) return { name, state: 'skipped' }
  if (outcome !== undefined) return { name, state: outcome, ...(why !== undefined && { why }) }
  if (!begun) return { name, state: 'queued' }
  return { name, state: skipped ? 'skipped' : 'waiting' }
}

const durationText = (seconds: number): string => (seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`)
