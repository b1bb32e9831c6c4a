/** What admins see of overlays: versions, differences, what a node gets and has. */
import { execFileSync } from 'node:child_process'
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fileStates } from '../../src/cli/overlay-state.ts'
import { bootNode } from '../boot-plan/booted-node.ts'
import { addImage, type TestApp, testApp } from '../harness.ts'
import { cluster } from './cast.ts'
import { emptyDirectory, muster, type Setting } from './muster.ts'

let app: TestApp
beforeEach(async () => {
  app = await cluster()
})
afterEach(() => app.close())

const go = (line: string, setting?: Setting) => muster(app, line.split(' '), setting)

/** A new directory with an overlay in it. */
async function overlayIn(name: string, files: Record<string, string>): Promise<string> {
  const folder = await emptyDirectory()
  await writeFiles(join(folder, name), files)
  return folder
}

async function writeFiles(folder: string, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
}

const git = (folder: string, ...args: string[]) =>
  execFileSync('git', ['-C', folder, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args])
    .toString()
    .trim()

describe('overlay push', () => {
  it('records the commit, and says and records when files differ from it', async () => {
    const folder = await overlayIn('greeting', { 'files/etc/motd': 'one\n' })
    git(folder, 'init', '-q')
    git(folder, 'add', '.')
    git(folder, 'commit', '-qm', 'first')
    const commit = git(folder, 'rev-parse', 'HEAD')
    expect((await go('overlay push greeting -y', { cwd: folder })).code).toBe(0)
    expect(await app.call('GET', '/api/overlays/greeting')).toMatchObject({ git: { commit, dirty: false } })

    await writeFile(join(folder, 'greeting/files/etc/motd'), 'two\n')
    expect((await go('overlay push greeting', { cwd: folder, types: 'y\n' })).err).toBe(
      'Push overlay greeting, from a checkout with changes that are not committed? [y/N] ',
    )
    expect((await go('overlay versions greeting')).out).toMatch(
      new RegExp(
        `^3 .* ${commit.slice(0, 12)} with changes .*\\n2 .* ${commit.slice(0, 12)} +sha256.*\\n1 .* - +sha256`,
        'm',
      ),
    )
    expect((await go('overlay show greeting')).out).toContain(`\ngit: ${commit.slice(0, 12)} with changes\n`)
  })

  it('shows warnings, and refuses errors before it asks', async () => {
    const folder = await overlayIn('greeting', { 'files/etc/motd': 'one\r\n' })
    expect((await go('overlay push greeting', { cwd: folder, types: 'n\n' })).out).toMatch(
      /\nfiles\/etc\/motd:1: warning: has lines that end in CR LF/,
    )
    await writeFile(join(folder, 'greeting/overlay.yaml'), 'files:\n  /etc/motd: { mode: "0666" }\n')
    expect(await go('overlay push greeting -y', { cwd: folder })).toEqual({
      code: 1,
      out: '',
      err: [
        'overlay.yaml:2: error: /etc/motd has mode "0666": every user of the node could change it\n',
        'files/etc/motd:1: warning: has lines that end in CR LF, as Windows writes them: most programs take the CR for part of the line\n',
        'muster: overlay greeting has 1 error: nothing was pushed\n',
      ].join(''),
    })
    expect(await app.call('GET', '/api/overlays/greeting/versions')).toHaveLength(1)
  })

  it('shows no more of a large change than can be read, and nothing of a secret', async () => {
    const lines = Array.from({ length: 1000 }, (_, at) => `line ${at}\n`).join('')
    const folder = await overlayIn('greeting', {
      'overlay.yaml': 'files: { /etc/key: { private: true } }\n',
      'files/etc/key': 'hidden-text\n',
      'files/etc/long': lines,
    })
    const { out } = await go('overlay push greeting -y', { cwd: folder })
    expect(out).toMatch(/… [0-9]+ more lines: `muster overlay diff greeting --dir .*greeting` shows all\n/)
    expect(out.split('\n').length).toBeLessThan(140)
    expect(out).toContain('its content is private: it is not shown')
    expect(out).not.toContain('hidden-text')
    await writeFile(join(folder, 'greeting/files/etc/key'), 'hidden-too\n')
    for (const line of ['overlay diff greeting --dir greeting', 'overlay diff greeting', 'overlay push greeting -y'])
      expect((await go(line, { cwd: folder })).out).not.toContain('hidden-')
  })

  it('says that shipped files stay below those of the site', async () => {
    const folder = await overlayIn('hostname', { 'files/etc/hostname.d/x': 'x\n' })
    const { out } = await go('overlay push hostname -y', { cwd: folder })
    expect(out).toMatch(
      /^hostname \(new, above the shipped files\)\n {2}\+ files\/etc\/hostname\.d\/x\n--- \/dev\/null\n/,
    )
    const { err } = await go('overlay diff hostname')
    expect(err).toBe("what only the shipped hostname has stays on nodes: the site's files lie above it one by one\n")
  })
})

