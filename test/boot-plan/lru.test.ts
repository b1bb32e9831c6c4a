/** What is kept of what was asked for: no more than may be, and what was asked for last. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { lru } from '../../src/boot/lru.ts'

type Value = { own: number; things: readonly { weight: number }[] }
const parts = (value: Value) => [
  [value, value.own] as const,
  ...value.things.map((thing) => [thing, thing.weight] as const),
]

describe('what is kept', () => {
  it('is what was asked for last', () => {
    const kept = lru<Value>(10, parts)
    for (const key of ['a', 'b', 'c']) kept.set(key, { own: 3, things: [] })
    kept.get('a')
    kept.set('d', { own: 3, things: [] })
    expect(['a', 'b', 'c', 'd'].filter((key) => kept.get(key))).toEqual(['a', 'c', 'd'])
  })

  it('is not even one thing when that is too heavy', () => {
    const kept = lru<Value>(10, parts)
    kept.set('a', { own: 11, things: [] })
    expect([kept.get('a'), kept.weight()]).toEqual([undefined, 0])
  })

  it('weighs what it holds, each shared thing once, and never more than it may', () => {
    const shared = Array.from({ length: 4 }, (_, at) => ({ weight: at * 5 }))
    const value = fc
      .record({ own: fc.nat(12), things: fc.array(fc.constantFrom(...shared), { maxLength: 5 }) })
      .map((one): Value => one)
    const step = fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.option(value, { nil: undefined }))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const kept = lru<Value>(40, parts)
        for (const [key, given] of steps) {
          if (given) kept.set(key, given)
          else kept.get(key)
          const values = ['a', 'b', 'c', 'd', 'e'].flatMap((one) => kept.get(one) ?? [])
          const things = new Set(values.flatMap((one) => one.things))
          const weight =
            [...new Set(values)].reduce((sum, one) => sum + one.own, 0) +
            [...things].reduce((sum, one) => sum + one.weight, 0)
          expect(kept.weight()).toBe(weight)
          expect(weight).toBeLessThanOrEqual(40)
        }
      }),
    )
  })
})
