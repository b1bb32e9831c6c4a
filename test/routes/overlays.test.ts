import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fsAssets } from '../../src/assets/fs.ts'
import { addImage, type SendOptions, startOfTests, type TestApp, testApp } from '../harness.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
})
afterEach(() => test.close())

type File = { path: string; content: string; executable?: boolean; link?: string }
const file = (path: string, text: string | Uint8Array, rest: Partial<File> = {}): File => ({
  path,
  content: Buffer.from(text).toString('base64'),
  ...rest,
})
const refused = async (method: string, path: string, options: SendOptions = {}) => {
  const response = await test.send(method, path, options)
  return { status: response.status, ...(await response.json()) }
}
const push = (name: string, files: File[], message?: string) =>
  test.send('PUT', `/api/overlays/${name}`, { body: { files, ...(message && { message }) } })
const motd = [
  file('overlay.yaml', 'description: a greeting\nfiles:\n  /etc/secret: { mode: "0600", owner: "0:5" }\n'),
  file('files/etc/motd.mustache', 'this is {{node.name}}\n'),
  file('files/etc/secret', 'x'),
  file('files/usr/bin/hello', '#!/bin/sh\n', { executable: true }),
  file('files/etc/link', '', { link: 'motd' }),
]

describe('PUT /api/overlays/{name}', () => {
  it('makes a version of a directory, which is there to be seen', async () => {
    const response = await push('welcome', motd, 'hello')
    expect(response.status).toBe(201)
    const pushed = await response.json()
    expect(pushed).toEqual({
      name: 'welcome',
      version: 1,
      digest: expect.stringMatching(/^sha256:/),
      created: true,
      warnings: [{ level: 'warning', path: '', message: expect.stringContaining('reaches nobody') }],
    })
    const overlay = await test.call('GET', '/api/overlays/welcome')
    expect(overlay).toMatchObject({
      name: 'welcome',
      origin: 'site',
      version: 1,
      description: 'a greeting',
      message: 'hello',
      author: 'the-edit',
      createdAt: startOfTests.toISOString(),
    })
    expect(overlay.entries.map(({ path, mode, type }: Record<string, string>) => [path, mode, type])).toEqual([
      ['/etc/link', '0777', 'link'],
      ['/etc/motd', '0644', 'file'],
      ['/etc/secret', '0600', 'file'],
      ['/usr/bin/hello', '0755', 'file'],
    ])
    expect(await test.call('GET', '/api/overlays/welcome/versions')).toEqual([
      {
        number: 1,
        digest: pushed.digest,
        message: 'hello',
        author: 'the-edit',
        createdAt: startOfTests.toISOString(),
        git: null,
      },
    ])
    const revision = Number(response.headers.get('x-revision'))
    expect(await test.call('GET', `/api/revisions/${revision}`)).toMatchObject({ message: 'hello' })
  })

  it('makes no version of what is the current one already', async () => {
    await push('welcome', motd)
    const again = await push('welcome', motd)
    expect([again.status, await again.json()]).toMatchObject([200, { version: 1, created: false }])
  })

  it('keeps old versions, and gives each back', async () => {
    await push('welcome', motd)
    await push('welcome', [file('files/etc/motd', 'two')])
    expect(
      (await test.call('GET', '/api/overlays/welcome/versions')).map(({ number }: { number: number }) => number),
    ).toEqual([2, 1])
    expect((await test.call('GET', '/api/overlays/welcome?version=1')).entries).toHaveLength(4)
    expect((await test.call('GET', '/api/overlays/welcome')).entries).toHaveLength(1)
    expect(await refused('GET', '/api/overlays/welcome?version=3')).toMatchObject({ code: 'OVERLAY_UNKNOWN' })
  })

  it('gives the directory back, so that pushing it again changes nothing', async () => {
    const all = [
      file(
        'overlay.yaml',
        [
          'description: "every: kind"',
          'files:',
          '  /etc/secret: { mode: "0600", owner: "1000:5" }',
          '  /etc/raw: { template: false }',
          '  "/etc/net/{{name}}.conf": { each: netdevs, when: mac, template: true }',
          '  /usr/bin/odd: { mode: "4755" , when: tags.gpu }'.replace('"4755"', '"04755"'),
          '  /etc/strict/: { mode: "0700", owner: "0:5" }',
          '  /var/spool/empty/: { mode: "1777" }'.replace('"1777"', '"01777"'),
          '  /etc/link: { owner: "5:5" }',
        ].join('\n'),
      ),
      file('files/etc/secret', 'x'),
      file('files/etc/raw', '{{not a template'),
      file('files/etc/net/{{name}}.conf', 'mac={{mac}}'),
      file('files/usr/bin/odd', new Uint8Array([0, 255, 10]), { executable: true }),
      file('files/etc/strict/file', 'x'),
      file('files/etc/link', '', { link: '../usr/bin/odd' }),
      file('files/etc/motd.mustache', '{{node.name}}'),
    ]
    expect(await (await push('all', all)).json()).toMatchObject({ version: 1 })
    const pulled = await test.call('GET', '/api/overlays/all/files')
    const plain = ({ path, content, executable = false, link }: File) => ({ path, content, executable, link })
    const byPath = (a: { path: string }, b: { path: string }) => (a.path < b.path ? -1 : 1)
    expect(pulled.map(plain)).toEqual(all.map(plain).sort(byPath))
    expect(await (await push('all', pulled)).json()).toMatchObject({ version: 1, created: false })
    expect(await (await push('copy', pulled)).json()).toMatchObject({
      digest: (await test.call('GET', '/api/overlays/all/versions'))[0].digest,
    })
    const odd = pulled.find(({ path }: File) => path === 'files/usr/bin/odd')
    expect(odd).toEqual({ path: 'files/usr/bin/odd', content: 'AP8K', executable: true })
  })

  it('gives shipped overlays back as they are, and what is pushed of them says the same', async () => {
    for (const { name } of await test.call('GET', '/api/overlays')) {
      const before = (await test.call('GET', `/api/overlays/${name}`)).entries
      const files = await test.call('GET', `/api/overlays/${name}/files`)
      expect(files.length).toBeGreaterThan(0)
      expect((await push(name, files)).status).toBe(201)
      const pulled = await test.call('GET', `/api/overlays/${name}/files`)
      expect(await (await push(name, pulled)).json()).toMatchObject({ created: false })
      expect(await test.call('GET', `/api/overlays/${name}`)).toMatchObject({
        origin: 'both',
        version: 1,
        entries: before,
      })
    }
  })

  it.each([
    ['a path that leaves the overlay', [file('files/../../etc/passwd', 'x')], 422, 'OVERLAY_INVALID'],
    ['an absolute path', [file('/etc/passwd', 'x')], 422, 'OVERLAY_INVALID'],
    ['a path twice', [file('files/a', 'x'), file('files/a', 'y')], 422, 'OVERLAY_INVALID'],
    [
      'an unknown attribute',
      [file('overlay.yaml', 'files: { /a: { colour: red } }'), file('files/a', 'x')],
      422,
      'OVERLAY_INVALID',
    ],
    ['a template that does not parse', [file('files/a.mustache', '{{#open}}')], 422, 'TEMPLATE_INVALID'],
    ['content that is no base64', [{ path: 'files/a', content: 'ä' }], 400, 'REQUEST_INVALID'],
    ['no files', undefined, 400, 'REQUEST_INVALID'],
  ])('refuses %s', async (_label, files, status, code) => {
    expect(await refused('PUT', '/api/overlays/bad', { body: { files } })).toMatchObject({ status, code })
    expect(await refused('GET', '/api/overlays/bad')).toMatchObject({ code: 'OVERLAY_UNKNOWN' })
  })

  it('refuses a name that is none, and a push over what the caller has not seen', async () => {
    expect(await refused('PUT', '/api/overlays/-x', { body: { files: motd } })).toMatchObject({ code: 'NAME_INVALID' })
    await push('welcome', motd)
    const etag = (await test.send('GET', '/api/overlays/welcome')).headers.get('etag') ?? ''
    await push('welcome', [file('files/etc/motd', 'theirs')])
    const body = { files: [file('files/etc/motd', 'mine')] }
    expect(await refused('PUT', '/api/overlays/welcome', { body, headers: { 'if-match': etag } })).toMatchObject({
      status: 412,
    })
  })

  it('takes more than a megabyte, and no more than 32', async () => {
    const content = Buffer.alloc(3 * 1024 * 1024, 7).toString('base64')
    expect((await push('large', [{ path: 'files/a', content }])).status).toBe(201)
    const body = JSON.stringify({ files: [{ path: 'files/a', content: 'A'.repeat(33 * 1024 * 1024) }] })
    expect(await refused('PUT', '/api/overlays/large', { body })).toMatchObject({ status: 413, code: 'BODY_TOO_LARGE' })
  })
})

