/**
 * A whole Debian in layers that umoci made, imported, beside the tree that umoci unpacks: every entry, every byte. Needs root and
 * the packages umoci, mmdebstrap, attr and libcap2-bin. The lowest layer is cached, as the roots of the suite that boots are.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Digest } from '../../src/blobs/digest.ts'
import type { Bytes } from '../../src/blobs/store.ts'
import type { ExpectedLayer } from '../../src/images/importer.ts'
import type { OpenedImage } from '../../src/images/opened-image.ts'
import { type Facts, factsOfFolder, factsOfTree } from './oci-layout.ts'
import { bzImage, noise, rig } from './small-image.ts'

const work = mkdtempSync(join(tmpdir(), 'muster-oci-'))
const layout = join(work, 'layout')
const image = `${layout}:debian`
const made = rig()
let opened: OpenedImage

const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 2 ** 26 })

/** A minimal Debian as a tar. */
function debian(): string {
  const cache = process.env.MUSTER_TEST_CACHE ?? join(homedir(), '.cache/muster-test')
  mkdirSync(cache, { recursive: true })
  const codename = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'stable'
  const target = join(cache, `minbase-${codename}.tar`)
  if (existsSync(target)) return target
  const part = join(work, 'minbase.tar')
  run('mmdebstrap', '--variant=minbase', '--include=libcap2-bin,iputils-ping', codename, part)
  run('cp', part, `${target}.part`)
  renameSync(`${target}.part`, target)
  return target
}

/** Unpacks the image, lets somebody change the tree, and makes a layer of the difference. */
function changed(name: string, change: (root: string) => void): void {
  const bundle = join(work, name)
  run('umoci', 'unpack', '--image', image, bundle)
  change(join(bundle, 'rootfs'))
  run('umoci', 'repack', '--image', image, bundle)
  rmSync(bundle, { recursive: true })
}

/** The layers of the image, as its manifest and config tell. */
function layersOf(): (ExpectedLayer & { file: string })[] {
  const blob = (digest: string) => join(layout, 'blobs', digest.replace(':', '/'))
  const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'))
  const [{ digest }] = json(join(layout, 'index.json')).manifests
  const manifest = json(blob(digest))
  const { diff_ids } = json(blob(manifest.config.digest)).rootfs
  return manifest.layers.map((layer: { digest: Digest; size: number }, at: number) => ({
    digest: layer.digest,
    size: layer.size,
    diffId: diff_ids[at],
    file: blob(layer.digest),
  }))
}

