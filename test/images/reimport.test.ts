/** Importing what is mostly there: what is read and written then, and what happens when it is not there any more. */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import type { Digest } from '../../src/blobs/digest.ts'
import type { BlobStore, Bytes } from '../../src/blobs/store.ts'
import type { ImageManifest } from '../../src/images/manifest.ts'
import { bytes, type Member } from '../archive/tar-writer.ts'
import { basics, elf, inventory, noise, type RigOptions, rig, streamOfBytes, tarOf } from './small-image.ts'

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

/** A store that writes down which blobs are read and written. */
function counted() {
  const read = new Map<Digest, number>()
  const written = new Set<Digest>()
  const around = (blobs: BlobStore): BlobStore => ({
    ...blobs,
    async open(digest, slice) {
      const body = await blobs.open(digest, slice)
      return body?.pipeThrough(
        new TransformStream({
          transform(chunk, controller) {
            read.set(digest, (read.get(digest) ?? 0) + chunk.length)
            controller.enqueue(chunk)
          },
        }),
      )
    },
    async put(blob, body) {
      await blobs.put(blob, body)
      written.add(blob.digest)
    },
    async add(body: Bytes) {
      const blob = await blobs.add(body)
      written.add(blob.digest)
      return blob
    },
  })
  return {
    around,
    read,
    written,
    forget() {
      read.clear()
      written.clear()
    },
  }
}

const sha256 = (data: Uint8Array): Digest => `sha256:${createHash('sha256').update(data).digest('hex')}`
const diffId = sha256
const expected = (...tars: Uint8Array[]) => ({ layers: tars.map((tar) => ({ diffId: diffId(tar) })) })

/** 40 folders with 300 KiB each, so that each is about a segment. */
const bulk: Member[] = Array.from({ length: 40 }, (_, at) => [
  { name: `usr/share/${at}`, flag: '5', mode: 0o755 },
  { name: `usr/share/${at}/data`, data: noise(300_000, at + 1) },
]).flat()
const lower = tarOf([...basics, { name: 'usr/bin/zstd', mode: 0o755, data: elf() }, ...bulk])
const upper = (text: string) => tarOf([{ name: 'usr/share/7/data', data: bytes(text) }, { name: 'usr/share/.wh.20' }])

const digestsOf = ({ segments }: ImageManifest) => segments.map(({ digest }) => digest)

describe('an image of which one layer changed', () => {
  test('is imported by reading and writing only what that layer touches', async () => {
    const store = counted()
    const { make, open } = newRig({ around: store.around })
    const first = await make([lower, upper('one')], expected(lower, upper('one')))
    expect(first.sent).toEqual([0, 1])
    expect(first.manifest.segments.length).toBeGreaterThan(20)
    store.forget()
    const second = await make([lower, upper('two')], {
      ...expected(lower, upper('two')),
      relatives: [first.digest],
    })
    expect(second.sent).toEqual([1])
    const before = digestsOf(first.manifest)
    const fresh = digestsOf(second.manifest).filter((digest) => !before.includes(digest))
    expect(fresh).toHaveLength(1)
    // The segment, the manifest, its index, and the entries of the layer that came.
    expect([...store.written].filter((digest) => !before.includes(digest))).toHaveLength(4)
    expect([...store.written].filter((digest) => before.includes(digest))).toEqual([])
    const changed = before.filter((digest) => !digestsOf(second.manifest).includes(digest))
    const touched = new Set([
      ...changed,
      first.digest,
      first.manifest.index.digest,
      ...first.manifest.kernels.map(({ digest }) => digest),
    ])
    const segmentsRead = [...store.read.keys()].filter((digest) => before.includes(digest) && !touched.has(digest))
    // Besides what changed, the one with a program that tells the architecture.
    expect(segmentsRead.length).toBeLessThanOrEqual(1)

    const whole = await newRig().make([lower, upper('two')])
    expect(second.digest).toBe(whole.digest)
    expect(second.manifest).toEqual(whole.manifest)
    expect(await inventory(await open(second.digest))).toHaveLength(second.manifest.entries)
  })

  test('and is sent whole, is written where it changed', async () => {
    const store = counted()
    const { make } = newRig({ around: store.around })
    const first = await make([lower])
    store.forget()
    const rebuilt = tarOf([
      ...basics,
      { name: 'usr/bin/zstd', mode: 0o755, data: elf() },
      ...bulk.map((member) => (member.name === 'usr/share/9/data' ? { ...member, data: bytes('changed') } : member)),
    ])
    const second = await make([rebuilt], { relatives: [first.digest] })
    const before = digestsOf(first.manifest)
    expect(digestsOf(second.manifest).filter((digest) => !before.includes(digest)).length).toBeLessThanOrEqual(2)
    expect([...store.written].filter((digest) => before.includes(digest))).toEqual([])
  })

  test('is the same version again, when nothing changed, in whatever way the layers came', async () => {
    const store = counted()
    const { make } = newRig({ around: store.around })
    const layers = [lower, upper('one')]
    const first = await make(layers, expected(...layers))
    store.forget()
    const again = await make(layers, { ...expected(...layers), relatives: [first.digest] })
    expect([again.sent, again.digest, again.layers]).toEqual([[], first.digest, first.layers])
    expect([...store.written].filter((digest) => digestsOf(first.manifest).includes(digest))).toEqual([])
    const gzipped = layers.map((layer) => new Uint8Array(gzipSync(layer)))
    expect((await make(gzipped, { chunk: 7777 })).digest).toBe(first.digest)
  })
})

