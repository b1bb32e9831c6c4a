/** Drift, as an admin is told it of nodes that boot, report and are edited. */
import { sql } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { trees } from '../../src/activity/schema.ts'
import { type BootedNode, bootNode } from '../boot-plan/booted-node.ts'
import { addImage, startOfTests, type TestApp, testApp } from '../harness.ts'
import { queriesOf } from '../registry/statements.ts'

const mac = '52:54:00:00:00:01'
let test: TestApp
let node: BootedNode
beforeEach(async () => {
  test = await testApp({ privateTo: 'ticket' })
  await addImage(test, 'rocky9')
  await push('site', { 'files/etc/site': 'one\n', 'files/etc/rack.mustache': 'rack {{tags.rack}}\n' })
  await push('live', {
    'files/etc/motd.mustache': 'Welcome to {{node.name}}{{#tags.note}}: {{tags.note}}{{/tags.note}}\n',
  })
  await test.call('PUT', '/api/profiles/all', {
    body: {
      settings: {
        image: 'rocky9',
        root: { kind: 'tmpfs' },
        kernel: { args: ['quiet'] },
        overlays: { system: ['base', 'site'], runtime: ['live'] },
        tags: { rack: 'r1' },
      },
    },
  })
  await put('n001', { netdevs: { default: { mac } } })
  node = await bootNode(test.app, mac)
})
afterEach(() => test.close())

const base64 = (text: string) => Buffer.from(text).toString('base64')
const push = (name: string, files: Record<string, string>) =>
  test.call('PUT', `/api/overlays/${name}`, {
    body: { files: Object.entries(files).map(([path, text]) => ({ path, content: base64(text) })), message: '' },
  })
const put = (name: string, settings: object, profiles = ['all']) =>
  test.call('PUT', `/api/nodes/${name}`, { body: { profiles, settings } })
const driftOf = async (name = 'n001') =>
  (await test.call('GET', `/api/drift?select=${name}`, { scope: 'read' })).items[0]
const reasonsOf = async (name?: string) =>
  Object.fromEntries((await driftOf(name)).reasons.map((reason: { what: string }) => [reason.what, reason]))
const laterBy = (minutes: number) => test.at(new Date(startOfTests.getTime() + minutes * 60_000))

