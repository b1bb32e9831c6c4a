/** Imports under way: layers in any order, several at once, given up, left alone. */
import { createHash } from 'node:crypto'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { Digest } from '../../src/blobs/digest.ts'
import type { Bytes } from '../../src/blobs/store.ts'
import { bytes, type Member, pax } from '../archive/tar-writer.ts'
import { basics, noise, type RigOptions, rig, streamOfBytes, tarOf } from './small-image.ts'

const rigs: ReturnType<typeof rig>[] = []
function newRig(options?: RigOptions) {
  const made = rig(options)
  rigs.push(made)
  return made
}
afterEach(() => {
  for (const made of rigs.splice(0)) {
    expect(made.leftovers(), 'left behind').toEqual([])
    made.remove()
  }
})

const sha256 = (data: Uint8Array): Digest => `sha256:${createHash('sha256').update(data).digest('hex')}`
const lower = tarOf(basics)
const upper = tarOf([{ name: 'etc/motd', data: noise(500_000) }])

/** A body that gives some bytes and then nothing more, until it is cancelled. */
function stalled(some: Uint8Array): { body: Bytes; cancelled: Promise<void> } {
  const { promise: cancelled, resolve: cancel } = Promise.withResolvers<void>()
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => controller.enqueue(new Uint8Array(some)),
    cancel: () => cancel(),
  })
  return { body, cancelled }
}

describe('the layers of an import', () => {
  test('can come in any order and at the same time', async () => {
    const { importer, make } = newRig()
    const session = await importer.begin({ layers: [{}, {}], whiteouts: 'oci' })
    expect(session.needed()).toEqual([0, 1])
    await Promise.all([session.receive(1, streamOfBytes(upper, 100)), session.receive(0, streamOfBytes(lower, 999))])
    expect(session.needed()).toEqual([])
    const made = await session.finish()
    await session.close()
    expect(made.digest).toBe((await make([lower, upper])).digest)
    expect(made.layers).toEqual([sha256(lower), sha256(upper)])
  })

  test.each<[string, object, string]>([
    ['its digest', { digest: sha256(bytes('else')) }, 'expected sha256:'],
    ['the digest of its tar', { diffId: sha256(bytes('else')) }, 'layer 0'],
    ['its size', { size: 17 }, 'not the 17 that were announced'],
  ])('are refused when they do not match %s, and nothing is committed', async (_, expected, text) => {
    const { importer, blobs } = newRig()
    const session = await importer.begin({ layers: [expected], whiteouts: 'none' })
    await expect(session.receive(0, streamOfBytes(new Uint8Array(gzipSync(lower))))).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      message: expect.stringContaining(text),
    })
    expect(session.needed()).toEqual([0])
    await expect(session.finish()).rejects.toMatchObject({
      code: 'IMPORT_INCOMPLETE',
      faults: [{ field: 'layers.0', message: expect.stringContaining('must be sent') }],
    })
    await session.close()
    for await (const blob of blobs.list()) expect(blob).toBeUndefined()
  })

  test('are taken as announced: by both digests and the size, compressed', async () => {
    const { make } = newRig()
    const gzipped = gzipSync(lower)
    const packed = zstdCompressSync(upper)
    const layers = [
      { digest: sha256(gzipped), diffId: sha256(lower), size: gzipped.length },
      { digest: sha256(packed), diffId: sha256(upper), size: packed.length },
    ]
    const made = await make([gzipped, packed], { layers })
    expect(made.digest).toBe((await make([lower, upper])).digest)
  })

  test('can be sent anew while an attempt hangs', async () => {
    const { importer } = newRig()
    const session = await importer.begin({ layers: [{}], whiteouts: 'none' })
    const first = stalled(lower.subarray(0, 1000))
    const hanging = expect(session.receive(0, first.body)).rejects.toMatchObject({
      message: 'layer 0 was sent anew meanwhile',
    })
    await session.receive(0, streamOfBytes(lower))
    await Promise.all([hanging, first.cancelled])
    expect(session.needed()).toEqual([])
    await session.close()
  })

  test('have positions', async () => {
    const { importer } = newRig()
    const session = await importer.begin({ layers: [{}], whiteouts: 'none' })
    const { body, cancelled } = stalled(lower)
    await expect(session.receive(1, body)).rejects.toMatchObject({ code: 'REQUEST_INVALID' })
    await cancelled
    await session.close()
  })
})

