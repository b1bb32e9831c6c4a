import { execFileSync } from 'node:child_process'
import {
  closeSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { byteString, bytesOf } from '../../src/archive/byte-string.ts'
import { defaultLimits } from '../../src/archive/limits.ts'
import { type PaxEntry, paxHeader, paxPadding, paxTrailer } from '../../src/archive/pax-writer.ts'
import { readTar, type TarEntry } from '../../src/archive/tar.ts'
import { joined, source } from './tar-writer.ts'

/** A header as text: what is zero is left out, each field on a line. */
function fieldsOf(header: Uint8Array): string {
  const lines: string[] = []
  for (let at = 0; at < header.length; at += 512) {
    const block = byteString(header.subarray(at, at + 512))
    const names = { 0: 'name', 100: 'mode', 108: 'uid', 116: 'gid', 124: 'size', 136: 'mtime', 148: 'sum', 156: 'flag' }
    const more = { 157: 'link', 257: 'magic', 265: 'owner', 297: 'group', 329: 'major', 337: 'minor', 345: 'prefix' }
    const all = Object.entries({ ...names, ...more })
    if (block.slice(257, 262) !== 'ustar') lines.push(`data ${JSON.stringify(block.replace(/\0+$/, ''))}`)
    else
      for (const [index, [start, name]] of all.entries()) {
        const text = block.slice(Number(start), Number(all[index + 1]?.[0] ?? 512)).replace(/\0+$/, '')
        if (text !== '') lines.push(`${name} ${JSON.stringify(text)}`)
      }
    lines.push('')
  }
  return lines.join('\n')
}

const common = { mode: 0o644, uid: 0, gid: 0, mtime: 1_700_000_000 }

/** A whole archive; a file's bytes are the letter x. */
const archiveOf = (entries: PaxEntry[]): Uint8Array<ArrayBuffer> =>
  joined([
    ...entries.flatMap((entry) => {
      const size = entry.type === 'file' ? entry.size : 0
      return [paxHeader(entry), new Uint8Array(size).fill(0x78), new Uint8Array(paxPadding(size))]
    }),
    paxTrailer(),
  ])

describe('the header', () => {
  test('of a plain file is one block of ustar, without names of owners', () => {
    const header = paxHeader({
      path: 'usr/bin/sudo',
      ...common,
      mode: 0o4755,
      uid: 10,
      gid: 0o7777777,
      type: 'file',
      size: 9,
    })
    expect(fieldsOf(header)).toMatchInlineSnapshot(`
      "name "usr/bin/sudo"
      mode "0004755"
      uid "0000012"
      gid "7777777"
      size "00000000011"
      mtime "14524770400"
      sum "011610\\u0000 "
      flag "0"
      magic "ustar\\u000000"
      major "0000000"
      minor "0000000"
      "
    `)
    expect(header.length).toBe(512)
  })

  test('of a directory has a slash, of a device its numbers, of a link its target', () => {
    expect(fieldsOf(paxHeader({ path: 'etc', ...common, mtime: 0, type: 'directory' }))).toMatchInlineSnapshot(`
      "name "etc/"
      mode "0000644"
      uid "0000000"
      gid "0000000"
      size "00000000000"
      mtime "00000000000"
      sum "007755\\u0000 "
      flag "5"
      magic "ustar\\u000000"
      major "0000000"
      minor "0000000"
      "
    `)
    expect(
      fieldsOf(paxHeader({ path: 'null', ...common, type: 'character', major: 1, minor: 3 })),
    ).toMatchInlineSnapshot(`
      "name "null"
      mode "0000644"
      uid "0000000"
      gid "0000000"
      size "00000000000"
      mtime "14524770400"
      sum "010141\\u0000 "
      flag "3"
      magic "ustar\\u000000"
      major "0000001"
      minor "0000003"
      "
    `)
    expect(fieldsOf(paxHeader({ path: 'bin', ...common, type: 'link', target: 'usr/bin' }))).toMatchInlineSnapshot(`
      "name "bin"
      mode "0000644"
      uid "0000000"
      gid "0000000"
      size "00000000000"
      mtime "14524770400"
      sum "011234\\u0000 "
      flag "2"
      link "usr/bin"
      magic "ustar\\u000000"
      major "0000000"
      minor "0000000"
      "
    `)
  })

  test('has the bytes of a name as they are, and no record of them', () => {
    const header = paxHeader({ path: 'caf\xc3\xa9/\xff', ...common, type: 'file', size: 0 })
    expect(byteString(header.subarray(0, 8))).toBe('caf\xc3\xa9/\xff\0')
    expect(header.length).toBe(512)
  })

  test('splits a long path at a slash where it can', () => {
    const path = `${'d'.repeat(155)}/${'n'.repeat(99)}`
    expect(paxHeader({ path: `${path}n`, ...common, type: 'file', size: 0 }).length).toBe(512)
    expect(paxHeader({ path: `d${path}`, ...common, type: 'file', size: 0 }).length).toBe(512 * 3)
    expect(paxHeader({ path: `${path}nn`, ...common, type: 'file', size: 0 }).length).toBe(512 * 3)
    expect(paxHeader({ path, ...common, type: 'directory' }).length).toBe(512)
  })

  test('is extended by what ustar has no room for, in the order of the keys', () => {
    const long = 'n'.repeat(101)
    const xattrs = new Map([
      ['user.b=%', bytesOf('\0=\n')],
      ['security.capability', bytesOf('\x01\xff')],
    ])
    const header = paxHeader({
      path: long,
      ...common,
      uid: 2 ** 21,
      mtime: 2 ** 33,
      xattrs,
      type: 'file',
      size: 2 ** 33,
    })
    expect(fieldsOf(header)).toMatchInlineSnapshot(`
      "name "PaxHeaders"
      mode "0000644"
      uid "0000000"
      gid "0000000"
      size "00000000355"
      mtime "00000000000"
      sum "011267\\u0000 "
      flag "x"
      magic "ustar\\u000000"
      major "0000000"
      minor "0000000"

      data "39 SCHILY.xattr.security.capability=\\u0001ÿ\\n33 SCHILY.xattr.user.b%3D%25=\\u0000=\\n\\n20 mtime=8589934592\\n111 path=nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\\n19 size=8589934592\\n15 uid=2097152\\n"

      name "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
      mode "0000644"
      uid "\\u0000\\u0000\\u0000\\u0000 "
      gid "0000000"
      size "\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0002"
      mtime "\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0002"
      sum "032651\\u0000 "
      flag "0"
      magic "ustar\\u000000"
      major "0000000"
      minor "0000000"
      "
    `)
  })

  test('has names that are long and not ASCII where GNU tar has them', () => {
    const path = `\xff${'n'.repeat(100)}`
    expect(fieldsOf(paxHeader({ path, ...common, type: 'hardlink', target: `${path}/` }))).toMatchInlineSnapshot(`
      "name "././@LongLink"
      mode "0000644"
      uid "0000000"
      gid "0000000"
      size "00000000146"
      mtime "00000000000"
      sum "011274\\u0000 "
      flag "L"
      magic "ustar\\u000000"
      major "0000000"
      minor "0000000"

      data "ÿnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

      name "././@LongLink"
      mode "0000644"
      uid "0000000"
      gid "0000000"
      size "00000000147"
      mtime "00000000000"
      sum "011274\\u0000 "
      flag "K"
      magic "ustar\\u000000"
      major "0000000"
      minor "0000000"

      data "ÿnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn/"

      name "ÿnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
      mode "0000644"
      uid "0000000"
      gid "0000000"
      size "00000000000"
      mtime "14524770400"
      sum "062662\\u0000 "
      flag "1"
      link "ÿnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
      magic "ustar\\u000000"
      major "0000000"
      minor "0000000"
      "
    `)
  })

  test('of a hard link has no attributes', () => {
    const xattrs = new Map([['user.a', bytesOf('b')]])
    expect(paxHeader({ path: 'b', ...common, xattrs, type: 'hardlink', target: 'a' }).length).toBe(512)
  })
})

/** A part of a path: bytes, of which few are usual, and some too many for ustar. */
const part = fc
  .oneof(
    fc.stringMatching(/^[a-z]{1,8}$/),
    fc.uint8Array({ minLength: 1, maxLength: 255 }).map((bytes) => byteString(bytes).replace(/[\0/]/g, 'x')),
    fc.integer({ min: 60, max: 255 }).map((length) => 'l'.repeat(length)),
  )
  .filter((text) => text !== '.' && text !== '..')
const path = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'))
const number = (bits: number) => fc.oneof(fc.nat(4096), fc.bigInt(0n, 2n ** BigInt(bits) - 2n).map(Number))
const xattrs = fc
  .uniqueArray(
    fc.tuple(
      fc.uint8Array({ minLength: 1, maxLength: 60 }).map((bytes) => `user.${byteString(bytes).replaceAll('\0', 'x')}`),
      fc.uint8Array({ maxLength: 700 }).map((bytes) => new Uint8Array(bytes)),
    ),
    { maxLength: 3, selector: ([name]) => name },
  )
  .map((pairs) => new Map(pairs))
const entry: fc.Arbitrary<PaxEntry> = fc
  .record({ path, mode: fc.nat(0o7777), uid: number(32), gid: number(32), mtime: number(36), xattrs })
  .chain((common) =>
    fc.oneof(
      fc.nat(2000).map((size): PaxEntry => ({ ...common, type: 'file', size })),
      path.map((target): PaxEntry => ({ ...common, type: 'link', target })),
      path.map((target): PaxEntry => ({ ...common, type: 'hardlink', target })),
      fc
        .tuple(number(24), number(24))
        .map(([major, minor]): PaxEntry => ({ ...common, type: 'character', major, minor })),
      fc.constant<PaxEntry>({ ...common, type: 'directory' }),
      fc.constant<PaxEntry>({ ...common, type: 'fifo' }),
    ),
  )

test('what is written is read back by our reader', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 8 }), async (entries) => {
      const read: TarEntry[] = []
      for await (const one of readTar(source(archiveOf(entries)), defaultLimits)) read.push(one)
      expect(read.map(comparable)).toEqual(entries.map(comparable))
    }),
    { numRuns: 300 },
  )
})

