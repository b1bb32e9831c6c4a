import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { createImporter } from '../../src/images/import.ts'
import { bytes, type Member, pax, utf8 } from '../archive/tar-writer.ts'
import { basics, bzImage, elf, rig, streamOfBytes, tarOf } from './small-image.ts'

const rigs: ReturnType<typeof rig>[] = []
function newRig(limits = {}) {
  const made = rig(limits)
  rigs.push(made)
  return made
}
afterEach(() => {
  for (const made of rigs.splice(0)) {
    expect(made.leftovers(), 'left behind').toEqual([])
    made.remove()
  }
})

describe('an import', () => {
  test('describes the image and stores what it describes', async () => {
    const { import: importTar, read, root } = newRig()
    const image = await importTar(
      tarOf([
        ...basics,
        { name: 'usr/lib/os-release', data: bytes('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n') },
        { name: 'etc/os-release', flag: '2', link: '../usr/lib/os-release' },
      ]),
    )
    const stored = await read(image.root)
    expect(image).toEqual({
      architecture: 'x86_64',
      os: { id: 'debian', version: '12', name: 'Debian 12' },
      kernels: [
        {
          version: '6.1.0-18-amd64',
          path: '/boot/vmlinuz-6.1.0-18-amd64',
          size: 20_000,
          digest: `sha256:${createHash('sha256').update(bzImage('6.1.0-18-amd64')).digest('hex')}`,
        },
      ],
      root: {
        kind: 'cpio-gzip',
        digest: `sha256:${createHash('sha256').update(stored).digest('hex')}`,
        size: stored.length,
        unpackedSize: Buffer.from(stored.slice(-4)).readUInt32LE(),
      },
      entries: 15,
      warnings: [],
    })
    expect(await read(image.kernels[0]!)).toEqual(bzImage('6.1.0-18-amd64'))
    expect((await root(image)).map(({ name }) => name)).toEqual([
      '.',
      'bin',
      'bin/sh',
      'boot',
      'boot/vmlinuz-6.1.0-18-amd64',
      'etc',
      'etc/os-release',
      'lib',
      'lib/modules',
      'lib/modules/6.1.0-18-amd64',
      'sbin',
      'sbin/init',
      'usr',
      'usr/lib',
      'usr/lib/os-release',
    ])
  })

  test('gives the same manifest for the same tree in another order, other times of directories, other chunks and gzip', async () => {
    const shuffled: Member[] = [
      { name: './sbin/', flag: '5', mode: 0o755, raw: { 136: bytes('14000000000\0') } },
      basics[3]!,
      { ...basics[1]!, name: './sbin/init' },
      { ...basics[2]!, name: '/boot/vmlinuz-6.1.0-18-amd64' },
      basics[0]!,
    ]
    const { import: importTar } = newRig()
    const expected = await importTar(tarOf(basics))
    expect(await importTar(tarOf(shuffled), 777)).toEqual(expected)
    expect(await importTar(gzipSync(tarOf(shuffled)), 100)).toEqual(expected)
  })

  test('keeps the times of files, which make another image', async () => {
    const { import: importTar, root } = newRig()
    const file = { name: 'a.py', data: bytes('pass') }
    const then = await importTar(tarOf([...basics, { ...file, raw: { 136: bytes('15000000000\0') } }]))
    const now = await importTar(tarOf([...basics, { ...file, raw: { 136: bytes('15000000001\0') } }]))
    expect(now.root.digest).not.toBe(then.root.digest)
    const [found] = (await root(then)).filter((entry) => entry.name === 'a.py')
    expect(found?.mtime).toBe(0o15000000000)
  })

  test('keeps hard links: one inode number, the data once, under the first name', async () => {
    const { import: importTar, root } = newRig()
    const image = await importTar(
      tarOf([
        ...basics,
        { name: 'z', data: bytes('shared'), mode: 0o4755 },
        { name: 'm', flag: '1', link: 'z' },
        { name: 'a', flag: '1', link: 'm' },
        { name: 'alone', data: bytes('alone') },
        { name: 'link', flag: '2', link: 'alone' },
        { name: 'link2', flag: '1', link: 'link' },
        { name: 'tty', flag: '3' },
        { name: 'tty2', flag: '1', link: 'tty' },
      ]),
    )
    const found = new Map((await root(image)).map((entry) => [entry.name, entry]))
    const [a, m, z] = ['a', 'm', 'z'].map((name) => found.get(name)!)
    expect([a, m, z].map((entry) => [entry?.ino, entry?.links, entry?.mode])).toEqual(
      Array(3).fill([a?.ino, 3, 0o104755]),
    )
    expect([a, m, z].map((entry) => String.fromCharCode(...entry!.data))).toEqual(['shared', '', ''])
    expect(found.get('alone')).toMatchObject({ links: 1, data: bytes('alone') })
    // The kernel has no hard links to symbolic links, so they become two.
    expect([found.get('link'), found.get('link2')]).toMatchObject([
      { links: 1, data: bytes('alone') },
      { links: 1, data: bytes('alone') },
    ])
    expect(found.get('link')?.ino).not.toBe(found.get('link2')?.ino)
    expect(found.get('tty')).toMatchObject({ links: 2, ino: found.get('tty2')?.ino })
    const shared = [a!.ino, found.get('tty')!.ino]
    const others = [...found.values()].map(({ ino }) => ino).filter((ino) => !shared.includes(ino))
    expect(new Set(others).size).toBe(others.length)
  })

  test('fills the holes of sparse files with zeros', async () => {
    const { import: importTar, root } = newRig()
    const image = await importTar(
      tarOf([
        ...basics,
        pax([
          ['GNU.sparse.map', '3,2,2000000,1'],
          ['GNU.sparse.size', '2100000'],
          ['GNU.sparse.name', 'holes'],
        ]),
        { name: 'x', data: bytes('abc') },
      ]),
    )
    const holes = (await root(image)).find(({ name }) => name === 'holes')!.data
    const expected = new Uint8Array(2_100_000)
    expected.set(bytes('ab'), 3)
    expected.set(bytes('c'), 2_000_000)
    expect(Buffer.compare(holes, expected)).toBe(0)
  })

  test('writes extended attributes as setfattr reads them back, and warns when there is no setfattr', async () => {
    const capability = Uint8Array.of(1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff)
    const members = [
      ...basics,
      pax([
        ['SCHILY.xattr.security.capability', capability],
        ['SCHILY.xattr.user.a%3Db', 'x'],
      ]),
      { name: 'usr/bin/ping', mode: 0o755 },
      { name: 'usr/bin/pong', flag: '1', link: 'usr/bin/ping' },
      pax([
        ['SCHILY.xattr.user.empty', ''],
        ['path', `odd\\name\n${utf8('é')}\xff`],
      ]),
      { name: 'x' },
    ]
    const { import: importTar, root } = newRig()
    const image = await importTar(tarOf(members))
    const dump = (await root(image)).find(({ name }) => name === 'muster/xattrs')
    expect(dump).toMatchObject({ mode: 0o100600, uid: 0, gid: 0 })
    expect(String.fromCharCode(...dump!.data)).toBe(
      [
        `# file: odd\\134name\\012${utf8('é')}\xff`,
        'user.empty=0s',
        '',
        '# file: usr/bin/ping',
        'security.capability=0sAQAAAgAgAAAAAAAAAAAAAAAAAP8=',
        'user.a\\075b=0seA==',
        '',
        '',
      ].join('\n'),
    )
    expect(image.warnings).toEqual([
      'carries extended attributes on 2 files (odd\\name\\x0a\\xc3\\xa9\\xff, usr/bin/ping) ' +
        'but no setfattr to restore them: add the package attr',
    ])
    const able = await importTar(tarOf([...members, { name: 'usr/bin/setfattr', mode: 0o755 }]))
    expect(able.warnings).toEqual([])
  })

  test('keeps its own name for attributes to itself', async () => {
    const { import: importTar, root } = newRig()
    const image = await importTar(tarOf([...basics, { name: 'muster/xattrs', data: bytes('# file: etc/shadow') }]))
    expect((await root(image)).map(({ name }) => name)).not.toContain('muster/xattrs')
    expect(image.warnings).toEqual(['left out muster/xattrs: that name is for what Muster writes'])
    const attribute = pax([['SCHILY.xattr.user.a', 'b']])
    await expect(importTar(tarOf([...basics, attribute, { name: 'muster' }]))).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringContaining('muster must be a directory'),
    })
  })

  test('warns about what would not boot or not work', async () => {
    const { import: importTar } = newRig()
    const image = await importTar(
      tarOf([
        { name: './', flag: '5', mode: 0o700 },
        { name: 'boot/vmlinuz-6.1.0', data: bzImage('6.1.0') },
      ]),
    )
    expect(image.warnings).toEqual([
      'kernel 6.1.0 (/boot/vmlinuz-6.1.0) has no modules under /lib/modules',
      'has neither an init (/init, /sbin/init, systemd) nor /bin/sh: nothing would start',
      'its root directory has mode 700: only root could enter it',
    ])
    const mixed = await importTar(tarOf([...basics.slice(1), { name: 'bin/sh', mode: 0o755, data: elf(183) }]))
    expect(mixed.architecture).toBe('aarch64')
    expect(mixed.warnings).toEqual(['kernel 6.1.0-18-amd64 is for x86_64, the programs are for aarch64'])
  })
})

