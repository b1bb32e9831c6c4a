import { Hono } from 'hono'
import { expect, it } from 'vitest'
import { clientAddress } from '../../src/routes/client-address.ts'

const app = new Hono().get('/', (c) => c.text(String(clientAddress(c))))
const ask = async (env: object, headers: Record<string, string> = {}) =>
  (await app.request('/', { headers }, env)).text()
const from = (remoteAddress?: string) => ({ incoming: { socket: { remoteAddress } } })

it.each([
  ['10.0.0.1', '10.0.0.1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['fd00::1', 'fd00::1'],
  ['::ffff:a00:1', '::ffff:a00:1'],
  [undefined, 'undefined'],
])('is %s of a connection, told as %s', async (remote, told) => {
  expect(await ask(from(remote))).toBe(told)
})

it('is never what a header says where there is a connection', async () => {
  const headers = { 'CF-Connecting-IP': '192.0.2.1', 'X-Forwarded-For': '192.0.2.2' }
  expect(await ask(from('10.0.0.1'), headers)).toBe('10.0.0.1')
  expect(await ask(from(undefined), headers)).toBe('undefined')
})

it('is what Cloudflare says on Workers, and unknown without', async () => {
  expect(await ask({ DB: {} }, { 'CF-Connecting-IP': '192.0.2.1' })).toBe('192.0.2.1')
  expect(await ask({ DB: {} })).toBe('undefined')
})
