/** What the app says when something is wrong: with the request, with the database, with itself. */
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RegistryDatabase } from '../../src/registry/schema.ts'
import { type TestApp, testApp } from '../harness.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
})
afterEach(() => test.close())

const mebibyte = 1024 * 1024
const patchNode = (body: unknown, headers: Record<string, string> = {}) =>
  test.send('PATCH', '/api/nodes/n1', { body, headers })

describe('a request that is refused', () => {
  it('is answered with a code, a message and an id', async () => {
    const response = await test.send('GET', '/api/nodes/n1', { headers: { 'x-request-id': 'mine-1' } })
    expect(response.status).toBe(404)
    expect(await response.json()).toEqual({ code: 'NODE_UNKNOWN', message: 'no node n1' })
    expect(response.headers.get('x-request-id')).toBe('mine-1')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(test.logged).toEqual([])
  })

  it('has an id of ours when the caller gives none that fits into a line', async () => {
    const uuid = /^[0-9a-f]{8}-[0-9a-f-]{27}$/
    for (const given of [undefined, 'x'.repeat(65), 'a b', 'a"b', '<script>']) {
      const headers = given === undefined ? {} : { 'x-request-id': given }
      expect((await test.send('GET', '/api/nodes/n1', { headers })).headers.get('x-request-id')).toMatch(uuid)
    }
  })

  it('is told when nothing is there, and which methods a path has', async () => {
    const nothing = await test.send('GET', '/api/nothing')
    expect([nothing.status, (await nothing.json()).code]).toEqual([404, 'ROUTE_UNKNOWN'])
    const method = await test.send('POST', '/api/nodes/n1')
    expect([method.status, (await method.json()).code]).toEqual([405, 'METHOD_UNKNOWN'])
    expect(method.headers.get('allow')?.split(', ').sort()).toEqual(['DELETE', 'GET', 'HEAD', 'PATCH', 'PUT'])
    expect(method.headers.get('x-request-id')).toBeTruthy()
  })
})

