import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Layer, LayerEntry, Whiteouts } from '../../src/images/layer.ts'
import { packLayer, unpackLayer } from '../../src/images/layer-index.ts'
import { bytes } from '../archive/tar-writer.ts'

/** Names that are bytes, with what texts usually stumble over. */
const name = fc.string({
  unit: fc.oneof(
    fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)),
    fc.constantFrom('"', '\\', '\n', '/'),
  ),
  minLength: 1,
  maxLength: 30,
})
const xattrs = fc
  .array(
    fc.tuple(fc.oneof(name, fc.constantFrom('__proto__', 'security.capability')), fc.uint8Array({ maxLength: 40 })),
    {
      minLength: 1,
      maxLength: 4,
    },
  )
  .map((pairs) => new Map(pairs))
const common = fc.record(
  {
    path: name,
    mode: fc.nat(0o7777),
    uid: fc.nat(0xfffffffe),
    gid: fc.nat(0xfffffffe),
    mtime: fc.nat(2 ** 40),
    acl: fc.boolean(),
    xattrs,
  },
  { requiredKeys: ['path', 'mode', 'uid', 'gid', 'mtime', 'acl'] },
)
const digest = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((value) => `sha256:${Buffer.from(value).toString('hex')}` as const)
const special = fc.oneof(
  fc.record({ type: fc.constant('file' as const), size: fc.maxSafeNat(), digest }),
  fc.record({ type: fc.constantFrom('link' as const, 'hardlink' as const), target: name }),
  fc.record({ type: fc.constantFrom('character' as const, 'block' as const), major: fc.nat(), minor: fc.nat() }),
  fc.record({ type: fc.constantFrom('directory' as const, 'fifo' as const, 'socket' as const) }),
)
const entry: fc.Arbitrary<LayerEntry> = fc.tuple(common, special).map(([one, other]) => ({ ...one, ...other }))
const layers: fc.Arbitrary<Layer> = fc.record({
  entries: fc.array(entry, { maxLength: 60 }),
  whiteouts: fc.constantFrom<Whiteouts>('oci', 'overlayfs', 'none'),
})

describe('a layer’s entries', () => {
  test('come back as they were, whatever they are', async () => {
    await fc.assert(
      fc.asyncProperty(layers, async (layer) => {
        const back = await unpackLayer(await packLayer(layer))
        expect(back).toEqual(layer)
        // Maps are equal in any order; attributes have one.
        const order = ({ entries }: Layer) => entries.map((one) => [...(one.xattrs?.keys() ?? [])])
        expect(order(back)).toEqual(order(layer))
      }),
      { numRuns: 200 },
    )
  })

  test('give the same bytes however their fields were put together', async () => {
    await fc.assert(
      fc.asyncProperty(layers, async (layer) => {
        const turned = layer.entries.map((one) => Object.fromEntries(Object.entries(one).reverse()) as LayerEntry)
        expect(await packLayer({ ...layer, entries: turned })).toEqual(await packLayer(layer))
      }),
      { numRuns: 50 },
    )
  })

  test('come back when there are many', async () => {
    const many = Array.from({ length: 25_000 }, (_, at): LayerEntry => {
      const path = `usr/share/doc/${at % 100}/file-${at}`
      return { path, mode: 0o644, uid: 0, gid: 0, mtime: at, acl: false, type: 'link', target: `${at}` }
    })
    const packed = await packLayer({ entries: many, whiteouts: 'oci' })
    expect(packed.length).toBeLessThan(many.length * 20)
    expect((await unpackLayer(packed)).entries).toEqual(many)
  })
})

describe('bytes that are no such thing are refused:', () => {
  const whole = packLayer({
    whiteouts: 'oci',
    entries: [{ path: 'a', mode: 1, uid: 2, gid: 3, mtime: 4, acl: false, type: 'fifo' }],
  })
  const repacked = async (change: (text: string) => string) =>
    zstdCompressSync(bytes(change(zstdDecompressSync(await whole).toString())))

  test.each<[string, () => Promise<Uint8Array>]>([
    ['nothing', async () => new Uint8Array(0)],
    ['noise', async () => bytes('noise')],
    ['a frame that is cut off', async () => (await whole).subarray(0, -20)],
    ['a line that is cut off', () => repacked((text) => text.slice(0, -1))],
    ['an entry that is missing', () => repacked((text) => text.slice(0, text.indexOf('\n') + 1))],
    ['an entry too many', () => repacked((text) => text + text.slice(text.indexOf('\n') + 1))],
    ['lines that are no JSON', () => repacked((text) => `${text}{\n`)],
  ])('%s', async (_, make) => {
    await expect(unpackLayer(await make())).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
  })

  test('the form of another release, by its name', async () => {
    const newer = await repacked((text) => text.replace('"schema":1', '"schema":2'))
    await expect(unpackLayer(newer)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('form 2'),
    })
  })
})
