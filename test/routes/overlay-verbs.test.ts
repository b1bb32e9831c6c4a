/** What admins do with overlays besides pushing them: git, revert, lint, which, and what a node gets as a whole. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { archive, bytes, member } from '../archive/tar-writer.ts'
import { addImage, type SendOptions, type TestApp, testApp } from '../harness.ts'
import { basics } from '../images/small-image.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
})
afterEach(() => test.close())

type File = { path: string; content: string; executable?: boolean; link?: string }
const file = (path: string, text: string, rest: Partial<File> = {}): File => ({
  path,
  content: Buffer.from(text).toString('base64'),
  ...rest,
})
const link = (path: string, target: string): File => ({ path, content: '', link: target })
const refused = async (method: string, path: string, options: SendOptions = {}) => {
  const response = await test.send(method, path, options)
  return { status: response.status, ...(await response.json()) }
}
const push = (name: string, files: File[], more: object = {}) =>
  test.call('PUT', `/api/overlays/${name}`, { body: { files, ...more } })
const lint = async (name: string, files: File[]) =>
  (await test.call('POST', `/api/overlays/${name}/lint`, { body: { files } })).findings
const node = (name: string, settings: object, profiles: string[] = []) =>
  test.call('PUT', `/api/nodes/${name}`, { body: { profiles, settings } })
const profile = (name: string, settings: object, profiles: string[] = []) =>
  test.call('PUT', `/api/profiles/${name}`, { body: { profiles, settings } })

/** An image that can be opened, with these files beside the basics. */
async function importSmall(name: string, files: Record<string, string>): Promise<void> {
  const members = Object.entries(files).map(([path, text]) => member({ name: path, data: bytes(text) }))
  const made = await test.send('POST', `/api/images/${name}/versions`, {
    body: archive(...basics.map(member), ...members),
    headers: { 'content-type': 'application/x-tar' },
  })
  expect(made.status).toBe(201)
}

describe('a push', () => {
  const commit = '0123456789abcdef0123456789abcdef01234567'

  it('records the checkout that it comes from', async () => {
    await push('welcome', [file('files/a', 'x')], { git: { commit, dirty: true } })
    const git = { commit, dirty: true }
    expect(await test.call('GET', '/api/overlays/welcome')).toMatchObject({ git })
    expect(await test.call('GET', '/api/overlays/welcome/versions')).toMatchObject([{ number: 1, git }])
    expect(await test.call('GET', '/api/overlays/welcome?version=1')).toMatchObject({ git })
    const list = await test.call('GET', '/api/overlays')
    expect(list.find(({ name }: { name: string }) => name === 'welcome')).toMatchObject({ git })
  })

  it.each([
    ['a short commit', { commit: '0123456', dirty: false }],
    ['no commit', { dirty: false }],
    ['more than that', { commit, dirty: false, branch: 'main' }],
  ])('refuses %s', async (_what, git) => {
    expect(
      await refused('PUT', '/api/overlays/welcome', { body: { files: [file('files/a', 'x')], git } }),
    ).toMatchObject({ status: 400, code: 'REQUEST_INVALID' })
  })

  it('refuses what lint calls an error, with all of them, and makes nothing', async () => {
    const files = [
      file('overlay.yaml', 'files:\n  /f: { mode: "0666" }'),
      file('files/f', ''),
      file('files/g.mustache', '{{zzzzzz}}'),
    ]
    expect(await refused('PUT', '/api/overlays/bad', { body: { files } })).toEqual({
      status: 422,
      code: 'OVERLAY_INVALID',
      message: 'overlay bad: files/g.mustache: unknown name zzzzzz (and 1 more: `muster overlay lint` shows all)',
      field: 'files/g.mustache',
      faults: [
        { field: 'files/g.mustache:1', message: 'unknown name zzzzzz' },
        { field: 'overlay.yaml:2', message: '/f has mode "0666": every user of the node could change it' },
      ],
    })
    expect(await refused('GET', '/api/overlays/bad')).toMatchObject({ code: 'OVERLAY_UNKNOWN' })
  })

  it('answers warnings, and does it', async () => {
    const { warnings, created } = await push('welcome', [file('files/a', 'x\r\n')])
    expect(created).toBe(true)
    expect(warnings.map(({ path, line }: File & { line?: number }) => [path, line])).toEqual([
      ['', undefined],
      ['files/a', 1],
    ])
  })

  it.each(['which', 'render'])('refuses the name %s, which the API has taken', async (name) => {
    expect(await refused('PUT', `/api/overlays/${name}`, { body: { files: [] } })).toMatchObject({
      code: 'NAME_INVALID',
    })
  })
})

