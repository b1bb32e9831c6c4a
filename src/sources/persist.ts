/** Trying again, with pauses that grow, and that differ from client to client. */
import { AppError } from '../errors.ts'

/** What came of a try: a value, or a fault that another try may not have, perhaps with what the server says when. */
export type Outcome<Value> = { value: Value } | { fault: AppError; afterSeconds?: number }

/** How often the same thing is tried. */
export const mostTries = 5
/** No server is waited for longer than this, in seconds. */
const longestPause = 120

/** Tries until there is a value. Throws the last fault when it was tried often enough. */
export async function persist<Value>(
  work: () => Promise<Outcome<Value>>,
  pause: (milliseconds: number) => Promise<void>,
): Promise<Value> {
  for (let failures = 1; ; failures++) {
    const outcome = await work()
    if ('value' in outcome) return outcome.value
    await pause(pauseAfter(outcome, failures))
  }
}

/**
 * Milliseconds to wait after a failure: about 1, 2, 4, 8 s, or what the server asks for and some more, so that those who
 * failed together do not come back together. Throws the fault when it is time to give up.
 */
export function pauseAfter(
  { fault, afterSeconds }: { fault: AppError; afterSeconds?: number },
  failures: number,
  random: () => number = Math.random,
): number {
  if (failures >= mostTries) throw fault
  if (afterSeconds !== undefined && afterSeconds > longestPause) {
    const text = `${fault.message}, and asks to be left alone for ${Math.ceil(afterSeconds)} s: try again then`
    throw new AppError(fault.code, text, { cause: fault })
  }
  const least = afterSeconds ?? 2 ** (failures - 1) / 2
  return 1000 * (least + random() * 2 ** (failures - 1))
}

/** Seconds that a Retry-After header asks for (RFC 9110 §10.2.3): a number, or a date. `undefined` when it says nothing. */
export function retryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined
  if (/^[0-9]{1,9}$/.test(header.trim())) return Number(header)
  const time = Date.parse(header)
  return Number.isNaN(time) ? undefined : Math.max(0, (time - now) / 1000)
}
