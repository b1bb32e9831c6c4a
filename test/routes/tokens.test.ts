import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startOfTests, type TestApp, testApp } from '../harness.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
})
afterEach(() => test.close())

const create = (body: unknown) => test.send('POST', '/api/tokens', { scope: 'admin', body })

describe('/api/tokens', () => {
  it('shows a token once, and lists it without its secret', async () => {
    const response = await create({ name: 'ci', scope: 'edit', expiresAt: '2026-03-01T00:00:00+01:00' })
    expect(response.status).toBe(201)
    const { token, ...record } = await response.json()
    expect(token).toMatch(/^muster_[0-9a-f]{64}$/)
    expect(record).toEqual({
      name: 'ci',
      scope: 'edit',
      createdAt: startOfTests.toISOString(),
      expiresAt: '2026-02-28T23:00:00.000Z',
    })
    const listed = await test.call('GET', '/api/tokens', { scope: 'admin' })
    expect(listed.map(({ name }: { name: string }) => name)).toEqual(['ci', 'the-admin', 'the-edit', 'the-read'])
    expect(listed[0]).toEqual(record)
    const revision = Number(response.headers.get('x-revision'))
    const history = await test.call('GET', `/api/revisions/${revision}`)
    expect(history.changes).toEqual([
      { noun: 'token', name: 'ci', before: null, after: { scope: 'edit', expiresAt: record.expiresAt } },
    ])
  })

  it('makes tokens that work, until they expire', async () => {
    const { token } = await (await create({ name: 'ci', scope: 'read', expiresAt: '2026-03-01T00:00:00Z' })).json()
    const whoami = () => test.app.request('/api/whoami', { headers: { authorization: `Bearer ${token}` } })
    expect(await (await whoami()).json()).toEqual({ name: 'ci', scope: 'read', revision: 4 })
    test.at(new Date('2026-03-01T00:00:00Z'))
    expect((await whoami()).status).toBe(401)
  })

  it.each([
    ['a name that is taken', { name: 'the-edit', scope: 'read' }, 409, 'TOKEN_EXISTS'],
    ['a name that is none', { name: 'a b', scope: 'read' }, 400, 'REQUEST_INVALID'],
    ['an unknown scope', { name: 'ci', scope: 'root' }, 400, 'REQUEST_INVALID'],
    ['no scope', { name: 'ci' }, 400, 'REQUEST_INVALID'],
    ['a token of the caller', { name: 'ci', scope: 'read', token: 'mine' }, 400, 'REQUEST_INVALID'],
    ['a day', { name: 'ci', scope: 'read', expiresAt: '2026-03-01' }, 400, 'REQUEST_INVALID'],
  ])('refuses %s', async (_label, body, status, code) => {
    const response = await create(body)
    expect([response.status, (await response.json()).code]).toEqual([status, code])
  })

  it('revokes a token', async () => {
    expect((await test.send('DELETE', '/api/tokens/the-read', { scope: 'admin' })).status).toBe(204)
    expect((await test.send('GET', '/api/nodes', { scope: 'read' })).status).toBe(401)
    const again = await test.send('DELETE', '/api/tokens/the-read', { scope: 'admin' })
    expect([again.status, (await again.json()).code]).toEqual([404, 'TOKEN_UNKNOWN'])
  })
})

describe('/api/whoami', () => {
  it('tells a token whose it is, and where the registry stands', async () => {
    expect(await test.call('GET', '/api/whoami', { scope: 'admin' })).toEqual({
      name: 'the-admin',
      scope: 'admin',
      revision: 3,
    })
  })
})