describe('POST /api/overlays/{name}/revert', () => {
  beforeEach(async () => {
    await push('welcome', [file('files/a', 'one')], { git: { commit: 'a'.repeat(40), dirty: false } })
    await push('welcome', [file('files/a', 'two')])
  })

  it('makes a new version of the old content, with its commit', async () => {
    const response = await test.send('POST', '/api/overlays/welcome/revert', { body: { version: 1 } })
    expect([response.status, await response.json()]).toMatchObject([201, { version: 3, created: true }])
    const versions = await test.call('GET', '/api/overlays/welcome/versions')
    expect(versions.map(({ digest }: { digest: string }) => digest)[0]).toBe(versions[2].digest)
    expect(versions[0]).toMatchObject({ number: 3, message: 'revert to version 1', git: { commit: 'a'.repeat(40) } })
    expect(await test.call('GET', '/api/overlays/welcome/files')).toMatchObject([file('files/a', 'one')])
    expect(await test.call('GET', `/api/revisions/${response.headers.get('x-revision')}`)).toMatchObject({
      changes: [{ noun: 'overlay', name: 'welcome', before: { version: 2 }, after: { version: 3 } }],
    })
  })

  it('makes nothing of what holds already', async () => {
    const response = await test.send('POST', '/api/overlays/welcome/revert', { body: { version: 2 } })
    expect([response.status, await response.json()]).toMatchObject([200, { version: 2, created: false }])
  })

  it('refuses a version that is not there, and one over what the caller has not seen', async () => {
    expect(await refused('POST', '/api/overlays/welcome/revert', { body: { version: 9 } })).toMatchObject({
      code: 'OVERLAY_UNKNOWN',
      message: 'overlay welcome has no version 9',
    })
    expect(
      await refused('POST', '/api/overlays/welcome/revert', { body: { version: 1 }, headers: { 'if-match': '"1"' } }),
    ).toMatchObject({ status: 412 })
    expect(
      await refused('POST', '/api/overlays/welcome/revert', { body: { version: 1 }, scope: 'read' }),
    ).toMatchObject({
      code: 'TOKEN_SCOPE',
    })
  })
})

describe('GET /api/overlays/{name}/files', () => {
  it('gives a version, or what came with Muster below it', async () => {
    await push('hostname', [file('files/etc/hostname', 'mine')])
    expect(await test.call('GET', '/api/overlays/hostname/files?version=1')).toHaveLength(1)
    const shipped = await test.call('GET', '/api/overlays/hostname/files?version=shipped')
    expect(shipped.map(({ path }: File) => path)).toContain('overlay.yaml')
    await push('welcome', [file('files/a', 'x')])
    expect(await refused('GET', '/api/overlays/welcome/files?version=shipped')).toMatchObject({
      code: 'OVERLAY_UNKNOWN',
      message: 'no overlay welcome came with Muster',
    })
    expect(await refused('GET', '/api/overlays/welcome/files?version=x')).toMatchObject({ code: 'REQUEST_INVALID' })
  })

  it('keeps files that are secrets from those who may only read', async () => {
    await push('keys', [file('overlay.yaml', 'files: { /k: { private: true } }'), file('files/k', 'secret')])
    expect(await test.call('GET', '/api/overlays/keys/files')).toMatchObject([{ path: 'files/k', private: true }, {}])
    const { message, ...rest } = await refused('GET', '/api/overlays/keys/files', { scope: 'read' })
    expect(rest).toMatchObject({ status: 403, code: 'TOKEN_SCOPE' })
    expect(message).toBe('token the-read may read, and files/k is private: this needs edit')
    // Whoever guesses a short secret could tell by its hash.
    const { entries } = await test.call('GET', '/api/overlays/keys', { scope: 'read' })
    expect(entries).toMatchObject([{ path: '/k', private: true, size: 6 }])
    expect(entries[0]).not.toHaveProperty('digest')
    await push('welcome', [file('files/a.mustache', '{{secrets.a}}')])
    expect((await test.send('GET', '/api/overlays/welcome/files', { scope: 'read' })).status).toBe(200)
  })
})

