/** Machines that nobody knows: how they are found, approved and forgotten. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createApp } from '../../src/app.ts'
import { getNode } from '../../src/registry/nodes.ts'
import { type TestServices, testServices } from '../boot-plan/fixtures.ts'

const mac = '52:54:00:00:00:01'
const uuid = '4c4c4544-0043-3510-8052-b4c04f4e4d31'
let test: TestServices
let app: ReturnType<typeof createApp>
let token: string
beforeEach(async () => {
  test = await testServices()
  app = createApp(test.services)
  token = await test.seedToken('edit')
  await test.seedImage('rocky9')
})
afterEach(() => test.close())

const api = async (path: string, init: RequestInit = {}) =>
  app.request(`/api/discovered${path}`, {
    ...init,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
  })
const list = async () => (await (await api('')).json()) as { mac: string }[]
const approve = (body: object, of = mac) => api(`/${of}/approve`, { method: 'POST', body: JSON.stringify(body) })
const refusal = async (answer: Response) => [answer.status, ((await answer.json()) as { code: string }).code]

describe('/api/discovered', () => {
  it('lists machines, the one seen last first', async () => {
    await app.request(`/boot/${mac}?uuid=${uuid}&arch=x86_64`)
    test.clock.forward(1)
    await app.request('/boot/52-54-00-00-00-02', { headers: { 'CF-Connecting-IP': '10.0.0.7' } })
    test.clock.forward(1)
    await app.request('/boot/nonsense')
    expect(await list()).toEqual([
      {
        mac: '52:54:00:00:00:02',
        facts: {},
        address: '10.0.0.7',
        firstSeenAt: '2026-01-31T12:01:00.000Z',
        lastSeenAt: '2026-01-31T12:01:00.000Z',
        requests: 1,
      },
      expect.objectContaining({ mac, facts: { uuid, arch: 'x86_64' }, address: null }),
    ])
  })

  it('makes a machine a node with its MAC, UUID and serial, and takes it off the list', async () => {
    await app.request(`/boot/${mac}?uuid=${uuid.toUpperCase()}&serial=ABC&product=R740`)
    const made = await approve({ name: 'n001', settings: { image: 'rocky9' } })
    expect(made.status).toBe(201)
    expect(await made.json()).toMatchObject({
      name: 'n001',
      settings: { image: 'rocky9', uuid, serial: 'ABC', netdevs: { default: { mac } } },
    })
    expect(made.headers.get('x-revision')).toBe('3')
    expect(await list()).toEqual([])
    expect(await (await app.request(`/boot/${mac}?uuid=${uuid}&serial=ABC`)).text()).toContain(': n001 boots rocky9@1')
    expect(await (await app.request(`/boot/${mac}?serial=ABD`)).text()).toContain('not that of n001')
    expect(test.logged.filter((line) => line.includes('another machine'))).toEqual([
      expect.stringContaining('"node":"n001","differs":"serial ABD, not ABC"'),
    ])
  })

  it('gives the MAC to the netdev that is asked for, beside what that has', async () => {
    await app.request(`/boot/${mac}`)
    await test.seedProfile('all', { image: 'rocky9' })
    const made = await approve({
      name: 'n001',
      profiles: ['all'],
      netdev: 'ib0',
      settings: { netdevs: { ib0: { address: '10.1.0.1/24' }, eth0: { device: 'eth0' } }, serial: 'mine' },
    })
    expect(made.status).toBe(201)
    expect(await getNode(test.services.registry, 'n001')).toMatchObject({
      profiles: ['all'],
      settings: { serial: 'mine', netdevs: { ib0: { address: '10.1.0.1/24', mac }, eth0: { device: 'eth0' } } },
    })
  })

  it('leaves out a UUID that is none', async () => {
    await app.request(`/boot/${mac}?uuid=Not%20Settable&serial=To%20be%20filled%20by%20O.E.M.`)
    expect((await approve({ name: 'n001' })).status).toBe(201)
    const { settings } = await getNode(test.services.registry, 'n001')
    expect(settings).toEqual({ serial: 'To be filled by O.E.M.', netdevs: { default: { mac } } })
  })

  it('refuses what would make no node, and keeps the machine', async () => {
    await app.request(`/boot/${mac}`)
    await test.seedNode('n001', '52:54:00:00:00:09')
    expect(await refusal(await approve({ name: 'n001' }))).toEqual([409, 'NODE_EXISTS'])
    expect(await refusal(await approve({ name: 'n002', profiles: ['gone'] }))).toEqual([404, 'PROFILE_UNKNOWN'])
    const other = { netdevs: { default: { mac: '52:54:00:00:00:08' } } }
    expect(await refusal(await approve({ name: 'n002', settings: other }))).toEqual([400, 'SETTINGS_INVALID'])
    expect((await approve({ name: 'Not A Name' })).status).toBe(400)
    expect(await refusal(await approve({ name: 'n002' }, '52:54:00:00:00:07'))).toEqual([404, 'MACHINE_UNKNOWN'])
    expect(await refusal(await approve({ name: 'n002' }, 'nonsense'))).toEqual([404, 'MACHINE_UNKNOWN'])
    expect(await list()).toHaveLength(1)
  })

  it('takes a MAC in any spelling', async () => {
    await app.request(`/boot/${mac}`)
    expect((await approve({ name: 'n001' }, '52-54-00-00-00-01')).status).toBe(201)
  })

  it('forgets a machine until it asks again', async () => {
    await app.request(`/boot/${mac}`)
    expect((await api(`/${mac}`, { method: 'DELETE' })).status).toBe(204)
    expect(await list()).toEqual([])
    expect(await refusal(await api(`/${mac}`, { method: 'DELETE' }))).toEqual([404, 'MACHINE_UNKNOWN'])
    test.clock.forward(1)
    await app.request(`/boot/${mac}`)
    expect(await list()).toHaveLength(1)
  })
})
