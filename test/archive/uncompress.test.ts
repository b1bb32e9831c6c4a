import { execFileSync } from 'node:child_process'
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { uncompressed } from '../../src/archive/uncompress.ts'
import { AppError } from '../../src/errors.ts'
import { collect, sample } from './samples.ts'
import { bytes, joined, source } from './tar-writer.ts'

const limits = { ratio: 200, ratioFree: 2 ** 20 }
const plain = (input: Uint8Array, chunk?: number) => collect(uncompressed(source(input, chunk), limits))

const zstd = (input: Uint8Array, params: Record<number, number> = {}) =>
  zstdCompressSync(input, { params: { [constants.ZSTD_c_checksumFlag]: 1, ...params } })

/** A skippable frame (RFC 8878, 3.1.2) of so many bytes. */
function skippable(size: number, kind = 0): Uint8Array {
  const frame = new Uint8Array(8 + size).fill(0xee)
  frame.set([0x50 | kind, 0x2a, 0x4d, 0x18])
  new DataView(frame.buffer).setUint32(4, size, true)
  return frame
}

describe.each([
  ['gzip', gzipSync],
  ['zstd', zstd],
] as const)('an archive that may be %s', (name, compress) => {
  test('comes out plain, whatever the chunks', async () => {
    const input = sample(300_000)
    for (const chunk of [1, 2, 5, 7000, 2 ** 20]) {
      const short = chunk < 10 ? input.subarray(0, 500) : input
      expect(await plain(short, chunk)).toEqual(new Uint8Array(short))
      expect(await plain(compress(short), chunk)).toEqual(new Uint8Array(short))
    }
    expect(await plain(new Uint8Array(0))).toHaveLength(0)
  })

  test('is read to the end of its last member or frame', async () => {
    for (const chunk of [1, 10, 65_536]) {
      const packed = joined([compress(bytes('one ')), compress(new Uint8Array(0)), compress(bytes('two'))])
      expect(await plain(packed, chunk)).toEqual(bytes('one two'))
    }
  })

  test.each<[string, Uint8Array, string]>([
    ['cut off', compress(sample(100_000)).subarray(0, 40_000), 'cut off'],
    ['cut off in its header', compress(sample(100_000)).subarray(0, 5), 'cut off'],
    ['cut off before its last byte', compress(sample(100_000)).subarray(0, -1), 'cut off'],
    ['cut off in a later member', joined([compress(bytes('x')), compress(sample(9000)).subarray(0, 3000)]), 'cut off'],
    ['damaged', compress(sample(100_000)).map((byte, at) => (at === 20_000 ? byte ^ 0xff : byte)), 'damaged'],
    [
      'of another sum than it says',
      compress(bytes('x')).map((byte, at, all) => (at === all.length - (name === 'gzip' ? 8 : 1) ? byte ^ 1 : byte)),
      'damaged',
    ],
    ['followed by something else', joined([compress(bytes('x')), bytes('and more')]), name],
  ])('is refused when it is %s', async (_, input, word) => {
    for (const chunk of [7, 10_000]) {
      const error = await plain(input, chunk).catch((thrown) => thrown)
      expect(error).toBeInstanceOf(AppError)
      expect(error).toMatchObject({ code: 'ARCHIVE_INVALID', message: expect.stringContaining(word) })
    }
  })

  test('is refused when it grows beyond measure, long before its end', async () => {
    const bomb = source(compress(new Uint8Array(2 ** 28)), 1024)
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
      yield compress(sample(50_000)).subarray(0, 20_000)
      throw new Error('the line is dead')
    }
    await expect(collect(uncompressed(failing(), limits))).rejects.toThrow('the line is dead')
    let released = false
    const endless = async function* () {
      try {
        for (;;) yield compress(sample(50_000))
      } finally {
        released = true
      }
    }
    for await (const _chunk of uncompressed(endless(), limits)) break
    await expect.poll(() => released).toBe(true)
  })

  test('never fails otherwise, whatever is in it', async () => {
    const good = compress(sample(3000))
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.nat(255), async (at, byte) => {
        const input = good.map((old, place) => (place === at ? byte : old))
        await plain(input).catch((error) => expect(error).toBeInstanceOf(AppError))
      }),
      { numRuns: 300 },
    )
  })
})

describe('a zstd', () => {
  test('of the zstd program is read, in one frame or several, with any of its parts', async () => {
    const input = sample(400_000)
    const run = (...args: string[]) => execFileSync('zstd', ['-q', '-c', ...args], { input, maxBuffer: 2 ** 24 })
    for (const args of [['-1'], ['-19'], ['--no-check'], ['--long=27'], ['-T2', '-B65536'], ['--ultra', '-22']])
      expect(await plain(run(...args))).toEqual(input)
  })

  test('has skippable frames, which say nothing: zstd:chunked ends with them', async () => {
    const frames = [skippable(0), zstd(bytes('one ')), skippable(300_000, 15), zstd(bytes('two')), skippable(8)]
    for (const chunk of [3, 4096, 2 ** 20]) expect(await plain(joined(frames), chunk)).toEqual(bytes('one two'))
    const cut = await plain(joined(frames).subarray(0, -1)).catch((thrown) => thrown)
    expect(cut).toMatchObject({ code: 'ARCHIVE_INVALID', message: expect.stringContaining('cut off') })
  })

  test('may want 128 MiB of memory, and no more', async () => {
    // Magic, descriptor with nothing set, a window of 2^(10 + exponent), then one block.
    const frame = (exponent: number, mantissa: number) =>
      Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, (exponent << 3) | mantissa, 9, 0, 0, 0x78)
    expect(await plain(frame(17, 0))).toEqual(bytes('x'))
    for (const [exponent, mantissa] of [
      [17, 1],
      [21, 0],
      [31, 7],
    ] as const)
      await expect(plain(frame(exponent, mantissa))).rejects.toMatchObject({
        code: 'ARCHIVE_LIMIT',
        message: 'the zstd of the archive needs more than 134217728 bytes of memory: compress it with a smaller window',
      })
  })

  test('with a block of a type that is none is refused', async () => {
    await expect(plain(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0x0f, 0, 0, 0x78))).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
    })
  })
})

test('padding of zeros behind a gzip is none of its bytes', async () => {
  expect(await plain(joined([gzipSync(bytes('x')), new Uint8Array(512)]))).toEqual(bytes('x'))
})

test.each<[string, Uint8Array, string]>([
  ['xz', Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0), 'xz -d'],
  ['bzip2', bytes('BZh91AY'), 'bzip2 -d'],
  ['lz4', Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0, 0), 'lz4 -d'],
  ['lzip', bytes('LZIP\x01\x00'), 'lzip -d'],
])('what is compressed with %s is refused with the way out', async (name, input, hint) => {
  const error = await plain(input).catch((thrown) => thrown)
  expect(error).toMatchObject({ code: 'ARCHIVE_INVALID', message: expect.stringContaining(name) })
  expect(error.message).toContain(hint)
})
