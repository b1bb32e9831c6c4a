import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, link, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { serve } from '@hono/node-server'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Io } from '../../src/cli/io.ts'
import { tarArguments } from '../../src/sources/directory.ts'
import { pax } from '../archive/tar-writer.ts'
import { type TestApp, testApp } from '../harness.ts'
import { basics, bzImage, elf, tarOf } from '../images/small-image.ts'
import { layoutIn } from '../sources/layouts.ts'
import { openFilesIn } from '../sources/rig.ts'
import { emptyDirectory, muster } from './muster.ts'

let app: TestApp
beforeEach(async () => {
  app = await testApp()
})
afterEach(() => app.close())

const versions = async (): Promise<{ number: number; source: string }[]> => {
  const response = await app.send('GET', '/api/images/small/versions')
  return response.ok ? await response.json() : []
}

/** A root tree that boots as far as an import looks. */
async function tree(): Promise<string> {
  const root = await emptyDirectory()
  for (const folder of ['bin', 'sbin', 'boot', 'etc', 'proc', 'lib/modules/6.1.0-18-amd64']) {
    await mkdir(join(root, folder), { recursive: true })
  }
  await writeFile(join(root, 'bin/sh'), elf(), { mode: 0o755 })
  await symlink('../bin/sh', join(root, 'sbin/init'))
  await link(join(root, 'bin/sh'), join(root, 'bin/ash'))
  await writeFile(join(root, 'boot/vmlinuz-6.1.0-18-amd64'), bzImage('6.1.0-18-amd64'))
  await writeFile(join(root, 'etc/secret'), 'x', { mode: 0o600 })
  return root
}

