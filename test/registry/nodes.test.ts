import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MemberInput } from '../../src/registry/members.ts'
import { changeNodes, findNode, listNodes, nodeByMac } from '../../src/registry/nodes.ts'
import { changeProfile } from '../../src/registry/profiles.ts'
import { currentRevision, getRevision, historyOf } from '../../src/registry/revisions.ts'
import type { RegistryDatabase } from '../../src/registry/schema.ts'
import { selectForEdit, selectNodes } from '../../src/registry/select.ts'
import { expandNames } from '../../src/registry/selector.ts'
import { type Databases, sqliteDatabases } from '../databases.ts'
import { statementsOf } from './statements.ts'

const editor = { author: 'tester', at: new Date(1000), message: 'because' }
const mac = (number: number) => `52:54:00:00:00:${number.toString(16).padStart(2, '0')}`
const withMac = (number: number, address?: string): MemberInput => ({
  profiles: [],
  settings: { netdevs: { eth0: { mac: mac(number), ...(address && { address: `${address}/24` }) } } },
})

describe('changeNodes', () => {
  let databases: Databases
  let db: RegistryDatabase
  beforeEach(async () => {
    databases = await sqliteDatabases()
    db = databases.registry
  })
  afterEach(() => databases.close())

  const put = (nodes: Record<string, MemberInput | undefined>) =>
    changeNodes(
      db,
      editor,
      async () => Object.keys(nodes),
      (name) => nodes[name],
    )
  const names = async () => (await listNodes(db)).map((node) => node.name)

  it('makes one revision of any number of nodes, and writes down what each was and is', async () => {
    const made = await put({ n1: withMac(1), n2: withMac(2) })
    expect(made.revision).toBe(1)
    expect(made.result.map(({ name, revision }) => [name, revision])).toEqual([
      ['n1', 1],
      ['n2', 1],
    ])
    await put({ n1: undefined, n2: withMac(3) })
    expect(await getRevision(db, 2)).toEqual({
      id: 2,
      at: editor.at,
      author: 'tester',
      message: 'because',
      changes: [
        { noun: 'node', name: 'n1', before: withMac(1), after: null },
        { noun: 'node', name: 'n2', before: withMac(2), after: withMac(3) },
      ],
    })
  })

  it('makes no revision of what changes nothing, whatever the order of its keys', async () => {
    await put({ n1: { profiles: [], settings: { tags: { a: '1', b: '2' }, resources: { x: { p: 1, q: [2] } } } } })
    const again = await put({
      n1: { profiles: [], settings: { resources: { x: { q: [2], p: 1 } }, tags: { b: '2', a: '1' } } },
    })
    expect(again).toMatchObject({ revision: 1, changes: [] })
    expect(await currentRevision(db)).toBe(1)
    const other = await put({
      n1: { profiles: [], settings: { resources: { x: { q: [2, 3], p: 1 } }, tags: { b: '2', a: '1' } } },
    })
    expect(other.revision).toBe(2)
  })

  it('refuses a MAC or an address that another node has, and names both', async () => {
    await put({ n1: withMac(1, '10.0.0.1') })
    await expect(put({ n2: withMac(1) })).rejects.toMatchObject({
      code: 'MAC_TAKEN',
      message: `node n2 cannot have ${mac(1)}: it belongs to node n1`,
      field: 'settings.netdevs.eth0.mac',
    })
    await expect(put({ n2: withMac(2, '10.0.0.1') })).rejects.toMatchObject({
      code: 'ADDRESS_TAKEN',
      message: 'node n2 cannot have 10.0.0.1: it belongs to node n1',
    })
  })

  it('refuses two nodes with one MAC in the same edit, and one node with it twice', async () => {
    await expect(put({ n1: withMac(1), n2: withMac(1) })).rejects.toMatchObject({
      code: 'MAC_TAKEN',
      message: `node n2 cannot have ${mac(1)}: it belongs to node n1`,
    })
    const twice = { netdevs: { eth0: { mac: mac(1) }, eth1: { mac: mac(1) } } }
    await expect(put({ n1: { profiles: [], settings: twice } })).rejects.toMatchObject({
      code: 'MAC_TAKEN',
      message: `node n1 has ${mac(1)} on two netdevs`,
    })
    expect(await names()).toEqual([])
  })

  it('tells spellings of one IPv6 address for the same', async () => {
    const six = (address6: string): MemberInput => ({ profiles: [], settings: { netdevs: { eth0: { address6 } } } })
    await put({ n1: six('fd00::1/64') })
    await expect(put({ n2: six('FD00:0:0:0::0001/64') })).rejects.toMatchObject({ code: 'ADDRESS_TAKEN' })
  })

  it('swaps the MACs of two nodes, and hands one from a node that is deleted to one that is made', async () => {
    await put({ n1: withMac(1), n2: withMac(2), n3: withMac(3) })
    await put({ n1: withMac(2), n2: withMac(1), n3: undefined, n4: withMac(3) })
    const find = nodeByMac(db)
    expect([(await find(mac(1)))?.name, (await find(mac(2)))?.name, (await find(mac(3)))?.name]).toEqual([
      'n2',
      'n1',
      'n4',
    ])
  })

  it('frees a MAC when the node loses it or goes', async () => {
    await put({ n1: withMac(1), n2: withMac(2) })
    await put({ n1: { profiles: [], settings: {} }, n2: undefined })
    await put({ n3: withMac(1), n4: withMac(2) })
    expect((await nodeByMac(db)(mac(2)))?.name).toBe('n4')
  })

  it.each(['N1', 'n_1', '-n1', 'n1.', '.', '', 'n 1', 'a'.repeat(64), '../n1'])('refuses the name %j', async (name) => {
    await expect(put({ [name]: { profiles: [], settings: {} } })).rejects.toMatchObject({ code: 'NAME_INVALID' })
  })

  it('refuses profiles that do not exist', async () => {
    await expect(put({ n1: { profiles: ['gone'], settings: {} } })).rejects.toMatchObject({ code: 'PROFILE_UNKNOWN' })
    await changeProfile(db, editor, 'there', () => ({ profiles: [], settings: {} }))
    await put({ n1: { profiles: ['there'], settings: {} } })
    await expect(changeProfile(db, editor, 'there', () => undefined)).rejects.toMatchObject({
      code: 'PROFILE_USED',
      message: expect.stringContaining('node n1'),
    })
  })

  it('commits nothing of a dry run, and checks everything', async () => {
    const trial = { ...editor, dryRun: true }
    const tried = await changeNodes(
      db,
      trial,
      async () => ['n1'],
      () => withMac(1),
    )
    expect(tried).toMatchObject({ revision: 0, changes: [{ name: 'n1', before: null, after: withMac(1) }] })
    expect(await names()).toEqual([])
    await put({ n1: withMac(1) })
    await expect(
      changeNodes(
        db,
        trial,
        async () => ['n2'],
        () => withMac(1),
      ),
    ).rejects.toMatchObject({ code: 'MAC_TAKEN' })
  })

  it('edits 10,000 nodes as one revision with as many statements as it takes for ten', async () => {
    const make = (text: string) =>
      changeNodes(
        db,
        editor,
        async () => expandNames(text),
        () => ({ profiles: [], settings: { tags: { rack: 'r1' } } }),
      )
    const retag = (text: string, rack: string) =>
      changeNodes(
        db,
        editor,
        () => selectForEdit(db, text),
        (_name, before) => ({ profiles: [], settings: { ...before!.settings, tags: { rack } } }),
      )
    const few = await statementsOf(db, () => make('a[0001-0010]'))
    const many = await statementsOf(db, () => make('n[00001-10000]'))
    expect(many.length).toBe(few.length)
    expect(many.length).toBeLessThan(20)
    const fewEdited = await statementsOf(db, () => retag('a*', 'r2'))
    const manyEdited = await statementsOf(db, () => retag('n*', 'r2'))
    const namedEdited = await statementsOf(db, () => retag('n[00001-10000]', 'r3'))
    expect(manyEdited.length).toBe(fewEdited.length)
    expect(namedEdited.length).toBe(fewEdited.length)
    expect(await currentRevision(db)).toBe(5)
    expect((await getRevision(db, 5)).changes).toHaveLength(10_000)
    expect((await findNode(db, 'n10000'))?.settings).toEqual({ tags: { rack: 'r3' } })
    const deleted = await statementsOf(db, () =>
      changeNodes(
        db,
        editor,
        () => selectForEdit(db, 'n*'),
        () => undefined,
      ),
    )
    // Their secrets are looked for, and deleted too.
    expect(deleted.length).toBe(fewEdited.length + 2)
    expect(await names()).toHaveLength(10)
  })

  it('remembers what happened to a name also when the node is gone', async () => {
    await put({ n1: withMac(1) })
    await put({ n1: withMac(2), n2: withMac(3) })
    await put({ n1: undefined })
    const history = await historyOf(db, 'node', 'n1', { limit: 10 })
    expect(history.map(({ id, changes }) => [id, changes])).toEqual([
      [3, [{ noun: 'node', name: 'n1', before: withMac(2), after: null }]],
      [2, [{ noun: 'node', name: 'n1', before: withMac(1), after: withMac(2) }]],
      [1, [{ noun: 'node', name: 'n1', before: null, after: withMac(1) }]],
    ])
  })
})

