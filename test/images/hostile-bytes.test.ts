/** Archives whose bytes lie: bombs, what is cut off, numbers without sense, and what is no archive. */
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { Digest } from '../../src/blobs/digest.ts'
import { archive, bytes, joined, member, pax } from '../archive/tar-writer.ts'
import { contained, fate, file, longName, refused } from './hostile-rig.ts'
import { link, type Parts, tarOf } from './layers-of.ts'

const oneGibi = 2 ** 30
const header = (name: string, size: number) =>
  member({ name, raw: { 124: bytes(`${size.toString(8).padStart(11, '0')}\0`) } })
const zeros = new Uint8Array(2 ** 27)

describe('a bomb is refused before it goes off:', () => {
  const bomb = joined([header('zeros', oneGibi), zeros])
  const frame = (exponent: number) => Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 9, 0, 0, 0x78)
  const attribute = pax([['SCHILY.xattr.user.a', 'v'.repeat(900_000)]])
  const stretches = Array.from({ length: 100_000 }, (_, at) => `${at * 10},1`).join(',')
  refused('ARCHIVE_LIMIT', [
    ['gzip', [gzipSync(bomb)], 'the gzip of the layer grows more than 200 times'],
    ['zstd', [zstdCompressSync(bomb)], 'the zstd of the layer grows more than 200 times'],
    ['zstd that wants 2 GiB of memory', [frame(21)], 'the zstd of the layer needs more than 134217728 bytes'],
    ['zstd that wants as much as it can say', [frame(31)], 'the zstd of the layer needs more than'],
    ['a file of a terabyte', [[pax([['size', String(2 ** 40)]]), file('big')]], `big: has ${2 ** 40} bytes`],
    [
      'zeros of a terabyte',
      [
        [
          pax([
            ['GNU.sparse.map', '0,1'],
            ['GNU.sparse.size', String(2 ** 40)],
          ]),
          file('holes', 'x'),
        ],
      ],
      `holes: has ${2 ** 40} bytes`,
    ],
    [
      'zeros of many files',
      [
        [
          ...Array.from({ length: 9 }, (_, at) => [
            pax([
              ['GNU.sparse.map', '0,1'],
              ['GNU.sparse.size', '1000'],
            ]),
            member(file(`h${at}`, 'x')),
          ]).flat(),
        ],
      ],
      'h4: sparse files have too many zeros',
      { limits: { holes: 4500 } },
    ],
    [
      'entries',
      [Array.from({ length: 60 }, (_, at) => file(`f${at}`))],
      'f50: there are too many entries',
      { limits: { entries: 50 } },
    ],
    [
      'entries of many layers',
      [0, 1, 2].map((layer) => Array.from({ length: 20 }, (_, at) => file(`f${layer}-${at}`))),
      'f2-10: there are too many entries',
      { limits: { entries: 50 } },
    ],
    [
      'directories that nobody wrote down',
      [[file(`${'a/'.repeat(60)}b`)]],
      'there are too many entries',
      { limits: { entries: 40 } },
    ],
    [
      'names',
      [Array.from({ length: 60 }, (_, at) => file(`${'n'.repeat(90)}${at}`))],
      'names and attributes are too long',
      { limits: { index: 5000 } },
    ],
    [
      'attributes',
      [Array.from({ length: 12 }, (_, at) => [attribute, file(`f${at}`)]).flat()],
      'names and attributes are too long',
      { limits: { index: 10 ** 7 } },
    ],
    ['a long name', [[pax([['path', 'b/'.repeat(2100)]]), file('x')]], 'its name has 4200 bytes'],
    [
      'a long part of a name',
      [[pax([['path', `ok/${'d'.repeat(256)}`]]), file('x')]],
      'a part of its name has 256 bytes',
    ],
    ['a long link', [[pax([['linkpath', 'c'.repeat(4096)]]), link('l', 'x')]], 'l: links to 4096 bytes'],
    [
      'an extended header of 8 GiB',
      [joined([header('first', 0), member({ name: 'p', flag: 'x', raw: { 124: bytes('77777777777') } })])],
      'first: the extended header after it is too long',
    ],
    [
      'a GNU name of 8 GiB',
      [joined([header('first', 0), member({ name: 'L', flag: 'L', raw: { 124: bytes('77777777777') } })])],
      'first: the extended header after it is too long',
    ],
    [
      'an endless row of extended headers',
      [[...Array.from({ length: 200 }, () => pax([['comment', 'x'.repeat(9000)]])), file('x')]],
      'the extended header after it is too long',
    ],
    [
      'a map of 100,000 stretches',
      [
        [
          pax([
            ['GNU.sparse.major', '1'],
            ['GNU.sparse.realsize', '9000000'],
          ]),
          file('s', `100000\n${stretches.replaceAll(',', '\n')}\n`),
        ],
      ],
      's: sparse map is too long',
      { limits: { header: 100_000 } },
    ],
    [
      'zeros without end behind the archive',
      [gzipSync(joined([archive(member(file('a'))), zeros.subarray(0, 2 ** 22)]))],
      'a: the archive goes on after it',
      { limits: { total: 2 ** 20 } },
    ],
  ])

  test('gzip and zstd, having read little and kept less', async () => {
    for (const sent of [
      gzipSync(joined([header('zeros', oneGibi), zeros, zeros, zeros])),
      zstdCompressSync(joined([header('zeros', oneGibi), zeros, zeros, zeros])),
    ]) {
      const { error, taken } = await fate([sent], { limits: { ratioFree: 2 ** 22 } })
      expect(error).toMatchObject({ code: 'ARCHIVE_LIMIT' })
      expect(taken).toBeLessThanOrEqual(2 ** 17)
    }
  })
})

