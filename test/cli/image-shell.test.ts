import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { readTar } from '../../src/archive/tar.ts'
import { ended, leftovers, makeTree, type Ran, type ShellRig, shellRig } from './shell-rig.ts'

let rig: ShellRig
beforeAll(async () => {
  rig = await shellRig()
  await rig.importTree('box', await makeTree(join(rig.folder, 'box')))
}, 60_000)
afterAll(() => rig.close())
beforeEach(() => {
  delete rig.between.answer
})
afterEach(async () => {
  expect(await leftovers(rig)).toEqual([])
})

/** A copy of an image for one test, so that its versions are numbered from 1. */
let copies = 0
async function copyOf(image = 'box'): Promise<string> {
  copies += 1
  const name = `${image}-${copies}`
  await rig.call('POST', `/api/images/${image}/copy`, { body: { to: name, version: '1' } })
  return name
}

/** `muster image exec NAME … -- sh -ec SCRIPT`. */
const sh = (name: string, script: string, ...flags: string[]): Promise<Ran> =>
  rig.image('exec', name, ...flags, '--', 'sh', '-ec', script)
const newest = async (name: string): Promise<number> => (await rig.call('GET', `/api/images/${name}`)).newest
const versionOf = (name: string, number: number) => rig.call('GET', `/api/images/${name}/versions/${number}`)

/** What an export says of `/`. */
async function modeOfRoot(reference: string): Promise<number | undefined> {
  const { body } = await rig.send('GET', `/api/images/${reference.replace('@', '/versions/')}/export?format=tar`)
  for await (const { path, mode } of readTar(body!)) if (/^\.?\/?$/.test(path)) return mode
  return undefined
}

/** setfattr(1) of this machine and what it is linked with, at the same places of the image. */
function setfattrBinds(): string[] {
  const program = execFileSync('which', ['setfattr'], { encoding: 'utf8' }).trim()
  const libraries = execFileSync('ldd', [program], { encoding: 'utf8' }).match(/\/\S+/g) ?? []
  return [program, ...new Set(libraries)].flatMap((path) => ['--bind', `${path}:${path}:ro`])
}