describe('image import', () => {
  it('takes a tar, and knows the same content again', async () => {
    const folder = await emptyDirectory()
    await writeFile(join(folder, 'root.tar.gz'), gzipSync(tarOf(basics)))
    const argv = ['image', 'import', 'root.tar.gz', 'small', '-m', 'first']
    const { code, out, err } = await muster(app, argv, { cwd: folder })
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/^imported small@1\n {2}digest: sha256:[0-9a-f]{64}\n {2}architecture: x86_64\n/)
    expect((await muster(app, argv, { cwd: folder })).out).toMatch(/^nothing new: small@1 has this content already/)
    expect(await versions()).toMatchObject([{ number: 1, source: 'root.tar.gz' }])
    expect((await app.call('GET', '/api/revisions?limit=1')).items[0].message).toBe('first')
  })

  it('takes a tar on stdin, and leaves the current version alone when told to', async () => {
    const stdin = () => Object.assign(Readable.from([tarOf(basics)]), { isTTY: false })
    expect((await muster(app, ['image', 'import', '-', 'small'], { stdin: stdin() })).code).toBe(0)
    const other = Object.assign(Readable.from([tarOf([...basics, { name: 'etc/new' }])]), { isTTY: false })
    expect((await muster(app, ['image', 'import', '-', 'small', '--no-current'], { stdin: other })).out).toContain(
      'small@2',
    )
    expect(await app.call('GET', '/api/images/small')).toMatchObject({ current: 1, newest: 2 })
    expect((await muster(app, ['image', 'import', '-', 'small'], { types: '' })).code).toBe(2)
  })

  it('takes a directory, without its sockets', async () => {
    const root = await tree()
    const socket = createServer().listen(join(root, 'etc/socket'))
    await once(socket, 'listening')
    const { code, out, err } = await muster(app, ['image', 'import', root, 'small'])
    socket.close()
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain('kernels: [6.1.0-18-amd64]')
    // The tree itself, 8 directories, 5 files with the hard link, one symbolic link; no socket.
    expect(out).toMatch(/entries: 1[45]\n/)
  })

  it('shows how far it is on a terminal, and only there', async () => {
    const root = await tree()
    const { err } = await muster(app, ['image', 'import', root, 'small'], { terminal: true })
    expect(err).toMatch(/^\r\u001b\[Ksending 0 B.*sending [0-9.]+ kB.*\r\u001b\[K$/s)
  })

  it.each([
    ['a file that is not there', 'nowhere.tar', 1, /ENOENT/],
    ['no tar at all', 'text.tar', 1, /^muster: /],
    ['a device', '/dev/null', 2, /neither a file nor a directory/],
  ])('refuses %s, and makes no version', async (_name, source, expected, message) => {
    const cwd = await emptyDirectory()
    await writeFile(join(cwd, 'text.tar'), 'this is not a tar\n'.repeat(1000))
    const { code, err } = await muster(app, ['image', 'import', source, 'small'], { cwd })
    expect(code).toBe(expected)
    expect(err).toMatch(message)
    expect(await versions()).toEqual([])
  })

  it('fails with tar, shows what tar said, and makes no version', async () => {
    const root = await tree()
    const bin = await emptyDirectory()
    // A tar that gives everything, and then finds that it could not read a file: what real tar does without privileges.
    const script =
      '#!/bin/sh\n/usr/bin/env -u TAR_OPTIONS PATH=/usr/bin:/bin tar "$@"\necho "tar: ./etc/secret: Permission denied" >&2\nexit 2\n'
    await writeFile(join(bin, 'tar'), script, { mode: 0o755 })
    const env = { PATH: `${bin}:${process.env.PATH}` }
    const { code, err } = await muster(app, ['image', 'import', root, 'small'], { env })
    expect(code).toBe(1)
    expect(err).toBe(
      `tar: ./etc/secret: Permission denied\nmuster: tar could not read all of ${root} (exit code 2): nothing was imported\n`,
    )
    expect(await versions()).toEqual([])
  })

  it('says what to do where there is no tar', async () => {
    const { code, err } = await muster(app, ['image', 'import', await tree(), 'small'], { env: { PATH: '/nowhere' } })
    expect([code, err]).toEqual([1, 'muster: cannot run tar: install GNU tar, or import a tar file\n'])
  })

  it('does not let TAR_OPTIONS or a name that looks like an option speak to tar', async () => {
    const cwd = await emptyDirectory()
    execFileSync('cp', ['-a', `${await tree()}/.`, join(cwd, '--checkpoint-action=exec=false')])
    const env = { PATH: process.env.PATH, TAR_OPTIONS: '--exclude=boot' }
    const { code, out } = await muster(app, ['image', 'import', '--', '--checkpoint-action=exec=false', 'small'], {
      cwd,
      env,
    })
    expect(code).toBe(0)
    expect(out).toContain('6.1.0-18-amd64')
  })

  it('is interrupted by Ctrl-C with 130, and makes no version', async () => {
    const interrupt = new AbortController()
    const whole = tarOf(basics)
    const stdin = Object.assign(
      Readable.from(
        (async function* () {
          yield whole.subarray(0, 1024)
          interrupt.abort(new Error('interrupted'))
          await new Promise((resolve) => setTimeout(resolve, 50))
          yield whole.subarray(1024)
        })(),
      ),
      { isTTY: false },
    )
    const argv = ['image', 'import', '-', 'small']
    const { code } = await overSocket((env) => muster(app, argv, { env, stdin, signal: interrupt.signal, fetch }))
    expect(code).toBe(130)
    expect(await versions()).toEqual([])
  })

  it('breaks the request off when tar fails in the middle, so that the service knows it incomplete', async () => {
    const root = await tree()
    const bin = await emptyDirectory()
    await writeFile(join(bin, 'tar'), '#!/bin/sh\nPATH=/usr/bin:/bin tar "$@"\nexit 2\n', { mode: 0o755 })
    const { code, err } = await overSocket((env) =>
      muster(app, ['image', 'import', root, 'small'], { env: { ...env, PATH: `${bin}:${process.env.PATH}` }, fetch }),
    )
    expect([code, err]).toEqual([1, expect.stringContaining('nothing was imported')])
    expect(await versions()).toEqual([])
  })

  it('tells over a socket too what the service does not like in the middle of an archive', async () => {
    const cwd = await emptyDirectory()
    const bad = tarOf([...basics, { name: 'etc/bad', checksumOff: 1 }])
    await writeFile(join(cwd, 'bad.tar'), Buffer.concat([bad, Buffer.alloc(64 * 1024 * 1024)]))
    const { code, err } = await overSocket((env) =>
      muster(app, ['image', 'import', 'bad.tar', 'small'], { env, cwd, fetch }),
    )
    expect(code).toBe(1)
    expect(err).toMatch(/^muster: .*checksum/)
    expect(await versions()).toEqual([])
  })

  it('as a process ends with 130 on SIGINT, takes tar with it, and makes no version', async () => {
    const root = await tree()
    const bin = await emptyDirectory()
    const marker = join(bin, 'pid')
    const script = `#!/bin/sh\necho $$ >${marker}.new\nmv ${marker}.new ${marker}\nPATH=/usr/bin:/bin tar "$@" | head -c 1024\nexec sleep 60\n`
    await writeFile(join(bin, 'tar'), script, { mode: 0o755 })
    await overSocket(async (env) => {
      const child = spawn('bin/muster', ['image', 'import', root, 'small'], {
        env: { ...process.env, ...env, MUSTER_TOKEN: app.tokens.edit, PATH: `${bin}:${process.env.PATH}` },
        stdio: 'ignore',
      })
      while (!(await readdir(bin)).includes('pid')) await new Promise((resolve) => setTimeout(resolve, 20))
      child.kill('SIGINT')
      expect(await once(child, 'exit')).toEqual([130, null])
      const pid = Number(await readFile(marker, 'utf8'))
      for (let tries = 0; isAlive(pid) && tries < 100; tries++) await new Promise((resolve) => setTimeout(resolve, 20))
      expect(isAlive(pid)).toBe(false)
    })
    expect(await versions()).toEqual([])
  })
})

describe('image import of layers', () => {
  /** A layout whose image has these layers. */
  async function layout(layers: Uint8Array[], labels?: Record<string, string>): Promise<string> {
    const made = layoutIn(join(await emptyDirectory(), 'layout'))
    return `oci:${made.finish([made.image(layers, { ...(labels && { labels }) })])}`
  }

  /** Something that will hardly be compressed away. */
  const filling = (name: string) => tarOf([{ name, data: crypto.getRandomValues(new Uint8Array(65_536)) }])

  const running = () => [...(app.services.importer?.running() ?? [])]

  it('sends two at a time', async () => {
    const from = await layout([tarOf(basics), ...['etc/a', 'etc/b', 'etc/c', 'etc/d'].map(filling)])
    let [now, most] = [0, 0]
    const fetch: Io['fetch'] = async (input, init) => {
      if (init?.method !== 'PUT') return app.app.request(String(input), init)
      most = Math.max(most, ++now)
      const response = await app.app.request(String(input), init)
      await new Promise((resolve) => setTimeout(resolve, 20))
      now--
      return response
    }
    expect(await muster(app, ['image', 'import', from, 'small'], { fetch })).toMatchObject({ code: 0, err: '' })
    expect([most, now]).toEqual([2, 0])
  })

  it('sends no layer that is known, and sends it when its bytes turn out to be gone', async () => {
    const base = tarOf([...basics, { name: 'etc/motd', data: elf() }])
    await muster(app, ['image', 'import', await layout([base]), 'small'])
    const next = await layout([base, tarOf([{ name: 'etc/new', data: elf(40) }])])
    const sent: string[] = []
    const fetch: Io['fetch'] = (input, init) => {
      if (init?.method === 'PUT') sent.push(String(input).split('/').at(-1) ?? '')
      return app.app.request(String(input), init)
    }
    const { manifest } = await app.call('GET', '/api/images/small/versions/1')
    for (const { digest } of manifest.segments) await app.services.blobs.delete(digest)
    const ran = await muster(app, ['image', 'import', next, 'small'], { fetch })
    expect([ran.code, ran.err]).toEqual([0, ''])
    expect(sent).toEqual(['1', '0'])
    expect(running()).toEqual([])
  })

  it('gives up, and leaves no import behind, when the service never has enough', async () => {
    const from = await layout([tarOf(basics)])
    let finished = 0
    const fetch: Io['fetch'] = (input, init) => {
      if (!String(input).includes('/finish')) return app.app.request(String(input), init)
      finished++
      return Response.json({ code: 'IMPORT_INCOMPLETE', message: 'layer 0 is needed' }, { status: 409 })
    }
    const { code, err } = await muster(app, ['image', 'import', from, 'small'], { fetch })
    expect([code, err, finished]).toEqual([1, 'muster: layer 0 is needed\n', 3])
    expect(running()).toEqual([])
  })

  it('ends all of them when one is not what it should be, and leaves no import behind', async () => {
    const folder = join(await emptyDirectory(), 'layout')
    const made = layoutIn(folder)
    made.finish([made.image([tarOf(basics), filling('etc/a'), filling('etc/b')])])
    const { manifests } = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8'))
    const blob = (digest: string) => join(folder, 'blobs/sha256', digest.slice(7))
    const { layers } = JSON.parse(await readFile(blob(manifests[0].digest), 'utf8'))
    const bytes = await readFile(blob(layers[1].digest))
    bytes[bytes.length - 1]! ^= 1
    await writeFile(blob(layers[1].digest), bytes)
    const { code, err } = await muster(app, ['image', 'import', `oci:${folder}`, 'small'])
    expect(code).toBe(1)
    expect(err).toContain(`should be ${layers[1].digest}`)
    expect(running()).toEqual([])
    expect(await versions()).toEqual([])
  })

  it('is interrupted by Ctrl-C, and leaves no import behind', async () => {
    const from = await layout([tarOf(basics)])
    const interrupt = new AbortController()
    const fetch: Io['fetch'] = async (input, init) => {
      if (init?.method === 'PUT') interrupt.abort(new Error('interrupted'))
      init?.signal?.throwIfAborted()
      return app.app.request(String(input), init)
    }
    const { code } = await muster(app, ['image', 'import', from, 'small'], { fetch, signal: interrupt.signal })
    expect([code, running(), await versions()]).toEqual([130, [], []])
    await expect.poll(() => openFilesIn(from.slice('oci:'.length))).toEqual([])
  })

  it('tells events with --json, each on a line, and what was made in the last', async () => {
    const from = await layout([tarOf(basics), filling('etc/a')])
    const { code, out, err } = await muster(app, ['image', 'import', from, 'small', '--json'])
    expect([code, err]).toEqual([0, ''])
    const events = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    const sending = events.filter(({ phase }) => phase === 'sending')
    expect(sending[0]).toMatchObject({
      event: 'progress',
      bytes: 0,
      total: expect.any(Number),
      rate: expect.any(Number),
    })
    expect(sending.at(-1).bytes).toBe(sending[0].total)
    expect(events.at(-1)).toMatchObject({
      event: 'done',
      number: 1,
      created: true,
      summary: { architecture: 'x86_64' },
    })
  })

  it('shows how the service packs, when that takes a while', async () => {
    const from = await layout([tarOf(basics)])
    let looks = 0
    const fetch: Io['fetch'] = async (input, init) => {
      const path = new URL(String(input), 'http://x').pathname
      if (path.endsWith('/finish')) while (looks < 2) await new Promise((resolve) => setTimeout(resolve, 10))
      if (init?.method !== 'GET' || !/imports\/[^/]+$/.test(path)) return app.app.request(String(input), init)
      looks++
      return Response.json({ phase: 'packing', bytes: looks * 100, total: 1000, needed: [] })
    }
    const { out } = await muster(app, ['image', 'import', from, 'small', '--json'], { fetch })
    const packing = out
      .split('\n')
      .filter((line) => line.includes('"packing"'))
      .map((line) => JSON.parse(line))
    expect(packing.map(({ bytes, total }) => [bytes, total])).toEqual(
      expect.arrayContaining([
        [0, 1000],
        [200, 1000],
      ]),
    )
  })

  it('keeps what it was built from', async () => {
    const commit = '0123456789abcdef0123456789abcdef01234567'
    const provenance = async () => (await app.call('GET', '/api/images/small/versions'))[0].provenance
    const labels = { 'org.opencontainers.image.revision': commit, maintainer: 'hpc' }
    await muster(app, ['image', 'import', await layout([tarOf(basics)], labels), 'small'])
    expect(await provenance()).toMatchObject({ git: { commit, dirty: false }, labels })
    const other = tarOf([...basics, { name: 'etc/new' }])
    await muster(app, ['image', 'import', await layout([other], labels), 'small', '--git', 'abcdef0-dirty'])
    expect(await provenance()).toMatchObject({ git: { commit: 'abcdef0', dirty: true } })
    const { code, err } = await muster(app, ['image', 'import', '-', 'small', '--git', 'main'])
    expect([code, err]).toEqual([2, expect.stringContaining('hash of 7 to 64')])
  })
})

describe('image import with --syncuser', () => {
  const users = (id: number) => ({
    passwd: `root:x:0:0::/root:/bin/sh\nmunge:x:${id}:${id}::/:/bin/false\n`,
    group: `root:x:0:\nmunge:x:${id}:\n`,
  })

  async function scene(): Promise<string> {
    const cwd = await emptyDirectory()
    const image = users(990)
    const text = (data: string) => new TextEncoder().encode(data)
    const root = tarOf([
      ...basics,
      { name: 'etc/passwd', data: text(image.passwd.replace('munge', 'chrony')) },
      { name: 'etc/group', data: text(image.group.replace('munge', 'chrony')) },
      { name: 'var/lib/chrony', flag: '5', uid: 990, gid: 990 },
    ])
    await writeFile(join(cwd, 'root.tar'), root)
    await writeFile(join(cwd, 'passwd'), users(990).passwd)
    await writeFile(join(cwd, 'group'), users(990).group)
    return cwd
  }
  const files = ['--passwd', 'passwd', '--group', 'group']

  it('shows conflicts as a table and how to go on, and makes no version', async () => {
    const cwd = await scene()
    const { code, out, err } = await muster(app, ['image', 'import', 'root.tar', 'small', '--syncuser', ...files], {
      cwd,
    })
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(
      /^IN THE IMAGE {2}CONFLICT\nuser chrony .*munge.*\ngroup chrony .*munge.*\nmuster: 2 ids .* --syncuser=write .*\n$/,
    )
    expect(await versions()).toEqual([])
    expect([...(app.services.importer?.running() ?? [])]).toEqual([])
  })

  it('settles them with =write', async () => {
    const cwd = await scene()
    const argv = ['image', 'import', '--syncuser=write', ...files, 'root.tar', 'small']
    expect(await muster(app, argv, { cwd })).toMatchObject({ code: 0, err: '' })
    const passwd = await app.send('GET', '/api/images/small/versions/1/file?path=/etc/passwd')
    expect(await passwd.text()).toMatch(/^root:x:0:.*\nmunge:x:990:.*\nchrony:x:(?!990)/)
  })

  it('does not swallow the source', async () => {
    const { code, err } = await muster(app, ['image', 'import', '--syncuser', 'root.tar', 'small'])
    expect([code, err]).toEqual([2, expect.stringContaining('behind SOURCE and NAME')])
  })

  it('refuses files that are not there, or no text', async () => {
    const cwd = await scene()
    await writeFile(join(cwd, 'passwd'), Buffer.from([0xff, 0x0a]))
    const run = (...flags: string[]) =>
      muster(app, ['image', 'import', 'root.tar', 'small', '--syncuser', ...flags], { cwd })
    expect(await run(...files)).toMatchObject({ code: 2, err: 'muster: passwd is not UTF-8\n' })
    expect(await run('--passwd', 'nowhere')).toMatchObject({ code: 1, err: expect.stringContaining('ENOENT') })
  })
})

describe('the tar of a directory', () => {
  it('keeps owners by number, modes, links, and every extended attribute', async () => {
    const root = await tree()
    await chmod(join(root, 'bin/sh'), 0o4755)
    // cap_net_raw+ep, as setcap writes it (linux/capability.h, revision 2). Only root may set it.
    const capability = '\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
    const attributes: [string, string][] = [
      ['SCHILY.xattr.user.note', 'kept'],
      ...(isRoot ? [['SCHILY.xattr.security.capability', capability] as [string, string]] : []),
    ]
    const noted = tarOf([pax(attributes), { name: 'etc/noted', mode: 0o755, data: elf() }])
    execFileSync('tar', ['-x', '--xattrs', '--xattrs-include=*', '-C', root], { input: noted })
    if (isRoot) {
      execFileSync('mknod', [join(root, 'etc/null'), 'c', '1', '3'])
      execFileSync('chown', ['-h', '1234:4321', join(root, 'etc/secret')])
    }
    const tar = execFileSync('tar', tarArguments(root), { maxBuffer: 2 ** 26 })
    for (const [key, value] of attributes) expect(tar.includes(`${key}=${value}\n`)).toBe(true)
    const listing = execFileSync('tar', ['-tv', '--numeric-owner', '-f', '-'], { input: tar, encoding: 'utf8' })
    expect(listing).toMatch(/^-rwsr-xr-x .* \.\/bin\/ash$/m)
    expect(listing).toMatch(/^h.* \.\/bin\/sh link to \.\/bin\/ash$/m)
    expect(listing).toMatch(/^l.* \.\/sbin\/init -> \.\.\/bin\/sh$/m)
    if (isRoot) {
      expect(listing).toMatch(/^crw.* 1,3 .* \.\/etc\/null$/m)
      expect(listing).toMatch(/^-rw------- 1234\/4321 .* \.\/etc\/secret$/m)
    }
  })
})

/** Gives the work an environment that names the app on a port of its own. */
async function overSocket<Result>(work: (env: Record<string, string>) => Promise<Result>): Promise<Result> {
  const server = serve({ fetch: app.app.fetch, port: 0, hostname: '127.0.0.1' })
  if (!server.listening) await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  try {
    return await work({ MUSTER_SERVER: `http://127.0.0.1:${port}` })
  } finally {
    if ('closeAllConnections' in server) server.closeAllConnections()
    server.close()
  }
}

const isRoot = process.getuid?.() === 0

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
