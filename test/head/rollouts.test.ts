/** Rollouts on a head node: nobody has to ask for the next wave. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { type Head, startHead } from '../../src/head.ts'
import type { Log } from '../../src/log.ts'
import { setCurrent } from '../../src/registry/images.ts'
import { openRegistry } from '../../src/registry/sqlite.ts'
import { cpioFiles } from '../boot-plan/cpio-files.ts'
import { seedsFor } from '../boot-plan/fixtures.ts'

let folder: string
let head: Head
const log = vi.fn<Log>()
const macs = { n1: '52:54:00:00:00:01', n2: '52:54:00:00:00:02' }

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'muster-head-'))
  const data = join(folder, 'data')
  mkdirSync(data, { mode: 0o700 })
  const registry = openRegistry(join(data, 'registry.db'))
  const { seedImage, seedNode } = seedsFor(registry.database)
  for (const entries of [1, 2]) await seedImage('rocky9', { entries })
  await setCurrent(registry.database, { author: 'test', at: new Date() }, 'rocky9', 1)
  for (const [name, mac] of Object.entries(macs)) await seedNode(name, mac, { image: 'rocky9' })
  registry.close()
  log.mockClear()
  const env = { MUSTER_DATA: data, MUSTER_HOST: '127.0.0.1', MUSTER_PORT: '0' }
  head = await startHead(readConfig(env, folder), { log, rolloutPause: 20 })
})
afterEach(async () => {
  await head.close()
  rmSync(folder, { recursive: true })
})

const request = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${head.port}${path}`, init)
// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
const call = async (method: string, path: string, body?: unknown): Promise<any> => {
  const token = readFileSync(join(folder, 'data/admin.token'), 'utf8').trim()
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
  return (await request(path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) })).json()
}

async function boot(mac: string, kind: 'ready' | 'failed'): Promise<void> {
  const path = /\/boot\/[0-9a-f:]+\/[0-9a-f]{32}/.exec(await (await request(`/boot/${mac}`)).text())?.[0]
  const archive = new Uint8Array(await (await request(`${path}/ticket.cpio`)).arrayBuffer())
  const ticket = new TextDecoder().decode(cpioFiles(archive).get('muster/ticket')?.content).trim()
  const headers = { Authorization: `Bearer ${ticket}` }
  await request('/self/events', { method: 'POST', headers, body: JSON.stringify({ kind }) })
}

describe('a head node', () => {
  it('gives out the next wave by itself when the one before is ready, and ends the rollout', async () => {
    const { id } = await call('POST', '/api/rollouts', { image: 'rocky9@2', nodes: 'n[1-2]' })
    await boot(macs.n1, 'ready')
    await vi.waitFor(async () => expect(await call('GET', `/api/rollouts/${id}`)).toMatchObject({ begun: 2 }), 5000)
    await boot(macs.n2, 'ready')
    await vi.waitFor(
      async () => expect(await call('GET', `/api/rollouts/${id}`)).toMatchObject({ state: 'finished' }),
      5000,
    )
    expect(await call('GET', '/api/images/rocky9')).toMatchObject({ current: 2 })
    expect(log.mock.calls.filter(([level]) => level === 'error')).toEqual([])
  })

  it('takes a rollout back by itself, also one from before a restart', async () => {
    const { id } = await call('POST', '/api/rollouts', { image: 'rocky9@2', nodes: 'n[1-2]' })
    await boot(macs.n1, 'failed')
    await head.close()
    const env = { MUSTER_DATA: join(folder, 'data'), MUSTER_HOST: '127.0.0.1', MUSTER_PORT: '0' }
    head = await startHead(readConfig(env, folder), { log, rolloutPause: 20 })
    await vi.waitFor(
      async () => expect(await call('GET', `/api/rollouts/${id}`)).toMatchObject({ state: 'reverted' }),
      5000,
    )
    expect((await call('GET', '/api/nodes/n1')).settings.image).toBe('rocky9')
  })
})
