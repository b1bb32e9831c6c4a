/** What is known of the nodes of a rollout: their own images, and their boots of its version. */
import { bootsOf } from '../activity/boots.ts'
import type { Journal } from '../activity/journal.ts'
import type { ActivityDatabase } from '../activity/schema.ts'
import { outcomeOf } from '../boot/outcome.ts'
import { ownImages } from '../registry/rollout-edits.ts'
import type { OwnImages, Rollout, RolloutNode } from '../registry/rollouts.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import { type JudgedNode, judgeWave, newestWave } from './step.ts'

/** What rollouts are given. */
export type RolloutServices = {
  registry: RegistryDatabase
  activity: ActivityDatabase
  journal: Journal
  now: () => Date
}

/** True while a rollout can still do something by itself. */
export const isActive = ({ state }: Pick<Rollout, 'state'>): boolean => state === 'running' || state === 'paused'

/** How the nodes of the newest wave are doing; nothing for a rollout that has ended. Two queries, about these nodes alone. */
export async function judgeNewest(services: RolloutServices, rollout: Rollout): Promise<JudgedNode[]> {
  const time = rollout.plan.times.at(-1)
  if (!isActive(rollout) || !time) return []
  const nodes = newestWave(rollout)
  // What was told a moment ago counts, too; a journal that cannot be written has said so by itself.
  await services.journal.flush().catch(() => undefined)
  const now = services.now()
  const [own, booted] = await Promise.all([
    ownOf(services, nodes),
    bootsOf(services.activity, {
      nodes: nodes.map(({ name }) => name),
      image: rollout.plan.digest,
      since: new Date(time.begunAt),
    }),
  ])
  const boots = new Map(
    [...booted].map(([node, some]) => [
      node,
      some.map(({ startedAt, events }) => ({ startedAt, outcome: outcomeOf({ startedAt, events }, now) })),
    ]),
  )
  return judgeWave(rollout, { own, boots, now })
}

/** Own images of nodes of a rollout. */
export const ownOf = (
  { registry }: Pick<RolloutServices, 'registry'>,
  nodes: readonly RolloutNode[],
): Promise<OwnImages> =>
  ownImages(
    registry,
    nodes.map(({ name }) => name),
  )
