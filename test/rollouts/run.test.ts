import type Sqlite from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bootsOf } from '../../src/activity/boots.ts'
import { findImage } from '../../src/registry/images.ts'
import { currentRevision, getRevision } from '../../src/registry/revisions.ts'
import { getRollout } from '../../src/registry/rollouts.ts'
import { revertRollout } from '../../src/rollouts/acts.ts'
import { stepRollouts } from '../../src/rollouts/run.ts'
import { type Databases, eachDatabase, sqliteDatabases } from '../databases.ts'
import { statementsOf } from '../registry/statements.ts'
import { type Cluster, clusterOn, nodeNames } from './cluster.ts'
import { minute } from './fixtures.ts'

// D1 in Miniflare takes its time.
describe.each(eachDatabase)('a rollout on %s', { timeout: 120_000 }, (_name, open) => {
  let databases: Databases
  let cluster: Cluster
  beforeAll(async () => {
    databases = await open()
    cluster = clusterOn(databases)
  })
  afterAll(() => databases.close())

  it('gives waves out as edits that anybody can see, and ends with the version as the current one', async () => {
    const { registry } = databases
    await cluster.image('rocky9')
    await cluster.put(['n1', 'n2', 'n3'], () => ({ image: 'rocky9', tags: { rack: 'r1' } }))
    const begun = await cluster.start('rocky9@4', 'n[1-3]')
    for (const wave of [['n1'], ['n2'], ['n3']]) {
      const before = await currentRevision(registry)
      await cluster.step()
      expect(await currentRevision(registry)).toBe(before)
      cluster.forward(1)
      for (const node of wave) await cluster.boot(node, begun, 'ready')
      await cluster.step()
      expect(await currentRevision(registry)).toBe(before + 1)
    }
    const rollout = await getRollout(registry, begun.id)
    expect([rollout.state, (await findImage(registry, 'rocky9'))?.current]).toEqual(['finished', 4])
    const settings = { image: 'rocky9', tags: { rack: 'r1' } }
    expect(await cluster.own(['n1', 'n2', 'n3'])).toEqual({ n1: settings, n2: settings, n3: settings })
    const last = await getRevision(registry, rollout.revision)
    expect([last.author, last.message]).toEqual(['tester', 'rollout 1 of rocky9@4: finished'])
    expect(last.changes.map(({ noun, name }) => `${noun} ${name}`)).toEqual([
      'image rocky9',
      'node n1',
      'node n2',
      'node n3',
      'rollout 1',
    ])
    const wave = await getRevision(registry, rollout.revision - 1)
    expect([wave.message, wave.changes.find(({ noun }) => noun === 'node')]).toEqual([
      'rollout 1 of rocky9@4: wave 3 of 3',
      {
        noun: 'node',
        name: 'n3',
        before: { profiles: [], settings: { ...settings } },
        after: { profiles: [], settings: { ...settings, image: 'rocky9@4' } },
      },
    ])
  })

  it('is taken back when too many nodes fail, in one revision that names them', async () => {
    const { registry } = databases
    await cluster.image('alma9')
    await cluster.put(['a1', 'a2', 'a3', 'a4'], () => ({ image: 'alma9@3' }))
    const begun = await cluster.start('alma9@4', 'a[1-4]', { waves: ['3'], maxFailed: 1 })
    await cluster.boot('a1', begun, 'failed')
    await cluster.step()
    expect((await getRollout(registry, begun.id)).state).toBe('running')
    await cluster.boot('a3', begun, 'failed')
    const before = await currentRevision(registry)
    await cluster.step()
    const rollout = await getRollout(registry, begun.id)
    expect([rollout.state, rollout.plan.reason, rollout.revision]).toEqual([
      'reverted',
      '2 nodes failed (a[1,3]), and at most 1 may',
      before + 1,
    ])
    expect(await cluster.own(['a1', 'a2', 'a3', 'a4'])).toEqual(
      Object.fromEntries(['a1', 'a2', 'a3', 'a4'].map((name) => [name, { image: 'alma9@3' }])),
    )
  })

  it('takes one step when several do it at once', async () => {
    const { registry } = databases
    await cluster.image('sles15')
    await cluster.put(['s1', 's2', 's3'], () => ({ image: 'sles15' }))
    const begun = await cluster.start('sles15@4', 's[1-3]')
    await cluster.boot('s1', begun, 'ready')
    const before = await currentRevision(registry)
    // Each with a queue of its own, as in processes of their own.
    const exclusive = <T>(work: () => Promise<T>) => work()
    const another: typeof registry = Object.assign(Object.create(registry), { exclusive })
    await Promise.all([cluster.step(), stepRollouts({ ...cluster.services, registry: another }), cluster.step()])
    expect(await currentRevision(registry)).toBe(before + 1)
    expect((await getRollout(registry, begun.id)).plan.times).toHaveLength(2)
    await revertRollout(cluster.services, cluster.editor(), begun.id)
  })

  it('does not hold up the others when it cannot move', async () => {
    const { registry } = databases
    for (const image of ['broken', 'whole']) {
      await cluster.image(image)
      await cluster.put([`${image}1`, `${image}2`], () => ({ image }))
    }
    const broken = await cluster.start('broken@4', 'broken[1-2]')
    const whole = await cluster.start('whole@4', 'whole[1-2]')
    for (const rollout of [broken, whole]) await cluster.boot(`${rollout.image}1`, rollout, 'ready')
    const { batch } = registry
    let told: unknown
    registry.batch = async (statements) => {
      registry.batch = batch
      expect(statements.length).toBeGreaterThan(0)
      throw new Error('the disk is full')
    }
    await cluster.step().catch((error: unknown) => {
      told = error
    })
    expect(String(told)).toContain(`rollout ${broken.id} of broken@4 cannot move on: Error: the disk is full`)
    expect((await getRollout(registry, broken.id)).plan.times).toHaveLength(1)
    expect((await getRollout(registry, whole.id)).plan.times).toHaveLength(2)
    await cluster.step()
    expect((await getRollout(registry, broken.id)).plan.times).toHaveLength(2)
  })

  it('is judged by the newest event of each kind, however many there were', async () => {
    const { activity } = databases
    const { journal } = cluster.services
    const image = `sha256:${'7'.repeat(64)}`
    const record = (id: string, at: number, digest = image) =>
      journal.record({ type: 'attempt', id, node: 'many', mac: '', at: minute(at), plan: { image: { digest } } })
    record('before', 9)
    record('first', 10)
    record('other', 11, `sha256:${'8'.repeat(64)}`)
    record('second', 12)
    for (let at = 20; at < 40; at++)
      for (const kind of ['blob', 'stage'] as const)
        journal.record({ type: 'event', attempt: 'first', at: minute(at), kind, detail: {} })
    journal.record({ type: 'event', attempt: 'first', at: minute(41), kind: 'failed', detail: {} })
    await journal.flush()
    const found = await bootsOf(activity, { nodes: ['many', 'nobody'], image, since: minute(10) })
    expect([...found]).toEqual([
      [
        'many',
        [
          {
            id: 'first',
            startedAt: minute(10),
            events: [
              { kind: 'blob', at: minute(39) },
              { kind: 'stage', at: minute(39) },
              { kind: 'failed', at: minute(41) },
            ],
          },
          { id: 'second', startedAt: minute(12), events: [] },
        ],
      ],
    ])
  })
})

