/** How a boot went, told by its events. */
import type { AttemptEvent } from '../activity/attempts.ts'

/** `silent`: neither ready nor failed, and nothing was heard of it for a quarter of an hour. */
export const outcomes = ['ready', 'failed', 'running', 'silent'] as const
/** One of {@link outcomes}. */
export type Outcome = (typeof outcomes)[number]

const silentMinutes = 15

/** The outcome of an attempt as it is known at `now`. Events are in the order in which they were told. */
export function outcomeOf(
  { startedAt, events }: { startedAt: Date; events: readonly Pick<AttemptEvent, 'at' | 'kind'>[] },
  now: Date,
): Outcome {
  if (events.some(({ kind }) => kind === 'ready')) return 'ready'
  // A node that goes on after a failure, to try again, says so.
  const last = events.findLast(({ kind }) => kind === 'init' || kind === 'stage' || kind === 'failed')
  if (last?.kind === 'failed') return 'failed'
  const heard = Math.max(startedAt.getTime(), ...events.map(({ at }) => at.getTime()))
  return now.getTime() - heard < silentMinutes * 60_000 ? 'running' : 'silent'
}
