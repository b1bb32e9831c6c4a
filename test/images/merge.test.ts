import { describe, expect, test } from 'vitest'
import type { ArchiveLimits } from '../../src/archive/limits.ts'
import { AppError } from '../../src/errors.ts'
import type { Whiteouts } from '../../src/images/layer.ts'
import { mergeLayers, mergeSteps } from '../../src/images/merge.ts'
import { bytes, type Member, member, pax } from '../archive/tar-writer.ts'
import { dir, hard, layerOf, link, listing, type Parts, treeOfLayers } from './layers-of.ts'

const file = (name: string, text = '', more: Partial<Member> = {}): Member => ({ name, data: bytes(text), ...more })
const treeOf = (parts: Parts) => treeOfLayers([parts])
const xattr = (name: string, value: string | Uint8Array) => pax([[`SCHILY.xattr.${name}`, value]])

describe('a layer', () => {
  test('has its paths without dots and slashes, in the order of their bytes, parents first', async () => {
    const tree = await treeOf([
      dir('./'),
      { name: './b//c/./d' },
      dir('/a/'),
      { name: 'a-b' },
      { name: '\xff' },
      { name: 'a/z' },
      { name: '..d' },
      { name: '.../e.' },
    ])
    expect(tree.paths).toEqual(['', '...', '.../e.', '..d', 'a', 'a-b', 'a/z', 'b', 'b/c', 'b/c/d', '\xff'])
  })

  test('has the directories that the archive forgot, until it names them', async () => {
    const tree = await treeOf([{ name: 'a/b/c' }, dir('a/b', { mode: 0o700, uid: 5 })])
    expect(tree.get('a')).toMatchObject({ type: 'directory', implied: true, mode: 0o755, uid: 0, mtime: 0 })
    expect(tree.get('a/b')).toMatchObject({ type: 'directory', implied: false, mode: 0o700, uid: 5 })
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
    expect(tree.get('su')).toMatchObject({ type: 'file', mode: 0o4755, uid: 3, gid: 4, size: 1, links: 2 })
    expect(tree.get('null')).toMatchObject({ type: 'character', major: 1, minor: 3 })
    expect(tree.get('disk')).toMatchObject({ type: 'block', major: 8, minor: 0 })
    expect(tree.get('pipe')).toMatchObject({ type: 'fifo', links: 1 })
    expect(tree.get('sudo')).toBe(tree.get('su'))
    expect(tree.get('nul')).toBe(tree.get('null'))
  })

  test('takes the same directory twice', async () => {
    const attribute = xattr('user.a', 'b')
    const tree = await treeOf([dir('a'), dir('a/'), attribute, dir('b'), attribute, dir('b')])
    expect(tree.paths).toEqual(['', 'a', 'b'])
  })

  test('leaves out sockets and ACLs that are there in the end, and says so', async () => {
    const acl = pax([['SCHILY.acl.access', 'user::rwx']])
    const socket = pax([['SCHILY.filetype', 'socket']])
    const tree = await treeOfLayers([
      [socket, { name: 'run/s' }, socket, { name: 'run/t' }, acl, { name: 'f' }, acl, { name: 'g' }, acl, dir('d')],
      [file('.wh.g'), file('run/.wh.t')],
    ])
    expect(tree.paths).toEqual(['', 'd', 'f', 'run'])
    expect(tree.warnings).toEqual(['left out 1 socket (run/s)', 'left out 2 ACLs (d, f)'])
  })

  test('keeps attributes byte by byte', async () => {
    const capability = Uint8Array.of(1, 0, 0, 2, 0, 0x20, 0, 0, 0, 10, 0x3d, 0xff, 0, 0, 0, 0, 0, 0, 0, 0)
    const tree = await treeOf([xattr('security.capability', capability), { name: 'usr/bin/ping' }])
    expect(tree.get('usr/bin/ping')?.xattrs).toEqual(new Map([['security.capability', capability]]))
  })
})

