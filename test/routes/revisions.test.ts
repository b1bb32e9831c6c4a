import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startOfTests, type TestApp, testApp } from '../harness.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
})
afterEach(() => test.close())

describe('/api/revisions', () => {
  it('lists who edited, when and why, newest first, in pages', async () => {
    test.at(new Date('2026-02-01T00:00:00Z'))
    await test.call('PUT', '/api/nodes/n1?message=new', { body: {} })
    await test.call('PUT', '/api/nodes/n2', { body: {}, scope: 'admin', headers: { 'x-message': 'by header' } })
    const { items, next } = await test.call('GET', '/api/revisions?limit=2')
    expect(items).toEqual([
      { id: 5, at: '2026-02-01T00:00:00.000Z', author: 'the-admin', message: 'by header' },
      { id: 4, at: '2026-02-01T00:00:00.000Z', author: 'the-edit', message: 'new' },
    ])
    expect(next).toBe(4)
    const rest = await test.call('GET', `/api/revisions?limit=100&before=${next}`)
    expect(rest.items.map(({ id }: { id: number }) => id)).toEqual([3, 2, 1])
    expect(rest.items[0]).toMatchObject({ author: 'tester', at: startOfTests.toISOString() })
    expect(rest.next).toBeNull()
  })

  it('shows a revision with all that it changed, by noun and name', async () => {
    await test.call('POST', '/api/nodes', { body: { names: 'n[1-3]' } })
    const { revision } = await test.call('DELETE', '/api/nodes?select=n[2-3]')
    expect(await test.call('GET', `/api/revisions/${revision}`)).toMatchObject({
      id: revision,
      changes: [
        { noun: 'node', name: 'n2', before: { profiles: [], settings: {} }, after: null },
        { noun: 'node', name: 'n3', before: { profiles: [], settings: {} }, after: null },
      ],
    })
  })

  it.each([
    ['/api/revisions/999', 404, 'REVISION_UNKNOWN'],
    ['/api/revisions/0', 400, 'REQUEST_INVALID'],
    ['/api/revisions/x', 400, 'REQUEST_INVALID'],
    ['/api/revisions/1e3', 400, 'REQUEST_INVALID'],
    ['/api/revisions?before=x', 400, 'REQUEST_INVALID'],
  ])('answers %s with %s %s', async (path, status, code) => {
    const response = await test.send('GET', path)
    expect([response.status, (await response.json()).code]).toEqual([status, code])
  })

  it('refuses messages of several lines, and ones without an end', async () => {
    for (const message of ['a%0ab', 'x'.repeat(1001)]) {
      const response = await test.send('PUT', `/api/nodes/n1?message=${message}`, { body: {} })
      expect([response.status, (await response.json()).code]).toEqual([400, 'REQUEST_INVALID'])
    }
    const response = await test.send('DELETE', '/api/nodes/n1', { headers: { 'x-message': 'x'.repeat(1001) } })
    expect([response.status, (await response.json()).field]).toEqual([400, 'message'])
  })
})
