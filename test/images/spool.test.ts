import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { byteString } from '../../src/archive/byte-string.ts'
import type { Digest } from '../../src/blobs/digest.ts'
import type { LayerEntry } from '../../src/images/layer.ts'
import { prepareSpool, type ReceivedLayer } from '../../src/images/spool.ts'
import { sample } from '../archive/samples.ts'
import { archive, bytes, joined, type Member, member, pax, source } from '../archive/tar-writer.ts'
import { dir, hard, link, spoolBench, tarOf } from './layers-of.ts'

const sha256 = (data: Uint8Array): Digest => `sha256:${createHash('sha256').update(data).digest('hex')}`

let bench: Awaited<ReturnType<typeof spoolBench>>
beforeEach(async () => {
  bench = await spoolBench()
})
afterEach(() => bench.remove())

async function read(entry: LayerEntry | undefined, length?: number): Promise<Uint8Array> {
  if (entry?.type !== 'file') throw new Error('not a file')
  const chunks: Uint8Array[] = []
  for await (const chunk of bench.spool.contents.read(entry, length)) chunks.push(chunk)
  expect(chunks.every((chunk) => chunk.length <= 2 ** 20)).toBe(true)
  return joined(chunks)
}

/** Compares bytes as a whole: `toEqual` looks at each of millions. */
const same = (found: Uint8Array, expected: Uint8Array) => expect(Buffer.compare(found, expected)).toBe(0)

const big = sample(3 * 2 ** 20 + 17)
const tar = tarOf([
  dir('d', { uid: 7 }),
  { name: 'd/small', data: bytes('small') },
  { name: 'd/big', data: big, mode: 0o755 },
  { name: 'd/same', data: bytes('small') },
  { name: 'd/empty' },
  link('l', 'd'),
  hard('h', 'd/big'),
])

describe('a layer that is received', () => {
  test.each([
    ['plain', tar],
    ['gzip', gzipSync(tar)],
    ['zstd', zstdCompressSync(tar)],
    ['gzip with padding', joined([gzipSync(tar), new Uint8Array(70_000)])],
    ['gzip in two members', joined([gzipSync(tar.subarray(0, 5000)), gzipSync(tar.subarray(5000))])],
  ])('is the same however it is sent, and known by both digests: %s', async (_, sent) => {
    for (const chunk of [1000, 65_536, 2 ** 24]) {
      const layer = await bench.receive(sent, { digest: sha256(sent), diffId: sha256(tar) }, chunk)
      expect(layer).toMatchObject({
        digest: sha256(sent),
        size: sent.length,
        diffId: sha256(tar),
        unpackedSize: tar.length,
      })
      const file = { uid: 0, gid: 0, mtime: 0, acl: false, type: 'file' }
      expect(layer.entries).toEqual([
        { path: 'd', mode: 0o755, uid: 7, gid: 0, mtime: 0, acl: false, type: 'directory' },
        { ...file, path: 'd/small', mode: 0o644, size: 5, digest: sha256(bytes('small')) },
        { ...file, path: 'd/big', mode: 0o755, size: big.length, digest: sha256(big) },
        { ...file, path: 'd/same', mode: 0o644, size: 5, digest: sha256(bytes('small')) },
        { ...file, path: 'd/empty', mode: 0o644, size: 0, digest: sha256(new Uint8Array(0)) },
        { path: 'l', mode: 0o777, uid: 0, gid: 0, mtime: 0, acl: false, type: 'link', target: 'd' },
        { path: 'h', mode: 0o644, uid: 0, gid: 0, mtime: 0, acl: false, type: 'hardlink', target: 'd/big' },
      ])
      same(await read(layer.entries[1]), bytes('small'))
      same(await read(layer.entries[2]), big)
      same(await read(layer.entries[2], 2 ** 20 + 1), big.subarray(0, 2 ** 20 + 1))
      expect(await read(layer.entries[4])).toHaveLength(0)
    }
  })

  test('gives its files’ bytes in any order and many at a time', async () => {
    const members = Array.from(
      { length: 300 },
      (_, at): Member => ({ name: `f${at}`, data: big.subarray(at, at + ((at * 7919) % 40_000)) }),
    )
    const { entries } = await bench.receive(gzipSync(tarOf(members)))
    const mixed = entries.map((entry, at) => ({ entry, at })).sort((one, other) => (one.at % 17) - (other.at % 17))
    await Promise.all(
      mixed.map(async ({ entry, at }) => same(await read(entry), big.subarray(at, at + ((at * 7919) % 40_000)))),
    )
  })

  test('can come while another does, and both are there', async () => {
    const layers = await Promise.all(
      ['one', 'two', 'three'].map((text) => bench.receive(gzipSync(tarOf([{ name: 'f', data: bytes(text) }])), {}, 10)),
    )
    const texts = await Promise.all(layers.map(async ({ entries }) => byteString(await read(entries[0]))))
    expect(texts).toEqual(['one', 'two', 'three'])
  })

  test('has no other file’s bytes when it is asked for what it has not', async () => {
    await bench.receive(tar)
    const digest = sha256(bytes('nobody has this'))
    expect(bench.spool.contents.has(digest)).toBe(false)
    const reading = bench.spool.contents.read({ digest, size: 15 }).next()
    await expect(reading).rejects.toThrow(digest)
  })
})

