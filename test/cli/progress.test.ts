import { describe, expect, it } from 'vitest'
import { counted, progressText } from '../../src/cli/progress.ts'

describe('progress', () => {
  it.each([
    ['before the first second', { done: 0, size: 1000, seconds: 0 }, '0 B of 1.00 kB'],
    ['with a known size', { done: 500e6, size: 2e9, seconds: 5 }, '500 MB of 2.00 GB, 100 MB/s, 15 s left'],
    ['without a size', { done: 500e6, seconds: 5 }, '500 MB, 100 MB/s'],
    [
      'when there is more than was announced',
      { done: 2e3, size: 1e3, seconds: 1 },
      '2.00 kB of 1.00 kB, 2.00 kB/s, 0 s left',
    ],
  ])('says how far it is %s', (_name, state, text) => {
    expect(progressText(state)).toBe(text)
  })

  it('hands on every byte and leaves an empty line behind', async () => {
    const shown: string[] = []
    const printer = {
      line: () => undefined,
      text: () => undefined,
      status: (text: string) => shown.push(text),
      terminal: true,
    }
    const chunks = [new Uint8Array([1, 2]), new Uint8Array([3])]
    const received: Uint8Array[] = []
    for await (const chunk of counted(
      (async function* () {
        yield* chunks
      })(),
      printer,
      3,
    ))
      received.push(chunk)
    expect(received).toEqual(chunks)
    expect(shown[0]).toContain('2 B of 3 B')
    expect(shown.at(-1)).toBe('')
  })
})