describe('the version that an import makes', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd-e', 'f.g')
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => `t/${parts.join('/')}`)
  const file = fc.record({ path, size: fc.integer({ min: 0, max: 20_000 }), mode: fc.constantFrom(0o644, 0o4755) })

  /** Directories are told, so that their order in the archive says nothing. */
  const treeOf = (files: { path: string; size: number; mode: number }[]): Member[] => {
    const members = new Map<string, Member>()
    for (const { path, size, mode } of files) {
      const parts = path.split('/')
      const above = parts.slice(0, -1).map((_, at) => parts.slice(0, at + 1).join('/'))
      if (members.has(path) || above.some((folder) => members.get(folder)?.flag === '0')) continue
      for (const folder of above) members.set(folder, { name: folder, flag: '5', mode: 0o755 })
      members.set(path, { name: path, flag: '0', mode, data: noise(size, size + 1) })
    }
    return [...members.values()]
  }
  const packed = [
    (tar: Uint8Array) => tar,
    (tar: Uint8Array) => gzipSync(tar),
    (tar: Uint8Array) => zstdCompressSync(tar),
  ]

  test('depends on nothing but its layers: order, chunks, compression, turns', async () => {
    const { make, importer } = newRig()
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(file, { maxLength: 12 }), { minLength: 1, maxLength: 3 }),
        fc.infiniteStream(fc.nat(1000)),
        async (trees, random) => {
          const next = (below: number) => random.next().value % below
          const layers = [basics, ...trees.map(treeOf)]
          // Directories first: what comes before its directory lies below whatever a lower layer has there.
          const shuffled = layers.map((members) =>
            members
              .map((member) => ({ member, key: member.flag === '5' ? -1 : next(1000) }))
              .sort((one, other) => one.key - other.key),
          )
          const expected = await make(layers.map((members) => tarOf(members)))
          const session = await importer.begin({ layers: layers.map(() => ({})), whiteouts: 'oci' })
          try {
            await Promise.all(
              shuffled.map(async (members, at) => {
                const tar = tarOf(members.map(({ member }) => member))
                await session.receive(at, streamOfBytes(packed[next(3)]!(tar), 1 + next(5000)))
              }),
            )
            const made = await session.finish()
            expect(made.manifest).toEqual(expected.manifest)
            expect(made.digest).toBe(expected.digest)
          } finally {
            await session.close()
          }
        },
      ),
      { numRuns: 40, seed: 1 },
    )
  }, 120_000)

  test('does not depend on the order in which an archive has what is left out', async () => {
    const { import: importTar } = newRig()
    const socket = (path: string): Member => ({ name: path, flag: '3', raw: {} })
    const acl = (path: string) => [pax([['SCHILY.acl.access', 'user::rw-']]), { name: path, data: bytes('x') }]
    const one = await importTar(tarOf([...basics, ...acl('a'), ...acl('b'), socket('c')]))
    const other = await importTar(tarOf([...basics, socket('c'), ...acl('b'), ...acl('a')]))
    expect(one.warnings).toHaveLength(1)
    expect(other).toEqual(one)
  })

  test('is the same when two imports make it at the same time', async () => {
    const { make, blobs } = newRig()
    const layers = [lower, upper]
    const made = await Promise.all([make(layers), make(layers), make([lower])])
    expect(made[0].digest).toBe(made[1].digest)
    expect(made[2].digest).not.toBe(made[0].digest)
    for (const { manifest, digest } of made)
      for (const blob of [{ digest }, manifest.index, ...manifest.segments, ...manifest.kernels])
        expect(await blobs.stat(blob.digest)).toBeDefined()
  })

  test('is held by its import until that is closed: every blob of it', async () => {
    const { importer } = newRig()
    const session = await importer.begin({ layers: [{ diffId: sha256(lower) }], whiteouts: 'none' })
    await session.receive(0, streamOfBytes(lower))
    const { manifest, digest } = await session.finish()
    const held = new Set([...importer.running()].flatMap((running) => [...running.held()]))
    for (const blob of [{ digest }, manifest.index, ...manifest.segments, ...manifest.kernels])
      expect(held).toContain(blob.digest)
    await session.close()
    expect([...importer.running()]).toEqual([])
  })
})