describe('selectNodes', () => {
  let databases: Databases
  let db: RegistryDatabase
  beforeEach(async () => {
    databases = await sqliteDatabases()
    db = databases.registry
    const profile = (name: string, profiles: string[], settings = {}) =>
      changeProfile(db, editor, name, () => ({ profiles, settings }))
    await profile('default', [], { image: 'rocky9', tags: { site: 'north' } })
    await profile('gpu', ['default'], { tags: { gpu: 'a100' } })
    await profile('gpu-big', ['gpu'])
    const nodes: Record<string, MemberInput> = {
      n1: { profiles: ['default'], settings: { tags: { rack: 'r1' } } },
      n2: { profiles: ['default'], settings: { image: 'rocky8@2', tags: { site: null } } },
      g1: { profiles: ['gpu'], settings: {} },
      g2: { profiles: ['gpu-big'], settings: { tags: { gpu: 'h100' } } },
      bare: { profiles: [], settings: {} },
    }
    await changeNodes(
      db,
      editor,
      async () => Object.keys(nodes),
      (name) => nodes[name],
    )
  })
  afterEach(() => databases.close())

  const select = async (text: string, page = {}) => (await selectNodes(db, text, page)).map((node) => node.name)

  it.each([
    ['*', ['bare', 'g1', 'g2', 'n1', 'n2']],
    ['profile:gpu', ['g1', 'g2']],
    ['profile:default', ['g1', 'g2', 'n1', 'n2']],
    ['tag:gpu', ['g1', 'g2']],
    ['tag:gpu=a100', ['g1']],
    ['tag:site', ['g1', 'g2', 'n1']],
    ['image:rocky9', ['g1', 'g2', 'n1']],
    ['image:rocky8', ['n2']],
    ['!tag:site', ['bare', 'n2']],
    ['n[1-9]', ['n1', 'n2']],
    ['n2,n1,gone', ['n1', 'n2']],
    ['n[1-2]&tag:rack', ['n1']],
  ])('%s finds %j, with what profiles say', async (text, names) => {
    expect(await select(text)).toEqual(names)
  })

  it('goes on after a name, and stops at a limit', async () => {
    expect(await select('*', { limit: 2 })).toEqual(['bare', 'g1'])
    expect(await select('*', { after: 'g1', limit: 2 })).toEqual(['g2', 'n1'])
    expect(await select('n1,g1,g2', { after: 'g1' })).toEqual(['g2', 'n1'])
  })

  it('reads no other node when only names are asked for', async () => {
    const read = (text: string) => statementsOf(db, () => selectNodes(db, text))
    for (const text of ['n1', 'n[1-2],g1', 'n1&tag:rack'])
      expect((await read(text)).filter((sql) => /from "nodes"/.test(sql) && !/json_each/.test(sql))).toEqual([])
    expect((await read('n*')).filter((sql) => /from "nodes"/.test(sql) && !/json_each/.test(sql))).toHaveLength(1)
  })

  it.each([
    ['n3', 'no node n3'],
    ['n[1-4],x', 'no node n[3-4],x'],
    ['n* & !n9', 'no node n9'],
    ['tag:rack=r9', 'no node matches tag:rack=r9'],
    ['x*', 'no node matches x*'],
  ])('says for an edit of %s: %s', async (text, message) => {
    await expect(selectForEdit(db, text)).rejects.toMatchObject({ code: 'NODE_UNKNOWN', message })
  })
})
