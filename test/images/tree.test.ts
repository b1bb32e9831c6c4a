import { describe, expect, test } from 'vitest'
import { type ArchiveLimits, defaultLimits } from '../../src/archive/limits.ts'
import { readTar } from '../../src/archive/tar.ts'
import { AppError } from '../../src/errors.ts'
import { createTree, type Tree } from '../../src/images/tree.ts'
import { archive, bytes, type Member, member, pax, source } from '../archive/tar-writer.ts'

/** The tree of an archive: members, or bytes where something stands before a member. */
async function treeOf(members: (Member | Uint8Array)[], limits: Partial<ArchiveLimits> = {}): Promise<Tree> {
  const tar = archive(...members.map((part) => (part instanceof Uint8Array ? part : member(part))))
  const builder = createTree({ ...defaultLimits, ...limits })
  for await (const entry of readTar(source(tar))) builder.add(entry)
  return builder.finish()
}

const dir = (name: string, more: Partial<Member> = {}): Member => ({ name, flag: '5', mode: 0o755, ...more })
const link = (name: string, to: string): Member => ({ name, flag: '2', link: to })
const hard = (name: string, to: string): Member => ({ name, flag: '1', link: to })

describe('a tree', () => {
  test('has its paths without dots and slashes, in the order of their bytes, parents first', async () => {
    const tree = await treeOf([
      dir('./'),
      { name: './b//c/./d' },
      dir('/a/'),
      { name: 'a-b' },
      { name: '\xff' },
      { name: 'a/z' },
      { name: '..d' },
    ])
    expect(tree.paths).toEqual(['', '..d', 'a', 'a-b', 'a/z', 'b', 'b/c', 'b/c/d', '\xff'])
  })

  test('has the directories that the archive forgot, until it names them', async () => {
    const tree = await treeOf([{ name: 'a/b/c' }, dir('a/b', { mode: 0o700, uid: 5 })])
    expect(tree.get('a')).toMatchObject({ type: 'directory', mode: 0o755, uid: 0 })
    expect(tree.get('a/b')).toMatchObject({ type: 'directory', mode: 0o700, uid: 5 })
  })

  test('keeps owners, set-user-ID, devices and pipes, and one inode for the names of one file', async () => {
    const tree = await treeOf([
      { name: 'su', mode: 0o4755, uid: 3, gid: 4, data: bytes('x') },
      { name: 'null', flag: '3', raw: { 329: bytes('0000001\0'), 337: bytes('0000003\0') } },
      { name: 'disk', flag: '4', raw: { 329: bytes('0000010\0') } },
      { name: 'pipe', flag: '6' },
      hard('sudo', './su'),
      hard('nul', 'null'),
    ])
    expect(tree.get('su')).toMatchObject({ type: 'file', mode: 0o4755, uid: 3, gid: 4, size: 1 })
    expect(tree.get('null')).toMatchObject({ type: 'character', major: 1, minor: 3 })
    expect(tree.get('disk')).toMatchObject({ type: 'block', major: 8, minor: 0 })
    expect(tree.get('pipe')).toMatchObject({ type: 'fifo' })
    expect(tree.get('sudo')).toBe(tree.get('su'))
    expect(tree.get('nul')).toBe(tree.get('null'))
  })

  test('takes the same directory twice', async () => {
    const attribute = pax([['SCHILY.xattr.user.a', 'b']])
    expect((await treeOf([dir('a'), dir('a/'), attribute, dir('b'), attribute, dir('b')])).paths).toEqual([
      '',
      'a',
      'b',
    ])
  })

  test('leaves out sockets and ACLs, and says so', async () => {
    const acl = pax([['SCHILY.acl.access', 'user::rwx']])
    const tree = await treeOf([
      pax([['SCHILY.filetype', 'socket']]),
      { name: 'run/s' },
      acl,
      { name: 'f' },
      acl,
      dir('d'),
    ])
    expect(tree.paths).toEqual(['', 'd', 'f'])
    expect(tree.warnings).toEqual(['left out 1 socket (run/s)', 'left out 2 ACLs (f, d)'])
  })
})

describe('links are followed', () => {
  const members = [
    dir('usr/lib'),
    link('lib', 'usr/lib'),
    { name: 'usr/lib/os-release', data: bytes('x') },
    link('etc', '/usr/etc'),
    link('usr/etc', '../../../../usr/lib'),
    link('loop', 'loop'),
    link('ping', 'pong'),
    link('pong', './ping'),
    link('gone', 'nowhere/at/all'),
    link('up', '..'),
  ]
  test.each([
    ['lib/os-release', 'usr/lib/os-release'],
    ['etc/os-release', 'usr/lib/os-release'],
    ['up/lib/../lib/os-release', 'usr/lib/os-release'],
    ['up', ''],
    ['../../usr', 'usr'],
    ['loop', undefined],
    ['ping', undefined],
    ['gone', undefined],
    ['lib/nothing', undefined],
    ['usr/lib/os-release/below', undefined],
  ])('inside the tree: %s leads to %s', async (path, expected) => {
    expect((await treeOf(members)).resolve(path)).toBe(expected)
  })

  test('and names are those of the directory that a path leads to', async () => {
    const tree = await treeOf(members)
    expect(tree.names('etc')).toEqual(['os-release'])
    expect(tree.names('')).toContain('usr')
    expect([tree.names('loop'), tree.names('usr/lib/os-release')]).toEqual([[], []])
    expect(tree.file('etc/os-release')?.size).toBe(1)
    expect(tree.file('lib')).toBeUndefined()
  })
})

