import { eq, sql } from 'drizzle-orm'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { netdevs, nodes, type RegistryDatabase } from '../../src/registry/schema.ts'
import { type Databases, eachDatabase } from '../databases.ts'

describe.each(eachDatabase)('the registry on %s', (_name, open) => {
  let databases: Databases
  let db: RegistryDatabase
  beforeAll(async () => {
    databases = await open()
    db = databases.registry
  })
  afterAll(() => databases.close())
  beforeEach(async () => {
    await db.delete(nodes)
  })

  const node = (name: string, settings = {}) =>
    db.insert(nodes).values({ name, profiles: ['default'], settings, revision: 1, changedAt: new Date(5) })
  const netdev = (of: string, mac: string | null, address: string | null = null, name = 'eth0') =>
    db.insert(netdevs).values({ node: of, name, mac, address })
  const names = async () =>
    (await db.select({ name: nodes.name }).from(nodes).orderBy(nodes.name).all()).map((n) => n.name)

  it('commits a batch of builders and raw SQL in order', async () => {
    await db.batch([
      node('n1'),
      netdev('n1', '52:54:00:00:00:01'),
      sql`update ${nodes} set revision = ${7} where ${nodes.name} = ${'n1'}`,
    ])
    expect(await db.select().from(nodes).get()).toEqual({
      name: 'n1',
      profiles: ['default'],
      settings: {},
      revision: 7,
      changedAt: new Date(5),
    })
    await db.batch([])
  })

  it('keeps nothing of a batch whose last statement fails', async () => {
    await expect(db.batch([node('n1'), node('n2'), node('n1')])).rejects.toThrow('UNIQUE constraint failed: nodes.name')
    expect(await names()).toEqual([])
  })

  it.each([
    ['MAC', 'netdevs.mac', () => netdev('n2', '52:54:00:00:00:01')],
    ['address', 'netdevs.address', () => netdev('n2', null, '10.0.0.1')],
    ['MAC of its own other netdev', 'netdevs.mac', () => netdev('n1', '52:54:00:00:00:01', null, 'eth1')],
  ])('refuses a second owner of a %s', async (_label, column, again) => {
    await db.batch([node('n1'), node('n2'), netdev('n1', '52:54:00:00:00:01', '10.0.0.1')])
    await expect(db.batch([again()])).rejects.toThrow(`UNIQUE constraint failed: ${column}`)
  })

  it('lets any number of netdevs have no MAC and no address', async () => {
    await db.batch([node('n1'), node('n2'), netdev('n1', null), netdev('n2', null)])
    expect(await db.select().from(netdevs).all()).toHaveLength(2)
  })

  it('enforces foreign keys and deletes the netdevs of a deleted node', async () => {
    await expect(db.batch([netdev('nobody', '52:54:00:00:00:01')])).rejects.toThrow('FOREIGN KEY constraint failed')
    await db.batch([node('n1'), node('n2'), netdev('n1', '52:54:00:00:00:01'), netdev('n2', '52:54:00:00:00:02')])
    await db.batch([db.delete(nodes).where(eq(nodes.name, 'n1'))])
    expect((await db.select().from(netdevs).all()).map((row) => row.node)).toEqual(['n2'])
  })

  it('gives back the JSON that it was given', async () => {
    const settings = {
      tags: { quote: `'"\\`, unicode: 'größe 節点 🚀', empty: '', control: 'a\u0000b\u2028c' },
      resources: { nested: [null, true, 1.5, 9007199254740991, { deep: [] }] },
      image: null,
    }
    await db.batch([node('n1', settings)])
    expect((await db.select().from(nodes).get())?.settings).toEqual(settings)
  })

  it('answers a prepared query again and again, and undefined for what is not there', async () => {
    await db.batch([node('n1'), node('n2')])
    const query = db
      .select()
      .from(nodes)
      .where(eq(nodes.name, sql.placeholder('name')))
      .prepare()
    expect((await query.get({ name: 'n1' }))?.name).toBe('n1')
    expect((await query.get({ name: 'n2' }))?.name).toBe('n2')
    expect(await query.get({ name: 'n3' })).toBeUndefined()
  })

  it('runs exclusive work one at a time, in order, also after work that failed', async () => {
    const told: string[] = []
    const work = (name: string, fails = false) =>
      db.exclusive(async () => {
        told.push(`${name} begins`)
        await names()
        told.push(`${name} ends`)
        if (fails) throw new Error(`${name} failed`)
        return name
      })
    const results = await Promise.allSettled([work('a'), work('b', true), work('c')])
    expect(told).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })

  it('takes 200 concurrent batches, each whole or not at all', async () => {
    const batches = Array.from({ length: 200 }, (_, i) => {
      const name = `n${i}`
      // Every fourth wants the MAC of the one before it.
      const mac = `52:54:00:00:00:${(i % 4 === 3 ? i - 1 : i).toString(16).padStart(2, '0')}`
      return db.batch([node(name), netdev(name, mac)])
    })
    const results = await Promise.allSettled(batches)
    expect(results.filter((result) => result.status === 'rejected')).toHaveLength(50)
    expect(await names()).toHaveLength(150)
    expect(await db.select().from(netdevs).all()).toHaveLength(150)
  })
})