beforeAll(async () => {
  run('umoci', 'init', '--layout', layout)
  run('umoci', 'new', '--image', image)
  run('umoci', 'raw', 'add-layer', '--image', image, debian())
  changed('first', (root) => {
    const at = (path: string) => join(root, path)
    run('rm', '-r', at('usr/share/doc/apt'), at('etc/apt/apt.conf.d'), at('usr/bin/perl'))
    run('chown', '7:70000', at('etc/hostname'), at('opt'))
    run('chmod', '4711', at('usr/bin/tar'))
    run('chmod', '2750', at('srv'))
    writeFileSync(at('etc/motd'), 'replaced\n')
    rmSync(at('usr/share/doc/bash'), { recursive: true })
    // Nowhere: through a link that leads to a directory, umoci would later empty that one (see umoci.test.ts).
    symlinkSync('nowhere', at('usr/share/doc/bash'))
    rmSync(at('etc/issue'))
    mkdirSync(at('etc/issue'))
    writeFileSync(at('etc/issue/now a directory'), 'x')
    run('ln', at('usr/bin/gzip'), at('usr/bin/gzip-again'))
    run('setfattr', '-n', 'user.note', '-v', '0x00ff0a', at('usr/bin/gzip'))
    run('setcap', 'cap_net_admin+ep', at('usr/bin/dash'))
    mkdirSync(at('boot'), { recursive: true })
    writeFileSync(at('boot/vmlinuz-6.1.0-18-amd64'), bzImage('6.1.0-18-amd64'))
    mkdirSync(at('usr/lib/modules/6.1.0-18-amd64'), { recursive: true })
    run('truncate', '-s', '9M', at('opt/sparse'))
    writeFileSync(at('opt/noise'), noise(6_000_000))
    run('mknod', at('opt/block'), 'b', '7', '200')
    run('mkfifo', at('opt/pipe'))
  })
  changed('second', (root) => {
    const at = (path: string) => join(root, path)
    rmSync(at('usr/bin/gzip'))
    run('ln', at('usr/bin/dash'), at('usr/bin/another'))
    rmSync(at('usr/share/doc/bash'))
    mkdirSync(at('usr/share/doc/bash'))
    run('mv', at('usr/share/zoneinfo/Europe'), at('opt/Europe'))
    run('touch', '-d', '@1700000000', at('opt/noise'))
  })
  // By hand: `umoci insert --opaque` writes a tar without padding and end, which GNU tar refuses, too.
  mkdirSync(join(work, 'opaque/etc/default'), { recursive: true })
  writeFileSync(join(work, 'opaque/etc/default/only'), 'this')
  writeFileSync(join(work, 'opaque/etc/default/.wh..wh..opq'), '')
  run('tar', '-C', join(work, 'opaque'), '--owner=0', '--group=0', '-cf', join(work, 'opaque.tar'), 'etc/default')
  run('umoci', 'raw', 'add-layer', '--image', image, join(work, 'opaque.tar'))

  const layers = layersOf()
  const session = await made.importer.begin({
    layers: layers.map(({ file: _, ...expected }) => expected),
    whiteouts: 'oci',
  })
  await Promise.all(layers.map(({ file }, at) => session.receive(at, Readable.toWeb(createReadStream(file)) as Bytes)))
  const { digest } = await session.finish()
  await session.close()
  opened = await made.open(digest)
}, 300_000)

afterAll(() => {
  expect(made.leftovers()).toEqual([])
  made.remove()
  rmSync(work, { recursive: true })
})

/** One line an entry; contents as digests, because whole files are no help to who reads a failure. */
const linesOf = (facts: Map<string, Facts>): string[] =>
  Array.from(facts, ([path, { content, ...others }]) => {
    const digest = content === undefined ? '' : createHash('sha256').update(String(content), 'latin1').digest('hex')
    return `${path} ${JSON.stringify(Object.entries(others).sort())} ${digest}`
  })

test('is the tree that umoci unpacks: types, modes, owners, times, attributes, links, contents', {
  timeout: 300_000,
}, async () => {
  const bundle = join(work, 'bundle')
  run('umoci', 'unpack', '--image', image, bundle)
  const theirs = linesOf(factsOfFolder(join(bundle, 'rootfs')))
  const ours = linesOf(await factsOfTree(opened.tree, opened.contents))
  expect(ours.length).toBeGreaterThan(4000)
  const [known, found] = [new Set(theirs), new Set(ours)]
  expect(ours.filter((line) => !known.has(line))).toEqual(theirs.filter((line) => !found.has(line)))
})

test('has what the layers did to one another', () => {
  const { tree, manifest } = opened
  expect(manifest).toMatchObject({
    architecture: 'x86_64',
    os: { id: 'debian' },
    kernels: [{ version: '6.1.0-18-amd64' }],
  })
  expect(tree.get('usr/bin/perl')).toBeUndefined()
  expect(tree.get('usr/share/doc/apt')).toBeUndefined()
  expect(tree.names('usr/share/doc/bash')).toEqual([])
  expect(tree.names('etc/issue')).toEqual(['now a directory'])
  expect(tree.names('etc/default')).toEqual(['only'])
  expect(tree.get('usr/bin/tar')).toMatchObject({ mode: 0o4711 })
  expect(tree.get('usr/bin/gzip')).toBeUndefined()
  expect(tree.get('usr/bin/gzip-again')).toMatchObject({ links: 1 })
  expect(tree.get('usr/bin/another')).toBe(tree.get('usr/bin/dash'))
  expect([...(tree.get('usr/bin/dash')?.xattrs?.keys() ?? [])]).toEqual(['security.capability'])
  expect(tree.get('opt/block')).toMatchObject({ type: 'block', major: 7, minor: 200 })
})
