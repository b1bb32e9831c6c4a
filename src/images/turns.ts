/** Long work on one thread that lets others have their turn. Node only. */
import { setImmediate } from 'node:timers/promises'

/** Milliseconds of work between two turns of others. */
const longest = 8

/** Runs steps of a few milliseconds to their end and answers what they return. Throws the signal's reason when it is aborted. */
export async function inTurns<Result>(
  steps: Generator<unknown, Result, undefined>,
  signal?: AbortSignal,
): Promise<Result> {
  let since = performance.now()
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
    if (performance.now() - since < longest) continue
    await setImmediate()
    signal?.throwIfAborted()
    since = performance.now()
  }
}