describe('a later layer', () => {
  test('replaces a file, whatever stands there instead', async () => {
    const lower = [file('a', 'old'), file('b', 'old'), file('c', 'old'), link('l', 'a')]
    const tree = await treeOfLayers([
      lower,
      [file('a', 'newer', { mode: 0o600 }), dir('b'), link('c', 'a'), { name: 'l', flag: '6' }],
    ])
    expect(listing(tree)).toEqual([
      'directory 755 0:0 1 .',
      'file 600 0:0 1 a 5',
      'directory 755 0:0 1 b',
      'link 777 0:0 1 c -> a',
      'fifo 644 0:0 1 l',
    ])
  })

  test('gives a directory new attributes and leaves what is in it', async () => {
    const tree = await treeOfLayers([
      [xattr('user.old', '1'), dir('d', { mode: 0o755 }), file('d/f'), dir('./', { mode: 0o700 })],
      [dir('d', { mode: 0o711, uid: 8 }), dir('.', { mode: 0o555 })],
    ])
    expect(listing(tree)).toEqual(['directory 555 0:0 1 .', 'directory 711 8:0 1 d', 'file 644 0:0 1 d/f 0'])
    expect(tree.get('d')?.xattrs).toBeUndefined()
  })

  test('puts a file in place of a directory and all below it', async () => {
    const tree = await treeOfLayers([[file('d/e/f'), file('d/g'), hard('kept', 'd/g')], [file('d', 'now a file')]])
    expect(listing(tree)).toEqual(['directory 755 0:0 1 .', 'file 644 0:0 1 d 10', 'file 644 0:0 1 kept 0'])
  })

  test('puts a directory in place of a link to one, as layer.md has it', async () => {
    const tree = await treeOfLayers([
      [dir('usr/lib'), file('usr/lib/x'), link('lib', 'usr/lib')],
      [dir('lib'), file('lib/y')],
    ])
    expect(tree.paths).toEqual(['', 'lib', 'lib/y', 'usr', 'usr/lib', 'usr/lib/x'])
  })

  test('goes through the links of lower layers, and never out of the tree', async () => {
    const tree = await treeOfLayers([
      [
        dir('usr/lib'),
        link('lib', 'usr/lib'),
        link('etc', '/usr/../../../usr/etc'),
        link('up', '../../../..'),
        link('far', 'lib/one/../two'),
      ],
      [file('lib/a'), file('etc/b/c'), file('up/d'), file('far/e'), hard('f', 'lib/a'), hard('lib/g', 'etc/b/c')],
    ])
    expect(tree.paths.filter((path) => tree.get(path)?.type === 'file')).toEqual([
      'd',
      'f',
      'usr/etc/b/c',
      'usr/lib/a',
      'usr/lib/g',
      'usr/lib/two/e',
    ])
    expect(tree.get('usr/lib')).toMatchObject({ links: 1, implied: false })
    expect(tree.get('f')).toBe(tree.get('usr/lib/a'))
    expect(tree.paths).not.toContain('usr/lib/one')
  })

  test('makes one more name of a lower layer’s file, which keeps it when the first is replaced', async () => {
    const stack = [[file('a', 'one', { uid: 7 })], [hard('b', 'a'), hard('c', 'b')], [file('a', 'other', { uid: 8 })]]
    const two = await treeOfLayers(stack.slice(0, 2))
    expect(listing(two).slice(1)).toEqual(['file 644 7:0 3 a 3', 'file 644 7:0 3 b 3', 'file 644 7:0 3 c 3'])
    const three = await treeOfLayers(stack)
    expect(listing(three).slice(1)).toEqual(['file 644 8:0 1 a 5', 'file 644 7:0 2 b 3', 'file 644 7:0 2 c 3'])
    expect(three.get('b')).toBe(three.get('c'))
  })

  test('replaces a name by a link to another name of the same file, and counts right', async () => {
    const tree = await treeOfLayers([[file('a'), hard('b', 'a'), hard('c', 'a')], [hard('b', 'a')]])
    expect(listing(tree).slice(1)).toEqual(['file 644 0:0 3 a 0', 'file 644 0:0 3 b 0', 'file 644 0:0 3 c 0'])
  })
})