/** What both forms of an entry say. */
function comparable(given: TarEntry | PaxEntry): unknown {
  const { path, mode, uid, gid, mtime, type } = given
  return {
    ...{ path: path.replace(/\/$/, ''), mode, uid, gid, mtime, type },
    ...('size' in given && { size: given.size }),
    ...('target' in given && { target: given.target }),
    ...('major' in given && { major: given.major, minor: given.minor }),
    xattrs:
      given.type === 'hardlink' ? [] : [...(given.xattrs ?? [])].map(([name, value]) => [name, [...value]]).sort(),
  }
}

/** Entries that are hard to read, in a tree. */
const hard: PaxEntry[] = [
  { path: './', ...common, mode: 0o755, mtime: 0, type: 'directory' },
  { path: 'd'.repeat(120), ...common, mode: 0o750, uid: 5, gid: 6, mtime: 0, type: 'directory' },
  {
    path: `${'d'.repeat(120)}/${'f'.repeat(130)}`,
    ...common,
    mode: 0o4711,
    uid: 3_000_000,
    gid: 4_294_967_294,
    type: 'file',
    size: 700,
  },
  { path: 'second', ...common, type: 'hardlink', target: `${'d'.repeat(120)}/${'f'.repeat(130)}` },
  { path: `caf\xc3\xa9-${'\xff'.repeat(140)}`, ...common, type: 'file', size: 1 },
  { path: 'third', ...common, type: 'hardlink', target: `caf\xc3\xa9-${'\xff'.repeat(140)}` },
  { path: 'symlink', ...common, mode: 0o777, type: 'link', target: 't'.repeat(300) },
  { path: 'late', ...common, mtime: 2 ** 33 + 1, type: 'file', size: 0 },
  { path: 'null', ...common, mode: 0o666, type: 'character', major: 1, minor: 3 },
  { path: 'disk', ...common, mode: 0o660, gid: 6, type: 'block', major: 259, minor: 1_000_000 },
  { path: 'pipe', ...common, type: 'fifo' },
  { path: 'new\nline', ...common, type: 'file', size: 512 },
]

