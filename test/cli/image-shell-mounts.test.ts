import { lstat, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { type Bind, parseBind, placeOf, planMounts } from '../../src/cli/image-shell-mounts.ts'
import { emptyDirectory } from './muster.ts'

let image: string
let points: string
let warnings: string[]
beforeEach(async () => {
  const folder = await emptyDirectory()
  image = join(folder, 'image')
  points = join(folder, 'points')
  warnings = []
  for (const path of ['image/etc', 'image/usr/lib', 'image/var/lib', 'points'])
    await mkdir(join(folder, path), { recursive: true })
})

const plan = async (...binds: string[]): Promise<Bind[]> =>
  planMounts(
    { image, points },
    await Promise.all(binds.map((text) => parseBind(text, '/'))),
    (line) => void warnings.push(line),
  )
const link = (target: string, path: string) => symlink(target, join(image, path))

/** Everything in `points`, with a slash behind directories. */
async function made(): Promise<string[]> {
  const entries = await readdir(points, { recursive: true, withFileTypes: true })
  return entries
    .map((one) => join(one.parentPath, one.name).slice(points.length + 1) + (one.isDirectory() ? '/' : ''))
    .sort()
}

describe('--bind', () => {
  it.each([
    ['/usr', { source: '/usr', point: '/usr', readOnly: false, isDirectory: true }],
    ['usr', { source: '/usr', point: '/usr', readOnly: false, isDirectory: true }],
    ['/usr:/mnt//x/.', { source: '/usr', point: '/mnt/x', readOnly: false, isDirectory: true }],
    ['/usr:/mnt:ro', { source: '/usr', point: '/mnt', readOnly: true, isDirectory: true }],
    ['/etc/passwd:/mnt:rw', { source: '/etc/passwd', point: '/mnt', readOnly: false, isDirectory: false }],
  ])('reads %s', async (text, bind) => {
    expect(await parseBind(text, '/')).toEqual(bind)
  })

  it.each(['', ':/x', '/usr:mnt', '/usr:', '/usr:/', '/usr:/x/../..', '/usr:/x:rx', '/usr:/x:ro:rw', '/no/such:/x'])(
    'refuses %j',
    async (text) => {
      await expect(parseBind(text, '/')).rejects.toThrow(/^--bind /)
    },
  )
})

describe('the place of a path in an image', () => {
  it.each([
    ['what is there', undefined, '/usr/lib', { path: 'usr/lib', type: 'directory' }],
    ['what is not there', undefined, '/usr/share/x', { path: 'usr/share/x' }],
    ['a relative link', ['lib', 'usr/lib64'], '/usr/lib64/x', { path: 'usr/lib/x' }],
    [
      'an absolute link, which begins at the root of the image',
      ['/usr', 'u'],
      '/u/lib',
      { path: 'usr/lib', type: 'directory' },
    ],
    ['a link that climbs out', ['../../../../../../etc', 'usr/e'], '/usr/e/passwd', { path: 'etc/passwd' }],
    ['a link to the root', ['/', 'r'], '/r/etc', { path: 'etc', type: 'directory' }],
    ['dots', undefined, '/usr/./lib/../../etc', { path: 'etc', type: 'directory' }],
    ['a link into what is mounted afresh', ['/run/x', 'var/run'], '/var/run/y', { path: 'run/x/y' }],
  ])('follows %s', async (_label, made, path, place) => {
    if (made) await link(made[0]!, made[1]!)
    expect(await placeOf(image, path)).toEqual(place)
  })

  it('refuses circles and paths through files', async () => {
    await link('b', 'a')
    await link('a', 'b')
    await writeFile(join(image, 'file'), '')
    await expect(placeOf(image, '/a/x')).rejects.toThrow('links in a circle')
    await expect(placeOf(image, '/file/x')).rejects.toThrow('/file of the image, which is no directory')
  })
})

describe('mounts', () => {
  it('get mount points where the image has none, beside it', async () => {
    const file = join(points, '..', 'file')
    await writeFile(file, '')
    const [folder, one] = await plan(`${image}:/opt/data:ro`, `${file}:/srv/one`)
    expect(folder).toEqual({ source: image, point: 'opt/data', readOnly: true, isDirectory: true })
    expect(one).toMatchObject({ point: 'srv/one' })
    const own = [
      'dev/',
      'etc/',
      'etc/hosts',
      'etc/resolv.conf',
      'opt/',
      'opt/data/',
      'proc/',
      'run/',
      'srv/',
      'srv/one',
      'sys/',
    ]
    expect(await made()).toEqual(own)
    expect(await readdir(image)).toEqual(['etc', 'usr', 'var'])
  })

  it('are planned at the names that links lead to, below /run in the shell alone', async () => {
    await link('/run', 'var/run')
    await link('../../../../../../../etc', 'usr/out')
    const binds = await plan(`${image}:/var/run/x`, `${image}:/usr/out/y`)
    expect(binds.slice(0, 2).map(({ point }) => point)).toEqual(['run/x', 'etc/y'])
    expect(await made()).not.toContain('run/x/')
  })

  it.each([
    ['/proc/x', 'nothing can be bound at /proc/x'],
    ['/dev', 'nothing can be bound at /dev'],
    ['/etc/motd', 'must both be directories'],
    ['/r', 'nothing can be bound at /r, which is / in the image'],
  ])('are refused at %s', async (point, message) => {
    await writeFile(join(image, 'etc/motd'), '')
    await link('/', 'r')
    await expect(plan(`${image}:${point}`)).rejects.toThrow(message)
  })

  it('are refused when one lies in another', async () => {
    await expect(plan(`${image}:/mnt`, `${image}:/mnt/x`)).rejects.toThrow('the same place, or one lies in the other')
  })

  it.each(['proc', 'sys', 'dev', 'run'])('are refused in an image whose /%s is a link', async (name) => {
    await link('/tmp', name)
    await expect(plan()).rejects.toThrow(`something else than a directory at /${name}`)
  })

  it('show the head node’s resolv.conf and hosts where the image has a place for them', async () => {
    const binds = await plan()
    expect(binds.map(({ point, readOnly }) => [point, readOnly])).toEqual([
      ['etc/resolv.conf', true],
      ['etc/hosts', true],
    ])
  })

  it('show resolv.conf where systemd-resolved would write it', async () => {
    await link('../run/systemd/resolve/stub-resolv.conf', 'etc/resolv.conf')
    expect((await plan()).map(({ point }) => point)).toEqual(['run/systemd/resolve/stub-resolv.conf', 'etc/hosts'])
  })

  it('leave resolv.conf out when it leads to another file', async () => {
    await writeFile(join(image, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\n')
    await link('../../../../etc/passwd', 'etc/resolv.conf')
    expect((await plan()).map(({ point }) => point)).toEqual(['etc/hosts'])
    expect(warnings).toEqual([
      "/etc/resolv.conf of the image leads to /etc/passwd: this machine's resolv.conf is not seen in it",
    ])
    expect((await lstat(join(image, 'etc/resolv.conf'))).isSymbolicLink()).toBe(true)
  })

  it('give way to a bind of the same file', async () => {
    const file = join(points, '..', 'mine')
    await writeFile(file, '')
    expect((await plan(`${file}:/etc/hosts`)).map(({ source, point }) => [source === file, point])).toContainEqual([
      true,
      'etc/hosts',
    ])
  })
})
