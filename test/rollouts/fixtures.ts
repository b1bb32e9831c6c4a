/** Rollouts of rocky9@4 for tests of what is pure. */
import type { Move } from '../../src/registry/rollout-edits.ts'
import type { OwnImage, Rollout, RolloutNode, RolloutPlan } from '../../src/registry/rollouts.ts'
import type { JudgedNode, NodeState } from '../../src/rollouts/step.ts'

/** When tests begin. */
export const noon = new Date('2026-01-31T12:00:00Z')

/** So many minutes after noon. */
export const minute = (count: number): Date => new Date(noon.getTime() + count * 60_000)

/** A rollout whose newest wave began at noon; the ones before it have ended. */
export function rolloutOf(
  waves: RolloutNode[][],
  { begun = 1, state = 'running', ...plan }: Partial<RolloutPlan> & { begun?: number; state?: Rollout['state'] } = {},
): Rollout {
  return {
    id: 1,
    image: 'rocky9',
    number: 4,
    state,
    plan: {
      digest: `sha256:${'4'.repeat(64)}`,
      waves,
      sizes: waves.map((wave) => wave.length),
      times: Array.from({ length: begun }, (_, wave) => ({
        begunAt: noon.getTime(),
        ...(wave < begun - 1 && { endedAt: noon.getTime() }),
      })),
      maxFailed: 0,
      readySeconds: 1800,
      selector: '*',
      current: 3,
      ...plan,
    },
    author: 'tester',
    revision: 1,
    createdAt: noon,
    changedAt: noon,
  }
}

/** Nodes by name that had no image of their own. */
export const nodes = (...names: string[]): RolloutNode[] => names.map((name) => ({ name }))

/** Nodes as they were judged, by state: `{ ready: ['n1'] }`. */
export const judged = (states: Partial<Record<NodeState, string[]>>): JudgedNode[] =>
  Object.entries(states).flatMap(([state, names]) => names.map((name) => ({ name, state: state as NodeState })))

/** What a move makes of own images. */
export const imagesOf = (move: Move): Record<string, OwnImage> => Object.fromEntries(move.images)