describe('a layer that is known', () => {
  const layers = [lower, upper('one')]

  test('is asked for when no version has its files any more', async () => {
    const { importer, make } = newRig()
    await make(layers, expected(...layers))
    const session = await importer.begin({ ...expected(...layers), whiteouts: 'oci' })
    expect(session.needed()).toEqual([])
    await expect(session.finish()).rejects.toMatchObject({
      code: 'IMPORT_INCOMPLETE',
      faults: [
        { field: 'layers.0', message: expect.stringContaining(diffId(lower)) },
        { field: 'layers.1', message: expect.stringContaining('must be sent') },
      ],
    })
    expect(session.needed()).toEqual([0, 1])
    for (const at of [0, 1]) await session.receive(at, streamOfBytes(layers[at]!))
    await session.finish()
    await session.close()
  })

  test.each(['gone', 'damaged'])('is asked for when a segment that has its files is %s', async (state) => {
    const { importer, make, blobs } = newRig()
    const first = await make(layers, expected(...layers))
    const bad = first.manifest.segments[5]!
    await blobs.delete(bad.digest)
    // A damaged blob has the right name and size, so that only reading it tells.
    if (state === 'damaged') await writeFile(blobs.file(bad.digest), noise(bad.size))
    // Another mode of a directory is in every segment below it, so that all of them are packed anew.
    const changed = [lower, tarOf([{ name: 'usr/share', flag: '5', mode: 0o750 }])]
    const session = await importer.begin({ ...expected(...changed), whiteouts: 'oci', relatives: [first.digest] })
    expect(session.needed()).toEqual([1])
    await session.receive(1, streamOfBytes(changed[1]!))
    await expect(session.finish()).rejects.toMatchObject({
      code: 'IMPORT_INCOMPLETE',
      faults: [{ field: 'layers.0' }],
    })
    expect(session.needed()).toEqual([0])
    await session.receive(0, streamOfBytes(lower))
    const second = await session.finish()
    await session.close()
    expect(second.digest).toBe((await newRig().make(changed)).digest)
  })

  test('is asked for at once when its entries are gone', async () => {
    const { importer, make, blobs } = newRig()
    const first = await make([lower], expected(lower))
    for await (const { digest } of blobs.list()) {
      const { segments, index, kernels } = first.manifest
      if (![first, index, ...segments, ...kernels].some((blob) => blob.digest === digest)) await blobs.delete(digest)
    }
    const session = await importer.begin({ ...expected(lower), whiteouts: 'oci', relatives: [first.digest] })
    expect(session.needed()).toEqual([0])
    await session.close()
  })
})
