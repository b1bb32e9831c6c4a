import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lineage } from '../../src/registry/inherit.ts'
import { ownersOf, secretsOf, secretsStamp } from '../../src/registry/node-secrets.ts'
import { changeNodes, getNode } from '../../src/registry/nodes.ts'
import { changeProfile } from '../../src/registry/profiles.ts'
import { currentRevision, getRevision } from '../../src/registry/revisions.ts'
import type { RegistryDatabase } from '../../src/registry/schema.ts'
import type { SecretOwner } from '../../src/registry/secret-names.ts'
import { listSecrets, secretPlace } from '../../src/registry/secret-records.ts'
import { deleteSecret, generateSecret, setSecret } from '../../src/registry/secrets.ts'
import { createSnapshots } from '../../src/registry/snapshot.ts'
import type { SecretKey } from '../../src/secrets/key.ts'
import { createSecretKey } from '../../src/secrets/seal.ts'
import { type Databases, eachDatabase, sqliteDatabases } from '../databases.ts'
import { statementsOf } from './statements.ts'

const at = new Date('2026-01-31T12:00:00Z')
const editor = { author: 'tester', at }

let databases: Databases
let registry: RegistryDatabase
let secretKey: SecretKey

const store = () => ({ registry, secretKey, now: () => at })
const set = (owner: SecretOwner, name: string, value: string) => setSecret(store(), editor, { owner, name, value })
const remove = (owner: SecretOwner, name: string) => deleteSecret(registry, editor, { owner, name })
const makeNode = (name: string, profiles: string[] = []) =>
  changeNodes(
    registry,
    editor,
    async () => [name],
    () => ({ profiles, settings: {} }),
  )
const deleteNodes = (...names: string[]) =>
  changeNodes(
    registry,
    editor,
    async () => names,
    () => undefined,
  )
const makeProfile = (name: string, profiles: string[] = []) =>
  changeProfile(registry, editor, name, () => ({ profiles, settings: {} }))
const snapshot = () => createSnapshots(registry)()
const all = () => listSecrets(registry, { limit: 1000 })

type Declared = Parameters<ReturnType<typeof secretsOf>>[2]
const secretsFor = async (name: string, declared: Declared = {}, of = secretsOf(store())) =>
  of(await getNode(registry, name), await snapshot(), declared)

