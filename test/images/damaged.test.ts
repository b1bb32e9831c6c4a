/** Archives in which bytes were changed, at random. */
import { gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import type { Whiteouts } from '../../src/images/layer.ts'
import { bytes, pax, utf8 } from '../archive/tar-writer.ts'
import { device, fate, file, longName } from './hostile-rig.ts'
import { dir, hard, link, tarOf } from './layers-of.ts'

describe('an archive that was damaged anywhere', () => {
  const layers = [
    tarOf([
      dir('./'),
      pax([
        ['path', utf8('größe')],
        ['SCHILY.xattr.user.a', 'b'],
        ['uid', '70000'],
        ['mtime', '1700000000.5'],
      ]),
      file('x', 'content'),
      longName(`d/${'n'.repeat(120)}`),
      dir('n'),
      pax([
        ['GNU.sparse.map', '0,4,8,2'],
        ['GNU.sparse.size', '20'],
        ['GNU.sparse.name', 'holes'],
      ]),
      file('x', 'abcdef'),
      link('link', 'd'),
      hard('hard', 'holes'),
      device('dev', 1, 3),
    ]),
    tarOf([
      dir('d', { mode: 0o700 }),
      file('link/y'),
      file('d/.wh..wh..opq'),
      file('.wh.dev'),
      hard('again', 'hard'),
      file('holes', 'new'),
    ]),
  ]
  const damage = fc.record({ layer: fc.nat(1), at: fc.nat(20_000), byte: fc.nat(255) })
  const packers = [
    (tar: Uint8Array) => tar,
    (tar: Uint8Array) => gzipSync(tar, { level: 1 }),
    (tar: Uint8Array) => zstdCompressSync(tar),
  ]

  test('gives a tree or an error with a code, and nothing else', async () => {
    const seen = new Set<string>()
    await fc.assert(
      fc.asyncProperty(
        fc.array(damage, { minLength: 1, maxLength: 5 }),
        fc.constantFrom<Whiteouts>('oci', 'overlayfs', 'none'),
        fc.nat(5),
        fc.boolean(),
        async (damages, whiteouts, packing, fixed) => {
          const tars = layers.map((tar) => tar.slice())
          // Damage before the compression most of the time: behind it, little gets past its sums.
          const pack = packers[packing] ?? packers[0]!
          for (const { layer, at, byte } of damages) tars[layer]![at % tars[layer]!.length] = byte
          if (fixed) tars.forEach(repair)
          const { error, tree } = await fate(tars.map(pack), {
            whiteouts,
            limits: { total: 2 ** 20, file: 2 ** 19, holes: 2 ** 19 },
          })
          if (error !== undefined && !(error instanceof AppError)) throw error
          if (error) expect(error.code).toMatch(/^ARCHIVE_(INVALID|LIMIT)$/)
          else expect(tree?.length).toBeLessThan(40)
          seen.add(error?.code ?? 'tree')
        },
      ),
      { numRuns: 2000, seed: 4711 },
    )
    expect([...seen]).toEqual(expect.arrayContaining(['ARCHIVE_INVALID', 'tree']))
  }, 120_000)
})

/** Makes the checksum of every block that looks like a header right again, so that damage gets past it. */
function repair(tar: Uint8Array): void {
  for (let at = 0; at + 512 <= tar.length; at += 512) {
    const block = tar.subarray(at, at + 512)
    if (block[257] !== 0x75 || block[258] !== 0x73) continue
    block.fill(0x20, 148, 156)
    const sum = block.reduce((total, byte) => total + byte, 0)
    block.set(bytes(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
  }
}