describe('an archive that is cut off is refused, wherever that is:', () => {
  const whole = tarOf([
    file('first'),
    pax([
      ['path', 'second'],
      ['comment', 'x'.repeat(600)],
    ]),
    file('x', 'y'.repeat(700)),
    longName(`third/${'n'.repeat(120)}`),
    file('x'),
  ])
  const cut = (length: number) => whole.subarray(0, length)
  // Blocks: first 0; extended header 1, its data 2 and 3; second 4, its data 5 and 6; GNU name 7, its data 8; third 9; end.
  refused('ARCHIVE_INVALID', [
    ['at the start', [new Uint8Array(0)], 'the start of the archive: the archive is cut off'],
    ['after one byte', [cut(1)], 'the start of the archive: the archive is cut off'],
    ['in the first header', [cut(511)], 'the start of the archive: the archive is cut off'],
    ['after an entry', [cut(512)], 'first: the archive is cut off after it'],
    ['in an extended header', [cut(700)], 'first: the archive is cut off after it'],
    ['in the data of an extended header', [cut(1100)], 'first: the archive is cut off after it, in an extended header'],
    ['between an extended header and its entry', [cut(2048)], 'first: the archive is cut off'],
    ['in a file’s data', [cut(2048 + 512 + 300)], 'second: the archive is cut off in its data'],
    ['in the padding of a file', [cut(2048 + 512 + 900)], 'second: the archive is cut off in its data'],
    ['in a GNU name', [cut(3584 + 512 + 50)], 'second: the archive is cut off after it, in an extended header'],
    ['before the end', [cut(whole.length - 1024)], /^third\/n+: the archive is cut off after it/],
    ['in a gzip', [gzipSync(whole).subarray(0, 60)], 'the gzip of the layer is damaged or cut off'],
    ['before the sum of a gzip', [gzipSync(whole).subarray(0, -4)], 'the gzip of the layer is damaged or cut off'],
    ['in a zstd', [zstdCompressSync(whole).subarray(0, 60)], 'the zstd of the layer is cut off'],
    [
      'before the sum of a zstd',
      [zstdCompressSync(whole, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }).subarray(0, -2)],
      'the zstd of the layer is cut off',
    ],
    [
      'in a sparse map',
      [
        joined([
          pax([
            ['GNU.sparse.major', '1'],
            ['GNU.sparse.realsize', '9'],
          ]),
          member({ name: 's', size: 2048 }),
          bytes('5\n'),
        ]),
      ],
      's: the archive is cut off in its sparse map',
    ],
  ])
  contained([
    ['but nothing at all is an archive that ends at once', [new Uint8Array(1024)], []],
    ['and one zero block at the end is enough', [joined([cut(512), new Uint8Array(512)])], ['file 644 0:0 1 first 0']],
  ])
})