describe.each(eachDatabase)('secrets on %s', (_name, open) => {
  beforeEach(async () => {
    databases = await open()
    registry = databases.registry
    secretKey = await createSecretKey(new Uint8Array(32).fill(1), '/k/secret.key')
  })
  afterEach(() => databases.close())

  it('are set and deleted by revisions that remember when and never what', async () => {
    await makeNode('n1')
    expect((await set('node:n1', 'munge', 'canary-1')).result).toEqual({
      owner: 'node:n1',
      name: 'munge',
      generated: false,
      public: null,
      revision: 2,
      changedAt: at,
    })
    await set('node:n1', 'munge', 'canary-2')
    await remove('node:n1', 'munge')
    const documents = [2, 3, 4].map(async (id) => (await getRevision(registry, id)).changes)
    const [made, replaced, deleted] = await Promise.all(documents)
    const known = { setAt: at.toISOString() }
    const thing = { noun: 'secret', name: 'node:n1/munge' }
    expect(made).toEqual([{ ...thing, before: null, after: known }])
    expect(replaced).toEqual([{ ...thing, before: known, after: known }])
    expect(deleted).toEqual([{ ...thing, before: known, after: null }])
    expect(await all()).toEqual([])
    await expect(remove('node:n1', 'munge')).rejects.toMatchObject({ code: 'SECRET_UNKNOWN' })
    expect(await currentRevision(registry)).toBe(4)
  })

  it('hide each other: the node, its profiles from the last one that applies, the cluster, and what was generated', async () => {
    await makeProfile('base')
    await makeProfile('gpu', ['base'])
    await makeProfile('rack')
    await makeNode('n1', ['gpu', 'rack'])
    await makeNode('n2')
    const owners: SecretOwner[] = ['node:n1', 'profile:rack', 'profile:gpu', 'profile:base', 'cluster']
    expect(ownersOf(await getNode(registry, 'n1'), await snapshot())).toEqual(owners)
    expect(lineage(await getNode(registry, 'n1'), (await snapshot()).profiles).map(({ name }) => name)).toEqual([
      'base',
      'gpu',
      'rack',
    ])
    const generated = (await secretsFor('n1', { key: 'random' })).get('key')
    expect(generated).toMatch(/^[A-Za-z0-9+/]{43}=$/)
    await set('node:n2', 'key', "another node's")
    await makeProfile('other')
    await set('profile:other', 'key', "another profile's")
    for (const owner of owners.toReversed()) {
      await set(owner, 'key', `of ${owner}`)
      expect((await secretsFor('n1', { key: 'random' })).get('key')).toBe(`of ${owner}`)
    }
    for (const owner of owners) {
      expect((await secretsFor('n1')).get('key')).toBe(`of ${owner}`)
      await remove(owner, 'key')
    }
    expect((await secretsFor('n1')).get('key')).toBe(generated)
  })

  it('that are declared are made once, kept, and part of no revision', async () => {
    await makeNode('n1')
    const declared = { host: 'ssh-ed25519', other: 'ssh-ecdsa', munge: 'random' } as const
    const first = await secretsFor('n1', declared)
    expect([...first.keys()].sort()).toEqual(['host', 'host_pub', 'munge', 'other', 'other_pub'])
    expect(first.get('host_pub')).toMatch(/^ssh-ed25519 \S+ root@n1$/)
    expect(await secretsFor('n1', declared)).toEqual(first)
    expect(await secretsFor('n1')).toEqual(first)
    expect(await currentRevision(registry)).toBe(1)
    const rows = await all()
    expect(rows.map(({ name, generated, revision }) => [name, generated, revision])).toEqual([
      ['host', true, 0],
      ['munge', true, 0],
      ['other', true, 0],
    ])
    await remove('node:n1', 'munge')
    const again = await secretsFor('n1', declared)
    expect(again.get('munge')).not.toBe(first.get('munge'))
    expect(again.get('host')).toBe(first.get('host'))
  })

  it('are made once when many ask at the same time, each process included', async () => {
    for (const name of ['n1', 'n2', 'n3']) await makeNode(name)
    const processes = [secretsOf(store()), secretsOf(store())]
    const texts = await Promise.all(
      Array.from({ length: 30 }, (_, at) => secretsFor(`n${(at % 3) + 1}`, { host: 'ssh-ed25519' }, processes[at % 2])),
    )
    expect(new Set(texts.map((secrets) => secrets.get('host'))).size).toBe(3)
    expect(await all()).toHaveLength(3)
  })

  it('go with their node and their profile, so that one of the same name begins without them', async () => {
    await makeProfile('gpu')
    for (const name of ['n1', 'n10']) await makeNode(name, ['gpu'])
    await set('node:n1', 'own', 'x')
    await set('node:n10', 'own', 'y')
    await set('profile:gpu', 'shared', 'z')
    const before = await secretsFor('n1', { host: 'random' })
    const { revision } = await deleteNodes('n1')
    const { changes } = await getRevision(registry, revision)
    expect(changes.map(({ noun, name, after }) => [noun, name, after])).toEqual([
      ['node', 'n1', null],
      ['secret', 'node:n1/own', null],
    ])
    expect((await all()).map(({ owner, name }) => `${owner}/${name}`)).toEqual(['node:n10/own', 'profile:gpu/shared'])
    await makeNode('n1', ['gpu'])
    const after = await secretsFor('n1', { host: 'random' })
    expect([...after.keys()].sort()).toEqual(['host', 'shared'])
    expect(after.get('host')).not.toBe(before.get('host'))
    await deleteNodes('n1', 'n10')
    const gone = await changeProfile(registry, editor, 'gpu', () => undefined)
    expect(gone.changes.map(({ noun, name }) => [noun, name])).toEqual([
      ['profile', 'gpu'],
      ['secret', 'profile:gpu/shared'],
    ])
    expect(await all()).toEqual([])
  })

  it('are not made for a node that is deleted meanwhile', async () => {
    await makeNode('n1')
    const [node, then] = [await getNode(registry, 'n1'), await snapshot()]
    await deleteNodes('n1')
    await expect(secretsOf(store())(node, then, { host: 'random' })).rejects.toMatchObject({ code: 'NODE_UNKNOWN' })
    expect(await all()).toEqual([])
  })

  it('need an owner that is there', async () => {
    await expect(set('node:n9', 'a', 'x')).rejects.toMatchObject({ code: 'NODE_UNKNOWN' })
    await expect(set('profile:p9', 'a', 'x')).rejects.toMatchObject({ code: 'PROFILE_UNKNOWN' })
    expect(await all()).toEqual([])
    expect(await currentRevision(registry)).toBe(0)
  })

  it('are listed page by page, a set one before the generated one that it hides', async () => {
    await makeNode('n1')
    await secretsFor('n1', { a: 'random', b: 'random' })
    await set('node:n1', 'a', 'x')
    await set('cluster', 'c', 'y')
    const places: string[] = []
    for (let after: string | undefined; places.length < 10; ) {
      const [one] = await listSecrets(registry, { limit: 1, ...(after !== undefined && { after }) })
      if (!one) break
      after = secretPlace(one)
      places.push(after)
    }
    expect(places).toEqual(['cluster/c/0', 'node:n1/a/0', 'node:n1/a/1', 'node:n1/b/1'])
    expect(await listSecrets(registry, { owner: 'cluster', limit: 10 })).toHaveLength(1)
  })

  it('give public halves of key pairs, whoever made them', async () => {
    await makeNode('n1')
    const made = await generateSecret(store(), editor, { owner: 'cluster', name: 'host', kind: 'ssh-ed25519' })
    expect(made.result.public).toMatch(/^ssh-ed25519 \S+ cluster$/)
    const text = (await secretsFor('n1')).get('host') ?? ''
    await set('node:n1', 'mine', text)
    const secrets = await secretsFor('n1')
    expect(secrets.get('mine_pub')).toBe(made.result.public?.replace('cluster', 'root@n1'))
    expect((await getRevision(registry, made.revision)).changes[0]?.after).toEqual({
      setAt: at.toISOString(),
      public: made.result.public,
    })
  })

  it('that were sealed with another key are locked, and stay as they are', async () => {
    await makeNode('n1')
    await set('cluster', 'munge', 'canary')
    const first = secretKey
    secretKey = await createSecretKey(new Uint8Array(32).fill(2), '/k/other.key')
    const locked = await secretsFor('n1').catch((error) => error)
    expect(locked).toMatchObject({ code: 'SECRET_LOCKED' })
    expect(locked.message).toBe(
      `secret cluster/munge is sealed with key ${first.id}, and /k/other.key has key ${secretKey.id}: bring back the file that has the other, or set the secret again`,
    )
    secretKey = first
    expect((await secretsFor('n1')).get('munge')).toBe('canary')
  })

  it('of one node, profile or the cluster have a stamp that moves when they change, and with nothing else', async () => {
    await makeProfile('gpu')
    await makeNode('n1', ['gpu'])
    await makeNode('n2')
    await set('cluster', 'old', 'x')
    const stampOf = secretsStamp(registry)
    const stamps = async () => {
      const now = await snapshot()
      return [await stampOf(await getNode(registry, 'n1'), now), await stampOf(await getNode(registry, 'n2'), now)]
    }
    const moved: boolean[][] = []
    let before = await stamps()
    const edits = [
      () => set('node:n1', 'a', 'x'),
      () => set('profile:gpu', 'a', 'x'),
      () => set('cluster', 'a', 'x'),
      () => remove('node:n1', 'a'),
      () => remove('cluster', 'old'),
      () => makeNode('n3'),
      () => secretsFor('n2', { host: 'random' }),
      () => remove('node:n2', 'host'),
    ]
    for (const change of edits) {
      await change()
      const after = await stamps()
      moved.push(after.map((stamp, at) => stamp !== before[at]))
      before = after
    }
    expect(moved).toEqual([
      [true, false],
      [true, false],
      [true, true],
      [true, false],
      [true, true],
      [false, false],
      [false, false],
      [false, true],
    ])
  })
})