describe('a body', () => {
  beforeEach(() => test.call('PUT', '/api/nodes/n1', { body: {} }))
  const answer = async (body: unknown, headers: Record<string, string> = {}) => {
    const response = await patchNode(body, headers)
    return [response.status, (await response.json()).code]
  }

  it.each([
    ['is no JSON', '{', 'REQUEST_INVALID'],
    ['is empty', '', 'REQUEST_INVALID'],
    ['is two documents', '{}{}', 'REQUEST_INVALID'],
    ['is no UTF-8', new Uint8Array([0x22, 0xff, 0x22]), 'REQUEST_INVALID'],
    ['is a tower of lists', `${'['.repeat(100_000)}`, 'REQUEST_INVALID'],
    ['is a tower of maps', `${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`, 'REQUEST_INVALID'],
  ])('that %s is refused', async (_label, body, code) => {
    expect(await answer(body)).toEqual([400, code])
  })

  it('of another type is refused, whatever is in it', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/x-tar',
      'multipart/form-data; boundary=x',
    ])
      expect(await answer('{"settings":{"domain":"x"}}', { 'content-type': type })).toEqual([400, 'REQUEST_INVALID'])
    expect((await test.call('GET', '/api/nodes/n1')).settings).toEqual({})
  })

  it('is as deep as resources may be', async () => {
    const nested = (depth: number) => `{"settings":{"resources":{"x":${'['.repeat(depth)}${']'.repeat(depth)}}}}`
    expect((await patchNode(nested(61))).status).toBe(200)
    expect(await answer(nested(62))).toEqual([400, 'REQUEST_INVALID'])
    // Brackets within text are no levels, also after a quote or a backslash that does not end it.
    for (const text of ['', '\\"', '\\\\', '\\\\\\"'])
      expect((await patchNode(`{"settings":{"description":"${text}${'[{'.repeat(200)}"}}`)).status).toBe(200)
  })

  it('is at most a mebibyte, also in chunks, also with a length that is a lie', async () => {
    const body = (size: number) => `{"settings":{}}${' '.repeat(size - 15)}`
    expect((await patchNode(body(mebibyte))).status).toBe(200)
    expect(await answer(body(mebibyte + 1))).toEqual([413, 'BODY_TOO_LARGE'])
    expect(await answer(body(mebibyte + 1), { 'content-length': '15' })).toEqual([413, 'BODY_TOO_LARGE'])
    expect(await answer(body(mebibyte + 1), { 'content-length': '15', 'transfer-encoding': 'chunked' })).toEqual([
      413,
      'BODY_TOO_LARGE',
    ])
  })

  it('is read no further than the limit', async () => {
    let sent = 0
    const endless = new ReadableStream({
      pull(controller) {
        sent += 65_536
        controller.enqueue(new Uint8Array(65_536).fill(0x20))
      },
    })
    expect(await answer(endless)).toEqual([413, 'BODY_TOO_LARGE'])
    expect(sent).toBeLessThan(2 * mebibyte)
  })

  it('is not read before it is known who sends it', async () => {
    let sent = 0
    const body = new ReadableStream({ pull: () => void sent++ }, { highWaterMark: 0 })
    const headers = { authorization: 'Bearer garbage' }
    expect(await answer(body, headers)).toEqual([401, 'TOKEN_INVALID'])
    expect(sent).toBe(0)
  })

  it('has the same limits at every route that takes JSON', async () => {
    const document = await (await test.app.request('/api/openapi.json')).json()
    const paths = Object.entries(
      document.paths as Record<string, Record<string, { requestBody?: { content: object } }>>,
    )
    let count = 0
    for (const [path, methods] of paths) {
      for (const [method, { requestBody }] of Object.entries(methods)) {
        if (!requestBody || !('application/json' in requestBody.content)) continue
        count++
        const url = path.replaceAll(/\{\w+\}/g, 'n1')
        const response = await test.send(method.toUpperCase(), url, { scope: 'admin', body: '['.repeat(33 * mebibyte) })
        expect([method, path, response.status]).toEqual([method, path, 413])
        const deep = await test.send(method.toUpperCase(), url, { scope: 'admin', body: '['.repeat(100) })
        expect([method, path, (await deep.json()).message]).toEqual([
          method,
          path,
          expect.stringContaining('64 levels deep'),
        ])
      }
    }
    expect(count).toBeGreaterThan(8)
  })

  it('in chunks over a real connection is counted too, and two lengths are no request', async () => {
    const server = createServer(getRequestListener(test.app.fetch))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address ? address.port : 0
    const head = (lines: string[]) =>
      [
        'PATCH /api/nodes/n1 HTTP/1.1',
        'Host: x',
        `Authorization: Bearer ${test.tokens.edit}`,
        'Content-Type: application/json',
        'Connection: close',
        ...lines,
        '',
        '',
      ].join('\r\n')
    const talk = (text: string) =>
      new Promise<string>((resolve) => {
        let answer = ''
        const socket = connect(port, '127.0.0.1', () => socket.write(text))
        socket.on('data', (data) => {
          answer += data
        })
        // The server may close while we still write; what it said counts.
        socket.on('error', () => {})
        socket.on('close', () => resolve(answer))
      })
    try {
      const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`
      const chunked = ['Transfer-Encoding: chunked']
      expect(await talk(`${head(chunked)}${chunk.repeat(40)}0\r\n\r\n`)).toMatch(/^HTTP\/1\.1 413 /)
      expect(await talk(`${head(chunked)}f\r\n{"settings":{}}\r\n0\r\n\r\n`)).toMatch(/^HTTP\/1\.1 200 /)
      const both = [...chunked, 'Content-Length: 15']
      expect(await talk(`${head(both)}${chunk.repeat(40)}0\r\n\r\n`)).toMatch(/^HTTP\/1\.1 (400|413) /)
    } finally {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  })
})

describe('a fault of ours', () => {
  const canary = 'canary-5f2d8c'
  /** A registry whose queries fail as the driver's do, with the secrets of the request in the message's details. */
  const broken = (registry: RegistryDatabase): RegistryDatabase =>
    new Proxy(registry, {
      get(target, key) {
        if (key === 'select' && failing) {
          const error = new Error(`Failed query: select ?\nparams: ${canary}`, { cause: new Error('disk I/O error') })
          throw Object.assign(error, { query: 'select ?', params: [canary] })
        }
        return Reflect.get(target, key)
      },
    })
  let failing = false

  it('is answered without detail and logged once, with its causes and no parameter', async () => {
    failing = false
    const again = await testApp({ registry: broken(test.services.registry) })
    try {
      failing = true
      const response = await again.app.request(`/api/nodes/n1?message=${canary}`, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${test.tokens.edit}`, 'x-request-id': 'the-id' },
      })
      expect(response.status).toBe(500)
      expect(await response.json()).toEqual({ code: 'INTERNAL', message: expect.stringContaining('the-id') })
      expect(again.logged).toHaveLength(1)
      expect(again.logged[0]).toMatchObject({
        level: 'error',
        facts: { id: 'the-id', method: 'DELETE', path: '/api/nodes/n1' },
      })
      const line = JSON.stringify(again.logged)
      expect(line).toContain('disk I/O error')
      expect(line).toContain('failed query: select ?')
      expect(line).not.toContain(canary)
      expect(line).not.toContain(test.tokens.edit)
    } finally {
      failing = false
      await again.close()
    }
  })

  it('of the registry is never "not found", and shows on /healthz', async () => {
    failing = false
    const again = await testApp({ registry: broken(test.services.registry) })
    try {
      const health = async () => {
        const response = await again.app.request('/healthz')
        return [response.status, await response.json()]
      }
      expect(await health()).toEqual([200, { ok: true }])
      failing = true
      expect(await health()).toEqual([503, { ok: false }])
      for (const path of ['/api/nodes/n1', '/api/profiles/p', '/api/images/i', '/api/revisions/1', '/api/overlays'])
        expect(
          (await again.send('GET', path, { headers: { authorization: `Bearer ${test.tokens.read}` } })).status,
        ).toBe(500)
    } finally {
      failing = false
      await again.close()
    }
  })
})

describe('secrets', () => {
  it('are in no answer and no line of the log when they come where they do not belong', async () => {
    const canary = 'canary-91a7'
    const attempts: [string, string, object][] = [
      ['PUT', '/api/nodes/n1', { body: { settings: { bmc: { password: canary } } } }],
      ['PUT', '/api/nodes/n1', { body: `{"settings": {"bmc": {"password": "${canary}"` }],
      ['PUT', '/api/nodes/n1', { body: { settings: { [`x${'y'.repeat(9)}`]: canary } } }],
      ['POST', '/api/tokens', { scope: 'admin', body: { name: 'ci', scope: 'read', expiresAt: canary } }],
      ['GET', '/api/nodes', { headers: { authorization: `Bearer ${canary}` } }],
      ['GET', '/api/nodes', { headers: { authorization: `Basic ${btoa(canary)}` } }],
      ['POST', '/api/nodes', { headers: { 'content-type': 'text/plain' }, body: canary }],
    ]
    for (const [method, path, options] of attempts) {
      const response = await test.send(method, path, options)
      expect([method, path, response.status >= 400]).toEqual([method, path, true])
      const text = await response.text()
      expect(text).not.toContain(canary)
      expect(text).not.toContain(btoa(canary))
    }
    expect(JSON.stringify(test.logged)).not.toContain(canary)
  })
})
