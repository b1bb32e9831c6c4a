import { execFileSync } from 'node:child_process'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TestApp } from '../harness.ts'
import { cluster } from './cast.ts'
import { emptyDirectory, muster, type Setting } from './muster.ts'

let app: TestApp
beforeEach(async () => {
  app = await cluster()
})
afterEach(() => app.close())

const go = (line: string, setting?: Setting) => muster(app, line.split(' '), setting)
const settingsOf = async (path: string) => (await app.call('GET', `/api/${path}`)).settings
const revision = async (): Promise<number> => (await app.call('GET', '/api/whoami')).revision

describe('an edit', () => {
  const line = 'node set n[001-003],gpu1 --kernel-args console=ttyS0 -m serial'
  const diff = 'gpu1,n[001-003]\n  kernel.args: (none) → [console=ttyS0]\n'

  it('shows what it changes, asks, and does it', async () => {
    const { code, out, err } = await go(line, { types: 'y\n' })
    expect({ code, out, err }).toEqual({
      code: 0,
      out: `${diff}changed 4 nodes, revision 11\n`,
      err: 'Apply to 4 nodes? [y/N] ',
    })
    expect(await settingsOf('nodes/n002')).toMatchObject({ kernel: { args: ['console=ttyS0'] }, tags: { rack: 'r12' } })
    expect((await app.call('GET', '/api/revisions/11')).message).toBe('serial')
  })

  it.each([
    ['no', 'n\n'],
    ['nothing', '\n'],
    ['something else', 'yess\n'],
    ['the end of input', ''],
  ])('is not done when the answer is %s', async (_name, types) => {
    const { code, err } = await go(line, { types })
    expect(code).toBe(1)
    expect(err).toContain('muster: nothing was changed\n')
    expect(await revision()).toBe(10)
  })

  it('does not ask with -y, and shows the diff all the same', async () => {
    expect(await go(`${line} -y`)).toEqual({ code: 0, out: `${diff}changed 4 nodes, revision 11\n`, err: '' })
  })

  it('is refused without a terminal and without -y', async () => {
    const { code, out, err } = await go(line)
    expect({ code, out }).toEqual({ code: 2, out: diff })
    expect(err).toBe('muster: there is no terminal to ask on: use -y to apply this without a question\n')
    expect(await revision()).toBe(10)
  })

  it('that changes nothing says so and makes no revision', async () => {
    expect(await go('node set n* --tag rack=r12')).toEqual({ code: 0, out: 'nothing to change\n', err: '' })
    expect(await revision()).toBe(10)
  })

  it('without anything to set is a slip', async () => {
    expect(await go('node set n*')).toMatchObject({ code: 2, err: expect.stringContaining('say what to set') })
    expect(await go('profile set gpu')).toMatchObject({ code: 2, err: expect.stringContaining('say what to set') })
  })

  it.each([
    ['node set n* --kernel-args ro', 'PUT', '/api/nodes/n001', { profiles: ['gpu'] }],
    ['node delete n*', 'PUT', '/api/nodes/n009', {}],
    ['profile set gpu --kernel-args ro', 'PUT', '/api/profiles/gpu', {}],
    ['profile delete gpu', 'PUT', '/api/profiles/gpu', { settings: { init: '/x' } }],
    ['profile set fresh --init /x', 'PUT', '/api/profiles/fresh', {}],
    ['image set-current rocky9 1', 'PATCH', '/api/images/rocky9', { current: 1 }],
    ['image tag rocky9@1 old', 'PUT', '/api/images/rocky9/tags/tested', { version: 2 }],
    ['image rename rocky9 el9', 'PATCH', '/api/images/rocky9', { current: 1 }],
    ['image delete rocky9@1', 'PUT', '/api/images/rocky9/tags/tested', { version: 2 }],
    ['overlay delete greeting', 'PUT', '/api/overlays/greeting', { files: [{ path: 'files/a', content: '' }] }],
  ])('is not done when something slips in after the diff: %s', async (edit, method, path, body) => {
    let slipped = -1
    const { code, err } = await go(`${edit} -y`, {
      // The last request of these commands is the edit itself; everything before it only looks.
      fetch: async (input, init) => {
        const url = new URL(String(input))
        const edits = init?.method !== 'GET' && url.searchParams.get('dryRun') !== 'true'
        if (edits) {
          await app.call(method, path, { body })
          slipped = await revision()
        }
        return app.app.request(input as string, init)
      },
    })
    expect(code).toBe(1)
    expect(err).toMatch(/^muster: .*(?:not at \d+|there is a profile fresh already|at revision)/)
    expect(await revision()).toBe(slipped)
  })
})

