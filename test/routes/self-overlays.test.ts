/** What a node is told of its overlays, and who is told what. */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { listsOf, textsOf } from '../../src/activity/trees.ts'
import { addImage, type TestApp, testApp } from '../harness.ts'
import { parseStrictly } from '../overlays/list-parser.ts'
import { queriesOf } from '../registry/statements.ts'
import { type Asking, type BootedNode, bootNode } from './booted-node.ts'

const mac = '52:54:00:00:00:02'
const hexOf = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex')

let test: TestApp
let node: BootedNode
beforeEach(async () => {
  test = await testApp()
  await addImage(test, 'rocky9')
  await push('site', {
    'files/etc/motd.mustache': 'this is {{node.name}}\n',
    'files/etc/plain': 'plain\n',
    'files/etc/link': { link: 'motd' },
    'files/etc/empty': '',
  })
  await push('key', {
    'overlay.yaml':
      'files:\n  /etc/munge/munge.key: { private: true, reload: munge.service }\n  /etc/munge/: { mode: "0700" }\n',
    'files/etc/munge/munge.key': 'the key of munge',
    'files/etc/munge/README': 'open\n',
  })
  await setNode({ overlays: { system: ['site'], runtime: ['site'] } })
  node = await bootNode(test, mac)
})
afterEach(async () => {
  vi.restoreAllMocks()
  await test.close()
})

const push = (name: string, files: Record<string, string | { link: string }>) =>
  test.call('PUT', `/api/overlays/${name}`, {
    body: {
      files: Object.entries(files).map(([path, content]) =>
        typeof content === 'string'
          ? { path, content: Buffer.from(content).toString('base64') }
          : { path, content: '', ...content },
      ),
    },
  })
const setNode = (settings: object, name = 'n2', address = '10.0.0.2/24', itsMac = mac) =>
  test.call('PUT', `/api/nodes/${name}`, {
    body: { settings: { image: 'rocky9', netdevs: { default: { mac: itsMac, address } }, ...settings } },
  })
const refusal = async (answer: Response) => {
  const { code, message } = (await answer.json()) as { code: string; message: string }
  return { status: answer.status, code, message }
}
const linesOf = (text: string) => new Map(parseStrictly(text).map((one) => [one.path, one]))
const lineOf = (text: string, path: string) => linesOf(text).get(path)?.line ?? 0
const archiveOf = (lines: string, etag: string, asking: Asking = {}, list = 'runtime') =>
  node.ask(`/self/overlays/${list}/archive?lines=${lines}`, { ...asking, headers: { 'if-match': etag } })

/** The files of a tar, unpacked by tar. */
async function unpacked(answer: Response): Promise<Record<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), 'muster-tar-'))
  try {
    execFileSync('tar', ['-xf', '-', '-C', folder], { input: Buffer.from(await answer.arrayBuffer()) })
    const names = (await readdir(folder)).sort((a, b) => Number(a) - Number(b))
    return Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name), 'utf8')])),
    )
  } finally {
    await rm(folder, { recursive: true })
  }
}

