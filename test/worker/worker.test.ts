import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listAttempts } from '../../src/activity/attempts.ts'
import { streamOfBytes } from '../blobs/bytes.ts'
import { seedsFor } from '../boot-plan/fixtures.ts'
import { blobRouteSuite } from '../routes/blobs.suite.ts'
import { bootRouteSuite } from '../routes/boot.suite.ts'
import { type WorkerService, workerService } from './service.ts'

blobRouteSuite('the Worker', async () => {
  const { request, blobs, close } = await workerService()
  return { request, put: async (bytes) => (await blobs.add(streamOfBytes(bytes))).digest, close }
})

bootRouteSuite('the Worker', async () => {
  const { request, url, registry, close } = await workerService()
  // Cloudflare's edge, and Miniflare with it, compresses text for clients that ask for it, whatever the Worker says of
  // its length. Firmware, iPXE and GRUB do not ask.
  const asFirmware = (path: string, init?: RequestInit) => {
    const headers = new Headers(init?.headers)
    headers.set('Accept-Encoding', 'identity')
    return request(path, { ...init, headers: Object.fromEntries(headers) })
  }
  return { request: asFirmware, url, ...seedsFor(registry), close }
})

describe('the Worker', () => {
  let worker: WorkerService
  beforeAll(async () => {
    worker = await workerService()
  })
  afterAll(() => worker.close())

  it('answers the first script from the deployed assets', async () => {
    const response = await worker.request('/boot.ipxe')
    expect(response.status).toBe(200)
    expect(await response.text()).toMatch(/^#!ipxe\n/)
  })

  it('serves no asset by its path, since only the app may', async () => {
    for (const path of ['/ipxe/boot.ipxe', '/overlays/base/overlay.yaml', '/index.json'])
      expect((await worker.request(path)).status).toBe(404)
  })

  it('answers monitors, and an admin who has a token', async () => {
    expect((await worker.request('/healthz')).status).toBe(200)
    expect((await worker.request('/api/nodes')).status).toBe(401)
    const headers = { authorization: `Bearer ${await seedsFor(worker.registry).seedToken('admin')}` }
    expect((await worker.request('/api/nodes', { headers })).status).toBe(200)
  })

  it('has an attempt in its database when its script is answered, for whichever isolate is asked next', async () => {
    const { seedImage, seedNode } = seedsFor(worker.registry)
    await seedImage('rocky9')
    await seedNode('n001', '52:54:00:00:00:01', { image: 'rocky9', root: { kind: 'tmpfs' } })
    const headers = { 'CF-Connecting-IP': '10.0.0.1' }
    const script = await (await worker.request('/boot/52:54:00:00:00:01', { headers })).text()
    const [attempt] = await listAttempts(worker.activity, 'n001', 10)
    expect(script).toContain(`/boot/52:54:00:00:00:01/${attempt?.id}/`)
    expect(attempt?.address).toBe('10.0.0.1')
  })
})
