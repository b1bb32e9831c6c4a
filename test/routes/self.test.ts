/** What nodes tell of themselves, and tickets when time passes, the service restarts, or its journal cannot be written. */
import { sql } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { attemptById } from '../../src/activity/attempts.ts'
import { createApp } from '../../src/app.ts'
import { cpioFiles } from '../boot-plan/cpio-files.ts'
import { type TestServices, testServices } from '../boot-plan/fixtures.ts'

const mac = '52:54:00:00:00:01'
let test: TestServices
let app: ReturnType<typeof createApp>
beforeEach(async () => {
  test = await testServices()
  app = createApp(test.services)
  await test.seedImage('rocky9')
  await test.seedNode('n001', mac, { image: 'rocky9' })
})
afterEach(() => test.close())

const startAttempt = async (): Promise<string> =>
  /\/boot\/[0-9a-f:]+\/[0-9a-f]{32}/.exec(await (await app.request(`/boot/${mac}`)).text())?.[0] ?? ''

const fetchTicket = async (attempt: string): Promise<string> => {
  const answer = await app.request(`${attempt}/ticket.cpio`)
  expect(answer.status).toBe(200)
  const file = cpioFiles(new Uint8Array(await answer.arrayBuffer())).get('muster/ticket')
  return new TextDecoder().decode(file?.content).trim()
}
const send = async (ticket: string, body: string) =>
  app.request('/self/events', { method: 'POST', headers: { Authorization: `Bearer ${ticket}` }, body })
const report = (ticket: string, kind = 'init', detail: unknown = {}) => send(ticket, JSON.stringify({ kind, detail }))
const refusal = async (answer: Response) => [answer.status, ((await answer.json()) as { code: string }).code]
const stored = async (attempt: string) => {
  await test.services.journal.flush()
  return attemptById(test.services.activity)(attempt.split('/').at(-1) ?? '')
}

/** The same service after a restart: nothing but the databases is left. */
const restart = () => {
  app = createApp(test.services)
}

/** The databases take no more writes until what this answers is called. */
const fillDisk = async () => {
  await test.services.activity.run(sql`pragma query_only = on`)
  return () => test.services.activity.run(sql`pragma query_only = off`)
}

describe('a ticket', () => {
  it('is known by its hash alone, and used from the first report on', async () => {
    const attempt = await startAttempt()
    const ticket = await fetchTicket(attempt)
    expect(JSON.stringify(await stored(attempt))).not.toContain(ticket)
    expect(await stored(attempt)).toMatchObject({
      ticketHash: expect.stringMatching(/^[0-9a-f]{64}$/),
      ticketUsedAt: null,
    })
    test.clock.forward(2)
    await report(ticket)
    test.clock.forward(2)
    await report(ticket, 'ready')
    expect((await stored(attempt))?.ticketUsedAt).toEqual(new Date('2026-01-31T12:02:00Z'))
  })

  it('can be fetched for a quarter of an hour after the script', async () => {
    const attempt = await startAttempt()
    test.clock.forward(15)
    await fetchTicket(attempt)
    test.clock.forward(0.001)
    expect(await refusal(await app.request(`${attempt}/ticket.cpio`))).toEqual([410, 'TICKET_SPENT'])
  })

  it('is good for a day after the script', async () => {
    const ticket = await fetchTicket(await startAttempt())
    test.clock.forward(24 * 60)
    expect((await report(ticket)).status).toBe(204)
    test.clock.forward(0.001)
    expect(await refusal(await report(ticket))).toEqual([401, 'TICKET_INVALID'])
  })

  it('can be fetched and used after a restart', async () => {
    const attempt = await startAttempt()
    await test.services.journal.flush()
    restart()
    const first = await fetchTicket(attempt)
    restart()
    const second = await fetchTicket(attempt)
    restart()
    expect(await refusal(await report(first))).toEqual([401, 'TICKET_INVALID'])
    expect((await report(second)).status).toBe(204)
    restart()
    expect((await report(second, 'ready')).status).toBe(204)
    expect(await refusal(await app.request(`${attempt}/ticket.cpio`))).toEqual([410, 'TICKET_SPENT'])
  })

  it('cannot be fetched again when another process has seen its use', async () => {
    const attempt = await startAttempt()
    const ticket = await fetchTicket(attempt)
    const other = createApp(test.services)
    const answer = await other.request('/self/events', {
      method: 'POST',
      headers: { Authorization: `Bearer ${ticket}` },
      body: '{"kind":"init"}',
    })
    expect(answer.status).toBe(204)
    expect(await refusal(await app.request(`${attempt}/ticket.cpio`))).toEqual([410, 'TICKET_SPENT'])
  })

  it('works while nothing can be written, once and no more', async () => {
    const empty = await fillDisk()
    const attempt = await startAttempt()
    const ticket = await fetchTicket(attempt)
    expect((await app.request(`${attempt}/system.cpio`)).status).toBe(200)
    expect((await report(ticket)).status).toBe(204)
    expect(await refusal(await app.request(`${attempt}/ticket.cpio`))).toEqual([410, 'TICKET_SPENT'])
    await empty()
    expect(await stored(attempt)).toMatchObject({ node: 'n001', ticketUsedAt: expect.any(Date) })
  })

  it('is one of as many as are fetched at the same time', async () => {
    const attempt = await startAttempt()
    const tickets = await Promise.all(Array.from({ length: 10 }, () => fetchTicket(attempt)))
    expect(new Set(tickets).size).toBe(10)
    const statuses = await Promise.all(tickets.map(async (ticket) => (await report(ticket)).status))
    expect(statuses.filter((status) => status === 204)).toHaveLength(1)
    expect(statuses.filter((status) => status === 401)).toHaveLength(9)
  })
})