describe('GET /self/overlays/{list}', () => {
  it('answers the list, named by its digest, with its length', async () => {
    const answer = await node.ask('/self/overlays/runtime')
    const text = await answer.text()
    expect(answer.status).toBe(200)
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'content-length': String(text.length),
      'cache-control': 'no-store',
      etag: `"${hexOf(text)}"`,
    })
    expect(parseStrictly(text).map(({ path, digest }) => [path, digest])).toEqual([
      ['/etc/empty', hexOf('')],
      ['/etc/link', hexOf('motd')],
      ['/etc/motd', hexOf('this is n2\n')],
      ['/etc/plain', hexOf('plain\n')],
    ])
  })

  it('is the same for the ticket and for the token', async () => {
    expect(await node.list('runtime', { bearer: node.ticket })).toEqual(await node.list('runtime'))
  })

  it('answers 304 to whoever has it, until it changes', async () => {
    const { etag } = await node.list('runtime')
    for (const tag of [etag, `W/${etag}`, `"x", ${etag}`]) {
      const answer = await node.ask('/self/overlays/runtime', { headers: { 'if-none-match': tag } })
      expect([answer.status, await answer.text(), answer.headers.get('etag')]).toEqual([304, '', etag])
    }
    await setNode({ overlays: { runtime: ['site'] }, tags: { rack: '7' } })
    const same = await node.ask('/self/overlays/runtime', { headers: { 'if-none-match': etag } })
    expect(same.status).toBe(304)
    await push('site', { 'files/etc/motd.mustache': 'here is {{node.name}}\n' })
    const other = await node.ask('/self/overlays/runtime', { headers: { 'if-none-match': etag } })
    expect(other.status).toBe(200)
    expect(linesOf(await other.text()).get('/etc/motd')?.digest).toBe(hexOf('here is n2\n'))
  })

  it.each([
    '/api/overlays/render?node=n2',
    '/api/overlays/site/render?node=n2',
    '/api/overlays/which?node=n2&path=/etc/domain',
    '/api/boot/n2',
  ])('is no longer the old one after an edit, also when %s was asked meanwhile', async (path) => {
    await push('site', { 'files/etc/domain.mustache': '{{#domain}}{{domain}}{{/domain}}' })
    const { etag } = await node.list('runtime')
    const nodes = await import('../../src/registry/nodes.ts')
    const { getNode } = nodes
    const looked = vi.spyOn(nodes, 'getNode').mockImplementationOnce(async (...asked) => {
      const found = await getNode(...asked)
      await setNode({ overlays: { runtime: ['site'] }, domain: 'new.example' })
      return found
    })
    expect((await test.send('GET', path)).status).toBe(200)
    expect(looked).toHaveBeenCalled()
    const answer = await node.ask('/self/overlays/runtime', { headers: { 'if-none-match': etag } })
    expect(answer.status).toBe(200)
  })

  it('is empty for a node without overlays, and loses what an overlay had that is taken away', async () => {
    expect((await node.list('runtime')).text).toContain('/etc/plain')
    await setNode({ overlays: { runtime: [] } })
    expect((await node.list('runtime')).text).toBe('muster-overlay 1\n')
  })

  it('says what is taken away from the image', async () => {
    await push('less', { 'overlay.yaml': 'files:\n  /etc/motd.d/cockpit: { remove: true }\n' })
    await setNode({ overlays: { runtime: ['less'], system: ['less'] } })
    expect((await node.list('runtime')).text).toBe('muster-overlay 1\nr - - - - - /etc/motd.d/cockpit\n')
    const files = await node.archive('system')
    expect([...files.keys()]).toEqual(['muster', 'muster/overlays', 'muster/overlays/system'])
  })

  it.each([
    ['no token', ''],
    ['a token that nobody gave', `muster_agent_${'0'.repeat(64)}`],
    ['a ticket that nobody gave', '0'.repeat(64)],
  ])('is refused for %s', async (_, bearer) => {
    for (const path of ['/self/overlays/runtime', '/self/overlays/runtime/archive?lines=2']) {
      const answer = await node.ask(path, { bearer })
      expect(answer.status).toBe(401)
      expect((await refusal(answer)).code).toMatch(/^(TICKET|TOKEN)_INVALID$/)
    }
  })

  it('is one of two', async () => {
    expect(await refusal(await node.ask('/self/overlays/other'))).toMatchObject({ status: 404, code: 'ROUTE_UNKNOWN' })
  })

  it('says why when it cannot be rendered', async () => {
    await push('site', { 'files/etc/motd.mustache': '{{tags.rack}}\n' })
    expect(await refusal(await node.ask('/self/overlays/runtime'))).toMatchObject({
      status: 422,
      code: 'TEMPLATE_INVALID',
      message: expect.stringContaining('site:/etc/motd'),
    })
  })
})