describe('an import that fails', () => {
  const large = tarOf([...basics, { name: 'noise', data: noise(3_000_000) }])

  test.each<[string, Uint8Array, object, string, string]>([
    ['no tar', bytes('<!doctype html>'.repeat(99)), {}, 'ARCHIVE_INVALID', 'checksum'],
    ['an empty body', new Uint8Array(0), {}, 'ARCHIVE_INVALID', 'cut off'],
    ['a tar cut off', large.subarray(0, 1_000_000), {}, 'ARCHIVE_INVALID', 'noise'],
    ['a gzip cut off', gzipSync(large).subarray(0, 1_000_000), {}, 'ARCHIVE_INVALID', 'cut off'],
    ['a way out', tarOf([...basics, { name: '../x' }]), {}, 'ARCHIVE_INVALID', '../x'],
    ['a gzip bomb', gzipSync(new Uint8Array(2 ** 26)), { ratioFree: 2 ** 20 }, 'ARCHIVE_LIMIT', '200 times'],
    ['the name of the trailer', tarOf([...basics, { name: 'TRAILER!!!' }]), {}, 'ARCHIVE_INVALID', 'TRAILER!!!'],
    ['no kernel', tarOf(basics.slice(0, 2)), {}, 'IMAGE_UNBOOTABLE', 'install kernel-core'],
    [
      'only a rescue kernel',
      tarOf([{ name: 'boot/vmlinuz-0-rescue-ab12', data: bzImage('5.14.0') }]),
      {},
      'IMAGE_UNBOOTABLE',
      'no kernel',
    ],
    [
      'nothing that tells its architecture',
      tarOf([{ name: 'boot/vmlinuz-5.14.0', data: bytes('x') }]),
      {},
      'IMAGE_UNBOOTABLE',
      'architecture',
    ],
    [
      'programs for another machine',
      tarOf([...basics.slice(1), { name: 'bin/sh', data: elf(3, { bits: 1 }) }]),
      {},
      'IMAGE_UNBOOTABLE',
      'bin/sh is for ELF machine 3',
    ],
    ['a root too large', large, { root: 2_000_000 }, 'IMAGE_UNBOOTABLE', 'more than 2000000 bytes'],
  ])('says why and keeps no temporary file: %s', async (_, tar, limits, code, text) => {
    const { import: importTar } = newRig(limits)
    const error = await importTar(tar).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(AppError)
    expect(error).toMatchObject({ code, message: expect.stringContaining(text) })
  })

  test('in the middle of its body keeps no temporary file', async () => {
    const { importer, spool } = newRig()
    let given = 0
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        if (given > 1_000_000) {
          expect(readdirSync(spool)).toEqual([])
          return controller.error(new Error('the client went away'))
        }
        controller.enqueue(large.slice(given, given + 50_000))
        given += 50_000
      },
    })
    await expect(importer.importTar(body)).rejects.toThrow('the client went away')
    expect(given).toBeGreaterThan(1_000_000)
  })

  test('stops reading its body', async () => {
    const { importer } = newRig()
    let cancelled = false
    let given = 0
    const start = tarOf([{ name: '../out' }])
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        given += 1
        controller.enqueue(given === 1 ? start : new Uint8Array(65_536))
      },
      cancel() {
        cancelled = true
      },
    })
    await expect(importer.importTar(body)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
    await expect.poll(() => cancelled).toBe(true)
    expect(given).toBeLessThan(5)
  })

  test('when the store does keeps no temporary file, and says what the store says', async () => {
    const { spool, blobs } = newRig()
    const broken = {
      ...blobs,
      add: async (body: ReadableStream) => {
        await body.getReader().read()
        throw new Error('the bucket is gone')
      },
    }
    const importer = createImporter({ blobs: broken, spool })
    await expect(importer.importTar(streamOfBytes(large))).rejects.toThrow('the bucket is gone')
  })
})