describe('overlay lint', () => {
  it('looks at a directory or at what is there, and tells by its exit code what a push would do', async () => {
    const folder = await overlayIn('mine', { 'files/etc/motd.mustache': '{{node.nam}}\n{{zzzz}}\n' })
    expect(await go('overlay lint mine', { cwd: folder })).toEqual({
      code: 1,
      out: [
        'files/etc/motd.mustache:1: error: unknown name node.nam; did you mean node.name?\n',
        'files/etc/motd.mustache:2: error: unknown name zzzz\n',
        'warning: no profile and no node has it among its overlays: it reaches nobody yet\n',
        '2 errors, 1 warning\n',
      ].join(''),
      err: '',
    })
    expect(await go('overlay lint greeting', { cwd: folder })).toEqual({ code: 0, out: 'nothing to say\n', err: '' })
    expect((await go('overlay lint gone', { cwd: folder })).err).toBe(
      'muster: gone is neither a directory nor an overlay that is there\n',
    )
    expect((await go('overlay lint mine --name greeting', { cwd: folder })).out).not.toContain('reaches nobody')
    const { code, out } = await go('overlay lint mine --json', { cwd: folder })
    expect([code, JSON.parse(out).findings.length]).toEqual([1, 3])
  })
})

describe('overlay diff and revert', () => {
  const second = 'Welcome to {{node.name}},\nwhich is new\n'
  beforeEach(async () => {
    const folder = await overlayIn('greeting', {
      'overlay.yaml': 'description: greets whoever logs in\n',
      'files/etc/motd.mustache': second,
    })
    await go('overlay push greeting -y', { cwd: folder })
  })

  it('compares the newest version with the one before, or any two', async () => {
    const change = [
      '--- a/files/etc/motd.mustache',
      '+++ b/files/etc/motd.mustache',
      '@@ -1 +1,2 @@',
      '-Welcome to {{node.name}}',
      '+Welcome to {{node.name}},',
      '+which is new',
      '',
    ].join('\n')
    for (const line of ['overlay diff greeting', 'overlay diff greeting 1', 'overlay diff greeting @1 2'])
      expect(await go(line)).toEqual({ code: 0, out: change, err: '' })
    expect((await go('overlay diff greeting 2 1')).out).toContain('\n+Welcome to {{node.name}}\n')
    expect(await go('overlay diff greeting 2 2 --exit-code')).toEqual({ code: 0, out: '', err: '' })
    expect((await go('overlay diff greeting --exit-code')).code).toBe(1)
    expect(await go('overlay diff greeting', { env: { MUSTER_TOKEN: app.tokens.read } })).toMatchObject({ out: change })
  })

  it('compares with a directory: kinds, modes, and what is no text', async () => {
    const folder = await overlayIn('greeting', { 'files/bin': 'a\0b', 'files/run': '#!/bin/sh\n' })
    await symlink('../run', join(folder, 'greeting/files/link'))
    execFileSync('chmod', ['+x', join(folder, 'greeting/files/run')])
    const { out } = await go('overlay diff greeting 1 --dir greeting', { cwd: folder })
    expect(out).toBe(
      [
        '--- /dev/null\n+++ b/files/bin\nwhat differs is no text (nothing before, 3 B now)\n',
        '--- a/files/etc/motd.mustache\n+++ /dev/null\n@@ -1 +0,0 @@\n-Welcome to {{node.name}}\n',
        'new file mode 120000\n--- /dev/null\n+++ b/files/link\n@@ -0,0 +1 @@\n+../run\n',
        'new file mode 100755\n--- /dev/null\n+++ b/files/run\n@@ -0,0 +1 @@\n+#!/bin/sh\n',
        '--- a/overlay.yaml\n+++ /dev/null\n@@ -1 +0,0 @@\n-description: greets whoever logs in\n',
      ].join(''),
    )
    await go('overlay pull greeting again', { cwd: folder })
    execFileSync('chmod', ['+x', join(folder, 'again/overlay.yaml')])
    expect((await go('overlay diff greeting --dir again', { cwd: folder })).out).toBe(
      'old mode 100644\nnew mode 100755\n--- a/overlay.yaml\n+++ b/overlay.yaml\n',
    )
  })

  it.each([
    ['overlay diff greeting one', /one is no version: name a number/],
    ['overlay diff greeting 9', /overlay greeting has no version 9/],
    ['overlay diff gone', /no overlay gone/],
    ['overlay revert greeting 9 -y', /overlay greeting has no version 9/],
    ['overlay revert greeting shipped -y', /shipped is no number/],
  ])('says what is wrong with: %s', async (line, message) => {
    const { code, err } = await go(line)
    expect(code).not.toBe(0)
    expect(err).toMatch(message)
  })

  it('reverts to an older version, after a question', async () => {
    expect((await go('overlay revert greeting 1', { types: 'n\n' })).code).toBe(1)
    const { code, out, err } = await go('overlay revert greeting 1 -m sorry', { types: 'y\n' })
    expect([code, err]).toEqual([0, 'Revert overlay greeting to version 1? [y/N] '])
    await expect(`$ muster overlay revert greeting 1 -m sorry\n${out}`).toMatchFileSnapshot(
      '../golden/cli/overlay-revert.txt',
    )
    expect((await go('overlay versions greeting')).out).toMatch(/^3 .* sorry$/m)
    expect((await go('overlay diff greeting 1 3')).out).toBe('')
    expect((await go('overlay revert greeting 3 -y')).out).toBe(
      'nothing to change: greeting is this already, version 3\n',
    )
  })
})