describe('node', () => {
  it('add makes one or many, and says which', async () => {
    expect(await go('node add m[1-3] --profile default --tag rack=r1')).toEqual({
      code: 0,
      out: 'added m[1-3] (3 nodes), revision 11\n',
      err: '',
    })
    expect(await app.call('GET', '/api/nodes/m2')).toMatchObject({
      profiles: ['default'],
      settings: { tags: { rack: 'r1' } },
    })
    expect((await go('node add one --mac 52-54-00-00-00-0A --clear kernel.args')).out).toBe(
      'added one (1 node), revision 12\n',
    )
    expect(await settingsOf('nodes/one')).toEqual({
      netdevs: { default: { mac: '52:54:00:00:00:0a' } },
      kernel: { args: null },
    })
  })

  it('add refuses a name that is taken, and adds none of the others', async () => {
    expect(await go('node add n[003-005]')).toEqual({ code: 1, out: '', err: 'muster: there is a node n003 already\n' })
    expect((await app.send('GET', '/api/nodes/n004')).status).toBe(404)
  })

  it('set clears what profiles say, and unset lets it hold again', async () => {
    expect((await go('node set n001 --clear kernel.args --clear image -y')).out).toContain(
      '  image: (none) → (cleared)\n',
    )
    expect(await app.call('GET', '/api/nodes/n001/effective')).not.toHaveProperty('image')
    await go('node unset n001 image kernel.args tags.rack profiles -y')
    expect(await app.call('GET', '/api/nodes/n001')).toMatchObject({ profiles: [], settings: {} })
  })

  it('delete takes what the selector means', async () => {
    const { out } = await go('node delete n*!n002 -y')
    expect(out).toMatch(/^n\[001,003\] \(deleted\)\n/)
    expect(out).toMatch(/deleted 2 nodes, revision 11\n$/)
    expect((await app.call('GET', '/api/nodes')).items.map((node: { name: string }) => node.name)).toEqual([
      'gpu1',
      'n002',
    ])
  })
})

describe('profile', () => {
  it('set makes a profile that is not there, and tells who uses one that is', async () => {
    expect((await go('profile set fast --image rocky9 -y')).out).toBe(
      'fast (new)\n  image: (none) → rocky9\nmade profile fast, revision 11\n',
    )
    expect(await go('profile set default --init /init', { types: 'y\n' })).toEqual({
      code: 0,
      out: 'default\n  init: (none) → /init\nchanged profile default, revision 12\n',
      err: 'Apply to profile default (used by 3 nodes and 1 profile)? [y/N] ',
    })
  })

  it('unset and delete take away', async () => {
    expect((await go('profile unset gpu tags -y')).out).toContain('  tags.class: gpu → (none)\n')
    expect((await go('profile delete default -y')).err).toMatch(/^muster: profile default is used by /)
    await go('profile set lonely --init /init -y')
    expect((await go('profile delete lonely -y')).out).toMatch(/deleted profile lonely\n$/)
    expect((await app.send('GET', '/api/profiles/lonely')).status).toBe(404)
  })
})

describe('image', () => {
  it('set-current goes back and forth', async () => {
    expect(await go('image set-current rocky9 1', { types: 'y\n' })).toMatchObject({
      code: 0,
      out: 'rocky9\n  current: 2 → 1\nnodes get rocky9@1 at their next boot\n',
    })
    expect((await app.call('GET', '/api/images/rocky9')).current).toBe(1)
    expect((await go('image set-current rocky9 newest -y')).err).toContain('has no version newest')
    expect((await go('image set-current rocky9 7 -y')).code).toBe(1)
  })

  it('delete asks, and refuses an image that is used', async () => {
    expect((await go('image delete rocky9', { types: 'n\n' })).err).toMatch(/^Delete image rocky9 with 2 versions\? /)
    expect((await go('image delete rocky9 -y')).err).toMatch(/^muster: image rocky9 is used by /)
    await go('profile unset default image -y')
    await go('node unset gpu1 image -y')
    expect((await go('image delete rocky9 -y')).out).toBe('deleted image rocky9\n')
  })
})