describe('muster image exec', () => {
  it('makes a version of what a command changed, of new segments only where it changed something', async () => {
    const name = await copyOf()
    const script = [
      'echo new >/etc/new; chmod 640 /etc/new; chown 12:34 /etc/new',
      'echo more >>/etc/motd',
      'rm /usr/lib/data/10; rm -r /opt/old; mkdir /opt/old; echo z >/opt/old/z',
      'mv /usr/lib/data/11 /usr/lib/data/moved',
      'ln /etc/new /etc/other; ln -s ../motd /etc/link; mknod /etc/pipe p; mknod /etc/device c 7 8',
      'chmod 700 /root; setfattr -n user.note -v hi /usr/lib/data/12; setfattr -n user.dir -v yo /boot',
      "touch -d '2001-02-03 04:05:06' /etc/other; printf x >\"/etc/$(printf 'caf\\303\\251')\"; printf x >\"/etc/$(printf 'caf\\351\\n.')\"",
    ].join('\n')
    expect(await sh(name, script, '-m', 'a test', ...setfattrBinds())).toEqual({
      code: 0,
      out: '',
      err: `made ${name}@2 from ${name}@1: 9 added, 4 changed, 5 removed\n`,
    })
    const [before, after] = [await rig.files(`${name}@1`), await rig.files(`${name}@2`)]
    const [gone, come] = [
      Object.keys(before).filter((path) => !after[path]),
      Object.keys(after).filter((path) => !before[path]),
    ]
    expect(gone).toEqual(['/opt/old/a', '/opt/old/b', '/opt/old/c', '/usr/lib/data/10', '/usr/lib/data/11'])
    expect(come).toEqual([
      '/etc/café',
      '/etc/caf\\xe9\n.',
      '/etc/device',
      '/etc/link',
      '/etc/new',
      '/etc/other',
      '/etc/pipe',
      '/opt/old/z',
      '/usr/lib/data/moved',
    ])
    expect(after['/etc/new']).toMatchObject({
      type: 'file',
      mode: '0640',
      uid: 12,
      gid: 34,
      links: 2,
      mtime: 981173106,
    })
    expect(after['/etc/other']).toMatchObject({ digest: after['/etc/new'].digest, links: 2 })
    expect(after['/etc/link']).toMatchObject({ type: 'link', target: '../motd' })
    expect(after['/etc/pipe']).toMatchObject({ type: 'fifo' })
    expect(after['/etc/device']).toMatchObject({ type: 'character', device: [7, 8] })
    expect(after['/usr/lib/data/moved']).toMatchObject({
      digest: before['/usr/lib/data/11'].digest,
      mtime: before['/usr/lib/data/11'].mtime,
    })
    expect(after['/usr/lib/data/12'].xattrs).toEqual({ 'user.note': btoa('hi') })
    expect(after['/boot'].xattrs).toEqual({ 'user.dir': btoa('yo') })
    expect(after['/root']).toMatchObject({ type: 'directory', mode: '0700', uid: 0 })
    const touched = ['/etc', '/etc/motd', '/opt', '/opt/old', '/root', '/boot', '/usr/lib/data', '/usr/lib/data/12']
    for (const path of Object.keys(before))
      if (after[path] && !touched.includes(path)) expect([path, after[path]]).toEqual([path, before[path]])
    expect(await rig.file(`${name}@2`, '/etc/motd')).toBe('hello\nmore\n')

    const old = await rig.segments(`${name}@1`)
    const fresh = (await rig.segments(`${name}@2`)).filter((digest) => !old.includes(digest))
    expect(old.length).toBeGreaterThan(8)
    expect(fresh.length).toBeLessThan(old.length / 2)
    expect(await versionOf(name, 2)).toMatchObject({
      source: `exec ${name}@1`,
      message: 'a test',
      provenance: { base: `${name}@1` },
      current: true,
    })
  })

  it('keeps the attributes of the root directory, and changes of them', async () => {
    const name = await copyOf()
    await sh(name, 'echo 1 >/one')
    await sh(`${name}@2`, 'chmod 711 /')
    const modes = await Promise.all([1, 2, 3].map((number) => modeOfRoot(`${name}@${number}`)))
    expect(modes).toEqual([0o755, 0o755, 0o711])
  })

  it('makes no version when nothing was changed', async () => {
    const name = await copyOf()
    const { code, err } = await sh(name, 'touch /tmp/x /etc/y; rm /tmp/x /etc/y; cat /etc/motd >/dev/null')
    expect([code, err]).toEqual([0, `nothing was changed in ${name}@1: no new version was made\n`])
    expect((await rig.image('exec', name, '--json', '--', 'sh', '-c', ':')).out).toBe('null\n')
    expect(await newest(name)).toBe(1)
  })

  it('makes no version when a file was written as it was', async () => {
    const name = await copyOf()
    const { err } = await sh(name, 'chmod 600 /etc/motd; chmod 644 /etc/motd')
    expect(err).toBe(`${name}@1 has this content already: no new version was made\n`)
    expect(await newest(name)).toBe(1)
  })

  it('hands on an exit status and keeps nothing then, unless it shall', async () => {
    const name = await copyOf()
    const { code, err } = await sh(name, 'echo x >/etc/x; exit 3')
    expect([code, err]).toEqual([3, `muster: ${name}@1: sh ended with exit status 3: nothing is kept\n`])
    expect(await rig.image('exec', name, '--', 'no-such-program')).toMatchObject({ code: 127 })
    expect(await newest(name)).toBe(1)
    expect(await sh(name, 'echo x >/etc/x; exit 3', '--keep')).toMatchObject({ code: 3 })
    expect(await rig.file(`${name}@2`, '/etc/x')).toBe('x\n')
  })

  it('drops what changed with --discard', async () => {
    const name = await copyOf()
    const { code, out, err } = await sh(name, 'echo x >/etc/x; cat /etc/x', '--discard')
    expect([code, out, err]).toEqual([0, 'x\n', 'what changed is dropped, as --discard wants\n'])
    expect(await newest(name)).toBe(1)
    expect(await sh(name, ':', '--discard', '--keep')).toMatchObject({ code: 2 })
  })

  it('leaves the current version with --no-current, and tells the version with --json', async () => {
    const name = await copyOf()
    const { out } = await sh(name, 'echo x >/etc/x', '--no-current', '--json')
    expect(JSON.parse(out)).toMatchObject({ number: 2, created: true })
    expect(await rig.call('GET', `/api/images/${name}`)).toMatchObject({ current: 1, newest: 2 })
    // A name alone is its current version, as everywhere.
    const { err } = await sh(name, 'echo y >/etc/y')
    expect(err).toBe(
      `${name}@1 is not the newest version: ${name}@2 is\nmade ${name}@3 from ${name}@1: 1 added, 0 changed, 0 removed\n`,
    )
  })

  it('gives a command a clean environment and little else of the head node', async () => {
    const name = await copyOf()
    const script = 'env; ls /dev; ls -A /run; cat /proc/1/comm; ! echo 1 >/proc/sys/kernel/sysrq; ! mkdir /sys/x'
    const { code, out } = await sh(name, script, '--discard')
    expect(code).toBe(0)
    const at = out.indexOf('fd\n')
    const environment = out
      .slice(0, at)
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('TERM='))
    expect(environment.sort()).toEqual([
      'HISTFILE=/dev/null',
      'HOME=/root',
      `MUSTER_IMAGE=${name}@1`,
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      `PS1=[${name}@1] \\w\\$ `,
      'PWD=/',
      'SHLVL=1',
      `debian_chroot=${name}@1`,
    ])
    const devices = 'fd full null ptmx pts random shm stderr stdin stdout tty urandom zero'
    expect(out.slice(at).split('\n')).toEqual([...devices.split(' '), 'lock', 'sh', ''])
  })

  it('shows what is bound, writable or not, and leaves no trace of the mount points', async () => {
    const name = await copyOf()
    const [data, notes] = [join(rig.folder, 'data'), join(rig.folder, 'notes')]
    await mkdir(data, { recursive: true })
    await writeFile(notes, 'from outside\n')
    const script = 'cat /srv/notes >/srv/data/copy; ! echo no >/srv/notes; ls /run/there; cp /srv/notes /etc/notes'
    const flags = ['--bind', `${data}:/srv/data`, '--bind', `${notes}:/srv/notes:ro`, '--bind', `${data}:/run/there`]
    expect(await sh(name, script.replace('cp /srv/notes', 'cat /srv/notes >'), ...flags)).toMatchObject({
      code: 0,
      out: 'copy\n',
    })
    expect(await readFile(join(data, 'copy'), 'utf8')).toBe('from outside\n')
    expect(await readFile(notes, 'utf8')).toBe('from outside\n')
    const files = await rig.files(`${name}@2`)
    expect(Object.keys(files).filter((path) => /^\/(?:srv|run|proc|sys|dev|etc\/(?:hosts|resolv))/.test(path))).toEqual(
      [],
    )
    expect(await rig.file(`${name}@2`, '/etc/notes')).toBe('from outside\n')
  })

  it('refuses a bind before anything is fetched', async () => {
    const { code, err } = await sh('box', ':', '--bind', '/no/such/place')
    expect([code, err]).toEqual([2, 'muster: --bind /no/such/place: cannot look at /no/such/place (ENOENT)\n'])
  })

  it('resolves names as the head node does, without writing that into the image', async () => {
    const name = await copyOf()
    const { out } = await sh(name, 'cat /etc/resolv.conf; ! echo x >/etc/resolv.conf; echo y >/etc/y')
    expect(out).toBe(await readFile('/etc/resolv.conf', 'utf8'))
    expect((await rig.files(`${name}@2`))['/etc/resolv.conf']).toBeUndefined()
  })

  it('runs the hook of an image after a success that changed something', async () => {
    const name = await copyOf()
    const hook = '#!/bin/sh\\nrm -f /tmp/cache; echo cleaned >>/etc/cleaned\\n'
    const write = (path: string, text: string) =>
      `mkdir -p /etc/muster /etc/warewulf; printf '${text}' >${path}; chmod 755 ${path}`
    await sh(name, write('/etc/warewulf/image_exit.sh', hook))
    expect((await rig.files(`${name}@2`))['/etc/cleaned']).toBeDefined()
    await sh(name, 'echo x >/tmp/cache')
    const files = await rig.files(`${name}@3`)
    expect(files['/tmp/cache']).toBeUndefined()
    expect(await rig.file(`${name}@3`, '/etc/cleaned')).toBe('cleaned\ncleaned\n')
    expect((await sh(name, ':')).err).toContain('nothing was changed')
    const { code, err } = await sh(name, write('/etc/muster/on-exit', '#!/bin/sh\\nexit 7\\n'))
    expect([code, err]).toEqual([
      7,
      `muster: ${name}@3: the image's /etc/muster/on-exit ended with exit status 7: nothing is kept\n`,
    ])
    expect(await newest(name)).toBe(3)
  })

  it('lets two change one image at the same time, and tells the second', async () => {
    const name = await copyOf()
    const gate = join(rig.folder, 'gate')
    await mkdir(gate)
    const slow = sh(
      name,
      'while [ ! -e /gate/open ]; do sleep 0.1; done; echo slow >/etc/slow',
      '--bind',
      `${gate}:/gate`,
    )
    await sh(name, 'echo quick >/etc/quick')
    await writeFile(join(gate, 'open'), '')
    expect((await slow).err).toBe(
      [
        `${name}@1 is no longer the newest version: ${name}@2 was made meanwhile, and its changes are not in this one`,
        `made ${name}@3 from ${name}@1: 1 added, 0 changed, 0 removed\n`,
      ].join('\n'),
    )
    const files = await rig.files(`${name}@3`)
    expect([files['/etc/slow'] !== undefined, files['/etc/quick']]).toEqual([true, undefined])
    await rm(gate, { recursive: true })
  })
})