describe('whiteouts by name', () => {
  const lower: Parts = [
    dir('d'),
    file('d/f'),
    dir('d/e', { uid: 4 }),
    file('d/e/g'),
    file('top'),
    hard('also', 'd/f'),
    link('l', 'd'),
  ]
  const over = async (...upper: Parts) => (await treeOfLayers([lower, upper])).paths.slice(1)

  test('hide a file, a directory with all in it, or a link and not what it leads to', async () => {
    expect(await over(file('d/.wh.f'))).toEqual(['also', 'd', 'd/e', 'd/e/g', 'l', 'top'])
    expect(await over(file('.wh.d'))).toEqual(['also', 'l', 'top'])
    expect(await over(file('.wh.l'))).toEqual(['also', 'd', 'd/e', 'd/e/g', 'd/f', 'top'])
    expect((await treeOfLayers([lower, [file('.wh.d')]])).get('also')?.links).toBe(1)
  })

  test('hide all that is in a directory when they are opaque, and leave the directory', async () => {
    expect(await over(file('d/.wh..wh..opq'))).toEqual(['also', 'd', 'l', 'top'])
    expect(await over(file('.wh..wh..opq'))).toEqual([])
    expect(await over(file('./.wh..wh..opq'), file('new'))).toEqual(['new'])
  })

  test.each([
    ['before', (whiteout: Member, rest: Parts) => [whiteout, ...rest]],
    ['after', (whiteout: Member, rest: Parts) => [...rest, whiteout]],
  ])('hide nothing of their own layer, wherever they stand: %s the entries', async (_, order) => {
    expect(await over(...order(file('d/.wh.f'), [file('d/f', 'new')]))).toContain('d/f')
    expect(await over(...order(file('.wh.d'), [dir('d'), file('d/new')]))).toEqual(['also', 'd', 'd/new', 'l', 'top'])
    expect(await over(...order(file('d/.wh..wh..opq'), [dir('d/e'), file('d/e/h')]))).toEqual([
      'also',
      'd',
      'd/e',
      'd/e/h',
      'l',
      'top',
    ])
    // A directory in place of a file comes with an opaque marker, as overlayfs snapshots have it.
    expect(await over(...order(file('top/.wh..wh..opq'), [dir('top'), file('top/x')]))).toContain('top/x')
  })

  test('give back what the next layer hides again, and nothing of what is hidden', async () => {
    const tree = await treeOfLayers([lower, [file('.wh.d')], [file('d/new')], [file('d/.wh.new'), file('d/.wh.f')]])
    expect(listing(tree).slice(1)).toEqual([
      'file 644 0:0 1 also 0',
      'directory 755 0:0 1 d',
      'link 777 0:0 1 l -> d',
      'file 644 0:0 1 top 0',
    ])
    expect(tree.get('d')).toMatchObject({ implied: true })
  })

  test('of what is not there are no fault', async () => {
    const all = ['also', 'd', 'd/e', 'd/e/g', 'd/f', 'l', 'top']
    expect(
      await over(file('.wh.nothing'), file('no/such/.wh.name'), file('top/.wh.below'), file('no/.wh..wh..opq')),
    ).toEqual(all)
    expect(await over(file('top/.wh..wh..opq'))).toEqual(all)
    expect((await treeOfLayers([[file('.wh.a'), file('b/.wh..wh..opq'), file('c')]])).paths).toEqual(['', 'c'])
  })

  test('go through links of lower layers, unless their own layer puts something in the place of the link', async () => {
    expect(await over(file('l/.wh.f'))).not.toContain('d/f')
    expect(await over(file('l/.wh..wh..opq'))).toEqual(['also', 'd', 'l', 'top'])
    expect(await over(dir('l'), file('l/.wh.f'), file('l/.wh..wh..opq'))).toContain('d/f')
    expect(await over(file('l/.wh.f'), dir('l'))).toContain('d/f')
  })

  test('are of any type, and metadata of AUFS is left out', async () => {
    expect(await over(dir('d/.wh.f'), link('.wh.top', 'nowhere'))).toEqual(['also', 'd', 'd/e', 'd/e/g', 'l'])
    expect(await over(dir('.wh..wh.plnk'), file('.wh..wh.plnk/1.2'), file('.wh..wh.aufs'), file('new'))).toEqual([
      'also',
      'd',
      'd/e',
      'd/e/g',
      'd/f',
      'l',
      'new',
      'top',
    ])
  })

  test('are names like others in a plain root tree', async () => {
    const tree = await treeOfLayers([[file('a'), file('.wh.a'), file('d/.wh..wh..opq')]], 'none')
    expect(tree.paths).toEqual(['', '.wh.a', 'a', 'd', 'd/.wh..wh..opq'])
  })
})