describe('an import under way', () => {
  test('tells how far it is', async () => {
    const { importer } = newRig()
    const session = await importer.begin({
      layers: [{ size: lower.length }, { size: upper.length }],
      whiteouts: 'oci',
    })
    const total = lower.length + upper.length
    expect(session.progress()).toEqual({ phase: 'receiving', bytes: 0, total })
    await session.receive(1, streamOfBytes(upper))
    expect(session.progress()).toEqual({ phase: 'receiving', bytes: upper.length, total })
    await session.receive(0, streamOfBytes(lower))
    const finishing = session.finish()
    const seen: { phase: string; bytes: number; total?: number }[] = []
    const watching = setInterval(() => seen.push(session.progress()), 1)
    const { manifest } = await finishing
    clearInterval(watching)
    expect(session.progress().phase).toBe('done')
    const last = seen.filter(({ phase }) => phase === 'packing').at(-1)
    expect(last?.total === 0 || last?.total === manifest.unpackedSize).toBe(true)
    await session.close()
  })

  test('says nothing of a total that it does not know', async () => {
    const { importer } = newRig()
    const session = await importer.begin({ layers: [{ size: 9 }, {}], whiteouts: 'oci' })
    expect(session.progress()).toEqual({ phase: 'receiving', bytes: 0 })
    await session.close()
  })

  test('is found by its id until it is closed, and then takes nothing', async () => {
    const { importer } = newRig()
    const session = await importer.begin({ layers: [{}], whiteouts: 'none' })
    expect(importer.find(session.id)).toBe(session)
    await session.close()
    await session.close()
    expect(() => importer.find(session.id)).toThrow(expect.objectContaining({ code: 'IMPORT_UNKNOWN' }))
    await expect(session.receive(0, streamOfBytes(lower))).rejects.toMatchObject({ code: 'IMPORT_UNKNOWN' })
    await expect(session.finish()).rejects.toMatchObject({ code: 'IMPORT_UNKNOWN' })
  })

  test('is given up in the middle of a layer and of a finish', async () => {
    const { importer } = newRig()
    const session = await importer.begin({ layers: [{}], whiteouts: 'none' })
    const { body, cancelled } = stalled(lower.subarray(0, 700))
    const receiving = expect(session.receive(0, body)).rejects.toMatchObject({ code: 'IMPORT_UNKNOWN' })
    await session.close()
    await Promise.all([receiving, cancelled])

    const other = await importer.begin({ layers: [{}], whiteouts: 'none' })
    const parts = Array.from({ length: 60 }, (_, at) => ({ name: `opt/${at}`, data: noise(300_000, at + 1) }))
    await other.receive(0, streamOfBytes(tarOf([...basics, ...parts])))
    const finishing = expect(other.finish()).rejects.toMatchObject({ code: 'IMPORT_UNKNOWN' })
    await expect.poll(() => other.progress().phase).toBe('packing')
    await other.close()
    await finishing
  })

  test('is one of few', async () => {
    const { importer } = newRig({ atMost: 2 })
    const begin = () => importer.begin({ layers: [{}], whiteouts: 'none' })
    const outcomes = await Promise.allSettled([begin(), begin(), begin()])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    await expect(begin()).rejects.toMatchObject({ code: 'IMPORT_LIMIT' })
    for (const session of importer.running()) await session.close()
    await (await begin()).close()
  })

  test('is closed when nobody has touched it for long, and not before', async () => {
    const { importer } = newRig({ idle: 200 })
    const session = await importer.begin({ layers: [{}], whiteouts: 'none' })
    for (let turn = 0; turn < 6; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 80))
      expect(importer.find(session.id)).toBe(session)
    }
    await expect.poll(() => [...importer.running()].length, { timeout: 5000 }).toBe(0)
    await expect(session.finish()).rejects.toMatchObject({ code: 'IMPORT_UNKNOWN' })
  })

  test('needs a base that is there', async () => {
    const { importer } = newRig()
    await expect(
      importer.begin({ layers: [{}], whiteouts: 'overlayfs', base: sha256(bytes('none')) }),
    ).rejects.toMatchObject({ code: 'IMAGE_UNKNOWN' })
  })
})
