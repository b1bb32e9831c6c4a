import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { currentRevision } from '../../src/registry/revisions.ts'
import { type SendOptions, type TestApp, testApp } from '../harness.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
})
afterEach(() => test.close())

const put = (name: string, body: unknown = {}) => test.call('PUT', `/api/profiles/${name}`, { body })
const refused = async (method: string, path: string, options: SendOptions = {}) => {
  const response = await test.send(method, path, options)
  return { status: response.status, ...(await response.json()) }
}

describe('/api/profiles', () => {
  it('creates, shows, replaces, changes and deletes a profile', async () => {
    const created = await test.send('PUT', '/api/profiles/gpu', { body: { settings: { image: 'rocky9' } } })
    expect(created.status).toBe(201)
    const profile = await created.json()
    expect(created.headers.get('etag')).toBe(`"${profile.revision}"`)
    expect(await test.call('GET', '/api/profiles/gpu')).toEqual(profile)
    expect((await test.send('PUT', '/api/profiles/gpu', { body: { settings: { domain: 'x' } } })).status).toBe(200)
    const body = { settings: { kernel: { args: ['quiet'] }, domain: null } }
    const changed = await test.call('PATCH', '/api/profiles/gpu?clear=ntp', { body })
    expect(changed.settings).toEqual({ kernel: { args: ['quiet'] }, ntp: null })
    expect((await test.send('DELETE', '/api/profiles/gpu')).status).toBe(204)
    expect(await refused('GET', '/api/profiles/gpu')).toEqual({
      status: 404,
      code: 'PROFILE_UNKNOWN',
      message: 'no profile gpu',
    })
    const { items } = await test.call('GET', '/api/profiles/gpu/history')
    expect(items).toHaveLength(4)
    expect(items[0].changes).toMatchObject([{ noun: 'profile', name: 'gpu', after: null }])
  })

  it('lists profiles in pages', async () => {
    for (const name of ['c', 'a', 'b']) await put(name)
    const { items, next } = await test.call('GET', '/api/profiles?limit=2')
    expect([items.map(({ name }: { name: string }) => name), next]).toEqual([['a', 'b'], 'b'])
    const rest = await test.call('GET', '/api/profiles?limit=2&after=b')
    expect([rest.items.map(({ name }: { name: string }) => name), rest.next]).toEqual([['c'], null])
  })

  it('answers 304 to the ETag that the caller has', async () => {
    const { revision } = await put('gpu')
    const headers = { 'if-none-match': `"${revision}"` }
    expect((await test.send('GET', '/api/profiles/gpu', { headers })).status).toBe(304)
  })

  it('refuses to replace, change or delete what the caller has not seen', async () => {
    const { revision } = await put('gpu')
    await put('gpu', { settings: { domain: 'theirs' } })
    const headers = { 'if-match': `"${revision}"` }
    for (const [method, body] of [
      ['PUT', {}],
      ['PATCH', {}],
      ['DELETE', undefined],
    ] as const)
      expect(await refused(method, '/api/profiles/gpu', { body, headers })).toMatchObject({
        status: 412,
        code: 'REVISION_CONFLICT',
      })
    expect(await refused('PUT', '/api/profiles/gpu', { body: {}, headers: { 'if-none-match': '*' } })).toMatchObject({
      status: 412,
    })
    expect((await test.call('GET', '/api/profiles/gpu')).settings).toEqual({ domain: 'theirs' })
  })

  it.each([
    ['itself', ['a'], 'a -> a'],
    ['its child', ['b'], 'b -> a -> b'],
    ['a grandchild', ['c'], 'c -> b -> a -> c'],
  ])('refuses a profile that inherits from %s', async (_label, profiles, circle) => {
    await put('a')
    await put('b', { profiles: ['a'] })
    await put('c', { profiles: ['b'] })
    for (const method of ['PUT', 'PATCH'])
      expect(await refused(method, '/api/profiles/a', { body: { profiles } })).toMatchObject({
        status: 409,
        code: 'PROFILE_CYCLE',
        message: expect.stringContaining(circle),
      })
  })

  it.each([
    ['a MAC', { netdevs: { eth0: { mac: '52:54:00:00:00:01' } } }, 'settings.netdevs.eth0.mac'],
    ['an address', { netdevs: { eth0: { address: '10.0.0.1/24' } } }, 'settings.netdevs.eth0.address'],
    ['an IPv6 address', { netdevs: { eth0: { address6: 'fd00::1/64' } } }, 'settings.netdevs.eth0.address6'],
    ['a uuid', { uuid: crypto.randomUUID() }, 'settings.uuid'],
    ['a serial', { serial: 'X1' }, 'settings.serial'],
    ['an asset tag', { assetTag: 'X1' }, 'settings.assetTag'],
  ])('refuses %s, which belongs to one node', async (_label, settings, field) => {
    expect(await refused('PUT', '/api/profiles/p', { body: { settings } })).toMatchObject({
      status: 400,
      code: 'SETTINGS_INVALID',
      field,
    })
  })

  it('refuses parents that do not exist, and names that are no names', async () => {
    expect(await refused('PUT', '/api/profiles/p', { body: { profiles: ['gone'] } })).toMatchObject({
      status: 404,
      code: 'PROFILE_UNKNOWN',
      message: expect.stringContaining('p lists profile gone'),
    })
    expect(await refused('PUT', '/api/profiles/-p', { body: {} })).toMatchObject({ code: 'NAME_INVALID' })
  })

  it('tells who uses a profile, and is not deleted before', async () => {
    await put('base')
    await put('gpu', { profiles: ['base'] })
    await test.call('POST', '/api/nodes', { body: { names: 'n[1-2]', profiles: ['base'] } })
    expect(await test.call('GET', '/api/profiles/base/users')).toEqual({ nodes: ['n1', 'n2'], profiles: ['gpu'] })
    expect(await test.call('GET', '/api/profiles/gpu/users')).toEqual({ nodes: [], profiles: [] })
    expect(await refused('GET', '/api/profiles/gone/users')).toMatchObject({ code: 'PROFILE_UNKNOWN' })
    expect(await refused('DELETE', '/api/profiles/base')).toMatchObject({
      status: 409,
      code: 'PROFILE_USED',
      message: expect.stringMatching(/node n1, node n2, profile gpu/),
    })
    await test.call('PATCH', '/api/profiles/gpu', { body: { profiles: null } })
    await test.call('DELETE', '/api/nodes?select=n*')
    expect((await test.send('DELETE', '/api/profiles/base')).status).toBe(204)
  })

  it('commits nothing with dryRun', async () => {
    const before = await currentRevision(test.services.registry)
    const tried = await test.call('PUT', '/api/profiles/p?dryRun=true', { body: { settings: { domain: 'x' } } })
    expect(tried).toEqual({
      revision: before,
      changes: [{ noun: 'profile', name: 'p', before: null, after: { profiles: [], settings: { domain: 'x' } } }],
    })
    expect(await refused('GET', '/api/profiles/p')).toMatchObject({ code: 'PROFILE_UNKNOWN' })
  })
})
