import { expect, test } from 'vitest'
import { jittered } from '../../src/head/jitter.ts'

const [minute, hour, day] = [60_000, 3_600_000, 86_400_000]

test.each([
  ['a day', day, 0, [6 * minute, 0.9 * day, 0.9 * day]],
  ['a day', day, 1, [hour, 26.4 * hour, 26.4 * hour]],
  ['ten minutes', 10 * minute, 0, [minute, 9 * minute, 9 * minute]],
  ['ten minutes', 10 * minute, 1, [10 * minute, 11 * minute, 11 * minute]],
])('waits within an hour first, and then about %s', (_, every, random, expected) => {
  const wait = jittered(every, () => random)
  const waits = [wait(), wait(), wait()].map(Math.round)
  expect(waits).toEqual(expected)
})
