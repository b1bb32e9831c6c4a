/** What a step of a rollout makes of its plan, of its nodes' own images, and of the image's current version. Pure. */
import { foldNames } from '../registry/name-ranges.ts'
import type { Move } from '../registry/rollout-edits.ts'
import {
  type OwnImage,
  type OwnImages,
  pinOf,
  type Rollout,
  type RolloutNode,
  type RolloutPlan,
} from '../registry/rollouts.ts'
import { type JudgedNode, leftWhy } from './step.ts'

type Subject = Pick<Rollout, 'image' | 'number' | 'state' | 'plan'>

/**
 * Gives the version to the next wave: `own` has its nodes. Nodes that somebody gave another image since the rollout began, and
 * deleted ones, are left alone. What is known of the wave before is kept.
 */
export function beginWave(rollout: Subject, newest: readonly JudgedNode[], own: OwnImages, now: Date): Move {
  const plan = endWave(rollout.plan, newest, now)
  const pin = pinOf(rollout)
  const images = new Map<string, OwnImage>()
  const nodes = (plan.waves[plan.times.length] ?? []).map((node): RolloutNode => {
    if (!own.has(node.name)) return { ...node, outcome: 'left', why: 'it was deleted' }
    const image = own.get(node.name)
    // Somebody was faster: then that is what a revert leaves.
    if (image === pin) return { ...node, before: pin }
    if (image !== node.before)
      return { ...node, outcome: 'left', why: `its own image is ${image ?? 'none'} by somebody else's hand` }
    images.set(node.name, pin)
    return node
  })
  const waves = plan.waves.with(plan.times.length, nodes)
  return { state: 'running', images, plan: { ...plan, waves, times: [...plan.times, { begunAt: now.getTime() }] } }
}

/**
 * Takes everything back: each node that still has the version as its own image gets what it had before, and the image the
 * current version that it had when the rollout's end made this one current. Nodes that somebody edited are left alone.
 */
export function takeBack(
  rollout: Subject,
  facts: { newest: readonly JudgedNode[]; own: OwnImages; current: number | null; reason: string; now: Date },
): Move {
  const { newest, own, now } = facts
  const { promoted, ...plan } = endWave(rollout.plan, newest, now)
  const images = new Map<string, OwnImage>()
  const waves = plan.waves.map((nodes, wave) => {
    if (wave >= plan.times.length) return nodes
    return nodes.map((node): RolloutNode => {
      // Of a finished rollout: it was put back then.
      if (promoted && own.has(node.name) && own.get(node.name) === node.before) return node
      const why = leftWhy(node, rollout, own)
      if (why !== undefined) return { ...node, outcome: 'left', why }
      images.set(node.name, node.before)
      return node
    })
  })
  const stays = promoted !== undefined && facts.current !== rollout.number
  const reason = stays
    ? `${facts.reason}; the current version of ${rollout.image} is ${facts.current ?? 'none'} by somebody else's hand and stays`
    : facts.reason
  return {
    state: 'reverted',
    images,
    plan: { ...plan, waves, reason },
    ...(promoted && !stays && { current: promoted.from }),
  }
}

/** What the end of a rollout depends on besides its nodes. */
export type Surroundings = {
  /** The image's current version. */
  current: number | null
  /** Nodes that are not the rollout's and would get another version if the current one changed. */
  others: readonly string[]
  /** The image that would hold for a node if this were its own: `rocky9`, `debian12@2`, or none. */
  effective(node: string, own: OwnImage): string | undefined
}

/**
 * Ends a rollout whose waves are all behind it. When nobody else would notice, the version becomes the image's current one,
 * and the nodes that boot it then without an own image of their own get back what they had; else they keep it as their own.
 */
export function finish(
  rollout: Subject,
  facts: Surroundings & { newest: readonly JudgedNode[]; own: OwnImages; now: Date },
): Move {
  const { image, number } = rollout
  const plan = endWave(rollout.plan, facts.newest, facts.now)
  const pin = pinOf(rollout)
  const held: RolloutNode[] = []
  const waves = plan.waves.map((nodes) =>
    nodes.map((node): RolloutNode => {
      const why = leftWhy(node, rollout, facts.own)
      if (why !== undefined) return { ...node, outcome: 'left', why }
      held.push(node)
      return node
    }),
  )
  const follows = held.filter((node) => facts.effective(node.name, node.before) === image)
  const kept = (why: string) => `${pin} stays the own image of its nodes: ${why}`
  const done = { state: 'finished' as const, images: new Map<string, OwnImage>() }
  if (follows.length === 0)
    return { ...done, plan: { ...plan, waves, reason: kept(`none of them used ${image} without a version`) } }
  if (facts.others.length > 0) {
    const others = shorten(foldNames(facts.others))
    return { ...done, plan: { ...plan, waves, reason: kept(`${others} use ${image} without a version, too`) } }
  }
  if (facts.current !== plan.current && facts.current !== number) {
    const why = `the current version of ${image} is ${facts.current ?? 'none'} by somebody else's hand`
    return { ...done, plan: { ...plan, waves, reason: kept(why) } }
  }
  const released = held.filter((node) => {
    const after = facts.effective(node.name, node.before)
    return after === image || after === pin
  })
  const names = new Set(released.map((node) => node.name))
  const keepers = held.filter((node) => !names.has(node.name)).map((node) => node.name)
  const reason = `${number} is the current version of ${image} now, and its nodes have their own settings of before`
  return {
    state: 'finished',
    images: new Map(released.map((node) => [node.name, node.before])),
    current: number,
    plan: {
      ...plan,
      waves,
      promoted: { from: facts.current },
      reason: keepers.length > 0 ? `${reason}; ${pin} stays the own image of ${shorten(foldNames(keepers))}` : reason,
    },
  }
}

/** The nodes of waves that have begun. */
export const begunNodes = ({ waves, times }: RolloutPlan): RolloutNode[] => waves.slice(0, times.length).flat()

/** Writes down what came of the newest wave. */
function endWave(plan: RolloutPlan, newest: readonly JudgedNode[], now: Date): RolloutPlan {
  const at = plan.times.length - 1
  const [nodes, time] = [plan.waves[at], plan.times[at]]
  if (!nodes || !time || time.endedAt !== undefined) return plan
  const judged = new Map(newest.map((node) => [node.name, node]))
  const ended = nodes.map((node): RolloutNode => {
    const { state, why } = judged.get(node.name) ?? {}
    if (state !== 'ready' && state !== 'failed' && state !== 'left') return node
    return { ...node, outcome: state, ...(why !== undefined && { why }) }
  })
  const times = plan.times.with(at, { ...time, endedAt: now.getTime() })
  return { ...plan, waves: plan.waves.with(at, ended), times }
}

const shorten = (text: string): string => (text.length > 200 ? `${text.slice(0, 200)}…` : text)