describe('what is left when it is ended', () => {
  /** Starts a command that waits, and what it is in has become ready. */
  async function waiting(name: string) {
    const child = rig.start([
      'image',
      'exec',
      name,
      '--tmp',
      rig.tmp,
      '--',
      'sh',
      '-c',
      'echo x >/etc/x; echo up; sleep 300',
    ])
    await once(child.stdout!, 'data')
    return child
  }

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('is nothing after %s', async (signal) => {
    const name = await copyOf()
    const child = await waiting(name)
    const ran = ended(child)
    child.kill(signal)
    const { code, err } = await ran
    expect(code).toBe({ SIGTERM: 143, SIGINT: 130, SIGHUP: 129 }[signal])
    // Before it the command may have said that it was hung up.
    const said = err.split('\n').filter((line) => line.startsWith('muster: '))
    expect(said).toEqual(signal === 'SIGINT' ? [] : [`muster: ${signal} came: nothing is kept`])
    expect(await newest(name)).toBe(1)
  })

  it('is taken away by the next run when it was killed; what others work in stays', async () => {
    const name = await copyOf()
    const [other, child] = [await waiting(name), await waiting(name)]
    child.kill('SIGKILL')
    await once(child, 'close')
    const [first, second] = await readdir(rig.tmp)
    const { err } = await sh(name, ':')
    // The tree is held until the command in it has ended, which is given time for that.
    expect(err.includes('removed') ? err : (await waitThen(6000, () => sh(name, ':'))).err).toMatch(
      /^removed \S+\/muster-shell-\w+, which a shell that was killed had left\n/,
    )
    const left = await readdir(rig.tmp)
    expect([first, second]).toContain(left[0])
    expect(left).toHaveLength(1)
    const ran = ended(other)
    other.kill('SIGTERM')
    expect(await ran).toMatchObject({ code: 143 })
  }, 30_000)
})

