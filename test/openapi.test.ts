/** The description of the API is complete: what the app answers is in it, and what it refuses has a code. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { statusOf } from '../src/errors.ts'
import { type ApiDocument, codesIn, type Operation } from '../src/routes/openapi.ts'
import { type TestApp, testApp } from './harness.ts'

describe('the description of the API', () => {
  let test: TestApp
  let document: ApiDocument
  let operations: { path: string; method: string; operation: Operation }[]
  beforeAll(async () => {
    test = await testApp()
    document = await (await test.app.request('/api/openapi.json')).json()
    operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    )
  })
  afterAll(() => test.close())

  it('is OpenAPI 3.1, and anyone may read it', () => {
    expect(document.openapi).toBe('3.1.0')
  })

  it('has every route under /api, and no other', () => {
    const described = operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`).sort()
    const mounted = test.app.routes
      .filter((route) => route.path.startsWith('/api/') && route.method !== 'ALL')
      .map((route) => `${route.method} ${route.path.replaceAll(/:(\w+)/g, '{$1}')}`)
    expect(described).toEqual([...new Set(mounted)].sort())
    expect(described.length).toBeGreaterThan(35)
  })

  it('says of every operation what it is for, in a sentence of its own', () => {
    const summaries = operations.map(({ operation }) => operation.summary ?? '')
    expect(summaries.filter((summary) => summary === '')).toEqual([])
    expect(summaries.filter((summary, at) => summaries.indexOf(summary) !== at)).toEqual([])
  })

  it('names a code of the table, with its status, in each error response', () => {
    const wrong = operations.flatMap(({ path, method, operation }) =>
      Object.entries(operation.responses)
        .filter(([status]) => Number(status) >= 400)
        .flatMap(([status, response]) =>
          codesIn(response)
            .filter((code) => (statusOf as Record<string, number>)[code] !== Number(status))
            .map((code) => `${method} ${path}: ${status} ${code}`),
        ),
    )
    expect(wrong).toEqual([])
  })

  it('says of every operation that needs a token how it refuses one', () => {
    for (const { operation } of operations) {
      const codes = ['401', '403'].flatMap((status) => codesIn(operation.responses[status] ?? { description: '' }))
      const expected = ['TOKEN_MISSING', 'TOKEN_INVALID', 'TOKEN_SCOPE']
      expect(codes.filter((code) => code !== '')).toEqual(operation.security?.length ? expected : [])
      for (const status of Object.keys(operation.responses)) expect(status).toMatch(/^[2-5]\d\d$/)
    }
  })

  it('gives every error response the one shape', () => {
    const shapes = operations.flatMap(({ operation }) =>
      Object.entries(operation.responses)
        .filter(([status]) => Number(status) >= 400)
        .map(([, response]) => response.content?.['application/json']?.schema?.$ref),
    )
    expect(new Set(shapes)).toEqual(new Set(['#/components/schemas/ErrorResponse']))
  })

  it('says which scope each operation needs', () => {
    const scopes = Object.fromEntries(
      operations.map(({ path, method, operation }) => [`${method} ${path}`, operation.security?.[0]?.token?.[0]]),
    )
    expect(scopes).toMatchObject({
      'get /api/nodes': 'read',
      'patch /api/nodes': 'edit',
      'post /api/images/{name}/versions': 'edit',
      'get /api/tokens': 'admin',
      'delete /api/tokens/{name}': 'admin',
      'get /api/docs': undefined,
      'get /api/openapi.json': undefined,
    })
  })

  it('has patterns that are regular expressions', () => {
    const patterns: string[] = []
    JSON.stringify(document, (key, value) => {
      if (key === 'pattern') patterns.push(value)
      return value
    })
    expect(patterns.length).toBeGreaterThan(20)
    for (const pattern of patterns) {
      expect(() => new RegExp(pattern, 'u')).not.toThrow()
      expect(pattern).not.toMatch(/\/[a-z]+$/)
    }
  })

  it('refers to no schema that is not there', () => {
    const wanted = [...JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g)].map(
      (match) => match[1] ?? '',
    )
    expect(wanted.filter((name) => !document.components.schemas[name])).toEqual([])
    expect(document.components.schemas.Settings?.properties?.kernel).toMatchObject({
      properties: { args: { items: {} } },
    })
  })
})
