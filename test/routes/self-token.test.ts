/** Tickets for tokens: reuse, restarts, races, time, and nodes that are deleted. */
import { setTimeout as pause } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import { Hono } from 'hono'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { listAgents } from '../../src/activity/agents.ts'
import { openAgents } from '../../src/boot/agents.ts'
import { type Attempts, openAttempts } from '../../src/boot/attempts.ts'
import { changeNodes } from '../../src/registry/nodes.ts'
import { callers } from '../../src/routes/caller.ts'
import { onError } from '../../src/routes/errors.ts'
import { selfTokenRoutes } from '../../src/routes/self-token.ts'
import { type TestServices, testServices } from '../boot-plan/fixtures.ts'
import { runsOf } from '../registry/runs.ts'
import { statementsOf } from '../registry/statements.ts'

const macOf = (node: string) => `52:54:00:00:00:${node.slice(-2)}`
let test: TestServices
let attempts: Attempts
let app: Hono

/** A service on the databases that there are: the first, one after a restart, or one that runs beside it. */
const service = () => {
  const attempts = openAttempts(test.services)
  const agents = openAgents(test.services, { attempts })
  const app = new Hono()
  app.onError(onError(test.services))
  app.route('/self', selfTokenRoutes(agents))
  app.get('/self/who', async (c) => c.json(await callers(agents)(c)))
  return { attempts, app }
}
const start = () => {
  const started = service()
  attempts = started.attempts
  app = started.app
}

beforeEach(async () => {
  test = await testServices()
  await test.seedNode('n001', macOf('n001'))
  await test.seedNode('n002', macOf('n002'))
  test.clock.forward(1)
  start()
})
afterEach(() => test.close())

/** A new attempt of a node, and its ticket. */
async function boot(node = 'n001', at = attempts) {
  const mac = macOf(node)
  const attempt = at.open({ node, mac, plan: {} })
  return { attempt, ticket: await at.mint(await at.find(attempt, mac)) }
}
const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } })
const exchange = (ticket: string, of = app) => of.request('/self/token', { method: 'POST', ...bearer(ticket) })
const tokenFor = async (ticket: string, of = app) => (await (await exchange(ticket, of)).text()).trim()
const who = async (token: string, of = app) => {
  const answer = await of.request('/self/who', bearer(token))
  const body = await answer.json()
  return answer.ok ? body : [answer.status, body.code]
}
const invalid = [401, 'TOKEN_INVALID']
const deleteNode = (node: string) =>
  changeNodes(
    test.services.registry,
    { author: 'test', at: test.services.now() },
    async () => [node],
    () => undefined,
  )
const stored = async (node = 'n001') => {
  await test.services.journal.flush()
  return listAgents(test.services.activity, node)
}

