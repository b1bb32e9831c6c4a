import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { events } from '../../src/activity/schema.ts'
import { setCurrent } from '../../src/registry/images.ts'
import { seedsFor } from '../boot-plan/fixtures.ts'
import { type WorkerService, workerService } from './service.ts'

describe('rollouts on a Worker', () => {
  let worker: WorkerService
  beforeAll(async () => {
    worker = await workerService()
  })
  afterAll(() => worker.close())

  it('move on when the cron trigger fires, and not before', async () => {
    const { seedImage, seedNode, seedToken } = seedsFor(worker.registry)
    for (const entries of [1, 2]) await seedImage('rocky9', { entries })
    await setCurrent(worker.registry, { author: 'test', at: new Date() }, 'rocky9', 1)
    for (const name of ['n1', 'n2']) await seedNode(name, `52:54:00:00:00:0${name[1]}`, { image: 'rocky9' })
    const token = await seedToken('edit')
    const call = async (method: string, path: string, body?: unknown) => {
      const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
      const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) }
      return (await worker.request(`/api/rollouts${path}`, init)).json() as Promise<{ id: number; begun: number }>
    }
    const { id } = await call('POST', '', { image: 'rocky9@2', nodes: 'n[1-2]' })
    const script = await (await worker.request('/boot/52:54:00:00:00:01')).text()
    const attempt = /\/boot\/[0-9a-f:]+\/([0-9a-f]{32})/.exec(script)?.[1] ?? ''
    expect(await worker.tick()).toBe('ok')
    expect(await call('GET', `/${id}`)).toMatchObject({ begun: 1, waves: [{ nodes: [{ state: 'booting' }] }, {}] })
    await worker.activity.insert(events).values({ attempt, at: new Date(), kind: 'ready', detail: {} })
    expect(await call('GET', `/${id}`)).toMatchObject({ begun: 1, waves: [{ nodes: [{ state: 'ready' }] }, {}] })
    expect(await worker.tick()).toBe('ok')
    expect(await call('GET', `/${id}`)).toMatchObject({ begun: 2 })
  })
})