describe('whiteouts of overlayfs', () => {
  const lower: Parts = [dir('d'), file('d/f'), file('d/g'), file('top'), link('l', 'd')]
  const gone = (name: string): Member => ({ name, flag: '3', mode: 0 })
  const over = async (...upper: Parts) => {
    const layers = [await layerOf(lower, 'none'), await layerOf(upper, 'overlayfs')]
    return mergeLayers(layers.slice(1), { base: mergeLayers(layers.slice(0, 1)) })
  }

  test('are devices 0:0, or empty files that say so', async () => {
    expect((await over(dir('d'), gone('d/f'), gone('l'))).paths).toEqual(['', 'd', 'd/g', 'top'])
    expect((await over(dir('d'), xattr('trusted.overlay.whiteout', 'y'), file('d/g'))).paths).not.toContain('d/g')
    const device = await over({ ...gone('null'), raw: { 337: bytes('0000003\0') } })
    expect(device.get('null')).toMatchObject({ type: 'character', minor: 3 })
  })

  test.each(['trusted', 'user'])('are opaque directories: %s.overlay.opaque', async (space) => {
    const tree = await over(xattr(`${space}.overlay.opaque`, 'y'), dir('d', { mode: 0o700 }), file('d/new'))
    expect(listing(tree).slice(1)).toEqual([
      'directory 700 0:0 1 d',
      'file 644 0:0 1 d/new 0',
      'link 777 0:0 1 l -> d',
      'file 644 0:0 1 top 0',
    ])
    expect((await over(xattr(`${space}.overlay.opaque`, 'x'), dir('d'))).paths).toContain('d/f')
    expect((await over(xattr(`${space}.overlay.opaque`, 'y'), dir('top'), file('top/x'))).paths).toContain('top/x')
  })

  test('leave no attribute of overlayfs behind, and every other', async () => {
    const tree = await over(
      pax([
        ['SCHILY.xattr.trusted.overlay.origin', '\x00\xfb'],
        ['SCHILY.xattr.user.overlay.impure', 'y'],
        ['SCHILY.xattr.trusted.other', 'kept'],
      ]),
      dir('d'),
      xattr('trusted.overlay.origin', 'x'),
      file('d/f', 'new'),
    )
    expect(tree.get('d')?.xattrs).toEqual(new Map([['trusted.other', bytes('kept')]]))
    expect(tree.get('d/f')).not.toHaveProperty('xattrs')
  })

  test.each(['redirect', 'metacopy'])('cannot be had from a mount that kept only references: %s', async (name) => {
    await expect(over(xattr(`trusted.overlay.${name}`, '/old'), dir('d'))).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: 'd: overlayfs kept only a reference of it: mount with redirect_dir=off,metacopy=off',
    })
  })
})

describe('a base', () => {
  test('is what layers are laid on, and stays as it was', async () => {
    const base = await treeOfLayers([[file('a', 'x'), hard('b', 'a'), dir('d'), file('d/f')]])
    const before = listing(base)
    const tree = mergeLayers([await layerOf([hard('c', 'a'), file('.wh.b'), file('d', 'now')])], { base })
    expect(listing(tree).slice(1)).toEqual(['file 644 0:0 2 a 1', 'file 644 0:0 2 c 1', 'file 644 0:0 1 d 3'])
    expect(listing(base)).toEqual(before)
  })

  test('without layers gives the same tree', async () => {
    const base = await treeOfLayers([[file('a', 'x'), hard('b', 'a'), dir('d', { uid: 3 })]])
    const tree = mergeLayers([], { base })
    expect(listing(tree)).toEqual(listing(base))
    expect(tree.get('a')).toBe(tree.get('b'))
    expect(tree.get('a')).not.toBe(base.get('a'))
  })
})