// Packages tar, libarchive-tools and busybox-static. Must run as root, as a node does.
describe.each([
  ['GNU tar', 'tar', ['-x', '-p', '--xattrs', '--xattrs-include=*', '-f']],
  ['bsdtar', 'bsdtar', ['-x', '-p', '-f']],
  ['busybox tar', 'busybox', ['tar', '-x', '-p', '-f']],
])('%s', (_name, program, args) => {
  test.each(['C', 'C.UTF-8'])('unpacks names, numbers and links as they were written, in the locale %s', (locale) => {
    const folder = mkdtempSync(join(tmpdir(), 'muster-pax-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const complaints = execFileSync(program, [...args, '-'], {
      cwd: folder,
      input: archiveOf(hard),
      env: { ...process.env, LC_ALL: locale },
      encoding: 'utf8',
      stdio: 'pipe',
    })
    expect(complaints).toBe('')
    const base = Buffer.from(`${folder}/`)
    const at = (path: string) => Buffer.concat([base, bytesOf(path)])
    const names = readdirSync(base, { encoding: 'buffer' }).map((name) => byteString(name))
    const top = hard.map(({ path }) => path).filter((path) => !path.includes('/'))
    expect(names.sort()).toEqual([...top].sort())
    for (const entry of hard.slice(1)) {
      const first = hard.find(({ path }) => entry.type === 'hardlink' && path === entry.target) ?? entry
      const stat = lstatSync(at(entry.path))
      expect([entry.path, stat.uid, stat.gid]).toEqual([entry.path, first.uid, first.gid])
      if (first.type !== 'link') expect([entry.path, stat.mode & 0o7777]).toEqual([entry.path, first.mode])
      if (first.type === 'file') {
        expect([entry.path, stat.mtimeMs / 1000]).toEqual([entry.path, first.mtime])
        expect(readFileSync(at(entry.path), 'latin1')).toBe('x'.repeat(first.size))
      }
      if (entry.type === 'hardlink') expect(stat.ino).toBe(lstatSync(at(first.path)).ino)
      if (entry.type === 'link') expect(readlinkSync(at(entry.path))).toBe(entry.target)
      if ('major' in entry) expect([entry.path, ...device(stat.rdev)]).toEqual([entry.path, entry.major, entry.minor])
    }
    expect(lstatSync(at('pipe')).isFIFO()).toBe(true)
  })
})