describe('a sparse file', () => {
  const sparse = (map: string, size: number, data: Uint8Array) => [
    pax([
      ['GNU.sparse.map', map],
      ['GNU.sparse.size', String(size)],
      ['GNU.sparse.name', 'holes'],
    ]),
    member({ name: 'x', data }),
  ]
  test.each<[string, string, number, [number, string][]]>([
    ['a hole at the start', '5000000,3', 5_000_003, [[5_000_000, 'end']]],
    ['a hole at the end', '0,5', 3_000_000, [[0, 'start']]],
    [
      'holes between',
      '0,5,1048570,12,2000000,3',
      2_000_003,
      [
        [0, 'start'],
        [1_048_570, 'over a chunk'],
        [2_000_000, 'end'],
      ],
    ],
    ['nothing else', '0,0', 1_048_577, []],
    [
      'no holes in it',
      '0,2,2,2',
      4,
      [
        [0, 'ab'],
        [2, 'cd'],
      ],
    ],
  ])('is what it reads as, zeros and all: %s', async (_, map, size, stretches) => {
    const whole = new Uint8Array(size)
    for (const [at, text] of stretches) whole.set(bytes(text), at)
    const data = bytes(stretches.map(([, text]) => text).join(''))
    for (const chunk of [3, 65_536]) {
      const { entries } = await bench.receive(archive(...sparse(map, size, data)), {}, chunk)
      expect(entries).toMatchObject([{ path: 'holes', size, digest: sha256(whole) }])
      same(await read(entries[0]), whole)
      same(await read(entries[0], 1_048_575), whole.subarray(0, 1_048_575))
    }
  })

  test('beyond 32 bits has its last byte in its place', async () => {
    const at = 2 ** 32 + 5
    const { entries } = await bench.receive(archive(...sparse(`${at},1`, at + 1, bytes('x'))))
    const [entry] = entries
    if (entry?.type !== 'file') throw new Error('not a file')
    expect(entry.size).toBe(at + 1)
    let last: Uint8Array = new Uint8Array(0)
    let size = 0
    for await (const chunk of bench.spool.contents.read(entry)) {
      last = chunk
      size += chunk.length
    }
    expect([size, last.at(-1), last.at(-2)]).toEqual([at + 1, 0x78, 0])
    // What sha256sum(1) says of so many zeros and an x.
    expect(entry.digest).toBe('sha256:c84a67f3c24f643dc726898991d895542faaec9b5ad13d25708b58b9eae65bf0')
  }, 120_000)
})

describe('a layer that is not what was expected', () => {
  const wrong = sha256(bytes('something else'))
  test.each([
    ['bytes', { digest: wrong }],
    ['tar', { digest: sha256(gzipSync(tar)), diffId: wrong }],
  ])('is refused with both digests, and nothing is kept of it: its %s', async (_, expected) => {
    const error = await bench.spool.receive(source(gzipSync(tar)), expected, 'layer 2 of 3').catch((thrown) => thrown)
    expect(error).toMatchObject({ code: 'DIGEST_MISMATCH', message: expect.stringMatching(/^layer 2 of 3: /) })
    expect(error.message).toContain(wrong)
    expect(bench.spool.contents.has(sha256(big))).toBe(false)
    expect(bench.leftovers()).toEqual([])
  })

  test('can be sent again', async () => {
    await bench.receive(gzipSync(tar).subarray(0, 9000)).catch(() => {})
    await bench.receive(gzipSync(tar), { diffId: wrong }).catch(() => {})
    const { entries } = await bench.receive(gzipSync(tar), { diffId: sha256(tar) })
    same(await read(entries[2]), big)
  })

  test('lets go of a sender that broke off, and of one that goes on for nothing', async () => {
    const broken = async function* () {
      yield gzipSync(tar).subarray(0, 9000)
      throw new Error('the line is dead')
    }
    await expect(bench.spool.receive(broken())).rejects.toThrow('the line is dead')
    let released = false
    const endless = async function* () {
      try {
        yield bytes('no tar at all'.repeat(100))
        for (;;) yield new Uint8Array(65_536)
      } finally {
        released = true
      }
    }
    await expect(bench.spool.receive(endless())).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
    await expect.poll(() => released).toBe(true)
    expect(bench.leftovers()).toEqual([])
  })
})