describe('GET /api/overlays/{name}', () => {
  it('says who has it, and which secrets it declares', async () => {
    await push('welcome', [file('overlay.yaml', 'secrets: { munge: random }'), file('files/a', 'x')])
    await profile('p', { overlays: { runtime: ['welcome'] } })
    await profile('q', { overlays: { system: ['~welcome'] } })
    await node('n1', { overlays: { system: ['welcome', 'hosts'], runtime: ['welcome'] } })
    expect(await test.call('GET', '/api/overlays/welcome')).toMatchObject({
      usedBy: { byDefault: false, profiles: ['p'], nodes: ['n1'] },
      secrets: { munge: 'random' },
    })
    expect(await test.call('GET', '/api/overlays/base')).toMatchObject({ usedBy: { byDefault: true } })
    const list = await test.call('GET', '/api/overlays')
    const users = Object.fromEntries(
      list.map(({ name, profiles, nodes }: { name: string; profiles: number; nodes: number }) => [
        name,
        [profiles, nodes],
      ]),
    )
    expect([users.welcome, users.hosts, users.base]).toEqual([
      [1, 1],
      [0, 1],
      [0, 0],
    ])
  })

  it('shows what entries are', async () => {
    await push('welcome', [
      file(
        'overlay.yaml',
        'files: { /l: { link: x, reload: [/usr/bin/a, b] }, /r: { remove: true }, /s: { reload: a.service } }',
      ),
      file('files/s.mustache', '{{secrets.s}}'),
    ])
    expect((await test.call('GET', '/api/overlays/welcome')).entries).toMatchObject([
      { path: '/l', type: 'link', target: 'x', reload: [{ run: ['/usr/bin/a', 'b'] }] },
      { path: '/r', type: 'removal' },
      { path: '/s', type: 'file', private: true, mode: '0600', reload: [{ unit: 'a.service' }] },
    ])
  })
})

