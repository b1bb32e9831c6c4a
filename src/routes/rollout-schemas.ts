/** Rollouts on the wire. */
import { z } from '@hono/zod-openapi'
import { type Rollout, type RolloutHead, rolloutStates } from '../registry/rollouts.ts'
import { type JudgedNode, judgeAll, nodeStates } from '../rollouts/step.ts'
import { defaultWaves } from '../rollouts/waves.ts'
import { dryRunSchema, selectParameter, time } from './schemas.ts'

/** A rollout without its nodes. */
export const headSchema = z
  .object({
    id: z.int(),
    image: z.string(),
    version: z.int(),
    state: z.enum(rolloutStates),
    selector: z.string().openapi({ description: 'Which nodes were chosen' }),
    sizes: z.array(z.int()).openapi({ description: 'How many nodes each wave has' }),
    begun: z.int().openapi({ description: 'How many waves have begun' }),
    maxFailed: z.int(),
    readySeconds: z.int(),
    reason: z.string().nullable().openapi({ description: 'Why it was reverted, or what its end left behind' }),
    author: z.string(),
    createdAt: time,
    changedAt: time,
    revision: z.int().openapi({ description: 'The revision that last changed it' }),
  })
  .openapi('Rollout')

const waveSchema = z
  .object({
    begunAt: time.nullable(),
    endedAt: time.nullable(),
    nodes: z.array(
      z.object({
        name: z.string(),
        state: z.enum(nodeStates).openapi({
          description:
            'waiting: has not asked for its script since its wave began; skipped: nobody waits for it; left: somebody gave it another image, or deleted it',
        }),
        why: z.string().optional(),
      }),
    ),
  })
  .openapi('RolloutWave')

/** A rollout and how each of its nodes is doing. */
export const rolloutSchema = headSchema.extend({ waves: z.array(waveSchema) }).openapi('RolloutStatus')

/** A rollout that began. */
export const startedSchema = rolloutSchema
  .extend({ notes: z.array(z.string()).openapi({ description: 'What an admin should know before' }) })
  .openapi('StartedRollout')

/** A rollout that would begin. */
export const triedSchema = dryRunSchema
  .extend({ rollout: startedSchema.openapi({ description: 'As it would be, the first wave begun' }) })
  .openapi('TriedRollout')

const wave = z
  .string()
  .max(8)
  .regex(/^[1-9][0-9]{0,5}%?$/, 'must be a number of nodes such as 5, or a percentage such as 10%')

/** What a rollout is begun with. */
export const newRolloutSchema = z
  .strictObject({
    image: z.string().max(257).openapi({ description: 'The version', example: 'rocky9@4' }),
    nodes: selectParameter,
    waves: z
      .array(wave)
      .max(50)
      .default([...defaultWaves])
      .openapi({ description: 'How many nodes have the version after each wave; the last is always everything' }),
    maxFailed: z
      .int()
      .min(0)
      .max(100_000)
      .default(0)
      .openapi({ description: 'More failed nodes than that take everything back' }),
    readySeconds: z
      .int()
      .min(60)
      .max(86_400)
      .default(1800)
      .openapi({ description: 'How long a node may take from its boot script to ready' }),
  })
  .openapi('NewRollout')

/** A rollout with all its nodes; `newest` is how those of its newest wave are doing. */
export function rolloutBody(rollout: Rollout, newest: readonly JudgedNode[]): z.infer<typeof rolloutSchema> {
  const waves = judgeAll(rollout, newest).map((nodes, wave) => {
    const times = rollout.plan.times[wave]
    return { begunAt: timeOf(times?.begunAt), endedAt: timeOf(times?.endedAt), nodes }
  })
  return { ...headBody(rollout), waves }
}

const timeOf = (milliseconds: number | undefined): string | null =>
  milliseconds === undefined ? null : new Date(milliseconds).toISOString()

/** A rollout on the wire, without its nodes. */
export const headBody = (rollout: RolloutHead): z.infer<typeof headSchema> => ({
  id: rollout.id,
  image: rollout.image,
  version: rollout.number,
  state: rollout.state,
  selector: rollout.plan.selector,
  sizes: rollout.plan.sizes,
  begun: rollout.plan.times.length,
  maxFailed: rollout.plan.maxFailed,
  readySeconds: rollout.plan.readySeconds,
  reason: rollout.plan.reason ?? null,
  author: rollout.author,
  createdAt: rollout.createdAt.toISOString(),
  changedAt: rollout.changedAt.toISOString(),
  revision: rollout.revision,
})
