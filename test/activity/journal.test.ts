import { sql } from 'drizzle-orm'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { attemptById, attemptByTicket, listAttempts } from '../../src/activity/attempts.ts'
import { createJournal, type Entry, entriesAtMost, type Journal } from '../../src/activity/journal.ts'
import { deleteMachines, findMachine, listMachines } from '../../src/activity/machines.ts'
import { type ActivityDatabase, attempts, events, machines } from '../../src/activity/schema.ts'
import type { Log } from '../../src/log.ts'
import { type Databases, eachDatabase } from '../databases.ts'

const day = 86_400_000
const at = (ms: number) => new Date(1_800_000_000_000 + ms)

describe.each(eachDatabase)('the journal on %s', (_name, open) => {
  let databases: Databases
  let db: ActivityDatabase
  let journal: Journal
  const log = vi.fn<Log>()
  const scheduled: (() => Promise<void>)[] = []
  const record = (...entries: Entry[]) => {
    for (const entry of entries) journal.record(entry)
  }
  const attempt = (id: string, ms = 0, node = 'n1'): Entry => ({
    type: 'attempt',
    id,
    node,
    mac: '52:54:00:00:00:01',
    at: at(ms),
    plan: { image: 'rocky9', args: ['a "b"'] },
    address: '10.0.0.1',
  })
  const event = (of: string, ms = 0, detail = {}): Entry => ({
    type: 'event',
    attempt: of,
    at: at(ms),
    kind: 'stage',
    detail,
  })

  beforeAll(async () => {
    databases = await open()
    db = databases.activity
  })
  afterAll(() => databases.close())
  beforeEach(async () => {
    await db.batch([db.delete(attempts), db.delete(events), db.delete(machines)])
    scheduled.length = 0
    log.mockClear()
    journal = createJournal({ database: db, log, schedule: (flush) => scheduled.push(flush), now: () => at(0) })
  })
  afterEach(() => expect(log).not.toHaveBeenCalled())

  it('writes attempts with their events, newest attempt first, events as they were told', async () => {
    const odd = { text: `'";--\\ \u0000 größe 🚀`, list: [1, null, { deep: true }], bytes: 2 ** 40 }
    record(attempt('a1', 1), attempt('a2', 2), attempt('b1', 3, 'n2'))
    record(event('a1', 4, odd), event('a2', 5), event('a1', 4, { second: true }))
    expect(await listAttempts(db, 'n1', 10)).toEqual([])
    await journal.flush()
    expect(await listAttempts(db, 'n1', 10)).toEqual([
      {
        id: 'a2',
        node: 'n1',
        mac: '52:54:00:00:00:01',
        address: '10.0.0.1',
        startedAt: at(2),
        plan: { image: 'rocky9', args: ['a "b"'] },
        ticketHash: null,
        ticketUsedAt: null,
        events: [{ id: expect.any(Number), at: at(5), kind: 'stage', detail: {} }],
      },
      expect.objectContaining({
        id: 'a1',
        events: [
          expect.objectContaining({ at: at(4), detail: odd }),
          expect.objectContaining({ at: at(4), detail: { second: true } }),
        ],
      }),
    ])
    expect((await listAttempts(db, 'n1', 1)).map(({ id }) => id)).toEqual(['a2'])
    expect(await listAttempts(db, 'nobody', 10)).toEqual([])
  })

  it('asks once for a flush, and again after that flush', async () => {
    record(attempt('a1'), event('a1'), event('a1'))
    expect(scheduled).toHaveLength(1)
    await scheduled[0]!()
    expect((await listAttempts(db, 'n1', 1))[0]?.events).toHaveLength(2)
    record(event('a1'))
    expect(scheduled).toHaveLength(2)
  })

  it('takes as many statements for 200 entries as for five', async () => {
    const sizes: number[] = []
    const counting = {
      ...db,
      batch: async (statements: Parameters<typeof db.batch>[0]) => {
        sizes.push(statements.length)
        return db.batch(statements)
      },
    } as ActivityDatabase
    for (const count of [1, 40]) {
      const counted = createJournal({ database: counting, log, schedule: () => undefined, now: () => at(0) })
      for (let i = 0; i < count; i++) {
        const id = `${count}-${i}`
        counted.record(attempt(id, i, `n${i}`))
        counted.record({ type: 'ticket', attempt: id, hash: `hash-${id}` })
        counted.record({ type: 'ticket-used', attempt: id, at: at(i) })
        counted.record(event(id))
        counted.record({ type: 'machine', mac: id, at: at(i), facts: {} })
      }
      await counted.flush()
    }
    expect(sizes).toHaveLength(2)
    expect(sizes[1]).toBe(sizes[0])
    expect((await attemptById(db)('40-39'))?.ticketHash).toBe('hash-40-39')
  })

  it('finds an attempt by id and by the last ticket told, and remembers the first use of it', async () => {
    const [byId, byTicket] = [attemptById(db), attemptByTicket(db)]
    record(attempt('a1'), { type: 'ticket', attempt: 'a1', hash: 'h1' }, { type: 'ticket', attempt: 'a1', hash: 'h2' })
    record({ type: 'ticket-used', attempt: 'a1', at: at(7) }, { type: 'ticket-used', attempt: 'a1', at: at(8) })
    await journal.flush()
    expect((await byTicket('h2'))?.id).toBe('a1')
    expect(await byTicket('h1')).toBeUndefined()
    expect((await byId('a1'))?.ticketUsedAt).toEqual(at(7))
    record({ type: 'ticket-used', attempt: 'a1', at: at(9) })
    await journal.flush()
    expect((await byId('a1'))?.ticketUsedAt).toEqual(at(7))
    expect(await byId('a2')).toBeUndefined()
  })

  it('is not stopped by events of unknown attempts, by entries told twice, or by a date that is none', async () => {
    record(event('unknown'), { type: 'ticket', attempt: 'unknown', hash: 'h' }, attempt('a1', 1), attempt('a1', 2))
    record({ ...event('a1'), at: new Date(Number.NaN) } as Entry, event('a1', 3))
    await journal.flush()
    const [stored] = await listAttempts(db, 'n1', 10)
    expect(stored?.startedAt).toEqual(at(1))
    expect(stored?.events).toHaveLength(1)
  })

  it('keeps the newest 50 attempts of a node and no events of the others', async () => {
    for (let i = 0; i < 60; i++) record(attempt(`a${i}`, i), event(`a${i}`, i))
    record(attempt('b', 0, 'n2'), event('b', 0))
    await journal.flush()
    for (let i = 60; i < 70; i++) record(attempt(`a${i}`, i), event(`a${i}`, i))
    await journal.flush()
    const kept = await listAttempts(db, 'n1', 100)
    expect(kept.map(({ id }) => id)).toEqual(Array.from({ length: 50 }, (_, i) => `a${69 - i}`))
    expect(kept.every((one) => one.events.length === 1)).toBe(true)
    expect((await db.select().from(events).all()).length).toBe(51)
    expect(await listAttempts(db, 'n2', 100)).toHaveLength(1)
  })

  it('forgets attempts and events after 90 days, now and then', async () => {
    let clock = at(0)
    journal = createJournal({ database: db, log, schedule: () => undefined, now: () => clock })
    record(attempt('old', -91 * day, 'n1'), event('old', -91 * day), event('unknown', -91 * day))
    record(attempt('new', -89 * day, 'n1'), event('new', -89 * day))
    await journal.flush()
    expect((await listAttempts(db, 'n1', 10)).map(({ id }) => id)).toEqual(['new'])
    expect(await db.select().from(events).all()).toHaveLength(1)
    clock = at(30_000 + 2 * day)
    record(event('new', 2 * day))
    await journal.flush()
    expect(await listAttempts(db, 'n1', 10)).toEqual([])
    expect(await db.select().from(events).all()).toHaveLength(1)
  })

  it('counts how often a machine asked, since when, and what it said last', async () => {
    const machine = (ms: number, product: string, address?: string): Entry => ({
      type: 'machine',
      mac: '52:54:00:00:00:09',
      at: at(ms),
      facts: { product },
      ...(address === undefined ? {} : { address }),
    })
    record(machine(1, 'A', '10.0.0.9'), machine(2, 'B'))
    await journal.flush()
    record(machine(3, 'C'))
    await journal.flush()
    const expected = {
      mac: '52:54:00:00:00:09',
      facts: { product: 'C' },
      address: '10.0.0.9',
      firstSeenAt: at(1),
      lastSeenAt: at(3),
      requests: 3,
    }
    expect(await findMachine(db, '52:54:00:00:00:09')).toEqual(expected)
    expect(await listMachines(db)).toEqual([expected])
    await deleteMachines(db, ['52:54:00:00:00:09', '52:54:00:00:00:08'])
    expect(await findMachine(db, '52:54:00:00:00:09')).toBeUndefined()
  })

  it('keeps 10,000 machines, those seen last', async () => {
    for (let i = 0; i < 10_050; i++) record({ type: 'machine', mac: `m${i}`, at: at(i), facts: {} })
    record({ type: 'machine', mac: 'm0', at: at(20_000), facts: {} })
    await journal.flush()
    expect(await db.get(sql`select count(*) as count from machines`)).toEqual({ count: 10_000 })
    expect(await findMachine(db, 'm49')).toBeUndefined()
    expect((await listMachines(db, 2)).map(({ mac }) => mac)).toEqual(['m0', 'm10049'])
  })
})

