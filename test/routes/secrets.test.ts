import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { secretsOf } from '../../src/registry/node-secrets.ts'
import { getNode } from '../../src/registry/nodes.ts'
import { createSnapshots } from '../../src/registry/snapshot.ts'
import { createSecretKey, missingKey } from '../../src/secrets/seal.ts'
import { startOfTests, type TestApp, testApp } from '../harness.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
  await test.call('PUT', '/api/profiles/gpu', { body: {} })
  await test.call('PUT', '/api/nodes/n001', { body: { profiles: ['gpu'] } })
})
afterEach(() => test.close())

const put = (path: string, value: unknown) => test.send('PUT', `/api/secrets/${path}`, { body: { value } })
const list = async (query = '') => (await test.call('GET', `/api/secrets${query}`, { scope: 'read' })).items
const refusal = async (answer: Response) => [answer.status, ((await answer.json()) as { code: string }).code]
const textsOf = async (node: string, declared = {}) =>
  secretsOf(test.services)(
    await getNode(test.services.registry, node),
    await createSnapshots(test.services.registry)(),
    declared,
  )

describe('/api/secrets', () => {
  it('sets, lists and deletes, and answers everything but the text', async () => {
    const answer = await put('cluster/munge', 'canary')
    const record = {
      owner: 'cluster',
      name: 'munge',
      generated: false,
      public: null,
      revision: 6,
      changedAt: startOfTests.toISOString(),
    }
    expect([answer.status, await answer.json(), answer.headers.get('x-revision')]).toEqual([200, record, '6'])
    expect(await list()).toEqual([record])
    expect((await textsOf('n001')).get('munge')).toBe('canary')
    const gone = await test.send('DELETE', '/api/secrets/cluster/munge')
    expect([gone.status, gone.headers.get('x-revision')]).toEqual([204, '7'])
    expect(await refusal(await test.send('DELETE', '/api/secrets/cluster/munge'))).toEqual([404, 'SECRET_UNKNOWN'])
    expect(await list()).toEqual([])
  })

  it('keeps who did it and why, and what happened in a page of history', async () => {
    await test.call('PUT', '/api/secrets/node:n001/key?message=new+disk', { body: { value: 'canary' } })
    const revision = await test.call('GET', '/api/revisions/6')
    expect(revision).toEqual({
      id: 6,
      at: startOfTests.toISOString(),
      author: 'the-edit',
      message: 'new disk',
      changes: [{ noun: 'secret', name: 'node:n001/key', before: null, after: { setAt: startOfTests.toISOString() } }],
    })
  })

  it('lists what a node gets and whose it is, or what one owner has, or pages of everything', async () => {
    for (const [path, value] of [
      ['cluster/a', '1'],
      ['profile:gpu/a', '2'],
      ['cluster/b', '3'],
      ['node:n001/c', '4'],
    ] as const)
      expect((await put(path, value)).status).toBe(200)
    await textsOf('n001', { a: 'random', d: 'ssh-ed25519' })
    const told = (items: { owner: string; name: string; generated: boolean }[]) =>
      items.map(({ owner, name, generated }) => `${owner}/${name}${generated ? ' generated' : ''}`)
    expect(told(await list('?node=n001'))).toEqual([
      'profile:gpu/a',
      'cluster/b',
      'node:n001/c',
      'node:n001/d generated',
    ])
    expect(told(await list('?node=n001&owner=cluster'))).toEqual(['cluster/b'])
    expect(told(await list('?owner=cluster'))).toEqual(['cluster/a', 'cluster/b'])
    const first = await test.call('GET', '/api/secrets?limit=3')
    expect([told(first.items), first.next]).toEqual([['cluster/a', 'cluster/b', 'node:n001/c'], 'node:n001/c/0'])
    const second = await test.call('GET', `/api/secrets?limit=3&after=${first.next}`)
    expect([told(second.items), second.next]).toEqual([['node:n001/d generated', 'profile:gpu/a'], null])
    expect(await refusal(await test.send('GET', '/api/secrets?node=n999'))).toEqual([404, 'NODE_UNKNOWN'])
  })

  it.each(['ssh-ed25519', 'ssh-ecdsa', 'random'])('makes %s', async (kind) => {
    const made = await test.call('POST', '/api/secrets/node:n001/key/generate', { body: { kind } })
    expect(made).toMatchObject({ owner: 'node:n001', name: 'key', generated: false, revision: 6 })
    const texts = await textsOf('n001')
    expect(texts.get('key_pub') ?? null).toBe(made.public)
    if (kind === 'random') expect(made.public).toBeNull()
    else expect(made.public).toMatch(/^\S+ \S+ root@n001$/)
  })

  it.each([
    ['an unknown node', 'node:n999/a', 'x', 404, 'NODE_UNKNOWN'],
    ['an unknown profile', 'profile:none/a', 'x', 404, 'PROFILE_UNKNOWN'],
    ['an owner of no kind', 'rack:r1/a', 'x', 400, 'REQUEST_INVALID'],
    ['an owner with a name that is none', 'node:N_1/a', 'x', 400, 'REQUEST_INVALID'],
    ['a name with a dot', 'cluster/a.b', 'x', 400, 'REQUEST_INVALID'],
    ['a name that begins with a digit', 'cluster/1a', 'x', 400, 'REQUEST_INVALID'],
    ['the name of a public half', 'cluster/key_pub', 'x', 400, 'REQUEST_INVALID'],
    ['a name of 65 characters', `cluster/${'a'.repeat(65)}`, 'x', 400, 'REQUEST_INVALID'],
    ['nothing', 'cluster/a', '', 400, 'SECRET_INVALID'],
    ['a zero byte', 'cluster/a', 'x\0y', 400, 'SECRET_INVALID'],
    ['half a character', 'cluster/a', '\ud800', 400, 'SECRET_INVALID'],
    ['more than 64 KiB', 'cluster/a', 'ä'.repeat(32_769), 400, 'SECRET_INVALID'],
    ['a number', 'cluster/a', 7, 400, 'REQUEST_INVALID'],
  ])('refuses %s', async (_label, path, value, status, code) => {
    expect(await refusal(await put(path, value))).toEqual([status, code])
    expect(await list()).toEqual([])
  })

  it('takes 64 KiB, and any text as it is', async () => {
    for (const value of ['ä'.repeat(32_768), ' lines\r\nand\ttabs \n\n', '\ufeff"\\{{x}}']) {
      expect((await put('cluster/a', value)).status).toBe(200)
      expect((await textsOf('n001')).get('a')).toBe(value)
    }
  })

  it('lets a token that only reads see, and not set, make or delete', async () => {
    for (const [method, path] of [
      ['PUT', 'cluster/a'],
      ['POST', 'cluster/a/generate'],
      ['DELETE', 'cluster/a'],
    ] as const) {
      const answer = await test.send(method, `/api/secrets/${path}`, { scope: 'read', body: { value: 'x' } })
      expect(await refusal(answer)).toEqual([403, 'TOKEN_SCOPE'])
    }
    expect((await test.app.request('/api/secrets')).status).toBe(401)
  })
})

