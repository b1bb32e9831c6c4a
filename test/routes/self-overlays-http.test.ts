/** What a node is sent, byte by byte: busybox wget and old proxies speak HTTP/1.0. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addImage, type TestApp, testApp } from '../harness.ts'
import { type BootedNode, bootNode } from './booted-node.ts'

const mac = '52:54:00:00:00:02'
let test: TestApp
let node: BootedNode
let server: Server
beforeAll(async () => {
  test = await testApp({ privateTo: 'ticket' })
  await addImage(test, 'rocky9')
  const files = { 'files/etc/small': 's', 'files/etc/large': 'x'.repeat(300_000) }
  await test.call('PUT', '/api/overlays/site', {
    body: { files: Object.entries(files).map(([path, text]) => ({ path, content: btoa(text) })) },
  })
  await test.call('PUT', '/api/nodes/n2', {
    body: {
      settings: { image: 'rocky9', netdevs: { default: { mac } }, overlays: { system: ['site'], runtime: ['site'] } },
    },
  })
  node = await bootNode(test, mac)
  server = createServer(getRequestListener((request, env) => test.app.fetch(request, env))).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(async () => {
  server.close()
  await test.close()
})

/** A request on a connection of its own, and all that comes back until the other side ends it. */
async function exchange(path: string, version: '1.0' | '1.1', headers: Record<string, string> = {}) {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const lines = [
    `GET ${path} HTTP/${version}`,
    'Host: head',
    `Authorization: Bearer ${node.token}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(version === '1.1' ? ['Connection: close'] : []),
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  const answer = Buffer.concat(chunks)
  const end = answer.indexOf('\r\n\r\n')
  const [status = '', ...fields] = answer.subarray(0, end).toString().split('\r\n')
  const named = new Map(fields.map((field) => [field.split(': ')[0]?.toLowerCase(), field.split(': ')[1]]))
  return { status: Number(status.split(' ')[1]), headers: named, body: answer.subarray(end + 4) }
}

describe.each(['1.0', '1.1'] as const)('over HTTP/%s', (version) => {
  it('lists, archives large and small, and archives for the kernel have a length and no chunks', async () => {
    const list = await exchange('/self/overlays/runtime', version)
    const etag = list.headers.get('etag') ?? ''
    const match = { 'If-Match': etag }
    const answers = [
      list,
      await exchange('/self/overlays/runtime/archive?lines=2', version, match),
      await exchange('/self/overlays/runtime/archive?lines=3', version, match),
      await exchange('/self/overlays/runtime/archive?lines=2-3', version, match),
      await exchange(`${node.attempt}/system.cpio`, version),
    ]
    for (const { status, headers, body } of answers) {
      expect(status).toBe(200)
      expect(headers.get('content-length')).toBe(String(body.length))
      expect(headers.has('transfer-encoding')).toBe(false)
      expect(headers.has('content-encoding')).toBe(false)
    }
    expect(answers.map(({ body }) => body.length > 300_000)).toEqual([false, true, false, true, true])
  })

  it('304 has no body, and refusals have a length, too', async () => {
    const { headers } = await exchange('/self/overlays/runtime', version)
    const same = await exchange('/self/overlays/runtime', version, { 'If-None-Match': headers.get('etag') ?? '' })
    expect([same.status, same.body.length, same.headers.has('transfer-encoding')]).toEqual([304, 0, false])
    const refused = await exchange('/self/overlays/runtime/archive?lines=2', version, {
      'If-Match': `"${'0'.repeat(64)}"`,
    })
    expect(refused.status).toBe(412)
    expect(refused.headers.get('content-length')).toBe(String(refused.body.length))
  })
})