const waitThen = async <Result>(milliseconds: number, then: () => Promise<Result>): Promise<Result> => {
  await new Promise((resolve) => setTimeout(resolve, milliseconds))
  return then()
}

describe('an image that means harm', () => {
  /** An image of the small tree with something else in it. */
  async function evil(change: (at: (path: string) => string) => Promise<void>): Promise<string> {
    copies += 1
    const name = `evil-${copies}`
    const tree = await makeTree(join(rig.folder, name))
    await change((path) => join(tree, path))
    await rig.importTree(name, tree)
    return name
  }

  it('cannot have its resolv.conf lead to a file of the head node', async () => {
    const name = await evil((at) => symlink('../../../../../../../../etc/passwd', at('etc/resolv.conf')))
    const before = await readFile('/etc/passwd', 'utf8')
    const { code, err } = await sh(name, 'echo harm >/etc/resolv.conf')
    expect([code, err]).toEqual([
      0,
      [
        "/etc/resolv.conf of the image leads to /etc/passwd: this machine's resolv.conf is not seen in it",
        `made ${name}@2 from ${name}@1: 1 added, 0 changed, 0 removed\n`,
      ].join('\n'),
    ])
    expect(await readFile('/etc/passwd', 'utf8')).toBe(before)
    expect(await rig.file(`${name}@2`, '/etc/passwd')).toBe('harm\n')
  })

  it.each(['proc', 'dev', 'sys', 'run'])('is refused when its /%s is a link', async (point) => {
    const target = join(rig.folder, `target-${point}`)
    await mkdir(target)
    const name = await evil((at) => symlink(target, at(point)))
    const { code, err } = await sh(name, 'echo x >/etc/x')
    expect([code, err]).toEqual([
      1,
      `muster: the image has something else than a directory at /${point}: no shell can be run in it\n`,
    ])
    expect(await readdir(target)).toEqual([])
  })

  it('cannot have a bind mounted outside of it', async () => {
    const [target, data] = [join(rig.folder, 'outside'), join(rig.folder, 'inside')]
    await Promise.all([mkdir(target), mkdir(data)])
    await writeFile(join(data, 'mark'), '')
    const name = await evil((at) => symlink(target, at('srv')))
    const { out } = await sh(name, `ls ${target}/x; echo x >${target}/y`, '--bind', `${data}:/srv/x`)
    expect(out).toBe('mark\n')
    expect(await readdir(target)).toEqual([])
    expect((await rig.files(`${name}@2`))[`${target}/y`]).toBeDefined()
    expect((await rig.files(`${name}@2`))[`${target}/x`]).toBeUndefined()
  })

  it('cannot load modules, set the clock or reboot', async () => {
    const { out } = await sh(
      'box',
      'while read -r key value; do [ "$key" != CapBnd: ] || echo "$value"; done </proc/self/status',
    )
    // CAP_SYS_MODULE 16, CAP_SYS_RAWIO 17, CAP_SYS_BOOT 22, CAP_SYS_TIME 25 (linux/capability.h).
    const bits = BigInt(`0x${out.trim()}`)
    expect([16n, 17n, 22n, 25n].map((bit) => (bits >> bit) & 1n)).toEqual([0n, 0n, 0n, 0n])
    // CAP_SYS_ADMIN 21, with which packages' scripts mount things.
    expect((bits >> 21n) & 1n).toBe(1n)
  })
})