describe('a trick is refused with the name of its entry:', () => {
  test.each<[string, Parts[], string]>([
    [
      'a file below a file of a lower layer',
      [[file('a')], [file('a/b')]],
      'a/b: it lies below a, which is no directory',
    ],
    [
      'a file below a link of its own layer, which replaces a directory',
      [[file('a/b')], [link('a', '/etc'), file('a/c')]],
      'a/c: it lies below the symbolic link a',
    ],
    [
      'a link in place of a directory that its own layer adds to',
      [[dir('a')], [file('a/c'), link('a', '/etc')]],
      'a: it is no directory, but the archive has a/c below it',
    ],
    [
      'a link of a lower layer that leads to one of its own',
      [[link('a', 'b')], [link('b', '/etc'), file('a/passwd')]],
      'a/passwd: it lies below the symbolic link b',
    ],
    [
      'links that lead nowhere but to each other',
      [[link('a', 'b'), link('b', 'a')], [file('a/c')]],
      'a/c: it lies below more than 40 symbolic links',
    ],
    [
      'a hard link through a link of its own layer',
      [[file('d/f')], [link('l', 'd'), hard('x', 'l/f')]],
      'x: it is a hard link through the symbolic link l',
    ],
    [
      'a hard link to what the same layer hides',
      [[file('a')], [file('.wh.a'), hard('b', 'a')]],
      'b: it is a hard link to a, which does not come before it',
    ],
    [
      'a hard link into what it replaces',
      [[file('d/x')], [hard('d', 'd/x')]],
      'd: it is a hard link to d/x, which does not come before it',
    ],
    [
      'a name twice by way of a link',
      [
        [dir('d'), link('l', 'd')],
        [file('d/f'), file('l/f')],
      ],
      'l/f: the archive has it twice',
    ],
  ])('%s', async (_, stack, message) => {
    const error = await treeOfLayers(stack).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(AppError)
    expect(error).toMatchObject({ code: 'ARCHIVE_INVALID', message })
  })

  test('but links that only point somewhere are what images are full of', async () => {
    const tree = await treeOf([link('a', '/etc/passwd'), link('b', '../../..'), link('c', 'not/there'), hard('d', 'a')])
    expect(tree.paths).toEqual(['', 'a', 'b', 'c', 'd'])
  })
})

describe('a tree that grows too large is refused with the name of an entry:', () => {
  const many = Array.from({ length: 40 }, (_, at) => ({ name: `${'d/'.repeat(30)}f${at}` }))
  test.each<[string, Parts, Partial<ArchiveLimits>]>([
    ['directories that it implies', [{ name: `${'d/'.repeat(45)}f` }], { entries: 20 }],
    ['names', many, { index: 3000 }],
    ['link targets', [link('l', 'd'.repeat(99)), link('m', 'd'.repeat(99))], { index: 150 }],
    ['attributes', [xattr('user.d', 'v'.repeat(999)), { name: 'd' }], { index: 900 }],
  ])('%s', async (_, parts, limits) => {
    const layer = await layerOf(parts)
    const merge = () => mergeLayers([layer], { limits })
    expect(merge).toThrow(expect.objectContaining({ code: 'ARCHIVE_LIMIT', message: expect.stringMatching(/^[dlm/]/) }))
  })
})

test('a merge goes in steps, of which none does more than so many entries', async () => {
  const layer = await layerOf(Array.from({ length: 20_000 }, (_, at) => ({ name: `f${at}` })))
  const steps = mergeSteps([layer])
  let count = 0
  let step = steps.next()
  for (; !step.done; step = steps.next()) count += 1
  expect(count).toBeGreaterThanOrEqual(12)
  expect(step.value.paths).toHaveLength(20_001)
})

test.each<Whiteouts>(['oci', 'overlayfs', 'none'])(
  'a header that lies about its type changes nothing: %s',
  async (whiteouts) => {
    const tree = await treeOfLayers([[member({ name: 'old/', magic: '' })]], whiteouts)
    expect(tree.get('old')).toMatchObject({ type: 'directory' })
  },
)