describe('without the key', () => {
  it('a secret is locked, and whoever asks and whoever runs the service are told what to do', async () => {
    await put('cluster/munge', 'canary')
    const why = '/k is not there: bring it back'
    const other = await testApp({ registry: test.services.registry, secretKey: missingKey('/k', why) })
    const answer = await other.app.request('/api/secrets/cluster/munge', {
      method: 'PUT',
      headers: { authorization: `Bearer ${test.tokens.edit}`, 'content-type': 'application/json' },
      body: '{"value":"new"}',
    })
    const said = { code: 'SECRET_LOCKED', message: `secret cluster/munge is locked: ${why}` }
    expect([answer.status, await answer.json()]).toEqual([500, said])
    expect(other.logged).toMatchObject([{ level: 'error', message: said.message }])
    const { registry } = other.services
    const asked = secretsOf(other.services)(await getNode(registry, 'n001'), await createSnapshots(registry)(), {})
    await expect(asked).rejects.toMatchObject(said)
    expect((await textsOf('n001')).get('munge')).toBe('canary')
    await other.close()
  })

  it('one that was set with another key can be set again, and everything else goes on', async () => {
    await put('cluster/munge', 'old')
    await put('cluster/other', 'old')
    test.services.secretKey = await createSecretKey(new Uint8Array(32).fill(9), '/other')
    await expect(textsOf('n001')).rejects.toMatchObject({ code: 'SECRET_LOCKED' })
    expect((await list()).length).toBe(2)
    expect((await test.send('GET', '/api/nodes/n001/effective')).status).toBe(200)
    await put('cluster/munge', 'new')
    await test.send('DELETE', '/api/secrets/cluster/other')
    expect(Object.fromEntries(await textsOf('n001'))).toEqual({ munge: 'new' })
  })

  it('a service that has none says so', async () => {
    delete test.services.secretKey
    expect(await textsOf('n001')).toEqual(new Map())
    expect(await refusal(await put('cluster/a', 'x'))).toEqual([501, 'UNSUPPORTED'])
    await expect(textsOf('n001', { host: 'random' })).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })
})

