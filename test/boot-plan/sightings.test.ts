import { describe, expect, it } from 'vitest'
import { createSightings } from '../../src/boot/sightings.ts'

describe('sightings of unknown machines', () => {
  it('are written down once in ten seconds for each machine', () => {
    const isWorthNoting = createSightings()
    expect(isWorthNoting('a', 1_000)).toBe(true)
    expect(isWorthNoting('a', 10_999)).toBe(false)
    expect(isWorthNoting('b', 10_999)).toBe(true)
    expect(isWorthNoting('a', 11_000)).toBe(true)
  })

  it('of a flood of invented MACs are bounded, and the next ones get their turn', () => {
    const isWorthNoting = createSightings()
    let written = 0
    for (let machine = 0; machine < 100_000; machine++) if (isWorthNoting(`m${machine}`, 5_000)) written++
    expect(written).toBe(2_000)
    expect(isWorthNoting('real', 5_001)).toBe(false)
    // One every 20 milliseconds.
    expect(isWorthNoting('real', 5_025)).toBe(true)
    expect(isWorthNoting('other', 5_026)).toBe(false)
  })

  it('survive a clock that jumps back', () => {
    const isWorthNoting = createSightings()
    expect(isWorthNoting('a', 1_000_000)).toBe(true)
    expect(isWorthNoting('b', 0)).toBe(true)
  })
})