describe('limits', () => {
  test('on names and entries are for all layers of a spool together', async () => {
    const small = await spoolBench({ entries: 10 })
    const six = tarOf(Array.from({ length: 6 }, (_, at) => ({ name: `f${at}` })))
    await small.receive(six)
    await expect(small.receive(six)).rejects.toMatchObject({
      code: 'ARCHIVE_LIMIT',
      message: expect.stringContaining('f4'),
    })
    await expect(small.receive(tarOf([{ name: 'a' }, { name: 'b' }]))).resolves.toMatchObject({ entries: [{}, {}] })
    await small.remove()
  })

  test('on bytes hold for those that were sent, too: padding behind a gzip has an end', async () => {
    const small = await spoolBench({ total: 100_000 })
    const endless = async function* () {
      yield gzipSync(tarOf([{ name: 'a' }]))
      for (;;) yield new Uint8Array(4096)
    }
    await expect(small.spool.receive(endless())).rejects.toMatchObject({ code: 'ARCHIVE_LIMIT' })
    await small.remove()
  })
})

describe('the folder', () => {
  test('has nothing with a name in it while a layer is there, and the space is given back at the end', async () => {
    await bench.receive(tar)
    expect(readdirSync(bench.folder)).toEqual([])
    expect(bench.leftovers()).toHaveLength(1)
    await bench.spool.close()
    await bench.spool.close()
    expect(bench.leftovers()).toEqual([])
  })

  test('keeps nothing of a layer that comes after the end', async () => {
    const slow = async function* () {
      yield tar.subarray(0, 1000)
      await bench.spool.close()
      yield tar.subarray(1000)
    }
    await expect(bench.spool.receive(slow())).rejects.toThrow('closed')
    expect(bench.leftovers()).toEqual([])
  })

  test('is made, and cleared of what killed imports left', () => {
    const above = mkdtempSync(join(tmpdir(), 'muster-spool-'))
    const folder = join(above, 'new', 'spool')
    prepareSpool(folder)
    writeFileSync(join(folder, 'import-left.tar'), 'x')
    writeFileSync(join(folder, 'somebody-elses'), 'x')
    prepareSpool(folder)
    expect(readdirSync(folder)).toEqual(['somebody-elses'])
    expect(existsSync(above)).toBe(true)
    rmSync(above, { recursive: true })
  })
})

test('whatever files a layer has, however it is cut, each reads as it was', async () => {
  const files = fc.uniqueArray(
    fc.record({
      name: fc.stringMatching(/^[a-z]{1,8}$/),
      size: fc.oneof(fc.nat(3000), fc.nat(700_000)),
      seed: fc.nat(255),
    }),
    { selector: ({ name }) => name, maxLength: 8 },
  )
  const content = ({ size, seed }: { size: number; seed: number }) => big.subarray(seed, seed + size)
  await fc.assert(
    fc.asyncProperty(files, fc.integer({ min: 300, max: 300_000 }), fc.nat(2), async (list, chunk, packing) => {
      const plain = tarOf(list.map((file) => ({ name: file.name, data: content(file) })))
      const sent = [plain, gzipSync(plain, { level: 1 }), zstdCompressSync(plain)][packing]!
      const layer: ReceivedLayer = await bench.receive(sent, {}, chunk)
      for (const [at, file] of list.entries()) same(await read(layer.entries[at]), content(file))
      expect([layer.digest, layer.diffId]).toEqual([sha256(sent), sha256(plain)])
    }),
    { numRuns: 50, seed: 20_261_122 },
  )
})