describe('a journal whose database fails', () => {
  const log = vi.fn<Log>()
  let databases: Databases
  let broken = false
  let failing: ActivityDatabase
  beforeAll(async () => {
    const [, openSqlite] = eachDatabase[0]
    databases = await openSqlite()
    // The disk is full or another process writes: the one thing that a test cannot bring about by itself.
    failing = {
      ...databases.activity,
      batch: async (statements: Parameters<ActivityDatabase['batch']>[0]) => {
        if (broken) throw new Error('database or disk is full')
        return databases.activity.batch(statements)
      },
    } as ActivityDatabase
  })
  afterAll(() => databases.close())
  beforeEach(() => log.mockClear())

  it('tells whoever reads, logs it once, keeps the entries in order and writes them when it can', async () => {
    const scheduled: (() => Promise<void>)[] = []
    const journal = createJournal({ database: failing, log, schedule: (flush) => scheduled.push(flush) })
    broken = true
    const attempt: Entry = { type: 'attempt', id: 'a', node: 'n1', mac: 'm', at: new Date(), plan: {} }
    journal.record(attempt)
    journal.record({ type: 'event', attempt: 'a', at: new Date(), kind: 'init', detail: { n: 1 } })
    await expect(journal.flush()).rejects.toThrow('disk is full')
    await scheduled[0]!()
    expect(scheduled).toHaveLength(2)
    expect(log.mock.calls.map(([level]) => level)).toEqual(['error'])
    journal.record({ type: 'event', attempt: 'a', at: new Date(), kind: 'ready', detail: { n: 2 } })
    broken = false
    await scheduled[1]!()
    expect(log.mock.calls.map(([level]) => level)).toEqual(['error', 'info'])
    const [stored] = await listAttempts(databases.activity, 'n1', 1)
    expect(stored?.events.map(({ kind }) => kind)).toEqual(['init', 'ready'])
  })

  it('drops the oldest entries beyond its bound and says how many', async () => {
    const journal = createJournal({ database: databases.activity, log, schedule: () => undefined })
    for (let i = 0; i < entriesAtMost + 1400; i++)
      journal.record({ type: 'event', attempt: 'many', at: new Date(), kind: 'init', detail: { i } })
    await journal.flush()
    expect(log.mock.calls).toEqual([['warn', expect.stringContaining('could not keep up'), { dropped: 1500 }]])
    const kept = databases.activity
      .select({ count: sql<number>`count(*)`, first: sql<number>`min(detail->>'i')` })
      .from(events)
      .where(sql`attempt = 'many'`)
    expect(await kept.get()).toEqual({ count: entriesAtMost - 100, first: 1500 })
  })

  it('drops an entry that is larger than a transaction, and only that one', async () => {
    const journal = createJournal({ database: databases.activity, log, schedule: () => undefined })
    const told = (text: string): Entry => ({
      type: 'event',
      attempt: 'large',
      at: new Date(),
      kind: 'init',
      detail: { text },
    })
    for (const text of ['before', 'x'.repeat(1_000_000), 'after']) journal.record(told(text))
    await journal.flush()
    const rows = await databases.activity.select().from(events).where(sql`attempt = 'large'`).all()
    expect(rows.map(({ detail }) => detail)).toEqual([{ text: 'before' }, { text: 'after' }])
    expect(log.mock.calls).toEqual([['warn', expect.stringContaining('too large'), { dropped: 1 }]])
  })
})