describe('GET /api/overlays', () => {
  it('lists what came with Muster and what the site pushed, and which shadows which', async () => {
    const shipped = await test.call('GET', '/api/overlays')
    expect(shipped.length).toBeGreaterThan(3)
    for (const overlay of shipped)
      expect(overlay).toMatchObject({
        origin: 'shipped',
        version: null,
        description: expect.any(String),
        files: expect.any(Number),
      })
    await push('welcome', motd)
    await push('hosts', [file('files/etc/motd', 'beside the shipped file')])
    const list = await test.call('GET', '/api/overlays')
    expect(list.find(({ name }: { name: string }) => name === 'welcome')).toEqual({
      name: 'welcome',
      origin: 'site',
      version: 1,
      description: 'a greeting',
      files: 4,
      digest: expect.stringMatching(/^sha256:/),
      git: null,
      profiles: 0,
      nodes: 0,
    })
    const hosts = list.find(({ name }: { name: string }) => name === 'hosts')
    expect(hosts).toMatchObject({ origin: 'both', version: 1 })
    expect(hosts.files).toBe(shipped.find(({ name }: { name: string }) => name === 'hosts').files + 1)
  })

  it('goes on listing when a file of the site is not what it should be', async () => {
    const path = join(test.site, 'overlays/broken/overlay.yaml')
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, 'files: 5')
    const shipped = fileURLToPath(new URL('../../boot-assets', import.meta.url))
    const again = await testApp({ assets: fsAssets([test.site, shipped]) })
    try {
      const list = await again.call('GET', '/api/overlays')
      expect(list.find(({ name }: { name: string }) => name === 'broken')).toMatchObject({
        description: expect.stringContaining('overlay broken: overlay.yaml'),
        files: 0,
      })
      const one = await again.send('GET', '/api/overlays/broken')
      expect([one.status, (await one.json()).code]).toEqual([422, 'OVERLAY_INVALID'])
    } finally {
      await again.close()
    }
  })

  it('knows no overlay that is not there, however it is spelt', async () => {
    for (const name of ['gone', '-x', '..%2fipxe', '%2e%2e', 'hosts%2ffiles'])
      for (const path of ['', '/files', '/versions', '/render?node=n1'])
        expect(await refused('GET', `/api/overlays/${name}${path}`)).toMatchObject({ status: 404 })
  })
})