describe('numbers that make no sense are refused:', () => {
  const raw = (at: number, value: Uint8Array): Parts => [{ name: 'n', raw: { [at]: value } }]
  const record = (key: string, value: string): Parts => [pax([[key, value]]), file('n')]
  refused('ARCHIVE_INVALID', [
    ['a negative size', [raw(124, new Uint8Array(12).fill(0xff))], 'n: its header has no size'],
    [
      'a size beyond 53 bits',
      [raw(124, Uint8Array.of(0x80, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))],
      'n: its header has no size',
    ],
    ['a size that is text', [raw(124, bytes('monkeys'))], 'n: its header has no size'],
    ['a size with a sign', [raw(124, bytes('-0000000001'))], 'n: its header has no size'],
    ['a mode that is hexadecimal', [raw(100, bytes('0x1ff\0'))], 'n: its header has no mode'],
    ['an owner that is text', [raw(108, bytes('root\0'))], 'n: its header has no uid'],
    ['a negative PAX size', [record('size', '-1')], 'n: its extended header has no size'],
    ['a PAX size beyond 64 bits', [record('size', '18446744073709551616')], 'n: its extended header has no size'],
    ['a PAX size with an exponent', [record('size', '1e3')], 'n: its extended header has no size'],
    ['an owner beyond 32 bits', [record('uid', '4294967295')], 'n: its owner is beyond 32 bits'],
    ['a negative group', [record('gid', '-2')], 'n: its extended header has no gid'],
    [
      'a PAX record longer than its header',
      [[file('a'), { name: 'p', flag: 'x', data: bytes('99 path=a\n') }, file('n')]],
      'a: the extended header after it has a malformed record',
    ],
    [
      'a PAX record of no length',
      [[file('a'), { name: 'p', flag: 'x', data: bytes('0 path=a\n') }, file('n')]],
      'malformed record',
    ],
    [
      'a PAX record of negative length',
      [[file('a'), { name: 'p', flag: 'x', data: bytes('-9 path=a\n') }, file('n')]],
      'malformed record',
    ],
    [
      'a sparse file shorter than its map',
      [
        [
          pax([
            ['GNU.sparse.map', '0,4'],
            ['GNU.sparse.size', '2'],
          ]),
          file('n', 'data'),
        ],
      ],
      'n: its sparse map overlaps or passes its end',
    ],
    [
      'a sparse map that goes back',
      [
        [
          pax([
            ['GNU.sparse.map', '9,1,0,1'],
            ['GNU.sparse.size', '20'],
          ]),
          file('n', 'da'),
        ],
      ],
      'n: its sparse map overlaps or passes its end',
    ],
    [
      'a sparse map that has more than there is',
      [
        [
          pax([
            ['GNU.sparse.map', '0,9'],
            ['GNU.sparse.size', '20'],
          ]),
          file('n', 'data'),
        ],
      ],
      'n: its sparse map does not add up',
    ],
    ['a wrong checksum', [[file('a'), { name: 'n', checksumOff: 1 }]], 'a: what follows it is no tar header'],
    [
      'a checksum that is missing',
      [joined([member(file('a')), member(file('n')).fill(0, 148, 156), new Uint8Array(1024)])],
      'a: what follows it is no tar header',
    ],
    ['a directory with data', [[file('d/', 'data')]], 'd/: it is a directory with data'],
    [
      'an attribute without a name',
      [[pax([['SCHILY.xattr.', 'b']]), file('n')]],
      'n: it has an extended attribute whose name is empty',
    ],
  ])
  contained([
    [
      'times that make no sense are 0',
      [[pax([['mtime', 'noon']]), { name: 'n', raw: { 136: new Uint8Array(12).fill(0xff) } }]],
      ['file 644 0:0 1 n 0'],
    ],
    [
      'a thousand PAX records say nothing',
      [[pax(Array.from({ length: 1000 }, (_, at): [string, string] => [`x.${at}`, 'y'])), file('n')]],
      ['file 644 0:0 1 n 0'],
    ],
  ])
})