describe('a look at rollouts', () => {
  let databases: Databases
  let cluster: Cluster
  beforeAll(async () => {
    databases = await sqliteDatabases()
    cluster = clusterOn(databases)
    await cluster.image('rocky9')
    await cluster.put(nodeNames('', 300), () => ({ image: 'rocky9' }))
  })
  afterAll(() => databases.close())

  /** What is asked of both databases. */
  const asked = async (work: () => Promise<unknown>) => {
    let ofActivity: string[] = []
    const ofRegistry = await statementsOf(databases.registry, async () => {
      ofActivity = await statementsOf(databases.activity as never, work)
    })
    return { ofRegistry, ofActivity }
  }

  it('asks one question when there is none, and three about one that waits, however many nodes it has', async () => {
    const none = await asked(cluster.step)
    expect([none.ofRegistry.length, none.ofActivity.length]).toEqual([1, 0])
    for (const count of [1, 300]) {
      const { id } = await cluster.start('rocky9@4', `n[1-${count}]`, { waves: [] })
      const { ofRegistry, ofActivity } = await asked(cluster.step)
      expect([ofRegistry.length, ofActivity.length]).toEqual([2, 1])
      await revertRollout(cluster.services, cluster.editor(), id)
    }
  })

  it('reads the boots of its nodes by their index, and of no others', async () => {
    const { activity } = databases
    const [query = ''] = await statementsOf(activity as never, () =>
      bootsOf(activity, { nodes: ['n1'], image: 'sha256:0', since: minute(0) }),
    )
    const client = (activity as unknown as { $client: Sqlite.Database }).$client
    const steps = client.prepare(`explain query plan ${query}`).all('["n1"]', 0, 'sha256:0') as { detail: string }[]
    const details = steps.map(({ detail }) => detail).join('\n')
    expect(details).toContain('SEARCH attempts USING INDEX attempts_node (node=? AND started_at>?)')
    expect(details).toContain('SEARCH events USING INDEX events_attempt (attempt=?)')
    expect(details).not.toMatch(/SCAN (?:attempts|events)/)
  })
})
