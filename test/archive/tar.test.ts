import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { byteString } from '../../src/archive/byte-string.ts'
import { type ArchiveLimits, defaultLimits } from '../../src/archive/limits.ts'
import { readTar, type TarEntry } from '../../src/archive/tar.ts'
import { AppError } from '../../src/errors.ts'
import { archive, bytes, joined, member, pax, source, utf8 } from './tar-writer.ts'

async function entriesOf(tar: Uint8Array, limits: Partial<ArchiveLimits> = {}, chunk = 65_536): Promise<TarEntry[]> {
  const found: TarEntry[] = []
  for await (const entry of readTar(source(tar, chunk), { ...defaultLimits, ...limits })) found.push(entry)
  return found
}

/** A file's content, taken from the archive by its extents. */
function contentOf(tar: Uint8Array, entry: TarEntry | undefined): Uint8Array {
  if (entry?.type !== 'file') throw new Error(`${entry?.path} is not a file`)
  const content = new Uint8Array(entry.size)
  for (const { at, offset, length } of entry.extents) content.set(tar.subarray(offset, offset + length), at)
  return content
}

describe('an archive by GNU tar', () => {
  const root = mkdtempSync(join(tmpdir(), 'muster-tar-'))
  afterAll(() => rmSync(root, { recursive: true }))
  const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(100)}`
  const tar = (...args: string[]) => execFileSync('tar', ['-C', root, '-cf', '-', ...args], { maxBuffer: 2 ** 28 })

  beforeAll(async () => {
    await mkdir(join(root, 'tree', long), { recursive: true })
    writeFileSync(join(root, 'tree', 'größe'), 'umlaut')
    writeFileSync(join(root, 'tree', long, 'deep'), 'deep content')
    writeFileSync(join(root, 'tree', 'empty'), '')
    execFileSync('ln', [join(root, 'tree', 'größe'), join(root, 'tree', 'hard')])
    execFileSync('ln', ['-s', `../${'t'.repeat(150)}`, join(root, 'tree', 'link')])
    execFileSync('mkfifo', [join(root, 'tree', 'pipe')])
    const file = await open(join(root, 'tree', 'sparse'), 'w')
    await file.write(bytes('start'), 0, 5, 0)
    // Enough stretches for extension blocks behind the header of the old GNU format.
    for (let at = 1; at < 40; at++) await file.write(bytes(`piece ${at}`), 0, undefined, at * 131_072)
    await file.close()
    truncateSync(join(root, 'tree', 'sparse'), 40 * 131_072 + 77)
  })

  test.each([
    ['gnu'],
    ['posix'],
    ['gnu', '--sparse'],
    ['posix', '--sparse'],
    ['posix', '--sparse', '--sparse-version=0.0'],
    ['posix', '--sparse', '--sparse-version=0.1'],
  ])('is read as it was meant: %s %s %s', async (format, ...options) => {
    const packed = tar(`--format=${format}`, ...options, 'tree')
    const found = new Map((await entriesOf(packed)).map((entry) => [entry.path, entry]))
    const listed = execFileSync('tar', ['-tf', '-', '--quoting-style=literal'], { input: packed, encoding: 'latin1' })
    expect([...found.keys()].sort()).toEqual(listed.split('\n').filter(Boolean).sort())
    const name = utf8('größe')
    const first = [`tree/${name}`, 'tree/hard'].find((path) => found.get(path)?.type === 'file')
    expect(byteString(contentOf(packed, found.get(first!)))).toBe('umlaut')
    expect([found.get(`tree/${name}`)?.type, found.get('tree/hard')?.type].sort()).toEqual(['file', 'hardlink'])
    expect(byteString(contentOf(packed, found.get(`tree/${long}/deep`)))).toBe('deep content')
    expect(found.get('tree/link')).toMatchObject({ type: 'link', target: `../${'t'.repeat(150)}` })
    expect(found.get('tree/pipe')?.type).toBe('fifo')
    expect(found.get('tree/empty')).toMatchObject({ type: 'file', size: 0, extents: [] })
    const sparse = found.get('tree/sparse')
    const content = contentOf(packed, sparse)
    expect(content.length).toBe(40 * 131_072 + 77)
    const stretch = (at: number, length: number) => byteString(content.subarray(at, at + length))
    expect([stretch(0, 6), stretch(131_072, 8), stretch(39 * 131_072, 9)]).toEqual([
      'start\0',
      'piece 1\0',
      'piece 39\0',
    ])
    expect(content.reduce((sum, byte) => sum + (byte === 0 ? 0 : 1), 0)).toBe(5 + 9 * 7 + 30 * 8)
  })

  test.each(['v7', 'ustar'])('is read as it was meant, as far as its format goes: %s', async (format) => {
    const directory = `tree/${'d'.repeat(90)}`
    const packed = tar(`--format=${format}`, '--no-recursion', 'tree', directory, 'tree/größe', 'tree/hard')
    expect((await entriesOf(packed)).map(({ path, type }) => [path, type])).toEqual([
      ['tree/', 'directory'],
      [`${directory}/`, 'directory'],
      [`tree/${utf8('größe')}`, 'file'],
      ['tree/hard', 'hardlink'],
    ])
  })

  test('is the same in chunks of any size', async () => {
    const packed = tar('--format=posix', '--sparse', 'tree')
    const whole = await entriesOf(packed)
    for (const chunk of [1000, 512, 4099]) expect(await entriesOf(packed, {}, chunk)).toEqual(whole)
    expect(readdirSync(join(root, 'tree'))).toHaveLength(7)
  })
})

describe('what headers say', () => {
  test('numbers beyond octal come in base 256', async () => {
    const uid = Uint8Array.of(0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xfe)
    const [entry] = await entriesOf(archive(member({ name: 'a', raw: { 108: uid } })))
    expect(entry?.uid).toBe(0x7ffffffe)
  })

  test('PAX records win over the header, an empty one gives way to it, a local one wins over a global one', async () => {
    const tar = archive(
      pax(
        [
          ['uid', '7'],
          ['gid', '8'],
        ],
        'g',
      ),
      pax([
        ['path', 'long/name'],
        ['uid', '3000000000'],
        ['gid', ''],
      ]),
      member({ name: 'short', uid: 1, gid: 2, data: bytes('x') }),
      member({ name: 'next' }),
    )
    expect(await entriesOf(tar)).toMatchObject([
      { path: 'long/name', uid: 3_000_000_000, gid: 2 },
      { path: 'next', uid: 7, gid: 8 },
    ])
  })

  test('the PAX size says where the next header is', async () => {
    const tar = archive(
      pax([['size', '600']]),
      member({ name: 'a', data: new Uint8Array(600), size: 0 }),
      member({ name: 'b' }),
    )
    expect(await entriesOf(tar)).toMatchObject([{ path: 'a', size: 600 }, { path: 'b' }])
  })

  test('times lose what is less than a second, and what is before 1970', async () => {
    const timed = (mtime: string) => [pax([['mtime', mtime]]), member({ name: 'f' })]
    const times = ['1700000000.999999999', '0.5', '4294967296', '-1.5', 'noon']
    const entries = await entriesOf(archive(...times.flatMap(timed)))
    expect(entries.map(({ mtime }) => mtime)).toEqual([1_700_000_000, 0, 4_294_967_296, 0, 0])
  })

  const base256 = (size: number): Uint8Array => {
    const field = new Uint8Array(12)
    field[0] = 0x80
    new DataView(field.buffer).setBigUint64(4, BigInt(size))
    return field
  }
  test.each<[string, (size: number) => Uint8Array[]]>([
    ['PAX', (size) => [pax([['size', String(size)]]), member({ name: 'big' })]],
    ['GNU base 256', (size) => [member({ name: 'big', magic: 'ustar  \0', raw: { 124: base256(size) } })]],
    ['octal of eleven digits', (size) => [member({ name: 'big', raw: { 124: bytes(`${size.toString(8)}\0`) } })]],
  ])('sizes beyond 32 bits are exact: %s', async (_, headers) => {
    const size = 2 ** 32 + 3 * 2 ** 20 + 513
    const zeros = new Uint8Array(2 ** 20)
    async function* whole() {
      yield joined(headers(size))
      const padded = Math.ceil(size / 512) * 512
      for (let at = 0; at < padded; at += zeros.length) yield zeros.subarray(0, padded - at)
      yield archive(member({ name: 'after', data: bytes('x') }))
    }
    const entries: TarEntry[] = []
    let seen = 0
    const look = (piece: Uint8Array) => {
      seen += piece.length
      return undefined
    }
    for await (const entry of readTar(whole(), defaultLimits, look)) entries.push(entry)
    const start = joined(headers(size)).length
    expect(entries).toMatchObject([
      { path: 'big', size, extents: [{ at: 0, offset: start, length: size }] },
      { path: 'after', size: 1, extents: [{ at: 0, offset: start + size + 511 + 512, length: 1 }] },
    ])
    expect(seen).toBe(size + 1)
  })

  test('extended attributes survive byte by byte, from every writer', async () => {
    const capability = Uint8Array.of(1, 0, 0, 2, 0, 0x20, 0, 0, 0, 10, 0x3d, 0xff, 0, 0, 0, 0, 0, 0, 0, 0)
    const tar = archive(
      pax([
        ['SCHILY.xattr.security.capability', capability],
        ['SCHILY.xattr.user.a%3Db', ''],
        ['LIBARCHIVE.xattr.user.bsd%20tar', btoa('\x00\xff')],
        ['LIBARCHIVE.xattr.security.capability', btoa('other')],
        ['RHT.security.selinux', 'system_u:object_r:bin_t:s0'],
      ]),
      member({ name: 'usr/bin/ping' }),
    )
    const [entry] = await entriesOf(tar)
    expect(entry?.xattrs).toEqual(
      new Map([
        ['user.bsd tar', Uint8Array.of(0, 255)],
        ['security.capability', capability],
        ['security.selinux', bytes('system_u:object_r:bin_t:s0')],
        ['user.a=b', new Uint8Array(0)],
      ]),
    )
  })

  test('names that are no UTF-8 stay the bytes that they are', async () => {
    const [entry] = await entriesOf(archive(member({ name: 'caf\xe9/\xff' })))
    expect(entry?.path).toBe('caf\xe9/\xff')
  })

  test('a GNU header has no prefix, a POSIX one has', async () => {
    const gnu = member({ name: 'a', magic: 'ustar  \0', prefix: '12345670123\0' })
    expect(await entriesOf(archive(gnu, member({ name: 'b', prefix: 'p/q' })))).toMatchObject([
      { path: 'a' },
      { path: 'p/q/b' },
    ])
  })

  test('a size means nothing where no data can be', async () => {
    const tar = archive(
      member({ name: 'd', flag: '5', size: 4096 }),
      member({ name: 'a' }),
      member({ name: 'h', flag: '1', link: 'a', size: 1234 }),
      member({ name: 'old/', magic: '' }),
    )
    expect((await entriesOf(tar)).map(({ path, type }) => [path, type])).toEqual([
      ['d', 'directory'],
      ['a', 'file'],
      ['h', 'hardlink'],
      ['old/', 'directory'],
    ])
  })
})

const sparse = (map: string, size: string, data: Uint8Array) => [
  pax([
    ['GNU.sparse.map', map],
    ['GNU.sparse.size', size],
    ['GNU.sparse.name', 'holes'],
  ]),
  member({ name: 'x', data }),
]
const first = member({ name: 'first' })

describe('a tar that makes no sense is refused with a name:', () => {
  test.each<[string, Uint8Array, string]>([
    ['nothing at all', new Uint8Array(0), 'the start of the archive'],
    ['noise', new Uint8Array(2048).fill(0x41), 'the start of the archive'],
    ['a wrong checksum', archive(first, member({ name: 'bad', checksumOff: 1 })), 'first'],
    ['an archive cut in a header', archive(first, member({ name: 'b' })).subarray(0, 700), 'first'],
    ['an archive cut in data', archive(first, member({ name: 'b', data: new Uint8Array(900) })).subarray(0, 1500), 'b'],
    ['an archive cut between entries', joined([first, member({ name: 'b' })]), 'b'],
    [
      'an archive cut in an extended header',
      archive(first, pax([['path', 'x'.repeat(3000)]])).subarray(0, 1200),
      'first',
    ],
    ['an extended header for nothing', archive(first, pax([['path', 'x']])), 'first'],
    [
      'a lone zero block',
      joined([first, new Uint8Array(512), member({ name: 'hidden' }), new Uint8Array(1024)]),
      'first',
    ],
    ['a second archive behind the first', joined([archive(first), archive(member({ name: 'hidden' }))]), 'first'],
    ['a negative size', archive(member({ name: 'n', raw: { 124: new Uint8Array(12).fill(0xff) } })), 'n'],
    ['a size that is text', archive(member({ name: 'n', raw: { 124: bytes('monkeys') } })), 'n'],
    ['a mode that is text', archive(member({ name: 'n', raw: { 100: bytes('0x1ff\0') } })), 'n'],
    ['an owner beyond 32 bits', archive(pax([['uid', '4294967295']]), member({ name: 'n' })), 'n'],
    ['a negative owner', archive(pax([['gid', '-2']]), member({ name: 'n' })), 'n'],
    ['a PAX size that is text', archive(pax([['size', '12e3']]), member({ name: 'n' })), 'n'],
    [
      'a PAX record longer than its header',
      archive(first, member({ name: 'p', flag: 'x', data: bytes('99 path=a\n') })),
      'first',
    ],
    ['a PAX record of length 0', archive(first, member({ name: 'p', flag: 'x', data: bytes('0 path=a\n') })), 'first'],
    ['a PAX record without =', archive(first, member({ name: 'p', flag: 'x', data: bytes('9 patha\n\n') })), 'first'],
    [
      'a PAX record without newline',
      archive(first, member({ name: 'p', flag: 'x', data: bytes('10 path=ab') })),
      'first',
    ],
    ['a PAX path with NUL', archive(pax([['path', 'etc/passwd\0.txt']]), member({ name: 'n' })), 'etc/passwd'],
    ['a global header with attributes', archive(first, pax([['SCHILY.xattr.user.a', 'b']], 'g')), 'user.a'],
    ['an attribute without a name', archive(pax([['SCHILY.xattr.', 'b']]), member({ name: 'n' })), 'n'],
    ['an attribute that is not base64', archive(pax([['LIBARCHIVE.xattr.user.a', '*']]), member({ name: 'n' })), 'n'],
    ['an entry without a name', archive(member({ name: '' })), 'no name'],
    ['a link to nothing', archive(member({ name: 'l', flag: '2' })), 'l'],
    ['a PAX link with NUL', archive(pax([['linkpath', 'a\0b']]), member({ name: 'l', flag: '2' })), 'l'],
    ['a directory with data', archive(member({ name: 'd/', data: bytes('x') })), 'd/'],
    ['a continuation of another volume', archive(member({ name: 'vol', flag: 'M' })), 'vol'],
    ['an unknown type', archive(member({ name: 'odd', flag: 'Q' })), 'odd'],
    ['a sparse map that overlaps', archive(...sparse('0,4,2,4', '9', new Uint8Array(8))), 'holes'],
    ['a sparse map past the end', archive(...sparse('8,4', '9', new Uint8Array(4))), 'holes'],
    ['a sparse map short of its data', archive(...sparse('0,4', '9', new Uint8Array(5))), 'holes'],
    ['a sparse map that is text', archive(...sparse('0,four', '9', new Uint8Array(4))), 'holes'],
    [
      'a sparse map longer than its data',
      archive(
        pax([
          ['GNU.sparse.major', '1'],
          ['GNU.sparse.realsize', '9'],
          ['GNU.sparse.name', 'holes'],
        ]),
        member({ name: 'x', data: bytes('99\n1\n') }),
      ),
      'holes',
    ],
    [
      'a sparse map without an end of line',
      archive(
        pax([
          ['GNU.sparse.major', '1'],
          ['GNU.sparse.realsize', '9'],
          ['GNU.sparse.name', 'holes'],
        ]),
        member({ name: 'x', data: new Uint8Array(5000).fill(0x31) }),
      ),
      'holes',
    ],
  ])('%s', async (_, tar, name) => {
    const error = await entriesOf(tar).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(AppError)
    expect(error).toMatchObject({ code: 'ARCHIVE_INVALID', message: expect.stringContaining(name) })
  })
})

describe('a tar that costs too much is refused with a name and the limit, before it is read to its end:', () => {
  const filler = new Uint8Array(2 ** 20)
  const huge = (name: string, octal: string) => joined([member({ name, raw: { 124: bytes(octal) } }), filler])
  test.each<[string, Uint8Array, Partial<ArchiveLimits>, string, number]>([
    ['entries', joined(Array.from({ length: 400 }, (_, at) => member({ name: `f${at}` }))), { entries: 5 }, 'f5', 5],
    [
      'a long name',
      joined([member({ name: 'L', flag: 'L', data: bytes(`${'a/'.repeat(2100)}\0`) }), first, filler]),
      {},
      'a/a/a/',
      4095,
    ],
    ['a long PAX name', joined([pax([['path', 'b/'.repeat(2100)]]), first, filler]), {}, 'b/b/b/', 4095],
    [
      'a long link',
      joined([pax([['linkpath', 'c'.repeat(4096)]]), member({ name: 'l', flag: '2' }), filler]),
      {},
      'l',
      4095,
    ],
    ['a long part of a name', joined([pax([['path', `ok/${'d'.repeat(256)}`]]), first, filler]), {}, 'ok/ddd', 255],
    [
      'a long extended header',
      joined([first, member({ name: 'p', flag: 'x', raw: { 124: bytes('77777777777') } }), filler]),
      {},
      'first',
      2 ** 20,
    ],
    [
      'many extended headers',
      joined([first, ...Array.from({ length: 9 }, () => pax([['comment', 'x'.repeat(900)]])), filler]),
      { header: 9000 },
      'first',
      9000,
    ],
    [
      'a long GNU name header',
      joined([first, member({ name: 'L', flag: 'L', raw: { 124: bytes('77777777777') } }), filler]),
      {},
      'first',
      2 ** 20,
    ],
    ['a file too large', huge('big', '40000000000'), { file: 2 ** 32 - 1 }, 'big', 2 ** 32 - 1],
    [
      'a PAX size of petabytes',
      joined([pax([['size', '9007199254740991']]), huge('big', '00000000000')]),
      {},
      'big',
      2 ** 36,
    ],
    ['an archive too large', joined([first, huge('big', '00100000000')]), { total: 2 ** 20 }, 'big', 2 ** 20],
    [
      'a sparse file of 70 GiB',
      joined([...sparse('0,4', '75161927680', new Uint8Array(4)), filler]),
      {},
      'holes',
      2 ** 36,
    ],
    [
      'a sparse file of 9 GiB that are zeros',
      joined([...sparse('0,4', '9663676416', new Uint8Array(4)), filler]),
      {},
      'holes',
      2 ** 33,
    ],
    [
      'zeros of sparse files',
      joined([...sparse('0,4', '4000', new Uint8Array(4)), filler]),
      { holes: 3995 },
      'holes',
      3995,
    ],
  ])('%s', async (_, tar, limits, name, limit) => {
    const input = source(joined([tar, filler]), 16_384)
    const error = await (async () => {
      for await (const _entry of readTar(input, { ...defaultLimits, ...limits }));
    })().catch((thrown) => thrown)
    expect(error).toMatchObject({ code: 'ARCHIVE_LIMIT', message: expect.stringContaining(name) })
    expect(error.message).toContain(`limit is ${limit}`)
    expect(error.message.length).toBeLessThan(400)
    expect(input.taken).toBeLessThan(100_000)
  })
})

test('a tar that was damaged anywhere gives entries or an error with a code, and ends', async () => {
  const whole = archive(
    pax([['comment', 'global']], 'g'),
    pax([
      ['path', utf8('größe')],
      ['SCHILY.xattr.user.a', 'b'],
      ['uid', '70000'],
    ]),
    member({ name: 'x', data: bytes('content') }),
    member({ name: 'L', flag: 'L', data: bytes(`${'n'.repeat(150)}\0`) }),
    member({ name: 'n', flag: '5' }),
    ...sparse('0,4,8,2', '20', new Uint8Array(6)),
    member({ name: 'link', flag: '2', link: 'x' }),
    member({ name: 'hard', flag: '1', link: 'x' }),
    member({ name: 'dev', flag: '3' }),
  )
  const damage = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) })
  await fc.assert(
    fc.asyncProperty(
      fc.array(damage, { minLength: 1, maxLength: 6 }),
      fc.nat(whole.length),
      fc.boolean(),
      async (damages, cut, fixed) => {
        const tar = whole.slice(0, cut % 3 === 0 ? cut : whole.length)
        for (const { at, byte } of damages) if (at < tar.length) tar[at] = byte
        if (fixed) repair(tar)
        try {
          expect((await entriesOf(tar)).length).toBeLessThan(20)
        } catch (error) {
          if (!(error instanceof AppError)) throw error
          expect(error.code).toMatch(/^ARCHIVE_/)
        }
      },
    ),
    { numRuns: 2000 },
  )
})

/** Makes the checksum of every block that looks like a header right again, so that damage gets past it. */
function repair(tar: Uint8Array): void {
  for (let at = 0; at + 512 <= tar.length; at += 512) {
    const block = tar.subarray(at, at + 512)
    if (byteString(block.subarray(257, 262)) !== 'ustar') continue
    block.fill(0x20, 148, 156)
    const sum = block.reduce((total, byte) => total + byte, 0)
    block.set(bytes(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
  }
}