describe('lint', () => {
  it('says of what is no overlay why, and refuses nothing', async () => {
    expect(await lint('bad', [file('bin/x', '')])).toMatchObject([{ level: 'error', path: '' }])
    expect(await lint('bad', [file('files/bin/x', '')])).toMatchObject([{ level: 'error', path: 'files/bin/x' }])
    expect(await refused('GET', '/api/overlays/bad')).toMatchObject({ code: 'OVERLAY_UNKNOWN' })
  })

  it('looks at what is there, too', async () => {
    await push('welcome', [file('files/a', 'x\r\n')])
    const { findings } = await test.call('GET', '/api/overlays/welcome/lint', { scope: 'read' })
    expect(findings).toHaveLength(2)
    expect(await refused('GET', '/api/overlays/gone/lint')).toMatchObject({ code: 'OVERLAY_UNKNOWN' })
  })

  it('warns of an overlay that nobody has, and not of one that somebody has', async () => {
    const files = [file('files/a', 'x')]
    expect(await lint('welcome', files)).toMatchObject([
      { path: '', message: expect.stringContaining('reaches nobody') },
    ])
    await push('welcome', files)
    await profile('p', { overlays: { system: ['welcome'] } })
    expect(await lint('welcome', files)).toEqual([])
    expect((await test.call('GET', '/api/overlays/hostname/lint')).findings).toEqual([])
  })

  it('warns of a file that two overlays of a profile write, once, and says which counts', async () => {
    await push('first', [
      file('files/etc/motd', '1'),
      file('files/etc/a', '1'),
      file('overlay.yaml', 'files: { /etc/a: { when: tags.a } }'),
    ])
    await push('second', [file('files/etc/motd', '2'), file('files/etc/a', '2'), file('files/etc/b', '2')])
    await profile('p', { overlays: { system: ['first', 'second'] } })
    await profile('child', { tags: { a: '1' } }, ['p'])
    await profile('other', { overlays: { system: ['second'] } })
    expect((await test.call('GET', '/api/overlays/first/lint')).findings).toEqual([
      {
        level: 'warning',
        path: 'files/etc/motd',
        message:
          '/etc/motd is written by overlay second too, and second counts because it stands after first (profile p)',
      },
    ])
    expect((await test.call('GET', '/api/overlays/second/lint')).findings).toMatchObject([
      { path: 'files/etc/motd', message: expect.stringContaining('second counts because it stands after first') },
    ])
  })

  it('sees that the runtime list comes after the system list, in a node of its own', async () => {
    await push('first', [file('files/etc/motd', '1')])
    await push('second', [file('files/etc/motd', '2')])
    await node('n1', { overlays: { system: ['second'], runtime: ['first'] } })
    expect((await test.call('GET', '/api/overlays/first/lint')).findings).toMatchObject([
      {
        message:
          '/etc/motd is written by overlay second too, and first counts because it stands after second (node n1)',
      },
    ])
  })

  describe('of units that are enabled', () => {
    const wants = 'files/etc/systemd/system/multi-user.target.wants'
    const enabled = (...units: string[]) =>
      units.map((unit) => link(`${wants}/${unit}`, `/usr/lib/systemd/system/${unit}`))
    const units = async (files: File[]) =>
      (await lint('welcome', files)).map(({ message }: { message: string }) => /enables (\S+),/.exec(message)?.[1])

    beforeEach(async () => {
      const unit = '[Service]\nExecStart=/bin/true\n'
      await importSmall('small', {
        'usr/lib/systemd/system/known.service': unit,
        'usr/lib/systemd/system/getty@.service': unit,
        'etc/systemd/system/own.timer': unit,
      })
      await push('welcome', [file('files/a', 'x')])
      await push('beside', [file('files/etc/systemd/system/beside.service', unit)])
      await profile('p', { image: 'small', overlays: { system: ['welcome', 'beside'] } })
    })

    it('warns of one that neither the overlays nor the image have', async () => {
      const [finding] = await lint('welcome', enabled('missing.service'))
      expect(finding).toEqual({
        level: 'warning',
        path: `${wants}/missing.service`,
        message: expect.stringMatching(
          /^enables missing\.service, which neither the overlays of profile p nor the image small have/,
        ),
      })
    })

    it('says nothing of those that are there', async () => {
      expect(
        await units(enabled('known.service', 'getty@tty1.service', 'own.timer', 'beside.service', 'dev-sda.device')),
      ).toEqual([])
      expect(await units([...enabled('mine.service'), file('files/etc/systemd/system/mine.service', 'x')])).toEqual([])
      expect(await units([link(`${wants}/masked.service`, '/dev/null')])).toEqual([])
    })

    it('says so where the image cannot be looked into', async () => {
      await addImage(test, 'hollow')
      await profile('p', { image: 'hollow', overlays: { system: ['welcome'] } })
      const [finding] = await lint('welcome', enabled('missing.service'))
      expect(finding).toMatchObject({
        level: 'warning',
        path: '',
        message: expect.stringMatching(/^image hollow cannot be looked into for units: /),
      })
    })
  })
})

