/** What clients of nodes report: what is kept of it, what is refused, and that a node which reports in a loop fills no disk. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { listAttempts } from '../../src/activity/attempts.ts'
import { reportOfNode } from '../../src/activity/reports.ts'
import { createApp } from '../../src/app.ts'
import { readReport } from '../../src/routes/node-report.ts'
import { type BootedNode, bootNode } from '../boot-plan/booted-node.ts'
import { type TestServices, testServices } from '../boot-plan/fixtures.ts'

const mac = '52:54:00:00:00:01'
let test: TestServices
let app: ReturnType<typeof createApp>
let node: BootedNode
beforeEach(async () => {
  test = await testServices()
  app = createApp(test.services)
  await test.seedImage('rocky9')
  await test.seedNode('n001', mac, { image: 'rocky9', overlays: { system: ['base'], runtime: ['hostname'] } })
  node = await bootNode(app, mac)
})
afterEach(() => test.close())

const eventsOf = async () => {
  await test.services.journal.flush()
  const [attempt] = await listAttempts(test.services.activity, 'n001', 1)
  return (attempt?.events ?? []).filter(({ kind }) => kind !== 'overlay')
}
const reportNow = async () => {
  await test.services.journal.flush()
  return reportOfNode(test.services.activity)('n001')
}
const refusal = async (answer: Response) => {
  const { code, message } = (await answer.json()) as { code: string; message: string }
  return [answer.status, code, message]
}
const full = {
  uptime: 31.5,
  memTotalKiB: 8_000_000,
  memAvailableKiB: 7_000_000,
  rootKind: 'tmpfs',
  rootSizeKiB: 4_000_000,
  rootUsedKiB: 1_000_000,
  image: `sha256:${'1'.repeat(64)}`,
  kernel: '5.14.0-570.el9.x86_64',
  args: 'quiet a="b c"',
  system: '2'.repeat(64),
  runtime: '3'.repeat(64),
}

describe('a report of a client', () => {
  it.each(['ready', 'applied'])('of %s is a step of its boot, and says how the node is', async (kind) => {
    expect((await node.tell(kind, full)).status).toBe(204)
    expect(await eventsOf()).toMatchObject([{ kind, detail: full }])
    expect(await reportNow()).toMatchObject({ attempt: node.attempt, report: full, reportedAt: test.clock.now() })
  })

  it('of being alive is no step, and says how the node is', async () => {
    test.clock.forward(10)
    expect((await node.tell('alive', { ...full, uptime: 99 })).status).toBe(204)
    expect(await eventsOf()).toEqual([])
    expect(await reportNow()).toMatchObject({ report: { ...full, uptime: 99 }, seenAt: test.clock.now() })
  })

  it.each(['init', 'stage'])('of %s is a step, and says nothing of how the node is', async (kind) => {
    expect((await node.tell(kind, full)).status).toBe(204)
    expect(await eventsOf()).toMatchObject([{ kind }])
    expect((await reportNow())?.reportedAt).toBeUndefined()
  })

  it('may come with the ticket, too, and is of the same boot', async () => {
    await node.tell('ready', full, node.ticket)
    await node.tell('applied', { runtime: '4'.repeat(64) })
    expect((await eventsOf()).map(({ kind }) => kind)).toEqual(['ready', 'applied'])
    expect((await reportNow())?.report).toEqual({ ...full, runtime: '4'.repeat(64) })
  })

  it('of a failure keeps what was known, and the failure until all is well', async () => {
    await node.tell('ready', full)
    await node.tell('failed', { message: 'cannot write /etc/hosts: disk full\nmore' })
    expect((await reportNow())?.report).toEqual({ ...full, failure: 'cannot write /etc/hosts: disk full' })
    await node.tell('failed', { failure: `${'x'.repeat(600)}` })
    expect((await reportNow())?.report.failure).toBe('x'.repeat(500))
    await node.tell('alive', full)
    expect((await reportNow())?.report).toEqual(full)
  })

  it('of another version may have keys that nobody knows: the step has them, the report does not', async () => {
    expect((await node.tell('ready', { ...full, gpuCount: 4, note: { deep: [1] } })).status).toBe(204)
    expect(await eventsOf()).toMatchObject([{ detail: { gpuCount: 4, note: { deep: [1] } } }])
    expect((await reportNow())?.report).toEqual(full)
  })

  it('may leave out what it could not find out, and send words that look like numbers', async () => {
    expect((await node.tell('ready', { kernel: 6, rootUsedKiB: '', image: '', args: '' })).status).toBe(204)
    expect((await reportNow())?.report).toEqual({ kernel: '6', args: '' })
  })

  it('has room for a whole kernel command line', async () => {
    const args = 'a'.repeat(4096)
    expect((await node.tell('ready', { ...full, args })).status).toBe(204)
    expect((await reportNow())?.report.args).toBe(args)
  })

  it.each([
    ['an image that is no digest', { image: 'rocky9' }, 'detail.image'],
    ['a digest in capitals', { system: 'A'.repeat(64) }, 'detail.system'],
    ['a digest too long', { runtime: '3'.repeat(65) }, 'detail.runtime'],
    ['a kernel with control characters', { kernel: '6\u001b[2J' }, 'detail.kernel'],
    ['a kernel that is a list', { kernel: ['6'] }, 'detail.kernel'],
    ['arguments of two lines', { args: 'a\nb' }, 'detail.args'],
    ['a negative amount', { memTotalKiB: -1 }, 'detail.memTotalKiB'],
    ['an amount in words', { memTotalKiB: 'much' }, 'detail.memTotalKiB'],
    ['an amount beyond all memory', { rootUsedKiB: 1e300 }, 'detail.rootUsedKiB'],
    ['a root that is no word', { rootKind: '../..' }, 'detail.rootKind'],
  ])('with %s is refused by name, and nothing of it is kept', async (_, detail, field) => {
    const [status, code, message] = await refusal(await node.tell('ready', { ...full, ...detail }))
    expect([status, code]).toEqual([400, 'REQUEST_INVALID'])
    expect(message).toContain(`is wrong in ${field}: `)
    expect(await eventsOf()).toEqual([])
    expect((await reportNow())?.reportedAt).toBeUndefined()
  })

  it('cannot speak for another node, nor after its own was deleted', async () => {
    await test.seedNode('n002', '52:54:00:00:00:02', { image: 'rocky9', overlays: { system: ['base'], runtime: [] } })
    const other = await bootNode(app, '52:54:00:00:00:02')
    await other.tell('ready', { ...full, node: 'n001', attempt: node.attempt })
    expect((await reportNow())?.reportedAt).toBeUndefined()
    const token = await test.seedToken('admin')
    const gone = await app.request('/api/nodes/n002', {
      method: 'DELETE',
      headers: { Authorization: `Bearer ${token}` },
    })
    expect(gone.status).toBe(204)
    expect((await other.tell('alive', full)).status).toBe(401)
  })

  it('with a token of nobody is refused before anything in it is read', async () => {
    for (const bearer of ['', 'muster_agent_', `muster_agent_${'0'.repeat(64)}`, `x${node.token}`])
      expect((await node.tell('nonsense', {}, bearer)).status).toBe(401)
  })
})

describe('any JSON', () => {
  const known = Object.keys({ ...full, failure: '', message: '' })
  const detail = fc.dictionary(
    fc.oneof(fc.constantFrom(...known), fc.string({ maxLength: 70 }), fc.constantFrom('__proto__', 'constructor')),
    fc.oneof(fc.jsonValue(), fc.string(), fc.double(), fc.constantFrom(...Object.values(full))),
    { noNullPrototype: true },
  )
  const kind = fc.oneof(fc.constantFrom('ready', 'applied', 'alive', 'failed', 'init', 'stage'), fc.string())
  const body = fc.oneof(
    fc.record({ kind, detail }, { requiredKeys: [] }).map((given) => JSON.stringify(given)),
    fc.json(),
    fc.string(),
  )

  it('is a report with what is known of it in bounds, or is refused', () => {
    let taken = 0
    fc.assert(
      fc.property(body, (text) => {
        let told: ReturnType<typeof readReport>
        try {
          told = readReport(text)
        } catch (error) {
          expect(error).toMatchObject({ name: 'AppError', code: 'REQUEST_INVALID' })
          return
        }
        taken++
        expect(JSON.stringify(told.detail).length).toBeLessThanOrEqual(8192)
        for (const [key, value] of Object.entries(told.report)) {
          expect([...known, 'failure']).toContain(key)
          if (typeof value === 'number') expect(Number.isFinite(value) && value >= 0).toBe(true)
          else expect(value).toMatch(/^\P{Cc}{0,4096}$/u)
        }
      }),
      { numRuns: 2000 },
    )
    expect(taken).toBeGreaterThan(50)
  })
})

describe('a node that reports in a loop', () => {
  it('is answered as ever, and keeps what came first, and some more with time', async () => {
    for (let count = 0; count < 150; count++) expect((await node.tell('applied', { count })).status).toBe(204)
    expect(await eventsOf()).toHaveLength(100)
    test.clock.forward(60)
    for (let count = 0; count < 50; count++) await node.tell('failed', { message: String(count) })
    expect(await eventsOf()).toHaveLength(112)
    expect((await reportNow())?.report.failure).toBe('29')
  })

  it('is told in the log once, without anything that it sent', async () => {
    for (let count = 0; count < 300; count++) await node.tell('stage', { text: 'nonsense' })
    const told = test.logged.filter((line) => line.includes('is dropped'))
    expect(told).toEqual([expect.stringContaining(`"node":"n001","attempt":"${node.attempt}"`)])
    expect(told[0]).not.toContain('nonsense')
  })

  it('still says that it is ready', async () => {
    for (let count = 0; count < 120; count++) await node.tell('stage')
    await node.tell('ready', full)
    expect((await eventsOf()).at(-1)?.kind).toBe('ready')
    expect((await reportNow())?.report).toEqual(full)
  })

  it('takes nothing from other nodes', async () => {
    await test.seedNode('n002', '52:54:00:00:00:02', { image: 'rocky9', overlays: { system: ['base'], runtime: [] } })
    const other = await bootNode(app, '52:54:00:00:00:02')
    for (let count = 0; count < 120; count++) await node.tell('applied', full)
    await other.tell('applied', full)
    await test.services.journal.flush()
    expect((await reportOfNode(test.services.activity)('n002'))?.report).toEqual(full)
  })
})