describe('GET /self/overlays/{list}/archive', () => {
  it('has the contents of the lines, by their numbers', async () => {
    const { text, etag } = await node.list('runtime')
    const answer = await archiveOf('2-4,5', etag)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/x-tar')
    const length = Number(answer.headers.get('content-length'))
    expect((await answer.clone().arrayBuffer()).byteLength).toBe(length)
    const files = await unpacked(answer)
    expect(files).toEqual({ 2: '', 3: 'motd', 4: 'this is n2\n', 5: 'plain\n' })
    for (const { line, digest } of parseStrictly(text)) expect(hexOf(files[line] ?? '')).toBe(digest)
  })

  it('is a flat ustar of plain files, without extensions', async () => {
    const { etag } = await node.list('runtime')
    const bytes = new Uint8Array(await (await archiveOf('4', etag)).arrayBuffer())
    const text = (from: number, to: number) => new TextDecoder().decode(bytes.subarray(from, to)).replaceAll('\0', '')
    expect([text(0, 100), text(100, 108), text(156, 157), text(257, 265)]).toEqual(['4', '0000600', '0', 'ustar00'])
    expect(bytes.length).toBe(512 * 4)
  })

  it('comes in pieces when it is large, and is whole', async () => {
    const large = 'x'.repeat(200_001)
    await push('site', { 'files/etc/large': large, 'files/etc/small': 's' })
    const { etag } = await node.list('runtime')
    const answer = await archiveOf('2,3', etag)
    const length = Number(answer.headers.get('content-length'))
    const files = await unpacked(answer.clone())
    expect(hexOf(files[2] ?? '')).toBe(hexOf(large))
    expect(files[3]).toBe('s')
    expect((await answer.arrayBuffer()).byteLength).toBe(length)
  })

  it('is refused when the list is another by now', async () => {
    const { etag } = await node.list('runtime')
    await push('site', { 'files/etc/motd': 'x' })
    expect(await refusal(await archiveOf('2', etag))).toMatchObject({ status: 412, code: 'OVERLAY_CHANGED' })
    const { etag: now } = await node.list('runtime')
    expect((await archiveOf('2', now)).status).toBe(200)
  })

  it.each(['', '"x"', '*', `W/"${'0'.repeat(64)}"`])('is refused with If-Match: %s, which is no list', async (tag) => {
    expect(await refusal(await archiveOf('2', tag))).toMatchObject({ status: 400, code: 'REQUEST_INVALID' })
  })

  it.each(['', '0', '1', '6', '2-9', '4-2', '2,', '2;3', '-2', '02', '1e1', '2-2-2', '9999999999', '2,%0a3'])(
    'is refused for lines=%s: it is no line with content',
    async (lines) => {
      const { etag } = await node.list('runtime')
      expect(await refusal(await archiveOf(lines, etag))).toMatchObject({ status: 400, code: 'REQUEST_INVALID' })
    },
  )

  it('is refused for lines of directories, removals and actions', async () => {
    await push('site', {
      'overlay.yaml':
        'files:\n  /etc/d/: { mode: "0700" }\n  /etc/gone: { remove: true }\n  /etc/motd: { reload: motd.service }\n',
      'files/etc/motd': 'x',
    })
    const { text, etag } = await node.list('runtime')
    expect((await archiveOf(String(lineOf(text, '/etc/motd')), etag)).status).toBe(200)
    for (const line of [2, lineOf(text, '/etc/d'), lineOf(text, '/etc/gone')])
      expect(await refusal(await archiveOf(String(line), etag))).toMatchObject({ status: 400, code: 'REQUEST_INVALID' })
  })
})

