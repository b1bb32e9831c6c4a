import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CpioEntry, cpioHeader, packCpio } from '../../src/archive/cpio.ts'
import { AppError } from '../../src/errors.ts'
import { readCpio } from './cpio-reader.ts'
import { bytes, joined, utf8 } from './tar-writer.ts'

const owner = { uid: 0, gid: 0 }
const cast: CpioEntry[] = [
  { path: 'etc', type: 'directory', mode: 0o755, ...owner },
  { path: 'etc/motd', type: 'file', mode: 0o644, uid: 7, gid: 9, content: bytes('hello\n') },
  { path: 'etc/empty', type: 'file', mode: 0o600, ...owner, content: new Uint8Array(0) },
  { path: 'etc/größe', type: 'file', mode: 0o4755, ...owner, content: bytes('x') },
  { path: 'etc/link', type: 'link', mode: 0o777, ...owner, target: 'motd' },
]

describe('a packed cpio', () => {
  test('is what GNU cpio lists', () => {
    const listing = execFileSync('cpio', ['-itv', '--numeric-uid-gid'], {
      input: packCpio(cast),
      env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    expect(listing.toString()).toBe(
      [
        'drwxr-xr-x   2 0        0               0 Jan  1  1970 etc',
        '-rw-r--r--   1 7        9               6 Jan  1  1970 etc/motd',
        '-rw-------   1 0        0               0 Jan  1  1970 etc/empty',
        '-rwsr-xr-x   1 0        0               1 Jan  1  1970 etc/größe',
        'lrwxrwxrwx   1 0        0               4 Jan  1  1970 etc/link -> motd',
        '',
      ].join('\n'),
    )
  })

  test('keeps a multiple of 4, so that another can follow, and the kernel forgets inode numbers in between', () => {
    expect(packCpio(cast).length % 4).toBe(0)
    expect(packCpio([]).length % 4).toBe(0)
    const two = joined([packCpio(cast.slice(0, 2)), packCpio(cast.slice(2))])
    expect(() => readCpio(two)).toThrow('follow the trailer')
  })

  test('holds every entry as it was given, whatever it is', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }).filter((text) => !text.includes('\0'))
    const common = { path: name, mode: fc.nat(0o7777), uid: fc.nat(), gid: fc.nat(0xffffffff) }
    const entry = fc.oneof(
      fc.record({ ...common, type: fc.constant('file' as const), content: fc.uint8Array({ maxLength: 40 }) }),
      fc.record({ ...common, type: fc.constant('link' as const), target: name }),
      fc.record({ ...common, type: fc.constant('directory' as const) }),
    )
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 8 }), (entries) => {
        const found = readCpio(packCpio(entries))
        expect(found.map(({ name, uid, gid }) => ({ name, uid, gid }))).toEqual(
          entries.map(({ path, uid, gid }) => ({ name: utf8(path), uid, gid })),
        )
        expect(found.map(({ mode }) => mode & 0o7777)).toEqual(entries.map(({ mode }) => mode))
        expect(found.map(({ data }) => [...data])).toEqual(
          entries.map((entry) =>
            entry.type === 'file' ? [...entry.content] : entry.type === 'link' ? [...bytes(entry.target)] : [],
          ),
        )
        expect(new Set(found.map(({ ino }) => ino)).size).toBe(entries.length)
      }),
    )
  })
})

describe('what a cpio cannot hold is refused by name:', () => {
  const file = (path: string) => () =>
    packCpio([{ path, type: 'file', mode: 0o644, ...owner, content: new Uint8Array(0) }])
  const header = (change: object) => () =>
    cpioHeader({ name: bytes('var/big'), mode: 0o100644, ino: 1, ...owner, links: 1, size: 0, ...change })
  test.each([
    ['a file of 4 GiB', header({ size: 2 ** 32 }), 'ARCHIVE_LIMIT', 'var/big'],
    ['an owner beyond 32 bits', header({ uid: 2 ** 32 }), 'ARCHIVE_LIMIT', 'var/big'],
    ['an owner below 0', header({ gid: -1 }), 'ARCHIVE_LIMIT', 'var/big'],
    ['a link target beyond PATH_MAX', header({ mode: 0o120777, size: 4096 }), 'ARCHIVE_LIMIT', 'var/big'],
    ['a name beyond PATH_MAX', file('n'.repeat(4096)), 'ARCHIVE_LIMIT', 'nnnnn'],
    ['a name with NUL', file('a\0b'), 'ARCHIVE_INVALID', 'a\0b'],
    ['no name', file(''), 'ARCHIVE_INVALID', 'no name'],
    ['the name of the trailer', file('TRAILER!!!'), 'ARCHIVE_INVALID', 'TRAILER!!!'],
  ])('%s', (_, pack, code, name) => {
    expect(pack).toThrow(AppError)
    expect(pack).toThrow(expect.objectContaining({ code, message: expect.stringContaining(name) }))
  })

  test('but the largest that it can hold are taken', () => {
    expect(header({ size: 2 ** 32 - 1, uid: 2 ** 32 - 1 })).not.toThrow()
    expect(file('n'.repeat(4095))).not.toThrow()
  })
})