describe('a node', () => {
  it('that has not reported is unknown, and what it would get is not rendered', async () => {
    expect(await driftOf()).toEqual({
      node: 'n001',
      state: 'unknown',
      reasons: [],
      refusal: null,
      heardAt: startOfTests.toISOString(),
      heardSecondsAgo: 0,
      silent: false,
    })
    await put('n002', {})
    expect(await driftOf('n002')).toMatchObject({
      state: 'unknown',
      heardAt: null,
      heardSecondsAgo: null,
      silent: false,
    })
  })

  it('that is as it should be is the same, however often others are edited', async () => {
    await node.ready()
    expect(await driftOf()).toMatchObject({ state: 'same', reasons: [] })
    await put('n002', { netdevs: { default: { mac: '52:54:00:00:00:02' } }, kernel: { args: ['debug'] } })
    expect(await driftOf()).toMatchObject({ state: 'same', reasons: [] })
  })

  it('whose runtime overlays changed waits for its client, and the path is named', async () => {
    await node.ready()
    await put('n001', { netdevs: { default: { mac } }, tags: { note: 'down at noon' } })
    const { digest } = await node.list('runtime')
    expect(await driftOf()).toMatchObject({
      state: 'runtime pending',
      reasons: [{ what: 'runtime overlays', wants: digest.slice(0, 12), paths: ['/etc/motd'] }],
    })
    await node.tell('applied', { runtime: digest })
    expect(await driftOf()).toMatchObject({ state: 'same', reasons: [] })
  })

  it('with another version of an image, another argument and another system overlay needs a reboot', async () => {
    await node.ready()
    await addImage(test, 'rocky9', 'rocky9 with fixes')
    await push('site', { 'files/etc/site': 'two\n', 'files/etc/new': 'x' })
    await put('n001', { netdevs: { default: { mac } }, kernel: { args: ['~quiet', 'debug'] } })
    const { state } = await driftOf()
    expect(state).toBe('reboot needed')
    const reasons = await reasonsOf()
    expect(Object.keys(reasons)).toEqual(['image', 'args', 'system overlays'])
    expect(reasons.image).toEqual({ what: 'image', has: 'rocky9@1', wants: 'rocky9@2' })
    expect(reasons.args).toEqual({ what: 'args', has: 'quiet', wants: 'debug' })
    expect(reasons['system overlays']).toMatchObject({
      paths: expect.arrayContaining(['/etc/new', '/etc/rack', '/etc/site']),
      overlays: ['site@1 → site@2'],
    })
    const again = await bootNode(test.app, mac)
    await again.ready()
    expect(await driftOf()).toMatchObject({ state: 'same', reasons: [] })
  })

  it('with another kernel and another root than it reports needs a reboot', async () => {
    await node.ready({ kernel: '4.18.0', rootKind: 'initramfs' })
    const { kernel, root } = await reasonsOf()
    expect(kernel).toMatchObject({ has: '4.18.0', wants: expect.stringContaining('5.14') })
    expect(root).toMatchObject({ has: 'initramfs', wants: 'tmpfs' })
  })

  it('is told by digests where what it has is not known any more', async () => {
    await node.ready({ image: `sha256:${'1'.repeat(64)}`, runtime: '2'.repeat(64) })
    const reasons = await reasonsOf()
    expect(reasons.image.has).toBe('sha256:111111111111')
    expect(reasons['runtime overlays']).toEqual({
      what: 'runtime overlays',
      has: '222222222222',
      wants: (await node.list('runtime')).digest.slice(0, 12),
    })
  })

  it('whose settings cannot be met is unplannable, and the others are told all the same', async () => {
    await node.ready()
    await put('n002', { image: 'gone' })
    await put('n003', { netdevs: { default: { mac: '52:54:00:00:00:03' } }, overlays: { runtime: ['missing'] } })
    const third = await test.call('GET', '/api/drift')
    expect(third.items.map(({ node, state }: { node: string; state: string }) => [node, state])).toEqual([
      ['n001', 'same'],
      ['n002', 'unplannable'],
      ['n003', 'unplannable'],
    ])
    expect(third.items[1].refusal).toMatchObject({ code: 'IMAGE_UNKNOWN', message: expect.stringContaining('gone') })
    expect(third.items[2].refusal).toMatchObject({ code: 'OVERLAY_UNKNOWN' })
  })

  it('whose template has become impossible is unplannable', async () => {
    await node.ready()
    await push('live', { 'files/etc/motd.mustache': '{{tags.nobody-set-this}}' })
    expect(await driftOf()).toMatchObject({ state: 'unplannable', refusal: { code: 'TEMPLATE_INVALID' } })
  })

  it('that boots from its own disk has no drift', async () => {
    await put('n001', { netdevs: { default: { mac } }, script: 'local-disk' })
    expect(await driftOf()).toMatchObject({ state: 'unknown', refusal: null })
  })

  it('that is not heard of for long is silent, and its state stays', async () => {
    await node.ready()
    laterBy(30)
    expect(await driftOf()).toMatchObject({ state: 'same', silent: false, heardSecondsAgo: 1800 })
    laterBy(31)
    expect(await driftOf()).toMatchObject({ state: 'same', silent: true, heardAt: startOfTests.toISOString() })
    await node.tell('alive')
    expect(await driftOf()).toMatchObject({ state: 'same', silent: false, heardSecondsAgo: 0 })
  })

  it('that asks less often is silent later', async () => {
    await put('n001', { netdevs: { default: { mac } }, runtimeInterval: 3600 })
    laterBy(180)
    expect((await driftOf()).silent).toBe(false)
    laterBy(181)
    expect((await driftOf()).silent).toBe(true)
  })

  it('is judged by its newest boot', async () => {
    await node.ready()
    const again = await bootNode(test.app, mac)
    expect((await driftOf()).state).toBe('unknown')
    await again.ready({ kernel: '4.18.0' })
    await node.tell('alive', { kernel: '4.19.0' })
    expect((await reasonsOf()).kernel.has).toBe('4.18.0')
  })
})

describe('private files', () => {
  const key = { 'overlay.yaml': 'files:\n  /etc/key: { private: true }\n', 'files/etc/key': 'first secret\n' }
  beforeEach(async () => {
    await push('site', key)
  })

  it('that did not arrive are said, and what would bring them', async () => {
    const booted = await bootNode(test.app, mac)
    const [whole] = [await booted.list('system')]
    const open = whole.text
      .split('\n')
      .filter((line) => !line.endsWith('/etc/key'))
      .join('\n')
    const { createHash } = await import('node:crypto')
    await booted.ready({ system: createHash('sha256').update(open).digest('hex') })
    const { 'system overlays': reason } = await reasonsOf()
    expect(reason.detail).toContain('private files did not arrive')
    expect(reason.paths).toEqual(['/etc/key'])
  })

  it('that changed are said to, and nothing of them is told', async () => {
    const booted = await bootNode(test.app, mac)
    await booted.ready()
    await push('site', { ...key, 'files/etc/key': 'second secret\n' })
    expect((await driftOf()).state).toBe('reboot needed')
    expect((await reasonsOf())['system overlays']).toMatchObject({ detail: 'contents of private files' })
    const told = JSON.stringify([await driftOf(), await test.call('GET', '/api/nodes/n001/files')])
    expect(told).not.toContain('secret\\n')
    const { createHash } = await import('node:crypto')
    for (const text of ['first secret\n', 'second secret\n'])
      expect(told).not.toContain(createHash('sha256').update(text).digest('hex'))
  })
})

