import { describe, expect, it } from 'vitest'
import { createMeter, type Progress, progressText } from '../../src/cli/progress.ts'
import { all } from '../sources/rig.ts'

describe('progress', () => {
  it.each([
    ['before the first second', { done: 0, size: 1000, seconds: 0 }, '0 B of 1.00 kB'],
    ['with a known size', { done: 500e6, size: 2e9, seconds: 5 }, '500 MB of 2.00 GB, 100 MB/s, 15 s left'],
    ['without a size', { done: 500e6, seconds: 5 }, '500 MB, 100 MB/s'],
    ['when it takes minutes', { done: 1e6, size: 1e9, seconds: 1 }, '1.00 MB of 1.00 GB, 1.00 MB/s, 17 min left'],
    ['when it takes hours', { done: 1e3, size: 1e9, seconds: 1 / 60 }, '1.00 kB of 1.00 GB, 60.0 kB/s, 5 h left'],
    [
      'when there is more than was announced',
      { done: 2e3, size: 1e3, seconds: 1 },
      '2.00 kB of 1.00 kB, 2.00 kB/s, 0 s left',
    ],
    [
      'in a phase, with a bar',
      { phase: 'sending', done: 500e6, size: 2e9, seconds: 5 },
      'sending [#####---------------] 25%, 500 MB of 2.00 GB, 100 MB/s, 15 s left',
    ],
    ['in a phase of unknown size', { phase: 'sending', done: 5e6, seconds: 5 }, 'sending 5.00 MB, 1.00 MB/s'],
    [
      'with nothing to do',
      { phase: 'sending', done: 0, size: 0, seconds: 0 },
      `sending [${'#'.repeat(20)}] 100%, 0 B of 0 B`,
    ],
  ])('says how far it is %s', (_name, state, text) => {
    expect(progressText(state)).toBe(text)
  })

  it('fits on the narrowest terminal', () => {
    const text = progressText({ phase: 'sending', done: 888.8e9, size: 999.4e9, seconds: 1e4 })
    expect(text.length).toBeLessThan(80)
  })
})

describe('the meter', () => {
  const terminal = (shown: string[], isTerminal = true) => ({
    line: () => undefined,
    text: () => undefined,
    status: (text: string) => void shown.push(text),
    terminal: isTerminal,
  })
  const chunks = async function* () {
    yield new Uint8Array([1, 2])
    yield new Uint8Array([3])
  }

  it('hands on every byte, adds up what passes at the same time, and leaves an empty line behind', async () => {
    const shown: string[] = []
    const meter = createMeter({ printer: terminal(shown) })
    meter.begin('sending', 6)
    const [one, other] = await Promise.all([all(meter.counted(chunks())), all(meter.counted(chunks()))])
    meter.end()
    expect([one, other]).toEqual([await all(chunks()), await all(chunks())])
    expect(shown[0]).toContain('0 B of 6 B')
    expect(shown.at(-2)).toContain('6 B of 6 B')
    expect(shown.at(-1)).toBe('')
  })

  it('tells five times a second at most, and the end of each phase', () => {
    let time = 0
    const told: Progress[] = []
    const meter = createMeter({ tell: (progress) => void told.push(progress) }, () => time)
    meter.begin('sending', 1000)
    for (let done = 0; done <= 1000; done++) {
      time = done
      meter.at(done)
    }
    meter.begin('packing', 10)
    meter.at(10)
    meter.end()
    expect(told.map(({ phase, done, size }) => [phase, done, size])).toEqual([
      ...[0, 200, 400, 600, 800, 1000].map((done) => ['sending', done, 1000]),
      ['packing', 0, 10],
      ['packing', 10, 10],
    ])
  })

  it('is not watched where nobody looks', () => {
    expect(createMeter({ printer: terminal([], false) }).watched).toBe(false)
    expect(createMeter({ printer: terminal([]) }).watched).toBe(true)
  })
})