describe('what a node gets', () => {
  beforeEach(async () => {
    await addImage(test, 'rocky9')
    const yaml = `files:
  /etc/motd: { mode: "0600" }
  /gone: { remove: true, reload: x.service }
  /off: { when: tags.off }
  "/etc/net/{{name}}.conf": { each: netdevs }`
    await push('first', [
      file('overlay.yaml', yaml),
      file('files/etc/motd', 'first'),
      file('files/off', 'x'),
      file('files/etc/net/{{name}}.conf.mustache', '{{name}}'),
      link('files/etc/link', 'motd'),
    ])
    await push('second', [file('files/etc/motd', 'second\n')])
    await node('n1', {
      image: 'rocky9',
      overlays: { system: ['first'], runtime: ['second'] },
      netdevs: { eth0: { mac: '52:54:00:00:00:01' } },
    })
  })

  it('is both lists, the runtime list on top', async () => {
    const files = await test.call('GET', '/api/overlays/render?node=n1', { scope: 'read' })
    expect(files.map(({ path, list, overlay, type }: Record<string, string>) => [path, list, overlay, type])).toEqual([
      ['/etc/link', 'system', 'first', 'link'],
      ['/etc/motd', 'runtime', 'second', 'file'],
      ['/etc/net/eth0.conf', 'system', 'first', 'file'],
      ['/gone', 'system', 'first', 'removal'],
    ])
    expect(files[1]).toMatchObject({
      content: 'second\n',
      mode: '0644',
      version: 1,
      digest: expect.stringMatching(/^sha256:/),
    })
    expect(files[3]).toMatchObject({ reload: [{ unit: 'x.service' }] })
    expect(await test.call('GET', '/api/overlays/render?node=n1&path=/etc/link')).toMatchObject([{ link: 'motd' }])
    expect(await refused('GET', '/api/overlays/render?node=n9')).toMatchObject({ code: 'NODE_UNKNOWN' })
    expect(await refused('GET', '/api/overlays/render')).toMatchObject({ code: 'REQUEST_INVALID' })
  })

  it('is told without the content of private files', async () => {
    await push('second', [
      file('overlay.yaml', 'files: { /k: { private: true }, /l: { link: /hidden-target, private: true } }'),
      file('files/k', 'hidden-content'),
    ])
    for (const path of ['/api/overlays/render?node=n1', '/api/overlays/second/render?node=n1']) {
      const response = await test.send('GET', path, { scope: 'admin' })
      const text = await response.text()
      expect(text).not.toMatch(/hidden/)
      const found = JSON.parse(text).filter((one: { private?: boolean }) => one.private)
      expect(found.map((one: { path: string }) => one.path)).toEqual(['/k', '/l'])
      for (const one of found) expect(Object.keys(one)).not.toContain('digest')
    }
  })

  it('is from the overlay that comes last, and which says all of them', async () => {
    const { writers } = await test.call('GET', '/api/overlays/which?node=n1&path=/etc/motd', { scope: 'read' })
    expect(writers).toMatchObject([
      {
        list: 'system',
        overlay: 'first',
        version: 1,
        mode: '0600',
        state: 'hidden',
        why: 'second comes later, in overlays.runtime',
        source: { path: 'files/etc/motd' },
        modeFrom: { path: 'overlay.yaml', line: 2 },
      },
      { list: 'runtime', overlay: 'second', state: 'wins', source: { path: 'files/etc/motd' } },
    ])
    expect(writers[1]).not.toHaveProperty('modeFrom')
  })

  it('which says what keeps a file from the node', async () => {
    const state = async (path: string) =>
      (await test.call('GET', `/api/overlays/which?node=n1&path=${path}`)).writers.map(
        ({ overlay, state, why }: Record<string, string>) => `${overlay} ${state}: ${why}`,
      )
    expect(await state('/off')).toEqual(['first off: its when, tags.off, is not there on this node, or false or empty'])
    expect(await state('/etc/net/eth0.conf')).toEqual(['first wins: nothing comes later'])
    expect(await state('/etc/net/eth9.conf')).toEqual(['first off: no item of netdevs makes this name'])
    expect(await state('/gone/below')).toEqual(['first wins: it takes the path away'])
    expect(await state('/nowhere')).toEqual([])
    expect(await refused('GET', '/api/overlays/which?node=n1&path=etc')).toMatchObject({ code: 'REQUEST_INVALID' })
  })

  it("which tells the site's file from the shipped one that it hides", async () => {
    await push('hostname', [file('files/etc/hostname', 'mine\n')])
    await node('n1', { image: 'rocky9', overlays: { system: ['hostname'] } })
    const { writers } = await test.call('GET', '/api/overlays/which?node=n1&path=/etc/hostname')
    expect(writers).toMatchObject([
      { version: null, state: 'hidden', why: "the site's version 1 has an entry of the same path" },
      { version: 1, state: 'wins' },
    ])
  })

  it('which says what the image has at the path, or why nobody knows', async () => {
    expect((await test.call('GET', '/api/overlays/which?node=n1&path=/etc/motd')).image).toMatchObject({
      name: 'rocky9',
      entry: null,
      unknown: expect.any(String),
    })
    await importSmall('small', { 'usr/lib/os-release': 'ID=x\n' })
    await node('n1', { image: 'small', overlays: { system: ['first'] } })
    const image = async (path: string) =>
      (await test.call('GET', `/api/overlays/which?node=n1&path=${path}`)).image.entry
    expect(await image('/usr/lib/os-release')).toMatchObject({ type: 'file', mode: '0644', owner: '0:0' })
    expect(await image('/usr')).toMatchObject({ type: 'directory' })
    expect(await image('/nowhere')).toBeNull()
  })
})