describe('an attempt', () => {
  const askFrom = async (address: string): Promise<string> => {
    const answer = await app.request(`/boot/${mac}`, { headers: { 'CF-Connecting-IP': address } })
    return /[0-9a-f]{32}/.exec((await answer.text()).replaceAll(/[0-9a-f]{64}/g, ''))?.[0] ?? ''
  }

  it('goes on for a minute when its machine asks again', async () => {
    const first = await startAttempt()
    test.clock.forward(0.99)
    expect(await startAttempt()).toBe(first)
    test.clock.forward(0.01)
    expect(await startAttempt()).not.toBe(first)
  })

  it('is not told to another address that asks for the same MAC', async () => {
    const first = await askFrom('10.0.0.7')
    expect(await askFrom('10.0.0.8')).not.toBe(first)
    expect(await askFrom('10.0.0.7')).not.toBe(first)
  })
})

describe('a report', () => {
  let ticket: string
  beforeEach(async () => {
    ticket = await fetchTicket(await startAttempt())
  })

  it.each(['init', 'stage', 'failed', 'ready'])('of %s is noted', async (kind) => {
    expect((await report(ticket, kind, { uptime: 3.5, memAvailableKiB: 100, why: 'x' })).status).toBe(204)
  })

  it('needs no detail', async () => {
    expect((await send(ticket, '{"kind":"ready"}')).status).toBe(204)
  })

  it.each([
    ['no JSON', 'init'],
    ['nothing', ''],
    ['a list', '[]'],
    ['null', 'null'],
    ['of no kind', '{"detail":{}}'],
    ['of a kind that the service tells by itself', '{"kind":"script"}'],
    ['of another kind', '{"kind":"done"}'],
    ['with more than kind and detail', '{"kind":"init","node":"n002"}'],
    ['with a detail that is a text', '{"kind":"init","detail":"x"}'],
    ['with a detail that is a list', '{"kind":"init","detail":[]}'],
    ['with a detail nested too deep', `{"kind":"init","detail":${'{"a":'.repeat(9)}1${'}'.repeat(9)}}`],
    ['made of brackets', `{"kind":"init","detail":${'['.repeat(2000)}${']'.repeat(2000)}}`],
    ['with a name that is too long', `{"kind":"init","detail":{"${'a'.repeat(65)}":1}}`],
    ['with more than 8 KiB of detail', `{"kind":"init","detail":{"a":"${'x'.repeat(8190)}"}}`],
  ])('that is %s is refused', async (_, body) => {
    expect(await refusal(await send(ticket, body))).toEqual([400, 'REQUEST_INVALID'])
  })

  it('of any length is read no further than it may be', async () => {
    expect(await refusal(await send(ticket, 'x'.repeat(10_000)))).toEqual([413, 'BODY_TOO_LARGE'])
  })

  it('nested as deep as it may be is noted', async () => {
    const detail = JSON.parse(`${'{"a":'.repeat(8)}1${'}'.repeat(8)}`)
    expect((await report(ticket, 'stage', detail)).status).toBe(204)
  })

  it('with a ticket in any other place is refused', async () => {
    for (const request of [
      app.request(`/self/events?ticket=${ticket}`, { method: 'POST', body: '{"kind":"init"}' }),
      app.request('/self/events', { method: 'POST', headers: { Authorization: `Basic ${ticket}` }, body: '{}' }),
      app.request('/self/events', { method: 'POST', headers: { Authorization: `Bearer x${ticket}` }, body: '{}' }),
    ])
      expect(await refusal(await request)).toEqual([401, 'TICKET_INVALID'])
  })
})