describe('POST /self/token', () => {
  it('gives a token for a ticket, as one line that a shell can read', async () => {
    const { attempt, ticket } = await boot()
    const answer = await exchange(ticket)
    expect(answer.status).toBe(201)
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'content-length': '78',
      'cache-control': 'no-store',
    })
    const text = await answer.text()
    expect(text).toMatch(/^muster_agent_[0-9a-f]{64}\n$/)
    expect(await who(text.trim())).toEqual({ node: 'n001', attempt, how: 'token' })
    expect(await who(ticket)).toEqual({ node: 'n001', attempt, how: 'ticket' })
  })

  it('answers when the token is written, and keeps only its hash', async () => {
    const { attempt, ticket } = await boot()
    const token = await tokenFor(ticket)
    const rows = await listAgents(test.services.activity, 'n001')
    expect(rows).toMatchObject([{ attempt, node: 'n001', hash: expect.stringMatching(/^[0-9a-f]{64}$/), report: null }])
    expect(JSON.stringify(rows)).not.toContain(token.slice('muster_agent_'.length))
  })

  it('gives another one for the same ticket, and the one before is worth nothing', async () => {
    const { ticket } = await boot()
    const first = await tokenFor(ticket)
    await who(first)
    const second = await tokenFor(ticket)
    expect(second).not.toBe(first)
    expect(await who(first)).toEqual(invalid)
    expect(await who(second)).toMatchObject({ how: 'token' })
    start()
    expect(await who(first)).toEqual(invalid)
    expect(await who(second)).toMatchObject({ how: 'token' })
    expect(await stored()).toHaveLength(1)
  })

  it('leaves one of as many as are asked for at the same time, in memory and after a restart', async () => {
    for (let round = 0; round < 50; round++) {
      const { ticket } = await boot()
      const tokens = await Promise.all(Array.from({ length: 8 }, () => tokenFor(ticket)))
      const good = async () => {
        const found = await Promise.all(tokens.map(async (token) => ((await who(token)).how === 'token' ? token : '')))
        return found.filter(Boolean)
      }
      const before = await good()
      expect(before).toHaveLength(1)
      start()
      expect(await good()).toEqual(before)
    }
  })

  it('does not let a token come back that is looked at while it is replaced', async () => {
    for (let round = 0; round < 20; round++) {
      const { ticket } = await boot()
      const first = await tokenFor(ticket)
      start()
      const [second] = await Promise.all([tokenFor(ticket), ...Array.from({ length: 5 }, () => who(first))])
      expect(await who(first)).toEqual(invalid)
      expect(await who(second)).toMatchObject({ how: 'token' })
    }
  })

  it('says that it must be asked again while nothing can be written', async () => {
    const { ticket } = await boot()
    await test.services.activity.run(sql`pragma query_only = on`)
    const answer = await exchange(ticket)
    expect([answer.status, (await answer.json()).code]).toEqual([503, 'REGISTRY_BUSY'])
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    await test.services.activity.run(sql`pragma query_only = off`)
    expect(await who(await tokenFor(ticket))).toMatchObject({ how: 'token' })
  })

  it.each([
    ['nothing', ''],
    ['another ticket', 'a'.repeat(64)],
    ['an API token', `muster_${'a'.repeat(64)}`],
  ])('is refused to %s', async (_label, bearerText) => {
    const answer = await exchange(bearerText)
    expect([answer.status, (await answer.json()).code]).toEqual([401, 'TICKET_INVALID'])
  })

  it('is refused to a token, which cannot renew itself', async () => {
    const { ticket } = await boot()
    const answer = await exchange(await tokenFor(ticket))
    expect([answer.status, (await answer.json()).code]).toEqual([401, 'TICKET_INVALID'])
  })

  it('is refused when the ticket is a day old', async () => {
    const { ticket } = await boot()
    test.clock.forward(24 * 60 + 1)
    expect((await exchange(ticket)).status).toBe(401)
  })
})