describe('private files', () => {
  beforeEach(() => setNode({ overlays: { system: ['site', 'key'], runtime: ['key'] } }))

  it('are given to root on the node, with the list and in archives', async () => {
    const { text, etag } = await node.list('runtime')
    const key = linesOf(text).get('/etc/munge/munge.key')
    expect(key).toMatchObject({ mode: '0600', digest: hexOf('the key of munge'), actions: [['unit munge.service']] })
    expect(await unpacked(await archiveOf(String(key?.line), etag))).toEqual({
      [String(key?.line)]: 'the key of munge',
    })
  })

  it.each<[string, Asking]>([
    ['a port that any user of the node can have', { port: 40_000 }],
    ['another address than the node has', { address: '10.0.0.3' }],
  ])('are not given to a request from %s: neither the list nor an archive', async (_, asking) => {
    const { text, etag } = await node.list('runtime')
    for (const answer of [
      await node.ask('/self/overlays/runtime', asking),
      await node.ask('/self/overlays/system', { ...asking, bearer: node.ticket }),
      await archiveOf(String(lineOf(text, '/etc/munge/README')), etag, asking),
      await archiveOf(String(lineOf(text, '/etc/munge/munge.key')), etag, asking),
    ])
      expect(await refusal(answer)).toMatchObject({ status: 403, code: 'SECRET_DENIED' })
  })

  it('are left out for a node that asks for the public part alone, which is a list of its own', async () => {
    const anybody = { port: 40_000 }
    const whole = await node.list('runtime')
    const ask = (path: string, headers = {}) =>
      node.ask(`/self/overlays/runtime${path}private=no`, { ...anybody, headers })
    const answer = await ask('?')
    const text = await answer.text()
    const etag = `"${hexOf(text)}"`
    expect([answer.status, answer.headers.get('etag')]).toEqual([200, etag])
    expect([...linesOf(text).keys()]).toEqual(['/etc/munge', '/etc/munge/README'])
    expect((await ask('?', { 'if-none-match': etag })).status).toBe(304)
    expect((await ask('?', { 'if-none-match': whole.etag })).status).toBe(200)
    const line = String(lineOf(text, '/etc/munge/README'))
    expect(await unpacked(await ask(`/archive?lines=${line}&`, { 'if-match': etag }))).toEqual({ [line]: 'open\n' })
    expect((await ask(`/archive?lines=${line}&`, { 'if-match': whole.etag })).status).toBe(412)
    expect((await archiveOf(line, etag, anybody)).status).toBe(403)
    expect((await archiveOf(line, etag)).status).toBe(412)
  })

  it('do not keep a list without them from anybody with the token', async () => {
    await setNode({ overlays: { system: ['key'], runtime: ['site'] } })
    expect((await node.ask('/self/overlays/runtime', { port: 40_000, address: '10.0.0.9' })).status).toBe(200)
  })

  it('are given to whoever has the token when the service is told so', async () => {
    await test.close()
    test = await testApp({ privateTo: 'ticket' })
    await addImage(test, 'rocky9')
    await push('key', { 'overlay.yaml': 'files:\n  /etc/key: { private: true }\n', 'files/etc/key': 'k' })
    await setNode({ overlays: { runtime: ['key'] } })
    node = await bootNode(test, mac)
    expect((await node.list('runtime', { port: 40_000, address: '192.0.2.1' })).text).toContain('/etc/key')
  })

  it('are never in what a machine fetches by its MAC, nor in the list that comes with it', async () => {
    for (const list of ['system', 'runtime'] as const) {
      const files = await node.archive(list)
      expect([...files.keys()]).not.toContain('etc/munge/munge.key')
      expect([...files.keys()]).toContain('etc/munge/README')
      const open = files.get(`muster/overlays/${list}`)
      expect(open).toMatchObject({ mode: 0o100600, uid: 0, gid: 0 })
      const text = new TextDecoder().decode(open?.content)
      expect(text).not.toContain('munge.key')
      expect(text).not.toContain(hexOf('the key of munge'))
      expect(linesOf(text).get('/etc/munge/README')?.digest).toBe(hexOf('open\n'))
    }
  })

  it('make the only difference between what the kernel unpacked and what the node is told then', async () => {
    await setNode({ overlays: { system: ['site'], runtime: [] } })
    const open = (await node.archive('system')).get('muster/overlays/system')?.content
    expect(new TextDecoder().decode(open)).toBe((await node.list('system')).text)
  })

  it('leave nothing of theirs in the activity database', async () => {
    const { etag } = await node.list('runtime')
    await node.archive('runtime')
    await test.services.journal.flush()
    const digest = etag.replaceAll('"', '')
    const stored = (await listsOf(test.services.activity, [digest])).get(digest)
    expect(stored).toMatch(/^f 0600 0 0 - 1 \/etc\/munge\/munge.key$/m)
    expect(stored).toContain(`${hexOf('open\n')} - /etc/munge/README`)
    const texts = await textsOf(test.services.activity, [hexOf('the key of munge'), hexOf('open\n')])
    expect([...texts]).toEqual([[hexOf('open\n'), 'open\n']])
  })
})

describe('what a node was given', () => {
  it('is kept by digest: lists, and texts that are neither large nor binary', async () => {
    await push('site', {
      'files/etc/motd.mustache': 'this is {{node.name}}\n',
      'files/etc/large': 'x'.repeat(64 * 1024 + 1),
      'files/etc/binary': '\u0000\u0001',
    })
    // One that is not UTF-8 at all.
    await test.call('PUT', '/api/overlays/odd', {
      body: { files: [{ path: 'files/etc/odd', content: Buffer.from([0xff, 0xfe]).toString('base64') }] },
    })
    await setNode({ overlays: { runtime: ['site', 'odd'] } })
    const { text, etag } = await node.list('runtime')
    const system = await node.archive('runtime')
    await test.services.journal.flush()
    const digest = etag.replaceAll('"', '')
    expect(await listsOf(test.services.activity, [digest])).toEqual(new Map([[digest, text]]))
    expect(new TextDecoder().decode(system.get('muster/overlays/runtime')?.content)).toBe(text)
    const known = await textsOf(
      test.services.activity,
      parseStrictly(text).map((line) => line.digest),
    )
    expect([...known.values()].sort()).toEqual(['\u0000\u0001', 'this is n2\n'])
  })
})