describe('the files that a node has', () => {
  const files = () => test.call('GET', '/api/nodes/n001/files', { scope: 'read' })

  it('are those of the lists that it reported, with their texts, whatever it would get now', async () => {
    expect(await files()).toEqual([])
    await node.ready()
    const before = await node.list('runtime')
    await push('live', { 'files/etc/motd.mustache': 'Nobody has this yet\n' })
    const [system, runtime, ...more] = await files()
    expect(more).toEqual([])
    expect(system).toMatchObject({ list: 'system', known: true })
    expect(system.entries.find(({ path }: { path: string }) => path === '/etc/site')).toMatchObject({ text: 'one\n' })
    expect(runtime).toEqual({
      list: 'runtime',
      digest: before.digest,
      known: true,
      entries: [
        {
          path: '/etc/motd',
          type: 'file',
          mode: '0644',
          uid: 0,
          gid: 0,
          digest: expect.stringMatching(/^[0-9a-f]{64}$/),
          private: false,
          text: 'Welcome to n001\n',
        },
      ],
    })
  })

  it('that are not known any more are said to be so', async () => {
    await node.ready()
    await test.services.journal.flush()
    await test.services.activity.run(sql`delete from ${trees}`)
    expect(await files()).toMatchObject([
      { list: 'system', known: false, entries: [] },
      { list: 'runtime', known: false, entries: [] },
    ])
  })

  it('are of a node that there is, for tokens alone', async () => {
    expect((await test.send('GET', '/api/nodes/n009/files')).status).toBe(404)
    expect((await test.app.request('/api/nodes/n001/files')).status).toBe(401)
    expect((await test.app.request('/api/drift')).status).toBe(401)
  })
})

describe('drift of many nodes', () => {
  it('takes as many queries for 300 as for 3, cold and drifting', async () => {
    const counts: number[] = []
    for (const count of [3, 300]) {
      const names = Array.from({ length: count }, (_, at) => `c${count}-${at}`)
      await test.call('POST', '/api/nodes', { body: { names: names.join(','), profiles: ['all'], settings: {} } })
      for (const name of names) {
        test.services.journal.record({ type: 'agent', attempt: name, node: name, hash: name, at: startOfTests })
        const report = { image: `sha256:${'9'.repeat(64)}`, system: '1'.repeat(64), runtime: '2'.repeat(64) }
        test.services.journal.record({ type: 'report', attempt: name, at: startOfTests, report })
      }
      await test.services.journal.flush()
      let items: { state: string }[] = []
      counts.push(
        await queriesOf(async () => {
          items = (await test.call('GET', `/api/drift?select=c${count}-*&limit=1000`)).items
        }),
      )
      expect(items.map(({ state }) => state)).toEqual(names.map(() => 'reboot needed'))
    }
    expect(counts[0]).toBeGreaterThan(0)
    expect(counts[1]).toBe(counts[0])
  })

  it('comes in pages, by name', async () => {
    await test.call('POST', '/api/nodes', { body: { names: 'm[1-5]', profiles: ['all'], settings: {} } })
    const names: string[] = []
    for (let next: string | null = ''; next !== null; ) {
      const page = await test.call('GET', `/api/drift?select=m*&limit=2&after=${next}`)
      names.push(...page.items.map((one: { node: string }) => one.node))
      next = page.next
    }
    expect(names).toEqual(['m1', 'm2', 'm3', 'm4', 'm5'])
  })

  it('is refused where the selector says nothing', async () => {
    expect((await test.send('GET', '/api/drift?select=n[5-1]')).status).toBe(400)
  })

  it('of a node that is called drift is that node', async () => {
    await put('drift', {})
    expect(await test.call('GET', '/api/nodes/drift')).toMatchObject({ name: 'drift' })
    expect((await driftOf('drift')).node).toBe('drift')
  })
})
