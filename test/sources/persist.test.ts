import { describe, expect, it } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { pauseAfter, persist, retryAfter } from '../../src/sources/persist.ts'

const fault = new AppError('SOURCE_UNREACHABLE', 'quay.io answered 503')

describe('another try', () => {
  it.each([
    [1, 0, 500],
    [1, 1, 1500],
    [2, 0, 1000],
    [3, 0.5, 4000],
    [4, 1, 12_000],
  ])('after failure %i comes after some time, which chance moves', (failures, random, time) => {
    expect(pauseAfter({ fault }, failures, () => random)).toBe(time)
  })

  it('comes no sooner than the server wants, and not for all at once', () => {
    expect(pauseAfter({ fault, afterSeconds: 10 }, 2, () => 0)).toBe(10_000)
    expect(pauseAfter({ fault, afterSeconds: 10 }, 2, () => 1)).toBe(12_000)
  })

  it('does not come when it was tried often enough, or when the server wants too long a pause', () => {
    expect(() => pauseAfter({ fault }, 5)).toThrow(fault)
    expect(() => pauseAfter({ fault, afterSeconds: 121 }, 1)).toThrow(/quay.io answered 503, and asks .* 121 s/)
  })

  it('ends with the first value', async () => {
    const outcomes = [{ fault }, { fault, afterSeconds: 3 }, { value: 'there' }, { fault }].values()
    const pauses: number[] = []
    const value = await persist(
      async () => outcomes.next().value ?? { fault },
      async (time) => void pauses.push(time),
    )
    expect([value, pauses.length]).toEqual(['there', 2])
  })
})

describe('Retry-After', () => {
  const now = Date.UTC(2026, 0, 31, 12, 0, 0)
  it.each([
    [undefined, undefined],
    ['120', 120],
    [' 5 ', 5],
    ['Sat, 31 Jan 2026 12:01:00 GMT', 60],
    ['Sat, 31 Jan 2026 11:00:00 GMT', 0],
    ['soon', undefined],
    ['-1', undefined],
  ])('%j is %j seconds', (header, seconds) => {
    const found = retryAfter(header, now)
    expect(found === undefined || found >= 0).toBe(true)
    if (header !== '-1') expect(found).toBe(seconds)
  })
})
