/** The example that builds images: really built, really imported, and read for what it would do elsewhere. */
import { execFile, execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { archive, member } from '../archive/tar-writer.ts'
import { type Head, startHead } from '../boot/head.ts'
import { muster } from '../cli/muster.ts'
import { testApp } from '../harness.ts'
import { bzImage } from '../images/small-image.ts'

const run = promisify(execFile)
const example = join(import.meta.dirname, '../../examples/images')
const program = join(import.meta.dirname, '../../bin/muster')

let folder = ''
let base = ''
/** Where the engine keeps what it builds, so that nothing of this machine's is touched. */
let engine: Record<string, string> = {}
let head: Head

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'muster-examples-'))
  cpSync(example, join(folder, 'images'), { recursive: true })
  mkdirSync(join(folder, 'images/packages.none'))
  writeFileSync(join(folder, 'images/packages.none/base'), '# nothing: this build is without a network\n')
  const storage = join(folder, 'storage.conf')
  writeFileSync(storage, `[storage]\ndriver = "vfs"\nrunroot = "${folder}/run"\ngraphroot = "${folder}/storage"\n`)
  engine = { CONTAINERS_STORAGE_CONF: storage, BUILDAH_ISOLATION: 'chroot', STORAGE_DRIVER: 'vfs' }
  base = baseImage()
  head = await startHead()
}, 60_000)
afterAll(async () => {
  await head.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** A base image: busybox under the names that scripts call it by, and something that looks like a kernel. */
function baseImage(): string {
  const busybox = existsSync('/bin/busybox') ? '/bin/busybox' : '/usr/bin/busybox'
  const applets = execFileSync(busybox, ['--list']).toString().trim().split('\n')
  const root = archive(
    member({ name: 'bin/busybox', mode: 0o755, data: new Uint8Array(readFileSync(busybox)) }),
    ...applets
      .filter((name) => name !== 'busybox')
      .map((name) => member({ name: `bin/${name}`, flag: '2', link: 'busybox' })),
    member({ name: 'sbin/init', flag: '2', link: '../bin/busybox' }),
    member({ name: 'etc/', flag: '5', mode: 0o755 }),
    member({ name: 'tmp/', flag: '5', mode: 0o1777 }),
    member({ name: 'boot/vmlinuz-6.1.0-1-amd64', data: bzImage('6.1.0-1-amd64') }),
    member({ name: 'lib/modules/6.1.0-1-amd64/', flag: '5', mode: 0o755 }),
  )
  const file = join(folder, 'root.tar')
  writeFileSync(file, root)
  const layout = join(folder, 'layout')
  for (const args of [
    ['init', '--layout', layout],
    ['new', '--image', `${layout}:base`],
    ['raw', 'add-layer', '--image', `${layout}:base`, file],
    ['config', '--image', `${layout}:base`, '--config.env', 'PATH=/bin:/sbin'],
  ])
    execFileSync('umoci', args)
  execFileSync('skopeo', ['copy', '--quiet', `oci:${layout}:base`, `docker-archive:${folder}/base.tar:base:1`])
  return `docker-archive:${folder}/base.tar`
}

const make = (...args: string[]) =>
  run('make', ['-C', join(folder, 'images'), '--no-print-directory', ...args], {
    env: { ...process.env, ...engine },
    maxBuffer: 64 << 20,
  })

describe('the example of images', () => {
  it('builds a variant without a network, lists it, and imports it once, with its tag', async () => {
    const { stdout } = await make(
      'base',
      'PACKAGES=packages.none',
      `BASE_IMAGE=${base}`,
      'ENGINE=buildah',
      'STAMP=20261122-1530',
    )
    expect(stdout).toContain('built base 20261122-1530: make install imports it')
    expect((await make('list')).stdout).toMatch(/^base 20261122-1530/)

    // The real command, told by the environment where the service is, as an admin's is.
    const wrapper = join(folder, 'muster')
    const env = { MUSTER_SERVER: head.server, MUSTER_TOKEN_FILE: head.tokenFile }
    const exports = Object.entries(env).map(([name, value]) => `export ${name}='${value}'`)
    writeFileSync(wrapper, `#!/bin/sh\n${exports.join('\n')}\nexec '${program}' "$@"\n`, { mode: 0o755 })
    expect((await make('install', `MUSTER=${wrapper}`)).stdout).toContain('imported base@1')
    expect((await make('install', `MUSTER=${wrapper}`)).stdout).toContain('nothing is built that is not imported')
    expect((await make('list')).stdout).toContain('nothing is built that is not imported')

    const [version] = JSON.parse(await head.muster('--json', 'image', 'versions', 'base'))
    expect(version).toMatchObject({ number: 1, tags: ['20261122-1530'], message: 'built 20261122-1530' })
    expect(await head.muster('image', 'cat', 'base@20261122-1530', '/etc/passwd')).toBe(
      readFileSync('/etc/passwd', 'utf8'),
    )
    const files: string = await head.muster('image', 'files', 'base', '/etc')
    expect(files).toContain('machine-id')
  }, 120_000)

  it('stops when a list names a package that the distribution does not have', async () => {
    mkdirSync(join(folder, 'images/packages.wrong'))
    writeFileSync(join(folder, 'images/packages.wrong/base'), 'no-such-package\n')
    const failed = await make('base', 'PACKAGES=packages.wrong', `BASE_IMAGE=${base}`, 'ENGINE=buildah').catch(
      (error: { stderr: string }) => error,
    )
    expect(failed.stderr).toContain('the base image has none of dnf, microdnf, zypper and apt-get')
    expect((await make('list')).stdout).toContain('nothing is built that is not imported')
  }, 120_000)

  const variants = readdirSync(example)
    .filter((name) => name.startsWith('Containerfile.'))
    .map((name) => name.slice('Containerfile.'.length))

  it.each(variants)('says what it would do for %s, with the vendors that it was told of', async (variant) => {
    const { stdout } = await make('--dry-run', variant, 'ENGINE=podman', 'NVIDIA_VERSION=570.86.15', 'CLUSTER=sol')
    const arch = variant === 'gracehopper' ? { oci: 'arm64', linux: 'aarch64' } : { oci: 'amd64', linux: 'x86_64' }
    expect(stdout).toContain(`--file Containerfile.${variant}`)
    expect(stdout).toContain(`--platform linux/${arch.oci}`)
    expect(stdout).toContain(`NVIDIA-Linux-${arch.linux}-570.86.15.run`)
    expect(stdout).toMatch(new RegExp(`--tag localhost/sol-${variant}:[0-9]{8}-[0-9]{6} `))
  })

  it.each(variants)('declares every argument that %s uses, and has what it mounts', (variant) => {
    const text = readFileSync(join(example, `Containerfile.${variant}`), 'utf8')
    const declared = [...text.matchAll(/^ARG ([A-Z_]+)/gm)].map(([, name]) => name)
    for (const [, name] of text.matchAll(/\$\{([A-Z_]+)\}/g)) expect(declared).toContain(name)
    for (const [, script] of text.matchAll(/\/mnt\/(scripts\/[a-z-]+)/g))
      expect(existsSync(join(example, script!))).toBe(true)
    expect(existsSync(join(example, 'packages', variant))).toBe(true)
  })
})

describe('muster image build', () => {
  it('builds, imports, and keeps the Containerfile, the commit and the tag with the version', async () => {
    const test = await testApp()
    const context = join(folder, 'context')
    mkdirSync(context)
    writeFileSync(join(context, 'Containerfile'), 'ARG FROM\nFROM ${FROM}\nARG WORD\nRUN echo $WORD > /etc/word\n')
    for (const args of [
      ['init', '-q'],
      ['add', '.'],
      ['-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-qm', 'one'],
    ])
      execFileSync('git', args, { cwd: context })
    const env = { PATH: process.env.PATH, HOME: folder, ...engine }
    const options = [
      '--build-arg',
      `FROM=${base}`,
      '--build-arg',
      'WORD=two words',
      '--engine',
      'buildah',
      '--as',
      'first',
    ]
    const built = await muster(test, ['image', 'build', '--tag', 'made', ...options, '-m', 'try', context], { env })
    expect(built.err).toContain('STEP')
    expect(built).toMatchObject({ code: 0, out: expect.stringContaining('imported made@1') })
    const version = await test.call('GET', '/api/images/made/versions/first')
    expect(version).toMatchObject({
      number: 1,
      message: 'try',
      source: `build ${join(context, 'Containerfile')}`,
      provenance: {
        containerfile: expect.stringMatching(/^sha256:/),
        git: { commit: execFileSync('git', ['rev-parse', 'HEAD'], { cwd: context }).toString().trim(), dirty: false },
      },
    })
    const word = await test.send('GET', '/api/images/made/versions/first/file?path=/etc/word')
    expect(await word.text()).toBe('two words\n')
    await test.close()
  }, 120_000)

  it('makes no version of what cannot be built, and says so', async () => {
    const test = await testApp()
    const file = join(folder, 'Broken')
    writeFileSync(file, `FROM ${base}\nRUN exit 3\n`)
    const env = { PATH: process.env.PATH, HOME: folder, ...engine }
    const built = await muster(test, ['image', 'build', '-f', file, '--tag', 'broken', '--engine', 'buildah'], { env })
    expect(built).toMatchObject({ code: 1, err: expect.stringContaining('buildah build failed (exit code') })
    expect(await test.call('GET', '/api/images')).toMatchObject({ items: [] })
    await test.close()
  }, 120_000)

  it('says what to do where there is nothing to build with, or from', async () => {
    const test = await testApp()
    const nothing = join(folder, 'nothing')
    mkdirSync(nothing)
    const env = { PATH: nothing }
    expect((await muster(test, ['image', 'build', '--tag', 'x', nothing], { env })).err).toBe(
      `muster: no Containerfile in ${nothing}: name one with --file\n`,
    )
    expect((await muster(test, ['image', 'build', '--tag', 'x', join(folder, 'context')], { env })).err).toBe(
      'muster: neither podman nor buildah is installed: install one, or build elsewhere and bring the archive with `muster image import docker-archive:FILE NAME`\n',
    )
    await test.close()
  })
})