describe('secrets of a large cluster', () => {
  beforeEach(async () => {
    databases = await sqliteDatabases()
    registry = databases.registry
    secretKey = await createSecretKey(new Uint8Array(32).fill(1), '/k/secret.key')
  })
  afterEach(() => databases.close())

  const makeMany = (count: number) =>
    changeNodes(
      registry,
      editor,
      async () => Array.from({ length: count }, (_, at) => `n${at}`),
      () => ({ profiles: [], settings: {} }),
    )

  it('cost a node one query that is prepared already, and two and a write when some are made', async () => {
    await makeMany(1000)
    const of = secretsOf(store())
    const now = await snapshot()
    const nodes = await Promise.all(Array.from({ length: 100 }, (_, at) => getNode(registry, `n${at}`)))
    const [first] = nodes
    const once = await statementsOf(registry, () => of(first!, now, { host: 'random' }))
    expect(once).toHaveLength(1)
    expect(once[0]).toMatch(/^insert or ignore into "secrets"/)
    expect(await statementsOf(registry, () => of(first!, now, { host: 'random' }))).toEqual([])
    const together = await statementsOf(registry, () =>
      Promise.all(nodes.slice(1).map((node) => of(node, now, { host: 'random' }))),
    )
    // However many nodes boot for the first time, few commits.
    expect(together.length).toBeLessThan(30)
    expect(await all()).toHaveLength(100)
  })

  it('are found by the primary key, and stamps read new revisions only', async () => {
    const plans = async (work: () => Promise<unknown>) => {
      const client = (
        registry as unknown as { $client: { prepare(sql: string): { all(...args: unknown[]): unknown[] } } }
      ).$client
      const statements = await statementsOf(registry, work)
      return statements.flatMap((text) =>
        client
          .prepare(`explain query plan ${text}`)
          .all(...Array.from({ length: (text.match(/\?/g) ?? []).length }, () => '[]'))
          .map((row) => (row as { detail: string }).detail),
      )
    }
    await makeMany(10)
    const node = await getNode(registry, 'n1')
    const now = await snapshot()
    const held = await plans(async () => secretsOf(store())(node, now, {}))
    expect(held).toContain('SEARCH secrets USING INDEX sqlite_autoindex_secrets_1 (owner=?)')
    const made = await plans(async () => secretsOf(store())(node, now, { host: 'random' }))
    expect(made.filter((step) => /^SCAN (?!json_each)/.test(step))).toEqual([])
    expect(made.join('\n')).toMatch(
      /SEARCH nodes (?:EXISTS )?USING COVERING INDEX sqlite_autoindex_nodes_1 \(name=\?\)/,
    )
    const stamps = await plans(async () => secretsStamp(registry)(node, now))
    expect(stamps.join('\n')).toMatch(
      /SEARCH changes USING (?:COVERING )?INDEX sqlite_autoindex_changes_1 \(revision>\?\)/,
    )
  })
})