describe('overlay render', () => {
  beforeEach(async () => {
    const folder = await overlayIn('late', {
      'overlay.yaml':
        'files: { /etc/key: { private: true }, /gone: { remove: true }, /etc/off: { when: tags.off }, /etc/l: { link: motd } }\n',
      'files/etc/key': 'hidden-text\n',
      'files/etc/motd': 'late\n',
      'files/etc/off': 'off\n',
    })
    await go('overlay push late -y', { cwd: folder })
    await go('profile set default --runtime-overlays late -y')
  })

  it('prints what the node gets, one file to the letter, and says what is private', async () => {
    const { out } = await go('overlay render --node gpu1')
    await expect(`$ muster overlay render --node gpu1\n${out}`).toMatchFileSnapshot(
      '../golden/cli/overlay-render-both.txt',
    )
    expect(await go('overlay render --node gpu1 /etc/motd')).toEqual({ code: 0, out: 'late\n', err: '' })
    for (const line of [
      'overlay render --node gpu1 greeting /etc/motd',
      'overlay render --node gpu1 --overlay greeting /etc/motd',
    ])
      expect(await go(line)).toEqual({ code: 0, out: 'Welcome to gpu1\n', err: '' })
    expect(await go('overlay render --node gpu1 /etc/key')).toEqual({
      code: 1,
      out: '',
      err: 'muster: /etc/key is private (overlay late): only its node gets it\n',
    })
  })

  it.each([
    ['overlay render --node gpu1 /etc/off', 1, /no overlay gives gpu1 the file \/etc\/off: `muster overlay which/],
    ['overlay render --node gpu1 late /etc/off', 1, /overlay late does not give gpu1 the file \/etc\/off/],
    ['overlay render --node gpu1 /etc/motd late', 2, /\/etc\/motd is a path already/],
    ['overlay render --node gpu1 --overlay late greeting', 2, /the overlay is named twice/],
    ['overlay render --node gpu1 late --diff', 2, /name no overlay/],
    ['overlay render --node gone', 1, /no node gone/],
    ['overlay which --node gpu1 etc/motd', 2, /must be an absolute path/],
  ])('says what is wrong with: %s', async (line, status, message) => {
    const { code, err } = await go(line)
    expect(code).toBe(status)
    expect(err).toMatch(message)
  })

  it('is explained by which', async () => {
    const { out } = await go('overlay which --node gpu1 /etc/motd')
    expect(out).toMatch(/^system +greeting +1 +hidden +file .* late comes later, in overlays\.runtime$/m)
    expect(out).toMatch(/^runtime +late +1 +wins +file .* nothing comes later$/m)
    expect(out).toMatch(/\ngpu1 gets the file of overlay late\n$/)
    expect((await go('overlay which --node gpu1 /etc/off')).out).toMatch(
      / off .*tags\.off.*\n(?:.*\n)?no overlay writes \/etc\/off on gpu1\n$/,
    )
    expect((await go('overlay which --node gpu1 /gone')).out).toMatch(
      /\n\/gone is taken away from gpu1 by overlay late\n$/,
    )
  })

  it('--diff says so where nothing was reported', async () => {
    expect(await go('overlay render --node gpu1 --diff')).toEqual({
      code: 0,
      out: 'the client of gpu1 has not reported yet what it has\n',
      err: '',
    })
  })
})

describe('overlay render --diff', () => {
  it('compares with what the node reported, and shows texts that are still known', async () => {
    const own = await testApp({ privateTo: 'ticket' })
    await addImage(own, 'rocky9')
    const run = (line: string, setting?: Setting) => muster(own, line.split(' '), setting)
    const folder = await overlayIn('live', {
      'files/etc/motd.mustache': 'Welcome\n{{#tags.note}}\n{{tags.note}}\n{{/tags.note}}\n',
      'files/etc/old': 'old\n',
      'files/etc/same': 'same\n',
      'overlay.yaml': 'files: { /etc/key: { private: true } }\n',
      'files/etc/key': 'hidden-text\n',
    })
    await run('overlay push live -y', { cwd: folder })
    const settings = {
      image: 'rocky9',
      overlays: { system: [], runtime: ['live'] },
      netdevs: { default: { mac: '52:54:00:00:00:01' } },
    }
    await own.call('PUT', '/api/nodes/n1', { body: { settings } })
    await (await bootNode(own.app, '52:54:00:00:00:01')).ready()
    expect((await run('overlay render --node n1 --diff')).out).toBe(
      'n1 has what it would get\ncontents of private files are not compared (1)\n',
    )

    await run('node set n1 --tag note=down -y')
    await rm(join(folder, 'live/files/etc/old'))
    await writeFiles(join(folder, 'live'), { 'files/etc/new': 'new\n', 'files/etc/key': 'hidden-too\n' })
    await run('overlay push live -y', { cwd: folder })
    const { out } = await run('overlay render --node n1 --diff')
    await expect(`$ muster overlay render --node n1 --diff\n${out}`).toMatchFileSnapshot(
      '../golden/cli/overlay-render-diff.txt',
    )
    expect((await run('overlay render --node n1 /etc/new --diff')).out).toMatch(/^new \/etc\/new\n$/)
    await own.close()
  })
})

describe('what a node has against what it would get', () => {
  const file = { type: 'file', mode: '0644', owner: '0:0' }
  const had = (path: string, more: object = {}) => ({
    path,
    type: 'file',
    mode: '0644',
    uid: 0,
    gid: 0,
    digest: 'aa',
    private: false,
    ...more,
  })
  const states = (entries: ReturnType<typeof had>[], wanted: Parameters<typeof fileStates>[1]) =>
    fileStates([{ list: 'system', known: true, entries }], wanted)

  it('is told file by file', () => {
    expect(
      states(
        [
          had('/same'),
          had('/gone'),
          had('/mode'),
          had('/text', { text: 'a\n' }),
          had('/type'),
          had('/owner', { uid: 5 }),
        ],
        [
          { ...file, path: '/same', digest: 'sha256:aa', content: 'x' },
          { ...file, path: '/mode', digest: 'sha256:aa', mode: '0600' },
          { ...file, path: '/text', digest: 'sha256:bb', content: 'b\n' },
          { ...file, path: '/type', type: 'link', digest: 'sha256:aa', link: 'x' },
          { ...file, path: '/owner', digest: 'sha256:aa' },
          { ...file, path: '/new', digest: 'sha256:aa' },
        ],
      ),
    ).toEqual([
      { path: '/gone', state: 'gone', differs: [] },
      { path: '/mode', state: 'changed', differs: ['mode 0644 -> 0600'] },
      { path: '/new', state: 'new', differs: [] },
      { path: '/owner', state: 'changed', differs: ['owner 5:0 -> 0:0'] },
      { path: '/same', state: 'same', differs: [] },
      { path: '/text', state: 'changed', differs: ['content aa -> bb'], before: 'a\n', after: 'b\n' },
      { path: '/type', state: 'changed', differs: ['type file -> link'] },
    ])
  })

  it('leaves the content of private files alone, and compares links by their targets', () => {
    expect(
      states(
        [
          had('/key', { digest: null, private: true, mode: '0600' }),
          had('/link', { type: 'link', mode: '0777', text: 'a' }),
        ],
        [
          { ...file, path: '/key', mode: '0600', private: true },
          { ...file, path: '/link', type: 'link', digest: 'sha256:bb', link: 'b' },
        ],
      ),
    ).toEqual([
      { path: '/key', state: 'same', differs: [], private: true },
      { path: '/link', state: 'changed', differs: ['content aa -> bb'], before: 'a', after: 'b' },
    ])
  })

  it('takes the runtime list where both have a path', () => {
    const both = [
      { list: 'system', known: true, entries: [had('/f', { digest: 'aa' })] },
      { list: 'runtime', known: true, entries: [had('/f', { digest: 'bb' })] },
    ]
    expect(fileStates(both, [{ ...file, path: '/f', digest: 'sha256:bb' }])).toMatchObject([{ state: 'same' }])
  })
})
