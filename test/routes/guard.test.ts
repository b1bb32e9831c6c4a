/** Who may call what: every route of the app with every kind of token. A new route is in here by being mounted. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createToken, deleteToken } from '../../src/auth/tokens.ts'
import { statusOf } from '../../src/errors.ts'
import type { Scope } from '../../src/registry/schema.ts'
import { scopes } from '../../src/registry/schema.ts'
import { startOfTests, type TestApp, testApp, tester } from '../harness.ts'

/** Routes under /api that are everybody's. A route that is added here needs a reason. */
const open = ['GET /api/openapi.json', 'GET /api/docs']

const needed = (method: string, path: string): Scope =>
  path.startsWith('/api/tokens') ? 'admin' : method === 'GET' ? 'read' : 'edit'

type Answer = { status: number; headers: Headers; text: string; code: string | undefined }

/** The code of an error; `undefined` for what is no JSON or no error. */
function codeOf(text: string): string | undefined {
  try {
    return JSON.parse(text).code
  } catch {
    return undefined
  }
}

describe('the guard', () => {
  let test: TestApp
  let expired: string
  let revoked: string
  let routes: { method: string; path: string }[]
  beforeAll(async () => {
    test = await testApp()
    const { registry } = test.services
    expired = (await createToken(registry, { name: 'old', scope: 'admin', expiresAt: startOfTests }, tester)).token
    revoked = (await createToken(registry, { name: 'gone', scope: 'admin' }, tester)).token
    await deleteToken(registry, 'gone', tester)
    routes = test.app.routes
      .filter((route) => route.path.startsWith('/api') && route.method !== 'ALL')
      .map(({ method, path }) => ({ method, path }))
      .filter(({ method, path }, at, all) => all.findIndex((one) => one.method === method && one.path === path) === at)
      .filter(({ method, path }) => !open.includes(`${method} ${path}`))
  })
  afterAll(() => test.close())

  /** Asks for a thing that is not there, so that whoever passes the guard changes nothing. */
  const ask = async (method: string, path: string, authorization?: string): Promise<Answer> => {
    const url = path.replaceAll(/:\w+/g, 'nothing').replace('/revisions/nothing', '/revisions/999999')
    const response = await test.app.request(url, {
      method,
      headers: { ...(authorization !== undefined && { authorization }) },
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, code: codeOf(text) }
  }

  it('has routes to guard', () => {
    expect(routes.length).toBeGreaterThan(35)
    expect(routes).toContainEqual({ method: 'PATCH', path: '/api/nodes' })
  })

  const badTokens: [label: string, header: () => string | undefined, code: string][] = [
    ['no token', () => undefined, 'TOKEN_MISSING'],
    ['another scheme', () => `Basic ${btoa('admin:admin')}`, 'TOKEN_MISSING'],
    ['an empty token', () => 'Bearer ', 'TOKEN_MISSING'],
    ['a token without its scheme', () => test.tokens.admin, 'TOKEN_MISSING'],
    ['two tokens', () => `Bearer ${test.tokens.admin} ${test.tokens.admin}`, 'TOKEN_MISSING'],
    ['garbage', () => 'Bearer garbage', 'TOKEN_INVALID'],
    ['minus one', () => 'Bearer -1', 'TOKEN_INVALID'],
    ['a token cut short', () => `Bearer ${test.tokens.admin.slice(0, -1)}`, 'TOKEN_INVALID'],
    ['a token in other letters', () => `Bearer ${test.tokens.admin.toUpperCase()}`, 'TOKEN_INVALID'],
    ['an expired token', () => `Bearer ${expired}`, 'TOKEN_INVALID'],
    ['a revoked token', () => `Bearer ${revoked}`, 'TOKEN_INVALID'],
  ]
  it.each(badTokens)('refuses %s at every route', async (_label, header, code) => {
    for (const { method, path } of routes) {
      const { status, headers, text, ...answer } = await ask(method, path, header())
      expect([method, path, status, answer.code]).toEqual([method, path, 401, code])
      expect(headers.get('www-authenticate')).toMatch(/^Bearer realm="muster"/)
      for (const token of [...Object.values(test.tokens), expired, revoked]) expect(text).not.toContain(token)
    }
  })

  it.each(scopes)('lets a token of scope %s do what it may at every route, and nothing else', async (scope) => {
    for (const { method, path } of routes) {
      const { status, code } = await ask(method, path, `Bearer ${test.tokens[scope]}`)
      const may = scopes.indexOf(scope) >= scopes.indexOf(needed(method, path))
      if (may) {
        expect([method, path, [401, 403].includes(status)]).toEqual([method, path, false])
        expect([method, path, status < 500 || status === 501]).toEqual([method, path, true])
      } else expect([method, path, status, code]).toEqual([method, path, 403, 'TOKEN_SCOPE'])
    }
  })

  it('says what is missing to a token of too small a scope', async () => {
    const { text, headers } = await ask('POST', '/api/tokens', `Bearer ${test.tokens.edit}`)
    expect(JSON.parse(text)).toEqual({ code: 'TOKEN_SCOPE', message: 'token the-edit may edit, and this needs admin' })
    expect(headers.get('www-authenticate')).toContain('insufficient_scope')
  })

  it('takes the scheme in any letters, and spaces around it', async () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER'])
      expect((await ask('GET', '/api/nodes', `${scheme}  ${test.tokens.read} `)).status).toBe(200)
  })

  it('treats HEAD as GET, and every other method as an edit', async () => {
    expect((await ask('HEAD', '/api/nodes', `Bearer ${test.tokens.read}`)).status).toBe(200)
    expect((await ask('HEAD', '/api/nodes')).status).toBe(401)
    for (const method of ['OPTIONS', 'PROPFIND', 'POST'])
      expect((await ask(method, '/api/nodes/x', `Bearer ${test.tokens.read}`)).status).toBe(403)
  })

  it.each(open)('lets anyone %s', async (route) => {
    const [method = '', path = ''] = route.split(' ')
    expect((await ask(method, path)).status).toBe(200)
    expect((await ask(method, path, 'Bearer garbage')).status).toBe(200)
  })

  it('shows none of the tokens to a token that is no admin, by any spelling of the path', async () => {
    const spellings = [
      '/api/tokens',
      '/api/tokens/',
      '/api//tokens',
      '//api/tokens',
      '/api/./tokens',
      '/api/x/../tokens',
      '/api/%74okens',
      '/api/%2574okens',
      '/%61pi/tokens',
      '/api/tokens%2f',
      '/api/tokens%00',
      '/api/tokens;x',
      '/api/tokens?x',
      '/API/tokens',
      '/api/TOKENS',
      '/api\\tokens',
      '/api/nodes/..%2ftokens',
      '/api/nodes/%2e%2e/tokens',
      '/api/docs/../tokens',
      '/api/docs%2f..%2ftokens',
      '/api/openapi.json/../tokens',
    ]
    for (const path of spellings) {
      for (const authorization of [undefined, `Bearer ${test.tokens.read}`, `Bearer ${test.tokens.edit}`]) {
        const { status, text } = await ask('GET', path, authorization)
        expect([path, status, text.includes('the-admin')]).toEqual([path, status, false])
        expect([path, [401, 403, 404].includes(status)]).toEqual([path, true])
      }
    }
  })

  it('acts at once when a token is revoked over the API', async () => {
    const made = await test.call('POST', '/api/tokens', { scope: 'admin', body: { name: 'brief', scope: 'read' } })
    expect((await ask('GET', '/api/nodes', `Bearer ${made.token}`)).status).toBe(200)
    await test.call('DELETE', '/api/tokens/brief', { scope: 'admin' })
    expect((await ask('GET', '/api/nodes', `Bearer ${made.token}`)).code).toBe('TOKEN_INVALID')
  })

  it('does not ask who it is before it says that nothing is there, outside of /api', async () => {
    expect((await ask('GET', '/nothing')).code).toBe('ROUTE_UNKNOWN')
    expect((await ask('GET', '/api/nothing')).code).toBe('TOKEN_MISSING')
    expect(statusOf.TOKEN_MISSING).toBe(401)
  })

  it('keeps answers out of caches', async () => {
    const { headers } = await ask('GET', '/api/nodes', `Bearer ${test.tokens.read}`)
    expect(headers.get('cache-control')).toBe('no-store')
  })
})