describe('muster image shell', () => {
  it('runs what is on its stdin when that is no terminal, and asks nothing', async () => {
    const name = await copyOf()
    const child = rig.start(['image', 'shell', name, '--tmp', rig.tmp], { stdio: ['pipe', 'pipe', 'pipe'] })
    child.stdin!.end('echo x >/etc/x\ncat /etc/x\n')
    expect(await ended(child)).toEqual({
      code: 0,
      out: 'x\n',
      err: `made ${name}@2 from ${name}@1: 1 added, 0 changed, 0 removed\n`,
    })
    expect(await versionOf(name, 2)).toMatchObject({ source: `shell ${name}@1` })
  })
})

describe('a machine that cannot', () => {
  it('is told that it needs root', async () => {
    const args = ['--reuid=65534', '--regid=65534', '--clear-groups', 'bin/muster', 'image', 'exec', 'box', '--', 'id']
    const child = spawn('setpriv', args, { env: rig.env, stdio: ['ignore', 'pipe', 'pipe'] })
    expect(await ended(child)).toMatchObject({ code: 1, err: expect.stringContaining('run this as root') })
  })

  it('is told which program it lacks', async () => {
    const path = join(rig.folder, 'programs')
    await mkdir(path)
    for (const program of ['sh', 'readlink', 'dirname', 'tar', 'chroot', 'mount', 'flock', 'unshare'])
      await symlink(execFileSync('which', [program], { encoding: 'utf8' }).trim(), join(path, program))
    const args = ['image', 'exec', 'box', '--tmp', rig.tmp, '--', 'id']
    const { code, err } = await ended(rig.start(args, { env: { ...rig.env, PATH: path } }))
    expect([code, err]).toEqual([1, 'muster: this needs the program setpriv: install util-linux\n'])
  })

  it('is told that there is no room, before anything is fetched', async () => {
    const small = join(rig.folder, 'small')
    await mkdir(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', small])
    try {
      const { code, err } = await ended(rig.start(['image', 'exec', 'box', '--tmp', small, '--', 'id']))
      expect([code, err]).toEqual([
        1,
        expect.stringMatching(/the image needs \S+ MB and \S+ has \S+ MB left: name .* --tmp/),
      ])
      expect(await readdir(small)).toEqual([])
    } finally {
      execFileSync('umount', [small])
    }
  })
})

describe('a service that goes away', () => {
  it('does not cost the changes: they are kept and can be gone on with', async () => {
    const name = await copyOf()
    await sh(name, 'echo 0 >/etc/0')
    rig.between.answer = async (request) =>
      request.url.includes('/imports')
        ? Response.json({ code: 'REGISTRY_BUSY', message: 'busy' }, { status: 503 })
        : undefined
    const { code, err } = await sh(name, 'echo x >/etc/x')
    const kept = /--resume (\S+)`/.exec(err)?.[1] ?? ''
    expect([code, err]).toEqual([
      1,
      `the changes are kept: \`muster image shell ${name}@2 --resume ${kept}\` goes on with them\nmuster: busy\n`,
    ])
    expect(await readdir(rig.tmp)).toEqual([kept.slice(rig.tmp.length + 1)])
    delete rig.between.answer
    expect(await sh(`${name}@1`, ':', '--resume', kept)).toMatchObject({
      code: 2,
      err: expect.stringContaining('another version'),
    })
    expect((await sh(`${name}@2`, 'exit 1', '--resume', kept)).err).toContain('the changes are kept')
    expect((await sh(`${name}@2`, 'cat /etc/x; echo y >/etc/y', '--resume', kept)).out).toBe('x\n')
    expect(Object.keys(await rig.files(`${name}@3`))).toEqual(expect.arrayContaining(['/etc/x', '/etc/y']))
  })
})
