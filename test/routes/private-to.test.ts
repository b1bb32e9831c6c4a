/** Who gets private files, by real connections on loopback: from low ports and high ones, from this address and that. */
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Settings } from '../../src/registry/settings.ts'
import { onError } from '../../src/routes/errors.ts'
import { checkPrivate } from '../../src/routes/private-to.ts'
import type { Services } from '../../src/services.ts'

let server: Server
let port: number
let privateTo: Services['privateTo']
let settings: Settings

const app = new Hono()
app.onError(onError({ log: () => undefined }))
app.get('/', (c) => {
  checkPrivate(c, { name: 'n001', profiles: [], settings }, { privateTo })
  return c.text('private')
})

beforeEach(async () => {
  privateTo = 'node'
  settings = {}
  server = createServer(getRequestListener(app.fetch))
  // Every address, IPv4 and IPv6 on one socket, as a head node listens.
  server.listen(0)
  await once(server, 'listening')
  port = (server.address() as AddressInfo).port
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

/** A port that nobody but root can have, another one each time: the last connection from one may linger. */
let nextLow = 900
const low = () => nextLow++

/** What is answered to a request from an address and a port; 0 is any high one. Fails when the port cannot be had. */
async function ask(localAddress: string, localPort: number, headers: Record<string, string> = {}): Promise<string> {
  const host = localAddress.includes(':') ? '::1' : '127.0.0.1'
  const sent = request({ host, port, localAddress, localPort, headers, agent: false })
  const answer = new Promise<string>((resolve, reject) => {
    sent.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EACCES'
          ? new Error(`this test must be root, or have CAP_NET_BIND_SERVICE, to send from port ${localPort}`)
          : error,
      ),
    )
    sent.once('response', async (response) => {
      let text = ''
      for await (const chunk of response) text += String(chunk)
      resolve(
        response.statusCode === 200
          ? text
          : `${response.statusCode} ${JSON.parse(text).code}: ${JSON.parse(text).message}`,
      )
    })
  })
  sent.end()
  return answer
}

const own = { default: { address: '127.0.0.2/8' }, ib0: { address: '127.0.0.3/8', address6: '::0:1/128' } }
const denied = '403 SECRET_DENIED: private files of n001 are not given to this request: '
const elsewhere = ', or where NAT or a proxy hides who asks, set MUSTER_PRIVATE_TO=ticket'

describe('to node', () => {
  it.each([
    ['an address of the node', '127.0.0.2'],
    ['another one of its addresses', '127.0.0.3'],
    ['its IPv6 address, however it is written in the settings', '::1'],
  ])('root at %s gets private files', async (_label, address) => {
    settings = { netdevs: own }
    expect(await ask(address, low())).toBe('private')
  })

  it.each(['127.0.0.2', '::1'])('a user at %s does not', async (address) => {
    settings = { netdevs: own }
    expect(await ask(address, 0)).toMatch(
      new RegExp(`^${denied}the request comes from a port that any user of the node can have: send it as root`),
    )
  })

  it('root elsewhere does not, whatever a header says, and is told which addresses the node has', async () => {
    settings = { netdevs: own }
    const headers = {
      'CF-Connecting-IP': '127.0.0.2',
      'X-Forwarded-For': '127.0.0.2',
      Forwarded: 'for="127.0.0.2:900"',
    }
    expect(await ask('127.0.0.4', low(), headers)).toBe(
      `${denied}the request comes from 127.0.0.4 and not from 127.0.0.2 or 127.0.0.3 or ::1: correct the node's netdevs${elsewhere}`,
    )
  })

  it.each([
    ['without netdevs', {}],
    ['that has MACs only', { netdevs: { default: { mac: '52:54:00:00:00:01' } } }],
    ['whose address was cleared', { netdevs: { default: { mac: '52:54:00:00:00:01', address: null } } }],
  ])('root anywhere is enough for a node %s', async (_label, its) => {
    settings = its
    expect(await ask('127.0.0.9', low())).toBe('private')
    expect(await ask('127.0.0.9', 0)).toMatch(/^403 SECRET_DENIED/)
  })

  it("1023 is the last port that is root's", async () => {
    expect(await ask('127.0.0.2', 1023)).toBe('private')
    expect(await ask('127.0.0.2', 1024)).toMatch(/a port that any user of the node can have/)
  })

  it('curl asks from such a port when it is told to', async () => {
    const { status, stderr } = spawnSync('curl', ['--version'])
    if (status !== 0) throw new Error(`curl is missing: install the package curl ${stderr}`)
    // Not `spawnSync`: the server that answers is in this process.
    const curl = (...args: string[]) =>
      new Promise<string>((resolve) => {
        execFile('curl', ['-s', ...args, `http://127.0.0.1:${port}/`], (_error, stdout) => resolve(stdout))
      })
    expect(await curl('--local-port', '600-899')).toBe('private')
    expect(JSON.parse(await curl())).toMatchObject({ code: 'SECRET_DENIED' })
  })

  it('nobody gets them where no port can be seen', async () => {
    const answer = await app.request('/', { headers: { 'CF-Connecting-IP': '127.0.0.2' } }, { DB: {} })
    expect([answer.status, (await answer.json()).message]).toEqual([
      403,
      'private files of n001 are not given to this request: nobody can tell here which port a request comes from: set MUSTER_PRIVATE_TO=ticket',
    ])
  })
})

describe('to ticket', () => {
  beforeEach(() => {
    privateTo = 'ticket'
    settings = { netdevs: own }
  })

  it('whoever has shown the ticket gets them, from any port and address', async () => {
    expect(await ask('127.0.0.4', 0)).toBe('private')
    expect(await (await app.request('/', {}, { DB: {} })).text()).toBe('private')
  })
})
