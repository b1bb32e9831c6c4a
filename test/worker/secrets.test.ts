import { afterEach, describe, expect, it } from 'vitest'
import { seedsFor } from '../boot-plan/fixtures.ts'
import { type WorkerService, workerService } from './service.ts'

let worker: WorkerService
afterEach(() => worker.close())

const start = async (secrets: Record<string, string> = {}) => {
  worker = await workerService(secrets)
  const token = await seedsFor(worker.registry).seedToken('edit')
  return async (method: string, path: string, body?: unknown) => {
    const answer = await worker.request(`/api/secrets${path}`, {
      method,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return [answer.status, await answer.json()] as const
  }
}

describe('secrets on a Worker', () => {
  it('are sealed with the key of its secret binding, and key pairs of every kind are made there', async () => {
    const call = await start({ MUSTER_SECRET_KEY: 'ab'.repeat(32) })
    expect(await call('PUT', '/cluster/munge', { value: 'canary' })).toMatchObject([
      200,
      { name: 'munge', public: null },
    ])
    for (const [kind, type] of [
      ['ssh-ed25519', 'ssh-ed25519'],
      ['ssh-ecdsa', 'ecdsa-sha2-nistp256'],
      ['ssh-rsa', 'ssh-rsa'],
    ]) {
      const made = await call('POST', `/cluster/${kind}/generate`, { kind })
      expect(made).toMatchObject([200, { public: expect.stringMatching(`^${type} \\S+ cluster$`) }])
    }
    expect(await call('GET', '')).toMatchObject([200, { items: [{}, {}, {}, {}] }])
    const row = await worker.registry.query.secrets.findFirst()
    expect(row?.sealed).not.toContain('canary')
  })

  it('are refused where there is no key, with the way to give one', async () => {
    const call = await start()
    const [status, refusal] = await call('PUT', '/cluster/munge', { value: 'canary' })
    expect(status).toBe(501)
    expect(refusal).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('MUSTER_SECRET_KEY') })
    expect((await worker.request('/healthz')).status).toBe(200)
  })

  it('are locked when the key is none, which is not told, and everything else goes on', async () => {
    const call = await start({ MUSTER_SECRET_KEY: 'hunter2' })
    const why = 'the secret MUSTER_SECRET_KEY of the Worker must be 64 hex digits: openssl rand -hex 32 makes some'
    expect(await call('PUT', '/cluster/munge', { value: 'canary' })).toEqual([
      500,
      { code: 'SECRET_LOCKED', message: `secret cluster/munge is locked: ${why}` },
    ])
    expect(await call('GET', '')).toEqual([200, { items: [], next: null }])
  })
})