describe('a token', () => {
  it('is of one node and one boot', async () => {
    const [one, two] = [await boot('n001'), await boot('n002')]
    const tokens = [await tokenFor(one.ticket), await tokenFor(two.ticket)]
    expect(await Promise.all(tokens.map((token) => who(token)))).toEqual([
      { node: 'n001', attempt: one.attempt, how: 'token' },
      { node: 'n002', attempt: two.attempt, how: 'token' },
    ])
  })

  it.each([
    ['that nobody has', `muster_agent_${'a'.repeat(64)}`],
    ['that is cut off', `muster_agent_${'a'.repeat(63)}`],
    ['with nothing in it', 'muster_agent_a'],
  ])('%s is refused', async (_label, token) => {
    expect(await who(token)).toEqual(invalid)
  })

  it('works after a restart, and in another process', async () => {
    const { ticket } = await boot()
    const token = await tokenFor(ticket)
    const other = service()
    expect(await who(token, other.app)).toMatchObject({ node: 'n001' })
    start()
    expect(await who(token)).toMatchObject({ node: 'n001' })
  })

  it('that another process has replaced is good for five minutes at most', async () => {
    const { ticket } = await boot()
    const first = await tokenFor(ticket)
    expect(await who(first)).toMatchObject({ node: 'n001' })
    const other = service()
    test.clock.forward(0.1)
    const second = await tokenFor(ticket, other.app)
    test.clock.forward(5)
    expect(await who(first)).toEqual(invalid)
    expect(await who(second)).toMatchObject({ node: 'n001' })
  })

  it('is good for as long as its client is heard of, and 30 days more', async () => {
    const { ticket } = await boot()
    const token = await tokenFor(ticket)
    const days = async (count: number) => {
      test.clock.forward(count * 24 * 60)
      return who(token)
    }
    expect(await days(30)).toMatchObject({ node: 'n001' })
    await test.services.journal.flush()
    start()
    expect(await days(30)).toMatchObject({ node: 'n001' })
    await test.services.journal.flush()
    expect(await days(30.001)).toEqual(invalid)
    start()
    expect(await who(token)).toEqual(invalid)
  })

  it('is void when its node is deleted, also when another is made by that name', async () => {
    const { ticket } = await boot()
    const token = await tokenFor(ticket)
    expect(await who(token)).toMatchObject({ node: 'n001' })
    test.clock.forward(1)
    await deleteNode('n001')
    const answer = await app.request('/self/who', bearer(token))
    expect(await answer.json()).toEqual({
      code: 'TOKEN_INVALID',
      message: 'node n001, whose token this is, was deleted since: boot the machine again',
    })
    await test.seedNode('n001', macOf('n001'))
    for (const restart of [() => undefined, start]) {
      restart()
      expect(await who(token)).toEqual(invalid)
      expect(await who(ticket)).toEqual([401, 'TICKET_INVALID'])
      expect((await exchange(ticket)).status).toBe(401)
    }
    test.clock.forward(1)
    expect(await who(await tokenFor((await boot()).ticket))).toMatchObject({ node: 'n001' })
    // Deleting one node says nothing about the others.
    expect(await who(await tokenFor((await boot('n002')).ticket))).toMatchObject({ node: 'n002' })
  })

  it('is void at once in another process, too, as soon as that has seen the deletion', async () => {
    const { ticket } = await boot()
    const token = await tokenFor(ticket)
    const other = service()
    expect(await who(token, other.app)).toMatchObject({ node: 'n001' })
    test.clock.forward(1)
    await deleteNode('n001')
    await pause(test.services.registry.trustMilliseconds + 10)
    expect(await who(token, other.app)).toEqual(invalid)
  })

  it('costs no query while it is known and nothing is edited, and one after an edit', async () => {
    const { ticket } = await boot()
    const token = await tokenFor(ticket)
    await who(token)
    const asks = async () => {
      for (let asked = 0; asked < 20; asked++) await who(token)
    }
    // But for the registry's revision, which is asked for now and then, however many ask.
    const known = await runsOf(test.services.registry, asks)
    expect(known.filter((text) => !text.includes('max("id")'))).toEqual([])
    await test.seedNode('n003', macOf('n003'))
    const edited = await runsOf(test.services.registry, asks)
    expect(edited.filter((text) => text.includes('not exists'))).toHaveLength(1)
    expect(edited.filter((text) => !/max\("id"\)|not exists/.test(text))).toEqual([])
  })

  it('is noted as seen every five minutes at most', async () => {
    const { ticket } = await boot()
    const token = await tokenFor(ticket)
    const seenAt = async () => (await stored())[0]?.seenAt.getTime()
    const first = await seenAt()
    test.clock.forward(4.9)
    await who(token)
    expect(await seenAt()).toBe(first)
    test.clock.forward(0.1)
    const writes = await statementsOf(test.services.activity as never, async () => {
      for (let asked = 0; asked < 10; asked++) await who(token)
      await test.services.journal.flush()
    })
    expect(writes.filter((text) => text.startsWith('update "agents"'))).toHaveLength(1)
    expect(await seenAt()).toBe((first ?? 0) + 5 * 60_000)
  })

  it('is in no log line, whatever happens to it', async () => {
    const { ticket } = await boot()
    const token = await tokenFor(ticket)
    await who(token)
    await test.services.activity.run(sql`pragma query_only = on`)
    const other = await boot('n002')
    await exchange(other.ticket)
    test.clock.forward(10)
    await who(token)
    await test.services.activity.run(sql`pragma query_only = off`)
    const logged = test.logged.join('\n')
    expect(test.logged.length).toBeGreaterThan(0)
    for (const secret of [token, token.slice('muster_agent_'.length), ticket, other.ticket])
      expect(logged).not.toContain(secret)
  })
})

describe('clients that are kept', () => {
  it('are the newest four of a node', async () => {
    const made: string[] = []
    for (let boots = 0; boots < 6; boots++) {
      const { attempt, ticket } = await boot()
      await tokenFor(ticket)
      made.push(attempt)
      test.clock.forward(2)
    }
    const { ticket, attempt } = await boot('n002')
    await tokenFor(ticket)
    expect((await stored()).map((agent) => agent.attempt)).toEqual(made.slice(2).toReversed())
    expect((await stored('n002')).map((agent) => agent.attempt)).toEqual([attempt])
  })

  it('are heard of within 30 days: others are forgotten, wherever they are in the table', async () => {
    const at = test.services.now()
    for (let agent = 0; agent < 2500; agent++)
      test.services.journal.record({ type: 'agent', attempt: `a${agent}`, node: `x${agent}`, hash: `h${agent}`, at })
    await test.services.journal.flush()
    const count = () => test.services.activity.get(sql`select count(*) as count from agents`)
    expect(await count()).toEqual({ count: 2500 })
    test.clock.forward(30 * 24 * 60)
    test.services.journal.record({ type: 'agent-seen', attempt: 'a7', at: test.services.now() })
    test.services.journal.record({ type: 'agent-seen', attempt: 'nobody', at: test.services.now() })
    await test.services.journal.flush()
    for (let minute = 0; minute < 5; minute++) {
      test.clock.forward(1)
      test.services.journal.record({ type: 'ticket', attempt: 'none', hash: 'none' })
      await test.services.journal.flush()
    }
    expect(await count()).toEqual({ count: 1 })
  })
})
