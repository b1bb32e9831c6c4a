/**
 * Moves rollouts on: one step each, an ordinary edit. Called every few seconds where a process lives long enough, and after
 * whatever people do with a rollout. Any number of processes may: an edit decides on what it reads, and of two that read the
 * same one is computed anew.
 */
import { findImage } from '../registry/images.ts'
import { foldNames } from '../registry/name-ranges.ts'
import { changeRollout, imageUse, type Move } from '../registry/rollout-edits.ts'
import { activeRollouts, pinOf, type Rollout } from '../registry/rollouts.ts'
import { isActive, judgeNewest, ownOf, type RolloutServices } from './known.ts'
import { beginWave, begunNodes, finish, type Surroundings, takeBack } from './moves.ts'
import { type Decision, decide, type JudgedNode } from './step.ts'

/**
 * One step of every rollout that is under way. One cheap query when there is none. A rollout that cannot move does not hold up
 * the others: what is wrong with the first such one is thrown when all had their turn.
 */
export async function stepRollouts(services: RolloutServices): Promise<void> {
  const failures: Error[] = []
  for (const rollout of await activeRollouts(services.registry)) {
    try {
      await stepRollout(services, rollout)
    } catch (cause) {
      failures.push(new Error(`rollout ${rollout.id} of ${pinOf(rollout)} cannot move on: ${String(cause)}`, { cause }))
    }
  }
  if (failures[0]) throw failures[0]
}

/** One step of a rollout as it was read; answers it as it is afterwards. Nothing is written when there is nothing to do. */
export async function stepRollout(services: RolloutServices, rollout: Rollout): Promise<Rollout> {
  if (!isActive(rollout)) return rollout
  const wanted = decide(rollout, await judgeNewest(services, rollout))
  if (wanted.kind === 'wait') return rollout
  const editor = { author: rollout.author, at: services.now(), message: messageOf(rollout, wanted) }
  const { result } = await changeRollout(services.registry, editor, rollout.id, async (current) => {
    // Decided anew on what the edit reads; what came to something else meanwhile is left to the next step.
    if (!isActive(current) || current.plan.times.length !== rollout.plan.times.length) return undefined
    const newest = await judgeNewest(services, current)
    const decision = decide(current, newest)
    if (decision.kind !== wanted.kind) return undefined
    return moveOf(services, current, decision, newest)
  })
  return result
}

/** Takes a rollout back, whether it is under way or finished. Answers the step that does it. */
export async function revertMove(services: RolloutServices, rollout: Rollout, reason: string): Promise<Move> {
  const newest = await judgeNewest(services, rollout)
  return reverted(services, rollout, newest, reason)
}

async function moveOf(
  services: RolloutServices,
  rollout: Rollout,
  decision: Decision,
  newest: readonly JudgedNode[],
): Promise<Move | undefined> {
  const { plan } = rollout
  const now = services.now()
  switch (decision.kind) {
    case 'wait':
      return undefined
    case 'begin':
      return beginWave(rollout, newest, await ownOf(services, plan.waves[plan.times.length] ?? []), now)
    case 'revert':
      return reverted(services, rollout, newest, faultsText(rollout, decision.failed))
    case 'finish': {
      const own = await ownOf(services, begunNodes(plan))
      return finish(rollout, { ...(await surroundings(services, rollout)), newest, own, now })
    }
  }
}

async function reverted(
  services: RolloutServices,
  rollout: Rollout,
  newest: readonly JudgedNode[],
  reason: string,
): Promise<Move> {
  const own = await ownOf(services, begunNodes(rollout.plan))
  const current = (await findImage(services.registry, rollout.image))?.current ?? null
  return takeBack(rollout, { newest, own, current, reason, now: services.now() })
}

/** Looks at every node: whose is the image, besides the rollout's own. */
async function surroundings({ registry }: RolloutServices, rollout: Rollout): Promise<Surroundings> {
  const [use, image] = await Promise.all([imageUse(registry), findImage(registry, rollout.image)])
  return {
    current: image?.current ?? null,
    // A node of the rollout has the version as its own image, so it is none of these.
    others: use.names.filter((name) => use.effective(name) === rollout.image),
    effective: use.effective,
  }
}

function messageOf(rollout: Rollout, decision: Decision): string {
  const { plan } = rollout
  const name = `rollout ${rollout.id} of ${pinOf(rollout)}`
  switch (decision.kind) {
    case 'wait':
      return ''
    case 'begin':
      return `${name}: wave ${plan.times.length + 1} of ${plan.waves.length}`
    case 'revert':
      return `${name}: taken back, ${faultsText(rollout, decision.failed)}`.slice(0, 1000)
    case 'finish':
      return `${name}: finished`
  }
}

const faultsText = ({ plan }: Rollout, failed: readonly JudgedNode[]): string => {
  const names = foldNames(failed.map((node) => node.name))
  return `${failed.length} node${failed.length === 1 ? '' : 's'} failed (${names.length > 200 ? `${names.slice(0, 200)}…` : names}), and at most ${plan.maxFailed} may`
}