test('an importer clears what a killed one left, and nothing else', () => {
  const { spool, blobs } = newRig()
  writeFileSync(join(spool, 'import-123.tar'), 'x')
  writeFileSync(join(spool, 'notes.txt'), 'x')
  createImporter({ blobs, spool })
  expect(readdirSync(spool)).toEqual(['notes.txt'])
  rmSync(join(spool, 'notes.txt'))
})

/** Devices and owners can only be made, and looked at again, by root. */
const root = process.getuid?.() === 0

describe.skipIf(!root)('a real tree by GNU tar, unpacked again by GNU cpio (as root)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-tree-'))
  const tree = join(folder, 'tree')
  const deep = `usr/${'d'.repeat(120)}/${'e'.repeat(120)}/${'f'.repeat(120)}`
  afterAll(() => rmSync(folder, { recursive: true }))

  beforeAll(() => {
    for (const path of ['bin', 'boot', 'dev', 'etc', 'lib/modules/6.1.0-18-amd64', 'sbin', deep])
      mkdirSync(join(tree, path), { recursive: true, mode: 0o755 })
    const run = (command: string, ...args: string[]) => execFileSync(command, args, { cwd: tree })
    run('cp', '/bin/busybox', 'bin/busybox')
    for (const applet of ['sh', 'ls', 'cat']) run('ln', 'bin/busybox', `bin/${applet}`)
    run('ln', '-s', '/bin/busybox', 'sbin/init')
    run('ln', 'sbin/init', 'sbin/init-too')
    run('mknod', 'dev/null', 'c', '1', '3')
    run('mknod', '-m', '640', 'dev/sda', 'b', '8', '0')
    run('mkfifo', 'dev/pipe')
    run('chmod', '6755', 'bin/busybox')
    run('chown', '1234:70000', 'etc')
    run('chmod', '1777', 'boot')
    writeFileSync(join(tree, 'boot/vmlinuz-6.1.0-18-amd64'), bzImage('6.1.0-18-amd64'))
    writeFileSync(join(tree, deep, 'deep'), 'deep')
    writeFileSync(join(tree, 'etc/größe 漢字'), 'unicode')
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/etc/`), Buffer.from('caf\xe9', 'latin1')]), 'latin1')
    writeFileSync(join(tree, 'etc/empty'), '')
    writeFileSync(join(tree, 'etc/noise'), noise(2_500_001))
    run('truncate', '-s', '5M', 'etc/sparse')
  })

  /** Type, mode, owner, links, device, size, target and content of everything in a folder, by name. */
  function inventory(path: string): string[] {
    const format = '%P %y %m %U:%G %n %D %l\\n'
    const listing = execFileSync('find', [path, '-mindepth', '1', '-printf', format], { encoding: 'latin1' })
      .split('\n')
      .map((line) => line.replace(/ \d+ (?=[^ ]*$)/, ' '))
    const devices = execFileSync('find', ['.', '-type', 'b', '-o', '-type', 'c'], { cwd: path, encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((name) => `${name} ${execFileSync('stat', ['-c', '%t:%T', name], { cwd: path, encoding: 'utf8' })}`)
    const sums = execFileSync('sh', ['-c', 'find . -type f -print0 | xargs -0 sha256sum'], {
      cwd: path,
      encoding: 'latin1',
    })
    return [...listing.sort(), ...devices.sort(), ...sums.split('\n').sort()]
  }

  const pack = (...options: string[]) =>
    execFileSync('tar', ['-C', tree, '-cf', '-', ...options, '.'], { maxBuffer: 2 ** 28 })

  test.each([['gnu'], ['posix'], ['gnu', '--sparse'], ['posix', '--sparse'], ['posix', '--gzip']])(
    'is the same tree: %s %s',
    async (format, ...options) => {
      const { import: importTar, blobs } = newRig()
      const image = await importTar(pack(`--format=${format}`, ...options))
      const out = mkdtempSync(join(folder, 'out-'))
      const cpio = execFileSync('gzip', ['-dc', blobs.file(image.root.digest)], { maxBuffer: 2 ** 28 })
      expect(cpio.length).toBe(image.root.unpackedSize)
      execFileSync('cpio', ['-idm', '--quiet'], { cwd: out, input: cpio })
      // GNU cpio and the kernel make two symbolic links of two names for one.
      const unlinked = (lines: string[]) => lines.map((line) => line.replace(/^(sbin\/init.* )2 /, '$11 '))
      expect(unlinked(inventory(out))).toEqual(unlinked(inventory(tree)))
      expect(inventory(out).length).toBeGreaterThan(40)
    },
  )

  test('has one digest, whatever the order in its tar and the times of its directories', async () => {
    const { import: importTar } = newRig()
    const first = await importTar(pack('--format=posix', '--sort=name'))
    utimesSync(join(tree, 'bin'), 2, 2)
    const names = execFileSync('find', ['.', '-printf', '%P\\0'], { cwd: tree, encoding: 'latin1' }).split('\0')
    const list = join(folder, 'names')
    writeFileSync(list, names.filter(Boolean).reverse().join('\0'), 'latin1')
    const other = execFileSync(
      'tar',
      ['-C', tree, '-cf', '-', '--format=gnu', '--no-recursion', '--null', '-T', list],
      { maxBuffer: 2 ** 28 },
    )
    expect(await importTar(other)).toEqual(first)
  })
})

/** Bytes that do not compress. */
function noise(size: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(size)
  let state = 1
  for (let at = 0; at < size; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    out[at] = state
  }
  return out
}
