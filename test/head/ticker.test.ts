import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { startTicker } from '../../src/head/ticker.ts'
import type { Log } from '../../src/log.ts'

describe('a ticker', () => {
  const log = vi.fn<Log>()
  beforeEach(() => {
    vi.useFakeTimers()
    log.mockClear()
  })
  afterEach(() => vi.useRealTimers())

  const ticking = (work: () => Promise<unknown>) => startTicker({ what: 'clocks tick', milliseconds: 1000, work, log })
  const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds)

  it('works after each pause, and never twice at once', async () => {
    let begun = 0
    let goOn = () => {}
    const stop = ticking(() => {
      begun++
      return new Promise<void>((resolve) => {
        goOn = resolve
      })
    })
    await pass(999)
    expect(begun).toBe(0)
    await pass(1)
    await pass(10_000)
    expect(begun).toBe(1)
    goOn()
    await pass(1000)
    expect(begun).toBe(2)
    goOn()
    await stop()
  })

  it('says once that something fails, and that it works again', async () => {
    const failures = ['full', 'full', 'gone', undefined, undefined]
    const stop = ticking(async () => {
      const failure = failures.shift()
      if (failure) throw new Error(failure)
    })
    await pass(5000)
    expect(log.mock.calls.map(([level, message, facts]) => [level, message, String(facts?.error ?? '')])).toEqual([
      ['error', 'clocks tick: failed, and is tried again', 'Error: full'],
      ['error', 'clocks tick: failed, and is tried again', 'Error: gone'],
      ['info', 'clocks tick again', ''],
    ])
    await stop()
  })

  it('stops when the work that is under way has ended, and then works no more', async () => {
    let goOn = () => {}
    const work = vi.fn(
      () =>
        new Promise<void>((resolve) => {
          goOn = resolve
        }),
    )
    const stop = ticking(work)
    await pass(1000)
    const stopped = vi.fn()
    const stopping = stop().then(stopped)
    await pass(5000)
    expect(stopped).not.toHaveBeenCalled()
    goOn()
    await stopping
    await pass(5000)
    expect(work).toHaveBeenCalledTimes(1)
  })
})
