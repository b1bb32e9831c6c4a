import { execFileSync } from 'node:child_process'
import { gunzipSync, gzipSync, inflateRawSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { uncompressed } from '../../src/archive/gunzip.ts'
import { gzip } from '../../src/archive/gzip.ts'
import { headOf, streamOf } from '../../src/archive/stream.ts'
import { AppError } from '../../src/errors.ts'
import { bytes, joined, source } from './tar-writer.ts'

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return joined(parts)
}

/** Some megabytes that compress as programs do, with repetitions across the borders of blocks. */
const sample = (size: number): Uint8Array => {
  const out = new Uint8Array(size)
  let state = 12345
  for (let at = 0; at < size; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    out[at] = at % 5000 < 2500 ? (at >> 3) & 0x7f : (state >>> 16) & 0xff
  }
  return out
}

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

const limits = { ratio: 200, ratioFree: 2 ** 20 }

describe('an archive that may be gzip', () => {
  test('comes out plain, whatever the chunks', async () => {
    const input = sample(300_000)
    for (const chunk of [1, 2, 5, 7000, 2 ** 20]) {
      const short = chunk < 10 ? input.subarray(0, 500) : input
      expect(await collect(uncompressed(source(short, chunk), limits))).toEqual(new Uint8Array(short))
      expect(await collect(uncompressed(source(gzipSync(short), chunk), limits))).toEqual(new Uint8Array(short))
    }
    expect(await collect(uncompressed(source(new Uint8Array(0)), limits))).toHaveLength(0)
  })

  test('is read to the end of its last member', async () => {
    const two = joined([gzipSync(bytes('one ')), gzipSync(bytes('two'))])
    expect(await collect(uncompressed(source(two), limits))).toEqual(bytes('one two'))
  })

  test.each<[string, Uint8Array, string]>([
    ['cut off', gzipSync(sample(100_000)).subarray(0, 40_000), 'cut off'],
    ['damaged', gzipSync(sample(100_000)).map((byte, at) => (at === 20_000 ? byte ^ 0xff : byte)), 'damaged'],
    [
      'of another sum than it says',
      gzipSync(bytes('x')).map((byte, at, all) => (at === all.length - 8 ? byte ^ 1 : byte)),
      'damaged',
    ],
    ['zstd', zstdCompressSync(bytes('x')), 'zstd'],
    ['xz', Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0), 'xz'],
    ['bzip2', bytes('BZh91AY'), 'bzip2'],
  ])('is refused when it is %s', async (_, input, word) => {
    const error = await collect(uncompressed(source(input, 10_000), limits)).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(AppError)
    expect(error).toMatchObject({ code: 'ARCHIVE_INVALID', message: expect.stringContaining(word) })
  })

  test('is refused when it grows beyond measure, long before its end', async () => {
    const bomb = source(gzipSync(new Uint8Array(2 ** 28)), 1024)
    let size = 0
    const reading = (async () => {
      for await (const chunk of uncompressed(bomb, limits)) size += chunk.length
    })()
    await expect(reading).rejects.toMatchObject({
      code: 'ARCHIVE_LIMIT',
      message: expect.stringContaining('200 times'),
    })
    expect(size).toBeLessThan(2 ** 22)
    expect(bomb.taken).toBeLessThan(140_000)
  })

  test('passes on a failure of its source as it is, and lets go of it when the reader leaves', async () => {
    const failing = async function* () {
      yield gzipSync(sample(50_000)).subarray(0, 20_000)
      throw new Error('the line is dead')
    }
    await expect(collect(uncompressed(failing(), limits))).rejects.toThrow('the line is dead')
    let released = false
    const endless = async function* () {
      try {
        for (;;) yield gzipSync(sample(50_000))
      } finally {
        released = true
      }
    }
    for await (const _chunk of uncompressed(endless(), limits)) break
    await expect.poll(() => released).toBe(true)
  })

  test('never fails otherwise, whatever is in it', async () => {
    const good = gzipSync(sample(3000))
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.nat(255), async (at, byte) => {
        const input = good.map((old, place) => (place === at ? byte : old))
        await collect(uncompressed(source(input), limits)).catch((error) => expect(error).toBeInstanceOf(AppError))
      }),
    )
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
