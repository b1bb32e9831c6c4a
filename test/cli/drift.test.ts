import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { driftLines } from '../../src/cli/drift-table.ts'
import { bootNode } from '../boot-plan/booted-node.ts'
import { addImage, startOfTests, type TestApp, testApp } from '../harness.ts'
import { muster } from './muster.ts'

let app: TestApp
const macOf = (at: number) => `52:54:00:00:00:0${at}`
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const push = (name: string, path: string, text: string) =>
  app.call('PUT', `/api/overlays/${name}`, { body: { files: [{ path, content: base64(text) }], message: '' } })

/** One node in each state: n1 same, n2 runtime pending, n3 reboot needed, n4 unknown, n5 unplannable. */
beforeAll(async () => {
  app = await testApp({ privateTo: 'ticket' })
  const first = await addImage(app, 'rocky9')
  await push('site', 'files/etc/site', 'one\n')
  await push('live', 'files/etc/motd.mustache', 'Welcome{{#tags.note}}: {{tags.note}}{{/tags.note}}\n')
  const settings = {
    image: 'rocky9',
    root: { kind: 'tmpfs' },
    kernel: { args: ['quiet', 'ro'] },
    overlays: { system: ['site'], runtime: ['live'] },
  }
  await app.call('PUT', '/api/profiles/all', { body: { settings } })
  const node = (at: number, more: object = {}) =>
    app.call('PUT', `/api/nodes/n${at}`, {
      body: { profiles: ['all'], settings: { netdevs: { default: { mac: macOf(at) } }, ...more } },
    })
  for (const at of [1, 2, 3, 4, 5]) await node(at)
  for (const at of [1, 2, 3, 5]) {
    const booted = await bootNode(app.app, macOf(at))
    const memory = { memTotalKiB: 8_000_000, memAvailableKiB: 6_500_000, rootSizeKiB: 4_000_000, rootUsedKiB: 900_000 }
    await booted.ready({
      image: first.version.digest,
      rootKind: 'tmpfs',
      kernel: undefined,
      args: 'quiet ro',
      ...memory,
    })
    if (at === 3) await booted.tell('failed', { message: 'cannot write /etc/motd: disk full' })
  }
  const fixed = await addImage(app, 'rocky9', 'rocky9 with fixes')
  for (const at of [1, 2]) await node(at, { image: 'rocky9@1', ...(at === 2 && { tags: { note: 'down at noon' } }) })
  await node(3, { image: `rocky9@${fixed.version.number}`, kernel: { args: ['~quiet', 'debug'] } })
  await node(5, { image: 'gone' })
  app.at(new Date(startOfTests.getTime() + 2.5 * 3_600_000))
})
afterAll(() => app.close())