describe('DELETE /api/overlays/{name}', () => {
  it('brings a shipped overlay into view again', async () => {
    await push('hosts', [file('files/etc/hosts', 'mine')])
    await test.call('PUT', '/api/nodes/n1', { body: { settings: { overlays: { system: ['hosts'] } } } })
    expect((await test.send('DELETE', '/api/overlays/hosts')).status).toBe(204)
    expect(await test.call('GET', '/api/overlays/hosts')).toMatchObject({ origin: 'shipped', version: null })
    expect(await refused('DELETE', '/api/overlays/hosts')).toMatchObject({ code: 'OVERLAY_UNKNOWN' })
  })

  it('refuses while a node or a profile lists it', async () => {
    await push('welcome', motd)
    await test.call('PUT', '/api/nodes/n1', { body: { settings: { overlays: { system: ['welcome'] } } } })
    await test.call('PUT', '/api/profiles/p', { body: { settings: { overlays: { runtime: ['welcome'] } } } })
    expect(await refused('DELETE', '/api/overlays/welcome')).toMatchObject({
      status: 409,
      code: 'OVERLAY_USED',
      message: expect.stringMatching(/node n1, profile p/),
    })
  })
})

describe('GET /api/overlays/{name}/render', () => {
  beforeEach(async () => {
    await addImage(test, 'rocky9')
    const netdevs = { default: { mac: '52:54:00:00:00:01', address: '10.0.0.1/24' } }
    await test.call('PUT', '/api/nodes/n001', { body: { settings: { image: 'rocky9', netdevs } } })
    await push('welcome', [...motd, file('files/etc/binary', new Uint8Array([0, 255]))])
  })

  it('shows the files as the node would get them, whether it has the overlay or not', async () => {
    expect(await test.call('GET', '/api/overlays/welcome/render?node=n001')).toEqual([
      {
        path: '/etc/binary',
        mode: '0644',
        owner: '0:0',
        type: 'file',
        content: 'AP8=',
        encoding: 'base64',
        overlay: 'welcome',
        version: 1,
      },
      { path: '/etc/link', mode: '0777', owner: '0:0', type: 'link', link: 'motd', overlay: 'welcome', version: 1 },
      {
        path: '/etc/motd',
        mode: '0644',
        owner: '0:0',
        type: 'file',
        content: 'this is n001\n',
        overlay: 'welcome',
        version: 1,
      },
      { path: '/etc/secret', mode: '0600', owner: '0:5', type: 'file', content: 'x', overlay: 'welcome', version: 1 },
      {
        path: '/usr/bin/hello',
        mode: '0755',
        owner: '0:0',
        type: 'file',
        content: '#!/bin/sh\n',
        overlay: 'welcome',
        version: 1,
      },
    ])
    const [only, ...rest] = await test.call('GET', '/api/overlays/hosts/render?node=n001&path=/etc/hosts')
    expect(rest).toEqual([])
    expect(only).toMatchObject({ version: null, content: expect.stringMatching(/^10\.0\.0\.1\s+n001/m) })
  })

  it('renders all nodes where a template asks for them, and anew after an edit', async () => {
    await test.call('PUT', '/api/nodes/n002', {
      body: { settings: { netdevs: { default: { mac: '52:54:00:00:00:02', address: '10.0.0.2/24' } } } },
    })
    const [hosts] = await test.call('GET', '/api/overlays/hosts/render?node=n001&path=/etc/hosts')
    expect(hosts.content).toMatch(/^10\.0\.0\.2\s+n002/m)
  })

  it.each([
    ['an unknown overlay', 'gone/render?node=n001', 404, 'OVERLAY_UNKNOWN'],
    ['an unknown node', 'welcome/render?node=n009', 404, 'NODE_UNKNOWN'],
    ['no node', 'welcome/render', 400, 'REQUEST_INVALID'],
  ])('refuses %s', async (_label, path, status, code) => {
    expect(await refused('GET', `/api/overlays/${path}`)).toMatchObject({ status, code })
  })

  it('says why a node that cannot boot has no files, and where a template is wrong', async () => {
    await test.call('PUT', '/api/nodes/n002', { body: {} })
    expect(await refused('GET', '/api/overlays/welcome/render?node=n002')).toMatchObject({
      status: 422,
      code: 'PLAN_IMPOSSIBLE',
    })
    await push('typo', [file('files/etc/a.mustache', 'one\n{{tags.rack}}\n')])
    expect(await refused('GET', '/api/overlays/typo/render?node=n001')).toMatchObject({
      status: 422,
      code: 'TEMPLATE_INVALID',
      message: expect.stringContaining('/etc/a'),
    })
  })
})