describe('a trick is refused with the name of its entry:', () => {
  test.each<[string, (Member | Uint8Array)[], string]>([
    ['.. at the start', [{ name: '../etc/passwd' }], '../etc/passwd'],
    ['.. in the middle', [{ name: 'a/../../b' }], 'a/../../b'],
    ['.. behind a slash', [{ name: '/../b' }], '/../b'],
    ['.. at the end', [dir('a/..')], 'a/..'],
    ['.. in a PAX name', [pax([['path', 'x/../y']]), { name: 'z' }], 'x/../y'],
    ['.. in a GNU name', [member({ name: 'L', flag: 'L', data: bytes('x/../y\0') }), { name: 'z' }], 'x/../y'],
    ['the root as a link (CVE-2021-29136)', [link('.', '/etc'), { name: 'passwd' }], '.: '],
    ['the root as a link, with a slash', [link('./', '/etc')], './'],
    ['a file below an absolute link (CVE-2021-32803)', [link('a', '/etc'), { name: 'a/passwd' }], 'a/passwd'],
    ['a file below a link that stays inside', [dir('b'), link('a', 'b'), { name: 'a/c' }], 'a/c'],
    ['a file far below a link', [link('a', '../..'), { name: 'a/b/c/d' }], 'a/b/c/d'],
    ['a file below a link, spelled oddly', [link('a', '/etc'), { name: './a//./b' }], 'a/b'],
    ['a directory that becomes a link (CVE-2021-32803)', [dir('a'), link('a', '/etc'), { name: 'a/b' }], 'a: '],
    ['a link that becomes a directory', [link('a', '/etc'), dir('a')], 'a: '],
    ['a made directory that becomes a link', [{ name: 'a/b' }, link('a', '/etc')], 'a: '],
    ['a file that becomes a link', [{ name: 'a' }, link('a', '/etc/passwd')], 'a: '],
    ['a link that becomes a file', [link('a', '/etc/passwd'), { name: 'a' }], 'a: '],
    ['a file twice', [{ name: 'a' }, { name: './a' }], 'a: '],
    ['a directory twice, but not the same', [dir('a'), dir('a', { mode: 0o777 })], 'a: '],
    ['a directory twice, with other attributes', [dir('a'), pax([['SCHILY.xattr.user.a', 'b']]), dir('a')], 'a: '],
    ['a file below a file', [{ name: 'a' }, { name: 'a/b' }], 'a/b'],
    ['a file below a device', [{ name: 'a', flag: '3' }, { name: 'a/b' }], 'a/b'],
    ['a hard link out of the tree', [hard('a', '../../etc/shadow')], 'a: '],
    ['a hard link to an absolute path', [hard('a', '/etc/shadow')], 'a: '],
    ['a hard link to what comes later', [hard('a', 'b'), { name: 'b' }], 'a: '],
    ['a hard link to itself', [hard('a', 'a')], 'a: '],
    ['a hard link to a directory', [dir('d'), hard('a', 'd')], 'a: '],
    ['a hard link to the root', [hard('a', './')], 'a: '],
    [
      'a hard link through a link (CVE-2026-26960)',
      [dir('d'), { name: 'd/f' }, link('l', 'd'), hard('a', 'l/f')],
      'a: ',
    ],
    ['a hard link in place of a file', [{ name: 'a' }, { name: 'b' }, hard('b', 'a')], 'b: '],
  ])('%s', async (_, members, name) => {
    const error = await treeOf(members).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(AppError)
    expect(error).toMatchObject({ code: 'ARCHIVE_INVALID', message: expect.stringContaining(name) })
  })

  test('but links that only point somewhere are what images are full of', async () => {
    const tree = await treeOf([link('a', '/etc/passwd'), link('b', '../../..'), link('c', 'not/there'), hard('d', 'a')])
    expect(tree.paths).toEqual(['', 'a', 'b', 'c', 'd'])
  })
})

describe('a tree that grows too large is refused with the name of an entry:', () => {
  const many = Array.from({ length: 40 }, (_, at) => ({ name: `${'d/'.repeat(30)}f${at}` }))
  test.each<[string, (Member | Uint8Array)[], Partial<ArchiveLimits>]>([
    ['directories that it implies', [{ name: `${'d/'.repeat(45)}f` }], { entries: 20 }],
    ['names', many, { index: 3000 }],
    ['link targets', [link('l', 'd'.repeat(99)), link('m', 'd'.repeat(99))], { index: 150 }],
    ['attributes', [pax([['SCHILY.xattr.user.d', 'v'.repeat(999)]]), { name: 'd' }], { index: 900 }],
  ])('%s', async (_, members, limits) => {
    const error = await treeOf(members, limits).catch((thrown) => thrown)
    expect(error).toMatchObject({ code: 'ARCHIVE_LIMIT', message: expect.stringMatching(/^[dlm/]/) })
  })
})
