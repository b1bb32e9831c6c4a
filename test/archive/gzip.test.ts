import { execFileSync } from 'node:child_process'
import { gunzipSync, inflateRawSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { gzip } from '../../src/archive/gzip.ts'
import { headOf, streamOf } from '../../src/archive/stream.ts'
import { collect, sample } from './samples.ts'
import { bytes, joined, source } from './tar-writer.ts'

const sizes = [0, 1, 2 ** 20 - 1, 2 ** 20, 2 ** 20 + 1, 5 * 2 ** 20 + 12_345]

describe('gzip in parallel', () => {
  test.each(sizes)('gives back %i bytes, and GNU gzip finds no fault', async (size) => {
    const input = sample(size)
    const packed = await collect(gzip(source(input, 70_001)))
    expect(gunzipSync(packed).equals(input)).toBe(true)
    execFileSync('gzip', ['-t'], { input: packed })
  })

  test.each(sizes)('makes one member of %i bytes: one deflate stream from the header to the trailer', async (size) => {
    const packed = await collect(gzip(source(sample(size))))
    const { buffer, engine } = inflateRawSync(packed.subarray(10), { info: true }) as never as {
      buffer: Uint8Array
      engine: { bytesWritten: number }
    }
    expect(buffer.length).toBe(size)
    expect(engine.bytesWritten).toBe(packed.length - 10 - 8)
  })

  test('gives the same bytes for any number of jobs and any chunks', async () => {
    const input = sample(4 * 2 ** 20 + 99)
    const expected = await collect(gzip(source(input), 1))
    for (const [jobs, chunk] of [
      [2, 65_536],
      [3, 1_000_003],
      [8, 5 * 2 ** 20],
    ] as const)
      expect(Buffer.compare(await collect(gzip(source(input, chunk), jobs)), expected)).toBe(0)
  })

  test('uses what came before a block as its dictionary', async () => {
    const noise = sample(2 ** 20).map((byte, at) => byte ^ (at * 7919) ^ (at >> 9))
    const half = noise.subarray(0, 2 ** 14)
    const input = joined([noise.subarray(0, 2 ** 20 - half.length), half, half, noise.subarray(0, 10)])
    const packed = await collect(gzip(source(input)))
    const alone = await collect(gzip(source(input.subarray(0, 2 ** 20))))
    expect(packed.length - alone.length).toBeLessThan(500)
  })

  test('is a multiple of four bytes long, whatever it holds', async () => {
    const lengths = await Promise.all(
      [0, 1, 2, 3, 5, 8, 13, 21, 2 ** 20 + 7].map((size) => collect(gzip(source(sample(size))))),
    )
    expect(lengths.map(({ length }) => length % 4)).toEqual(lengths.map(() => 0))
  })

  test('writes a header without time and name', async () => {
    expect([...(await collect(gzip(source(bytes('x'))))).subarray(0, 10)]).toEqual([31, 139, 8, 0, 0, 0, 0, 0, 0, 255])
  })

  test('takes no more of the source than its jobs hold', async () => {
    const input = source(sample(12 * 2 ** 20))
    for await (const _header of gzip(input, 2)) break
    expect(input.taken).toBe(0)
    let parts = 0
    for await (const _part of gzip(input, 2)) {
      parts += 1
      if (parts === 3) break
    }
    expect(input.taken).toBeLessThanOrEqual(4 * 2 ** 20)
  })

  test('passes on a failure of its source', async () => {
    const failing = async function* () {
      yield new Uint8Array(3 * 2 ** 20)
      throw new Error('the disk is gone')
    }
    await expect(collect(gzip(failing()))).rejects.toThrow('the disk is gone')
  })
})

describe('a web stream of a generator', () => {
  test('reads no further than it is read, and ends the generator when cancelled', async () => {
    let made = 0
    let ended = false
    const numbers = async function* () {
      try {
        for (;;) yield Uint8Array.of(++made)
      } finally {
        ended = true
      }
    }
    const reader = streamOf(numbers()).getReader()
    await reader.read()
    await reader.read()
    expect(made).toBe(2)
    await reader.cancel()
    expect(ended).toBe(true)
  })

  test('a head is what there is, up to so much', async () => {
    expect(await headOf(source(bytes('abcdef'), 2), 3)).toEqual(bytes('abc'))
    expect(await headOf(source(bytes('ab'), 2), 3)).toEqual(bytes('ab'))
  })
})