/** Linux, new_encode_dev: twelve bits of major, the minor around them. */
const device = (rdev: number): [number, number] => [(rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00)]

test('GNU tar unpacks extended attributes, with any bytes in them', () => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-pax-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const xattrs = new Map([
    ['user.a=b%c', bytesOf('\0=\n\xff')],
    // File capabilities, cap_net_raw+ep: struct vfs_cap_data of linux/capability.h.
    ['security.capability', bytesOf(`\x01\0\0\x02\0\x20\0\0${'\0'.repeat(12)}`)],
  ])
  const input = archiveOf([{ path: 'ping', ...common, xattrs, type: 'file', size: 3 }])
  execFileSync('tar', ['-x', '-p', '--xattrs', '--xattrs-include=*', '-f', '-'], { cwd: folder, input })
  const dump = execFileSync('getfattr', ['-d', '-m', '-', '-e', 'hex', 'ping'], { cwd: folder, encoding: 'utf8' })
  expect(dump).toBe(
    '# file: ping\nsecurity.capability=0x0100000200200000000000000000000000000000\nuser.a\\075b%c=0x003d0aff\n\n',
  )
})

test.each([
  ['GNU tar', 'tar', ['-tvf']],
  ['bsdtar', 'bsdtar', ['-tvf']],
  ['busybox tar', 'busybox', ['tar', '-tvf']],
])('%s reads a size beyond the octal digits of ustar', (_name, program, args) => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-pax-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'huge.tar')
  const size = 2 ** 33 + 5
  writeFileSync(file, paxHeader({ path: 'huge', ...common, type: 'file', size }))
  const next = paxHeader({ path: 'next', ...common, type: 'file', size: 7 })
  // The data is a hole, so that the file takes no room.
  const handle = openSync(file, 'r+')
  writeSync(handle, next, 0, next.length, 3 * 512 + size + paxPadding(size))
  closeSync(handle)
  truncateSync(file, 3 * 512 + size + paxPadding(size) + next.length + 512 + 1024)
  const listing = execFileSync(program, [...args, file], { encoding: 'utf8' })
  expect(listing).toMatch(/ 8589934597 .* huge\n.* 7 .* next\n/)
})
