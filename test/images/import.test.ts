import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { createImporter } from '../../src/images/import.ts'
import { canonicalJson } from '../../src/registry/canonical.ts'
import { bytes, type Member, pax, utf8 } from '../archive/tar-writer.ts'
import { basics, bzImage, elf, inventory, noise, type RigOptions, rig, streamOfBytes, tarOf } from './small-image.ts'

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

const dir = (name: string, mode = 0o755): Member => ({ name, flag: '5', mode })
const zstd: Member = { name: 'usr/bin/zstd', mode: 0o755, data: elf() }
const sha256 = (data: Uint8Array) => `sha256:${createHash('sha256').update(data).digest('hex')}`

describe('an import', () => {
  test('describes the image and stores what it describes', async () => {
    const { make, read, open } = newRig()
    const { manifest, digest, layers } = await make(
      [
        tarOf([
          ...basics,
          { name: 'usr/lib/os-release', data: bytes('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n') },
          { name: 'etc/os-release', flag: '2', link: '../usr/lib/os-release' },
        ]),
      ],
      { whiteouts: 'none' },
    )
    const [segment] = manifest.segments
    expect(manifest).toEqual({
      schema: 1,
      architecture: 'x86_64',
      os: { id: 'debian', version: '12', name: 'Debian 12' },
      kernels: [
        {
          version: '6.1.0-18-amd64',
          path: '/boot/vmlinuz-6.1.0-18-amd64',
          size: 20_000,
          digest: sha256(bzImage('6.1.0-18-amd64')),
        },
      ],
      compression: 'gzip',
      segments: [
        { digest: expect.any(String), size: expect.any(Number), unpackedSize: expect.any(Number), entries: 15 },
      ],
      index: { digest: expect.any(String), size: expect.any(Number), unpackedSize: expect.any(Number) },
      entries: 15,
      unpackedSize: 128 + 20_000 + 50,
      warnings: [],
    })
    for (const blob of [segment!, manifest.index, manifest.kernels[0]!]) {
      const stored = await read(blob)
      expect([sha256(stored), stored.length]).toEqual([blob.digest, blob.size])
    }
    expect(new TextDecoder().decode(await read({ digest }))).toBe(canonicalJson(manifest))
    expect(layers).toEqual([expect.stringMatching(/^sha256:/)])
    expect((await open(digest)).tree.paths).toEqual([
      '',
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

  test('packs with zstd for an image that can unpack it', async () => {
    const { import: importTar, read } = newRig()
    const image = await importTar(tarOf([...basics, zstd]))
    expect(image.compression).toBe('zstd')
    expect([...(await read(image.segments[0]!)).subarray(0, 4)]).toEqual([0x28, 0xb5, 0x2f, 0xfd])
    expect((await importTar(tarOf([...basics, { name: 'bin/zstd', flag: '2', link: 'nothing' }]))).compression).toBe(
      'gzip',
    )
  })

  test('keeps everything: links, devices, sparse files, owners, attributes', async () => {
    const { make, open } = newRig()
    const capability = Uint8Array.of(1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff)
    const { digest } = await make(
      [
        tarOf([
          ...basics,
          { name: 'z', data: bytes('shared'), mode: 0o4755, uid: 1234, gid: 70_000 },
          { name: 'm', flag: '1', link: 'z' },
          { name: 'tty', flag: '3' },
          { name: 'pipe', flag: '6' },
          pax([
            ['GNU.sparse.map', '3,2,2000000,1'],
            ['GNU.sparse.size', '2100000'],
            ['GNU.sparse.name', 'holes'],
          ]),
          { name: 'x', data: bytes('abc') },
          pax([
            ['SCHILY.xattr.security.capability', capability],
            ['path', `odd\n${utf8('é')}\xff`],
          ]),
          { name: 'y', data: bytes('y') },
        ]),
      ],
      { whiteouts: 'none' },
    )
    const holes = new Uint8Array(2_100_000)
    holes.set(bytes('ab'), 3)
    holes.set(bytes('c'), 2_000_000)
    const lines = await inventory(await open(digest))
    expect(lines.filter((line) => !/^(|bin|boot|lib|sbin)(\/| )/.test(line))).toEqual([
      `holes file 644 0:0 1 0 2100000 ${sha256(holes).slice(7)}`,
      `m file 4755 1234:70000 2 0 6 ${sha256(bytes('shared')).slice(7)}`,
      `odd\n${utf8('é')}\xff file 644 0:0 1 0 1 ${sha256(bytes('y')).slice(7)} security.capability=${[...capability]}`,
      'pipe fifo 644 0:0 1 ',
      'tty character 644 0:0 1 0:0',
      'z file 4755 1234:70000 2 = m',
    ])
  })

  test('lays layers on one another, and on a version', async () => {
    const { make, open, import: importTar } = newRig()
    const lower = tarOf([
      ...basics,
      dir('etc'),
      { name: 'etc/a', data: bytes('1') },
      { name: 'etc/b', data: bytes('1') },
    ])
    const upper = tarOf([{ name: 'etc/.wh.a' }, { name: 'etc/b', data: bytes('2') }])
    const both = await make([lower, upper])
    expect((await inventory(await open(both.digest))).filter((line) => line.startsWith('etc'))).toEqual([
      'etc directory 755 0:0 1 ',
      `etc/b file 644 0:0 1 0 1 ${sha256(bytes('2')).slice(7)}`,
    ])
    const base = await make([lower])
    const onBase = await make(
      [tarOf([dir('etc'), { name: 'etc/a', flag: '3' }, { name: 'etc/b', data: bytes('2') }])],
      {
        base: base.digest,
        whiteouts: 'overlayfs',
      },
    )
    expect(onBase.digest).toBe(both.digest)
    expect(onBase.digest).not.toBe(base.digest)
    const flat = [...basics, dir('etc'), { name: 'etc/b', data: bytes('2') }]
    expect(await importTar(tarOf(flat))).toEqual(both.manifest)
  })

  test('keeps the times of files, which make another image', async () => {
    const { import: importTar } = newRig()
    const file = { name: 'a.py', data: bytes('pass') }
    const then = await importTar(tarOf([...basics, { ...file, raw: { 136: bytes('15000000000\0') } }]))
    const now = await importTar(tarOf([...basics, { ...file, raw: { 136: bytes('15000000001\0') } }]))
    expect(now.segments).not.toEqual(then.segments)
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

  test('takes a file of more than 4 GiB', { timeout: 300_000 }, async () => {
    const { make, open } = newRig({ limits: { holes: 2 ** 33 } })
    const size = 2 ** 32 + 4096
    const { digest, manifest } = await make(
      [
        tarOf([
          ...basics,
          zstd,
          pax([
            ['GNU.sparse.map', `${size - 3},3`],
            ['GNU.sparse.size', String(size)],
            ['GNU.sparse.name', 'opt/large'],
          ]),
          { name: 'x', data: bytes('end') },
        ]),
      ],
      { whiteouts: 'none' },
    )
    expect(manifest.unpackedSize).toBe(size + 20_000 + 128 + 128)
    const { tree, contents } = await open(digest)
    const large = tree.file('opt/large')!
    expect(large.size).toBe(size)
    let read = 0
    let last = new Uint8Array(0)
    for await (const chunk of contents.read(large)) {
      read += chunk.length
      last = chunk
    }
    expect([read, new TextDecoder().decode(last.subarray(-3))]).toEqual([size, 'end'])
  })
})

describe('an import that fails', () => {
  const large = tarOf([...basics, { name: 'noise', data: noise(3_000_000) }])

  test.each<[string, Uint8Array, RigOptions, string, string]>([
    ['no tar', bytes('<!doctype html>'.repeat(99)), {}, 'ARCHIVE_INVALID', 'checksum'],
    ['an empty body', new Uint8Array(0), {}, 'ARCHIVE_INVALID', 'cut off'],
    ['a tar cut off', large.subarray(0, 1_000_000), {}, 'ARCHIVE_INVALID', 'noise'],
    ['a gzip cut off', gzipSync(large).subarray(0, 1_000_000), {}, 'ARCHIVE_INVALID', 'cut off'],
    ['a zstd cut off', zstdCompressSync(large).subarray(0, 1_000_000), {}, 'ARCHIVE_INVALID', 'cut off'],
    ['a way out', tarOf([...basics, { name: '../x' }]), {}, 'ARCHIVE_INVALID', '../x'],
    [
      'a gzip bomb',
      gzipSync(new Uint8Array(2 ** 26)),
      { limits: { ratioFree: 2 ** 20 } },
      'ARCHIVE_LIMIT',
      '200 times',
    ],
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
  ])('says why and keeps no temporary file: %s', async (_, tar, options, code, text) => {
    const { import: importTar } = newRig(options)
    const error = await importTar(tar).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(AppError)
    expect(error).toMatchObject({ code, message: expect.stringContaining(text) })
  })

  test('in the middle of a body has no temporary file with a name, and takes the layer again', async () => {
    const { importer, spool } = newRig()
    const session = await importer.begin({ layers: [{}], whiteouts: 'none' })
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
    await expect(session.receive(0, body)).rejects.toMatchObject({
      code: 'REQUEST_INVALID',
      message: 'layer 0 broke off before its end: send it again',
    })
    expect(given).toBeGreaterThan(1_000_000)
    expect(session.needed()).toEqual([0])
    await expect(session.finish()).rejects.toMatchObject({ code: 'IMPORT_INCOMPLETE' })
    await session.receive(0, streamOfBytes(large))
    expect((await session.finish()).manifest.entries).toBe(11)
    await session.close()
  })

  test('stops reading its body', async () => {
    const { importer } = newRig()
    const session = await importer.begin({ layers: [{}], whiteouts: 'none' })
    let cancelled = false
    let given = 0
    const start = bytes('no tar'.repeat(100))
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        given += 1
        controller.enqueue(given === 1 ? start : new Uint8Array(65_536))
      },
      cancel() {
        cancelled = true
      },
    })
    await expect(session.receive(0, body)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
    await expect.poll(() => cancelled).toBe(true)
    expect(given).toBeLessThan(5)
    await session.close()
  })

  test('when the store does, says what the store says, and can be finished when it works again', async () => {
    let broken = true
    const { importer } = newRig({
      around: (blobs) => ({
        ...blobs,
        async put(blob, body) {
          if (!broken) return blobs.put(blob, body)
          await body.getReader().read()
          throw new Error('the bucket is gone')
        },
      }),
    })
    const session = await importer.begin({ layers: [{}], whiteouts: 'none' })
    await session.receive(0, streamOfBytes(large))
    await expect(session.finish()).rejects.toThrow('the bucket is gone')
    expect(session.progress()).toMatchObject({ phase: 'receiving' })
    broken = false
    expect((await session.finish()).manifest.entries).toBe(11)
    await session.close()
  })
})

test('an importer clears what a killed one left, and nothing else', () => {
  const { spool, stores } = newRig()
  writeFileSync(join(spool, 'import-123.tar'), 'x')
  writeFileSync(join(spool, 'notes.txt'), 'x')
  createImporter(stores)
  expect(readdirSync(spool)).toEqual(['notes.txt'])
  rmSync(join(spool, 'notes.txt'))
})

describe('a real tree by GNU tar', () => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-tree-'))
  const tree = join(folder, 'tree')
  const deep = `usr/${'d'.repeat(120)}/${'e'.repeat(120)}/${'f'.repeat(120)}`
  afterAll(() => rmSync(folder, { recursive: true }))

  beforeAll(() => {
    for (const path of ['bin', 'boot', 'etc', 'lib/modules/6.1.0-18-amd64', 'sbin', deep])
      mkdirSync(join(tree, path), { recursive: true, mode: 0o755 })
    const run = (command: string, ...args: string[]) => execFileSync(command, args, { cwd: tree })
    run('cp', '/bin/busybox', 'bin/busybox')
    for (const applet of ['sh', 'ls', 'cat']) run('ln', 'bin/busybox', `bin/${applet}`)
    run('ln', '-s', '/bin/busybox', 'sbin/init')
    run('mkfifo', 'etc/pipe')
    run('chmod', '6755', 'bin/busybox')
    run('chmod', '1777', 'boot')
    writeFileSync(join(tree, 'boot/vmlinuz-6.1.0-18-amd64'), bzImage('6.1.0-18-amd64'))
    writeFileSync(join(tree, deep, 'deep'), 'deep')
    writeFileSync(join(tree, 'etc/größe 漢字'), 'unicode')
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/etc/`), Buffer.from('caf\xe9', 'latin1')]), 'latin1')
    writeFileSync(join(tree, 'etc/empty'), '')
    writeFileSync(join(tree, 'etc/noise'), noise(2_500_001))
    run('truncate', '-s', '5M', 'etc/sparse')
  })

  const pack = (...options: string[]) =>
    execFileSync('tar', ['-C', tree, '-cf', '-', ...options, '.'], { maxBuffer: 2 ** 28 })

  test('is the same version in every format, sparse or not, compressed or not, in any order', async () => {
    const { make } = newRig()
    const names = execFileSync('find', ['.', '-printf', '%P\\0'], { cwd: tree, encoding: 'latin1' }).split('\0')
    const list = join(folder, 'names')
    writeFileSync(list, names.filter(Boolean).reverse().join('\0'), 'latin1')
    const reversed = execFileSync(
      'tar',
      ['-C', tree, '-cf', '-', '--format=gnu', '--no-recursion', '--null', '-T', list, '.'],
      { maxBuffer: 2 ** 28 },
    )
    const posix = pack('--format=posix')
    const tars = [
      posix,
      pack('--format=gnu'),
      pack('--format=gnu', '--sparse'),
      pack('--format=posix', '--sparse'),
      pack('--format=posix', '--gzip'),
      zstdCompressSync(posix),
      reversed,
    ]
    const made = []
    for (const tar of tars) made.push((await make([tar], { whiteouts: 'none' })).digest)
    expect(new Set(made).size).toBe(1)
  })
})
