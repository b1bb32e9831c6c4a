import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cutWaves, defaultWaves } from '../../src/rollouts/waves.ts'

const numbered = (count: number) => Array.from({ length: count }, (_, at) => at)
const sizes = (count: number, waves: readonly string[]) => cutWaves(numbered(count), waves).map((wave) => wave.length)

describe('waves', () => {
  it.each([
    [200, ['1', '10%', '50%', '100%'], [1, 19, 80, 100]],
    [200, ['1', '10%'], [1, 19, 180]],
    [200, [], [200]],
    [5, ['1', '10%', '50%', '100%'], [1, 2, 2]],
    [1, ['1', '10%', '50%', '100%'], [1]],
    [7, ['10%'], [1, 6]],
    [8, ['10', '50%'], [8]],
    [10, ['2', '2', '4'], [2, 2, 6]],
  ])('of %i nodes with %j have %j nodes', (count, waves, expected) => {
    expect(sizes(count, waves)).toEqual(expected)
  })

  it.each([
    [['0'], '"0" is neither a number of nodes nor a percentage'],
    [['101%'], '"101%" is neither'],
    [['1.5'], '"1.5" is neither'],
    [['-1'], '"-1" is neither'],
    [['all'], '"all" is neither'],
    [[''], '"" is neither'],
    [['50%', '10%'], '10% is less than the wave before it'],
    [['20', '1%', '10'], '10 is less than the wave before it'],
    [Array.from({ length: 51 }, () => '1'), 'more than 50 of them'],
  ])('refuse %j', (waves, fault) => {
    expect(() => cutWaves(numbered(100), waves)).toThrow(fault)
  })

  it('have every node once, in order, and none of them is empty', () => {
    const wave = fc.oneof(
      fc.integer({ min: 1, max: 300 }).map(String),
      fc.integer({ min: 1, max: 100 }).map((share) => `${share}%`),
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.array(wave, { maxLength: 6 }), (count, texts) => {
        const byUnit = (percent: boolean) => texts.filter((text) => text.endsWith('%') === percent).map(parseFloat)
        const rising = (list: number[]) => list.every((value, at) => at === 0 || value >= (list[at - 1] ?? 0))
        fc.pre(rising(byUnit(true)) && rising(byUnit(false)))
        const waves = cutWaves(numbered(count), texts)
        expect(waves.flat()).toEqual(numbered(count))
        expect(waves.every((one) => one.length > 0)).toBe(true)
      }),
    )
  })

  it('begin with one node unless somebody says otherwise', () => {
    expect(sizes(1000, defaultWaves)).toEqual([1, 99, 400, 500])
  })
})