describe('overlay', () => {
  it('pull, change and push make the next version, and tell what changed', async () => {
    const folder = await emptyDirectory()
    expect((await go('overlay pull greeting', { cwd: folder })).out).toBe('wrote 2 files to greeting\n')
    expect(await readFile(join(folder, 'greeting/files/etc/motd.mustache'), 'utf8')).toBe('Welcome to {{node.name}}\n')
    expect((await go('overlay push greeting', { cwd: folder })).out).toBe(
      'nothing to change: greeting is this already, version 1\n',
    )

    await writeFile(join(folder, 'greeting/files/etc/motd.mustache'), 'Hello {{node.name}}\n')
    await mkdir(join(folder, 'greeting/files/usr/bin'), { recursive: true })
    await writeFile(join(folder, 'greeting/files/usr/bin/hello'), '#!/bin/sh\n', { mode: 0o755 })
    await symlink('hello', join(folder, 'greeting/files/usr/bin/hi'))
    const { code, out, err } = await go('overlay push greeting -m warmer', { cwd: folder, types: 'y\n' })
    expect([code, err]).toEqual([0, 'Push overlay greeting? [y/N] '])
    await expect(`$ muster overlay push greeting -m warmer\n${out}`).toMatchFileSnapshot(
      '../golden/cli/overlay-push.txt',
    )
    expect((await go('overlay show greeting')).out).toContain('/usr/bin/hi -> hello')
    expect((await go('overlay versions greeting')).out).toMatch(/^2 .* warmer$/m)
    expect((await go('overlay show greeting --version 1')).out).not.toContain('hi')

    expect((await go('overlay pull greeting again --version 1', { cwd: folder })).out).toBe('wrote 2 files to again\n')
    expect((await go('overlay pull greeting again', { cwd: folder })).err).toMatch(
      /is not empty: name another directory\n$/,
    )
  })

  it('push of the same directory changes nothing', async () => {
    const folder = await emptyDirectory()
    await mkdir(join(folder, 'files/etc'), { recursive: true })
    await writeFile(join(folder, 'overlay.yaml'), 'description: greets whoever logs in\n')
    await writeFile(join(folder, 'files/etc/motd.mustache'), 'Welcome to {{node.name}}\n')
    expect((await muster(app, ['overlay', 'push', folder, 'greeting', '-y'])).out).toBe(
      'nothing to change: greeting is this already, version 1\n',
    )
  })

  it('push takes another name, and refuses what is neither a file nor a link', async () => {
    const folder = await emptyDirectory()
    await mkdir(join(folder, 'files'))
    await writeFile(join(folder, 'files/issue'), 'hi\n')
    expect((await muster(app, ['overlay', 'push', folder, 'inscription', '-y'])).out).toMatch(
      /^inscription \(new\)\n {2}\+ files\/issue\n(?:.*\n)*pushed inscription, version 1\n$/,
    )
    execFileSync('mkfifo', [join(folder, 'files/pipe')])
    expect(await muster(app, ['overlay', 'push', folder, 'inscription', '-y'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('files/pipe is neither a file nor a symbolic link'),
    })
  })

  it('delete takes the versions of the site away', async () => {
    await go('profile unset default overlays -y')
    expect(await go('overlay delete greeting', { types: 'y\n' })).toEqual({
      code: 0,
      out: 'deleted overlay greeting\n',
      err: 'Delete overlay greeting with all its versions? [y/N] ',
    })
    expect((await app.send('GET', '/api/overlays/greeting')).status).toBe(404)
  })
})

describe('discovered', () => {
  it('approve makes a machine a node', async () => {
    const approve = 'discovered approve 52:54:00:00:00:99 n099 --profile default --netdev eth0 --address 10.0.0.99/24'
    expect(await go(approve)).toEqual({ code: 0, out: '52:54:00:00:00:99 is node n099, revision 11\n', err: '' })
    expect(await app.call('GET', '/api/nodes/n099')).toMatchObject({
      profiles: ['default'],
      settings: { serial: 'S99', netdevs: { eth0: { mac: '52:54:00:00:00:99', address: '10.0.0.99/24' } } },
    })
    expect((await go('discovered list')).out).not.toContain('52:54:00:00:00:99')
  })

  it('forget asks and takes a machine off the list', async () => {
    expect((await go('discovered forget 52:54:00:00:00:99', { types: 'y\n' })).out).toBe('forgot 52:54:00:00:00:99\n')
    expect((await go('discovered forget 52:54:00:00:00:99 -y')).code).toBe(1)
  })
})

describe('token', () => {
  it('create shows the secret once, alone on stdout, and it works', async () => {
    const { code, out, err } = await go('token create ci --scope read --expires 2027-01-01T00:00:00Z')
    expect(code).toBe(0)
    expect(err).toContain('shown once')
    expect(out).toMatch(/^\S+\n$/)
    expect((await go('node list', { env: { MUSTER_TOKEN: out.trim() } })).code).toBe(0)
    expect((await go('node add m1', { env: { MUSTER_TOKEN: out.trim() } })).err).toMatch(/^muster: token ci may read/)
    expect((await go('token list')).out).toMatch(/^ci +read .* 2027-01-01 00:00:00Z$/m)
  })

  it('delete takes it back', async () => {
    expect((await go('token delete the-edit -y')).out).toBe('deleted token the-edit\n')
    expect((await app.send('GET', '/api/nodes')).status).toBe(401)
  })
})
