/** Rollouts on databases of their own, and what happens to their nodes. */
import { createJournal, type Journal } from '../../src/activity/journal.ts'
import { addVersion } from '../../src/registry/images.ts'
import { changeNodes, nodesNamed } from '../../src/registry/nodes.ts'
import { pinOf, type Rollout } from '../../src/registry/rollouts.ts'
import type { Settings } from '../../src/registry/settings.ts'
import type { RolloutServices } from '../../src/rollouts/known.ts'
import { stepRollouts } from '../../src/rollouts/run.ts'
import { startRollout } from '../../src/rollouts/start.ts'
import type { Databases } from '../databases.ts'
import { tester, versionOf } from '../harness.ts'
import { minute } from './fixtures.ts'

/** A cluster whose clock stands at noon. */
export function clusterOn(databases: Databases) {
  const { registry, activity } = databases
  const log = () => undefined
  let now = 0
  let attempts = 0
  const journal: Journal = createJournal({ database: activity, log, schedule: () => {}, now: () => minute(now) })
  const services: RolloutServices = { registry, activity, journal, now: () => minute(now) }
  const at = () => ({ ...tester, at: minute(now) })
  const put = (names: string[], change: (before: Settings) => Settings | undefined) =>
    changeNodes(
      registry,
      at(),
      async () => names,
      (_name, before) => {
        const settings = change(before?.settings ?? {})
        return settings && { profiles: before?.profiles ?? [], settings }
      },
    )
  return {
    services,
    editor: at,
    put,
    forward: (minutes: number) => {
      now += minutes
    },
    /** An image with as many versions, of which the third one is current. */
    async image(name: string, versions = 4) {
      for (let number = 1; number <= versions; number++)
        await addVersion(registry, at(), { ...(await versionOf(name, `${name}@${number}`)), current: number <= 3 })
    },
    start: async (image: string, nodes: string, rest: { waves?: readonly string[]; maxFailed?: number } = {}) =>
      (
        await startRollout(registry, at(), {
          image,
          nodes,
          waves: ['1', '50%'],
          maxFailed: 0,
          readySeconds: 1800,
          ...rest,
        })
      ).result,
    step: () => stepRollouts(services),
    /** The node boots what it is told to; with no outcome, nothing more is heard of it. */
    async boot(node: string, rollout: Rollout, outcome?: 'ready' | 'failed') {
      const own = (await nodesNamed(registry, [node])).get(node)?.settings.image
      const digest = own === pinOf(rollout) ? rollout.plan.digest : `sha256:${'0'.repeat(64)}`
      const id = String(attempts++).padStart(32, '0')
      const plan = { image: { name: rollout.image, digest } }
      journal.record({ type: 'attempt', id, node, mac: '52:54:00:00:00:01', at: minute(now), plan })
      if (outcome) journal.record({ type: 'event', attempt: id, at: minute(now), kind: outcome, detail: {} })
    },
    async own(names: string[]) {
      const found = await nodesNamed(registry, names)
      return Object.fromEntries(names.map((name) => [name, found.get(name)?.settings]))
    },
  }
}

/** A cluster of a test. */
export type Cluster = ReturnType<typeof clusterOn>

/** Names of nodes: `n1` to so many, after a prefix. */
export const nodeNames = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, at) => `${prefix}n${at + 1}`)
