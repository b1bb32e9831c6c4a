/** Work that is done again and again while the service runs. */
import type { Log } from '../log.ts'

/** What a ticker is made of. */
export type TickerOptions = {
  /** What the work does, for the log: `rollouts move on`. */
  what: string
  /** How long it waits each time. A function is asked each time. */
  milliseconds: number | (() => number)
  /** The signal is aborted when the ticker is stopped: long work ends then, however it likes. */
  work: (signal: AbortSignal) => Promise<unknown>
  log: Log
}

/**
 * Does the work, and again so many milliseconds after it has ended: never twice at once. A failure is logged, once for as long
 * as it stays the same, and the work is tried again. What is returned stops it and resolves when nothing is under way.
 */
export function startTicker({ what, milliseconds, work, log }: TickerOptions): () => Promise<void> {
  let failure: string | undefined
  let timer: NodeJS.Timeout | undefined
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()

  const tick = async (): Promise<void> => {
    try {
      await work(stopping.signal)
      if (failure !== undefined) log('info', `${what} again`)
      failure = undefined
    } catch (error) {
      if (stopping.signal.aborted) return
      if (failure !== String(error)) log('error', `${what}: failed, and is tried again`, { error })
      failure = String(error)
    }
    if (!stopping.signal.aborted) schedule()
  }
  const schedule = () => {
    const wait = typeof milliseconds === 'number' ? milliseconds : milliseconds()
    timer = setTimeout(() => {
      running = tick()
    }, wait).unref()
  }

  schedule()
  return async () => {
    stopping.abort(new Error('the service stops'))
    clearTimeout(timer)
    await running
  }
}