describe('what is no tar at all is refused:', () => {
  const elf = joined([Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1), new Uint8Array(2000).fill(3)])
  const tar = tarOf([file('a')])
  refused('ARCHIVE_INVALID', [
    ['a gzip inside of a gzip', [gzipSync(gzipSync(tar))], 'the start of the archive'],
    ['a zstd inside of a gzip', [gzipSync(zstdCompressSync(tar))], 'the start of the archive'],
    ['an ELF program', [elf], 'the start of the archive: what follows it is no tar header'],
    ['a gzip of an ELF program', [gzipSync(elf)], 'the start of the archive'],
    ['a zip', [joined([bytes('PK\x03\x04'), new Uint8Array(2000).fill(1)])], 'the start of the archive'],
    ['a cpio', [joined([bytes('070701'), new Uint8Array(2000).fill(0x30)])], 'the start of the archive'],
    ['a squashfs', [joined([bytes('hsqs'), new Uint8Array(2000).fill(9)])], 'the start of the archive'],
    [
      'an ar (a .deb)',
      [joined([bytes('!<arch>\ndebian-binary'), new Uint8Array(2000).fill(0x20)])],
      'the start of the archive',
    ],
    [
      'an OCI manifest',
      [bytes(JSON.stringify({ schemaVersion: 2, layers: [], config: {} }).padEnd(900))],
      'the start of the archive',
    ],
    [
      'a page that says no',
      [bytes('<!DOCTYPE html><title>502 Bad Gateway</title>'.padEnd(900))],
      'the start of the archive',
    ],
    [
      'xz',
      [joined([Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0), new Uint8Array(900)])],
      'the layer is compressed with xz: uncompress it with `xz -d` first',
    ],
    ['bzip2', [bytes('BZh91AY&SY')], 'the layer is compressed with bzip2'],
    ['two archives, one behind the other', [joined([tar, tar])], 'a: another archive follows'],
    ['two gzips of two archives', [joined([gzipSync(tar), gzipSync(tar)])], 'a: another archive follows'],
    ['a gzip with something behind', [joined([gzipSync(tar), elf])], 'the gzip of the layer is damaged'],
    [
      'a zstd with something behind',
      [joined([zstdCompressSync(tar), elf])],
      'the zstd of the layer is followed by something else',
    ],
    [
      'an entry hidden between zeros',
      [joined([member(file('a')), new Uint8Array(512), member(file('hidden')), new Uint8Array(1024)])],
      'a: a lone zero block follows it',
    ],
  ])
})

describe('other bytes than those that were promised are refused:', () => {
  const other: Digest = `sha256:${'0'.repeat(64)}`
  refused('DIGEST_MISMATCH', [
    ['as they were sent', [gzipSync(tarOf([file('a')]))], `expected ${other}`, { expected: { digest: other } }],
    [
      'uncompressed',
      [gzipSync(tarOf([file('a')]))],
      `expected a tar of digest ${other}`,
      { expected: { diffId: other } },
    ],
  ])
})