describe('node drift', () => {
  it('tells of each node what it runs against what it would get', async () => {
    const { code, out, err } = await muster(app, ['node', 'drift'])
    expect([code, err]).toEqual([0, ''])
    await expect(`$ muster node drift\n${out}`).toMatchFileSnapshot('../golden/cli/node-drift.txt')
  })

  it('is the same on a terminal but for the colours, and no wider than it where words allow', async () => {
    const shown = async (columns: number) => {
      const { out } = await muster(app, ['node', 'drift'], { terminal: true, columns })
      expect(out).toContain('\u001b[33mreboot needed\u001b[0m')
      return out.replace(/\u001b\[[0-9]+m/g, '')
    }
    const { out } = await muster(app, ['node', 'drift'])
    expect(await shown(200)).toBe(out)
    const narrow = await shown(80)
    expect(narrow.split('\n').filter((line) => line.length > 80 && !line.startsWith('5 nodes'))).toEqual([])
    expect(narrow).toContain('\n                       `muster image import SOURCE gone`\n')
    expect(narrow.split(/\s+/).sort()).toEqual(out.split(/\s+/).sort())
  })

  it('takes a selector that names no node for a mistake when it checks', async () => {
    expect(await muster(app, ['node', 'drift', 'm[1-3]', '--check'])).toEqual({
      code: 1,
      out: 'no nodes\n',
      err: 'muster: there is no node m[1-3]: nothing was checked\n',
    })
  })

  it('tells only of the nodes of a state, also as a document', async () => {
    const { out } = await muster(app, ['node', 'drift', '--state', 'runtime pending', '--json'])
    expect(JSON.parse(out).items.map(({ node }: { node: string }) => node)).toEqual(['n2'])
    expect((await muster(app, ['node', 'drift', 'n4', '--state', 'same'])).out).toBe('no nodes\n')
    expect((await muster(app, ['node', 'drift', '--state', 'odd'])).code).toBe(2)
  })

  it.each([
    ['n1', 0],
    ['n4', 0],
    ['n2', 2],
    ['n3', 2],
    ['n5', 2],
    ['n[1-5]', 2],
  ])('with --check ends for %s with status %d, and says nothing more', async (select, status) => {
    const [plain, checked] = [
      await muster(app, ['node', 'drift', select]),
      await muster(app, ['node', 'drift', select, '--check']),
    ]
    expect(plain.code).toBe(0)
    expect(checked).toEqual({ ...plain, code: status })
  })

  it('shows how a node is behind what it would boot', async () => {
    const { out } = await muster(app, ['boot', 'show', 'n3'])
    expect(out.split('\n').slice(-3)).toEqual([
      'now: ready since 2026-01-31 12:00:00Z, memory 6.66 GB of 8.19 GB available, root tmpfs 922 MB of 4.10 GB used, heard of 2 h ago',
      'failure: cannot write /etc/motd: disk full',
      '',
    ])
    expect((await muster(app, ['boot', 'show', 'n4'])).out).not.toContain('now: ')
  })
})

describe('boot log', () => {
  it('tells what a client runs by the beginnings of its digests', async () => {
    const { out } = await muster(app, ['boot', 'log', 'n1'])
    expect(out).toMatch(/ ready .*, image sha256:[0-9a-f]{12}, .*, system [0-9a-f]{12}, runtime [0-9a-f]{12}, /)
  })
})

describe('the text of a drift', () => {
  const node = { node: 'n1', state: 'reboot needed', refusal: null, heardSecondsAgo: 30, silent: false }
  const why = (reason: object) => {
    const [, line] = driftLines([{ ...node, reasons: [{ what: 'system overlays', has: 'a', wants: 'b', ...reason }] }])
    return [line]
      .flat()
      .map((part) => (typeof part === 'string' ? part : part?.text))
      .join('')
  }
  it.each([
    ['digests alone', {}, 'system overlays a → b'],
    ['paths', { paths: ['/a', '/b'], morePaths: 3 }, 'system overlays: /a, /b, 3 more'],
    ['paths and overlays', { paths: ['/a'], overlays: ['x@1 → x@2'] }, 'system overlays: /a (x@1 → x@2)'],
    ['overlays', { overlays: ['+x', '-y'] }, 'system overlays: +x, -y'],
    ['a note', { detail: 'contents of private files' }, 'system overlays: contents of private files'],
    ['arguments', { what: 'args', has: 'a b b "c d"', wants: 'b e "c d"' }, 'args +e -a -b'],
    ['arguments in another order', { what: 'args', has: 'a b', wants: 'b a' }, 'args in another order'],
    ['arguments that nobody closed', { what: 'args', has: 'a "b', wants: '' }, 'args -a -"b'],
  ])('with %s', (_, reason, text) => {
    expect(why(reason)).toContain(`  ${text}  30 s ago`)
  })

  it.each([
    [0, '0 s ago'],
    [119, '119 s ago'],
    [120, '2 min ago'],
    [7199, '119 min ago'],
    [7200, '2 h ago'],
    [172_800, '2 d ago'],
  ])('says %d seconds as %s', (heardSecondsAgo, text) => {
    expect(JSON.stringify(driftLines([{ ...node, reasons: [], heardSecondsAgo }]))).toContain(`  ${text}"`)
  })
})