describe('what an answer costs', () => {
  const countRenders = async () => vi.spyOn(await import('../../src/overlays/template.ts'), 'renderTemplate')

  it('is no rendering and at most one query when nothing has changed', async () => {
    await setNode({ overlays: { runtime: ['site', 'hosts'], system: ['site', 'key'] } })
    const lists = ['system', 'runtime'] as const
    const etags = await Promise.all(lists.map(async (list) => (await node.list(list)).etag))
    const rendered = await countRenders()
    for (const [at, list] of lists.entries()) {
      const queries = await queriesOf(async () => {
        const answer = await node.ask(`/self/overlays/${list}`, { headers: { 'if-none-match': etags[at] ?? '' } })
        expect(answer.status).toBe(304)
      })
      // Whether anybody has edited: asked once for the token and for the overlays, and every 50 ms at most.
      expect(queries).toBeLessThanOrEqual(1)
    }
    expect(rendered.mock.calls.length).toBe(0)
  })

  it('is no rendering and a handful of queries, when somebody has edited something else', async () => {
    const { etag } = await node.list('runtime')
    await setNode({}, 'n3', '10.0.0.3/24', '52:54:00:00:00:03')
    const rendered = await countRenders()
    const queries = await queriesOf(async () => {
      const answer = await node.ask('/self/overlays/runtime', { headers: { 'if-none-match': etag } })
      expect(answer.status).toBe(304)
    })
    // The revision, the profiles, the image's version (two) and what the site has pushed of the overlay: for all nodes
    // together. For this one whether it is still the same node, and its row.
    expect(queries).toBeLessThanOrEqual(8)
    expect(rendered.mock.calls.length).toBe(0)
  })

  it('is one rendering of what is the same for all, however many nodes ask at once for what an edit has changed', async () => {
    await push('same', {
      'files/etc/same.mustache': 'of {{cluster}}\n',
      'files/etc/rack.mustache': '{{#tags.rack}}{{tags.rack}}{{/tags.rack}}',
    })
    const nodes = await Promise.all(
      Array.from({ length: 60 }, async (_, at) => {
        const itsMac = `52:54:00:00:01:${at.toString(16).padStart(2, '0')}`
        await setNode(
          { overlays: { runtime: ['same'] }, tags: { rack: `r${at % 2}` } },
          `m${at}`,
          `10.0.1.${at + 1}/24`,
          itsMac,
        )
        return bootNode(test, itsMac)
      }),
    )
    const lists = await Promise.all(nodes.map((one) => one.list('runtime')))
    await push('same', {
      'files/etc/same.mustache': 'now of {{cluster}}\n',
      'files/etc/rack.mustache': 'rack {{#tags.rack}}{{tags.rack}}{{/tags.rack}}',
    })
    const rendered = await countRenders()
    const answers = await Promise.all(
      nodes.map((one, at) =>
        one.ask('/self/overlays/runtime', { headers: { 'if-none-match': lists[at]?.etag ?? '' } }),
      ),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    // One for all, and one for each of the two racks.
    expect(rendered.mock.calls.length).toBe(3)
  })

  it('is the same whether an admin looks at the node or the node asks', async () => {
    await push('own', { 'files/etc/own.mustache': '{{node.name}}\n' })
    await setNode({ overlays: { runtime: ['own'] } })
    await node.list('runtime')
    const rendered = await countRenders()
    expect(await test.call('GET', '/api/overlays/own/render?node=n2')).toHaveLength(1)
    await node.archive('runtime')
    expect(rendered.mock.calls.length).toBe(0)
  })
})

describe('a node that was deleted', () => {
  it('is given nothing, nor is another one of its name with its token', async () => {
    await test.call('DELETE', '/api/nodes/n2')
    expect((await node.ask('/self/overlays/runtime')).status).toBe(401)
    test.at(new Date(Date.parse('2026-01-31T12:00:00Z') + 1000))
    await setNode({ overlays: { runtime: ['site'] } })
    expect((await node.ask('/self/overlays/runtime')).status).toBe(401)
  })
})
