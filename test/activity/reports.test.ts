/** What clients report, and what nodes were given: how the journal writes it, and what it forgets. */
import { sql } from 'drizzle-orm'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { createJournal, type Journal } from '../../src/activity/journal.ts'
import { overlaysOfAttempts, reportOfNode, reportsOf } from '../../src/activity/reports.ts'
import {
  type ActivityDatabase,
  type AgentReport,
  agents,
  attempts,
  events,
  texts,
  trees,
} from '../../src/activity/schema.ts'
import { listsOf, textsAtMost, textsOf, treesAtMost } from '../../src/activity/trees.ts'
import type { Log } from '../../src/log.ts'
import { type Databases, eachDatabase } from '../databases.ts'

const at = (ms: number) => new Date(1_800_000_000_000 + ms)
const hex = (number: number) => number.toString(16).padStart(64, '0')

describe.each(eachDatabase)('reports on %s', (_name, open) => {
  let databases: Databases
  let db: ActivityDatabase
  let journal: Journal
  const log = vi.fn<Log>()
  beforeAll(async () => {
    databases = await open()
    db = databases.activity
  })
  afterAll(() => databases.close())
  beforeEach(async () => {
    await db.batch([agents, attempts, events, trees, texts].map((table) => db.delete(table)))
    log.mockClear()
    journal = createJournal({ database: db, log, schedule: () => undefined, now: () => at(0) })
  })
  afterEach(() => expect(log).not.toHaveBeenCalled())

  const agent = (attempt: string, node: string, ms = 0) =>
    journal.record({ type: 'agent', attempt, node, hash: attempt.repeat(2), at: at(ms) })
  const report = (attempt: string, ms: number, said: AgentReport) =>
    journal.record({ type: 'report', attempt, at: at(ms), report: said })
  const tree = (digest: string, ms = 0, some: Record<string, string> = {}) =>
    journal.record({
      type: 'tree',
      digest,
      list: `list of ${digest}`,
      texts: Object.entries(some).map(([of, content]) => ({ digest: of, content })),
      at: at(ms),
    })

  it('are those of the newest client of a node', async () => {
    agent('a1', 'n1', 1)
    agent('a2', 'n1', 2)
    agent('b1', 'n2', 3)
    report('a1', 10, { kernel: 'old' })
    report('a2', 5, { kernel: 'new', uptime: 3.5 })
    await journal.flush()
    const found = await reportsOf(db, ['n1', 'n2', 'nobody'])
    expect([...found.keys()].sort()).toEqual(['n1', 'n2'])
    const newest = { node: 'n1', attempt: 'a2', createdAt: at(2), seenAt: at(5), reportedAt: at(5) }
    expect(found.get('n1')).toEqual({ ...newest, report: { kernel: 'new', uptime: 3.5 } })
    expect(found.get('n2')).toEqual({ node: 'n2', attempt: 'b1', createdAt: at(3), seenAt: at(3), report: {} })
    expect(await reportOfNode(db)('n1')).toEqual(found.get('n1'))
    expect(await reportOfNode(db)('nobody')).toBeUndefined()
    expect(await reportsOf(db, [])).toEqual(new Map())
  })

  it('leave what they do not tell as it was, but for a failure', async () => {
    const newest = reportOfNode(db)
    agent('a1', 'n1')
    report('a1', 1, { image: 'i', runtime: hex(1), memTotalKiB: 5 })
    report('a1', 2, { failure: 'disk full' })
    await journal.flush()
    expect((await newest('n1'))?.report).toEqual({
      image: 'i',
      runtime: hex(1),
      memTotalKiB: 5,
      failure: 'disk full',
    })
    report('a1', 3, { runtime: hex(2) })
    await journal.flush()
    expect((await newest('n1'))?.report).toEqual({ image: 'i', runtime: hex(2), memTotalKiB: 5 })
  })

  it('of a client without a token are passed over', async () => {
    report('a1', 1, { kernel: '6' })
    await journal.flush()
    expect(await db.select().from(agents).all()).toEqual([])
  })

  it('of many clients are written with as many statements as that of one', async () => {
    const sizes: number[] = []
    const batch: typeof db.batch = async (statements) => {
      sizes.push(statements.length)
      return db.batch(statements)
    }
    const counting = { ...db, batch } as ActivityDatabase
    const counted = createJournal({ database: counting, log, schedule: () => undefined, now: () => at(0) })
    for (let count = 0; count < 200; count++)
      counted.record({ type: 'report', attempt: `a${count % 20}`, at: at(count), report: { system: hex(count) } })
    await counted.flush()
    counted.record({ type: 'report', attempt: 'a1', at: at(1), report: { system: hex(1) } })
    await counted.flush()
    expect(sizes).toHaveLength(2)
    // The first flush forgets what is old, too.
    expect(sizes[0]).toBeGreaterThan(sizes[1] ?? 0)
    expect(sizes[1]).toBe(2)
  })

  it('tell the overlays of the boots that they are of', async () => {
    const overlays = { system: [{ name: 'base', digest: 'sha256:1' }], runtime: [] }
    for (const [id, plan] of Object.entries({ a1: { overlays }, a2: { script: 'local-disk' } }))
      journal.record({ type: 'attempt', id, node: 'n1', mac: 'm', at: at(0), plan })
    await journal.flush()
    expect(await overlaysOfAttempts(db, ['a1', 'a2', 'a3'])).toEqual(new Map([['a1', overlays]]))
    expect(await overlaysOfAttempts(db, [])).toEqual(new Map())
  })

  it('lists and texts are found by digest, each kept once', async () => {
    const odd = `'";--\\ größe 🚀\n\t{{x}}`
    tree(hex(1), 1, { [hex(9)]: odd, [hex(8)]: '' })
    tree(hex(1), 2, { [hex(9)]: odd })
    await journal.flush()
    expect(await listsOf(db, [hex(1), hex(2)])).toEqual(new Map([[hex(1), `list of ${hex(1)}`]]))
    expect(await textsOf(db, [hex(9), hex(8), hex(7)])).toEqual(
      new Map([
        [hex(8), ''],
        [hex(9), odd],
      ]),
    )
    expect((await db.select().from(trees).all())[0]?.usedAt).toEqual(at(2))
  })

  it('a list with texts as long as they may be is written', async () => {
    const long = Array.from({ length: 8 }, (_, count) => [hex(count), String(count).repeat(65_536)] as const)
    tree(hex(1), 1, Object.fromEntries(long))
    await journal.flush()
    expect(
      (
        await textsOf(
          db,
          long.map(([digest]) => digest),
        )
      ).size,
    ).toBe(8)
  })

  it('forgets lists beyond their number, those that nobody was given or runs for longest', async () => {
    const rows = JSON.stringify(Array.from({ length: treesAtMost }, (_, count) => [hex(count), at(count).getTime()]))
    await db.run(sql`insert into ${trees} select value->>0, 'list', value->>1 from json_each(${rows})`)
    agent('a1', 'n1')
    // An hour later, a client says that it runs the oldest one.
    report('a1', 3_700_000, { system: hex(0), runtime: hex(1) })
    tree(hex(treesAtMost), 3_700_000)
    tree(hex(treesAtMost + 1), 3_700_000)
    await journal.flush()
    const kept = await listsOf(db, [0, 1, 2, 3, 4, treesAtMost, treesAtMost + 1].map(hex))
    expect([...kept.keys()].sort()).toEqual([0, 1, 4, treesAtMost, treesAtMost + 1].map(hex).sort())
  })

  it('forgets texts beyond their size, those that nobody was given for longest', async () => {
    const large = 1024 * 1024
    for (let count = 0; count < textsAtMost / large; count++)
      await db.run(sql`insert into ${texts} values (${hex(count)}, hex(zeroblob(${large / 2})), ${count})`)
    tree(hex(1), 0, { [hex(100)]: 'one more' })
    await journal.flush()
    const left = await db.select({ digest: texts.digest }).from(texts).all()
    const kept = Array.from({ length: textsAtMost / large - 1 }, (_, count) => hex(count + 1))
    expect(left.map(({ digest }) => digest).sort()).toEqual([...kept, hex(100)])
  })
})