describe('a canary', () => {
  const canary = 'kanarienvogel-5f8a'

  it('is in no file, log line, error or answer, whatever is done with it', async () => {
    const said: string[] = []
    const ask = async (method: string, path: string, body?: unknown) => {
      const answer = await test.send(method, path, body === undefined ? {} : { body })
      said.push(JSON.stringify([...answer.headers]), await answer.text())
    }
    for (const path of ['cluster/a', 'profile:gpu/a', 'node:n001/a', 'node:n999/a', 'cluster/bad.name', 'nobody/a']) {
      await ask('PUT', `/api/secrets/${path}`, { value: canary })
      await ask('PUT', `/api/secrets/${path}`, { value: `${canary}\0` })
      await ask('PUT', `/api/secrets/${path}`, { value: canary, more: canary })
      await ask('PUT', `/api/secrets/${path}`, `{"value":"${canary}`)
      await ask('PUT', `/api/secrets/${path}`, `${canary}`)
      await ask('PUT', `/api/secrets/${path}`, { value: [canary] })
      await ask('POST', `/api/secrets/${path}/generate`, { kind: canary.length })
    }
    const { secretKey } = test.services
    for (const key of [undefined, missingKey('/k', 'gone')]) {
      if (key) test.services.secretKey = key
      else delete test.services.secretKey
      await ask('PUT', '/api/secrets/cluster/a', { value: canary })
    }
    if (secretKey) test.services.secretKey = secretKey
    expect((await textsOf('n001')).get('a')).toBe(canary)
    // The database refuses: drizzle's error would have the parameters of the query in it.
    const client = (test.services.registry as unknown as { $client: Sqlite.Database }).$client
    client.pragma('query_only = on')
    await ask('PUT', '/api/secrets/cluster/a', { value: canary })
    client.pragma('query_only = off')
    for (const path of ['secrets', 'secrets?node=n001', 'revisions', 'nodes/n001/effective', 'nodes/n001/explain'])
      await ask('GET', `/api/${path}`)
    for (let revision = 1; revision < 12; revision++) await ask('GET', `/api/revisions/${revision}`)
    await test.services.journal.flush()

    const folder = dirname(client.name)
    const files = (await readdir(folder)).filter((name) => /\.db(?:-wal|-shm)?$/.test(name))
    expect(files).toEqual(expect.arrayContaining(['registry.db', 'registry.db-wal', 'activity.db']))
    const contents = await Promise.all(files.map((name) => readFile(join(folder, name), 'latin1')))
    const everything = [...said, ...contents, JSON.stringify(test.logged)].join('\n')
    expect(everything).toContain('node:n001/a')
    for (const form of [canary, btoa(canary), Buffer.from(canary).toString('hex')])
      expect(everything).not.toContain(form)
    expect(test.logged.some(({ level }) => level === 'error')).toBe(true)
  })
})
