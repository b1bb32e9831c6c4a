import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { currentRevision } from '../../src/registry/revisions.ts'
import { addImage, startOfTests, type TestApp, testApp } from '../harness.ts'
import { statementsOf } from '../registry/statements.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
})
afterEach(() => test.close())

const mac = (number: number) => `52:54:00:00:00:${number.toString(16).padStart(2, '0')}`
const put = (name: string, body: unknown = {}, path = '') => test.call('PUT', `/api/nodes/${name}${path}`, { body })
const patch = (name: string, settings: unknown, query = '') =>
  test.call('PATCH', `/api/nodes/${name}${query}`, { body: { settings } })
const refused = async (method: string, path: string, options = {}) => {
  const response = await test.send(method, path, options)
  expect(response.headers.get('x-request-id')).toMatch(/^[\w-]+$/)
  return { status: response.status, ...(await response.json()) }
}
const revision = () => currentRevision(test.services.registry)

describe('PUT /api/nodes/{name}', () => {
  it('creates a node and gives it back with its ETag', async () => {
    const body = {
      profiles: [],
      settings: { netdevs: { default: { mac: '52-54-00-AA-BB-CC', address: '10.0.0.1/24' } } },
    }
    const response = await test.send('PUT', '/api/nodes/n001?message=new%20rack', { body })
    expect(response.status).toBe(201)
    const node = await response.json()
    expect(node).toEqual({
      name: 'n001',
      profiles: [],
      settings: { netdevs: { default: { mac: '52:54:00:aa:bb:cc', address: '10.0.0.1/24' } } },
      revision: await revision(),
      changedAt: startOfTests.toISOString(),
    })
    expect(response.headers.get('etag')).toBe(`"${node.revision}"`)
    expect(response.headers.get('x-revision')).toBe(String(node.revision))
    expect(await test.call('GET', '/api/nodes/n001')).toEqual(node)
    expect(await test.call('GET', `/api/revisions/${node.revision}`)).toMatchObject({
      author: 'the-edit',
      message: 'new rack',
      changes: [{ noun: 'node', name: 'n001', before: null }],
    })
  })

  it('replaces a node whole, and answers 200', async () => {
    await put('n001', { settings: { domain: 'a', tags: { rack: 'r1' } } })
    const response = await test.send('PUT', '/api/nodes/n001', { body: { settings: { domain: 'b' } } })
    expect(response.status).toBe(200)
    expect((await response.json()).settings).toEqual({ domain: 'b' })
  })

  it('makes no revision of what is there already', async () => {
    await put('n001', { settings: { tags: { a: '1', b: '2' } } })
    const before = await revision()
    await put('n001', { settings: { tags: { b: '2', a: '1' } } })
    expect(await revision()).toBe(before)
  })

  it('only creates with If-None-Match: *', async () => {
    await put('n001')
    const headers = { 'if-none-match': '*' }
    expect(await refused('PUT', '/api/nodes/n001', { body: {}, headers })).toMatchObject({
      status: 409,
      code: 'NODE_EXISTS',
    })
    expect((await test.send('PUT', '/api/nodes/n002', { body: {}, headers })).status).toBe(201)
  })

  it('only replaces what the caller saw with If-Match', async () => {
    const { revision: seen } = await put('n001')
    await patch('n001', { domain: 'theirs' })
    const headers = { 'if-match': `"${seen}"` }
    expect(await refused('PUT', '/api/nodes/n001', { body: {}, headers })).toMatchObject({
      status: 412,
      code: 'REVISION_CONFLICT',
      message: expect.stringContaining('node n001 is at revision'),
    })
    expect(await refused('PUT', '/api/nodes/n002', { body: {}, headers: { 'if-match': '*' } })).toMatchObject({
      status: 412,
      message: expect.stringContaining('n002 does not exist'),
    })
    expect((await test.call('GET', '/api/nodes/n001')).settings.domain).toBe('theirs')
  })

  it('lists every fault with its field', async () => {
    const settings = {
      image: '../x',
      kernel: { args: ['a b'] },
      netdevs: { eth0: { mac: 'xx', mtu: 5 } },
      colour: 'red',
    }
    const { status, code, field, message, faults } = await refused('PUT', '/api/nodes/n001', { body: { settings } })
    expect({ status, code }).toEqual({ status: 400, code: 'SETTINGS_INVALID' })
    expect(faults).toEqual([
      { field: 'settings.image', message: 'must be name, name@3, name@tag or name@sha256:…' },
      { field: 'settings.kernel.args.0', message: expect.stringContaining('spaces only inside double quotes') },
      { field: 'settings.netdevs.eth0.mac', message: 'must be a MAC such as 52:54:00:12:34:56' },
      { field: 'settings.netdevs.eth0.mtu', message: expect.stringContaining('68') },
      { field: 'settings.colour', message: 'is not a field that Muster knows' },
    ])
    expect(field).toBe('settings.image')
    expect(message).toBe('settings.image: must be name, name@3, name@tag or name@sha256:…')
  })

  it.each(['N001', 'n_1', '..', 'a'.repeat(64), 'n%20x'])('refuses the name %s', async (name) => {
    const { status, code } = await refused('PUT', `/api/nodes/${name === '..' ? '%252e%252e' : name}`, { body: {} })
    expect({ status, code }).toEqual({ status: 400, code: 'NAME_INVALID' })
  })

  it('commits nothing with dryRun and says what would change', async () => {
    await put('n001', { settings: { domain: 'a' } })
    const before = await revision()
    const tried = await put('n001', { settings: { domain: 'b' } }, '?dryRun=true')
    expect(tried).toEqual({
      revision: before,
      changes: [
        {
          noun: 'node',
          name: 'n001',
          before: { profiles: [], settings: { domain: 'a' } },
          after: { profiles: [], settings: { domain: 'b' } },
        },
      ],
    })
    expect(await put('n002', {}, '?dryRun=true')).toMatchObject({ changes: [{ name: 'n002', before: null }] })
    expect(await revision()).toBe(before)
    expect((await test.call('GET', '/api/nodes/n001')).settings.domain).toBe('a')
  })
})

describe('GET /api/nodes/{name}', () => {
  it('answers 304 to the ETag that the caller has, and 200 to another', async () => {
    const { revision: seen } = await put('n001')
    const get = (tag: string) => test.send('GET', '/api/nodes/n001', { headers: { 'if-none-match': tag } })
    const same = await get(`"${seen}"`)
    expect([same.status, await same.text(), same.headers.get('etag')]).toEqual([304, '', `"${seen}"`])
    expect((await get(`W/"${seen}"`)).status).toBe(304)
    expect((await get(`"1000", "${seen}"`)).status).toBe(304)
    expect((await get('"1000"')).status).toBe(200)
    await patch('n001', { domain: 'x' })
    expect((await get(`"${seen}"`)).status).toBe(200)
  })

  it('says that there is no such node', async () => {
    expect(await refused('GET', '/api/nodes/n001')).toEqual({
      status: 404,
      code: 'NODE_UNKNOWN',
      message: 'no node n001',
    })
  })
})

describe('PATCH /api/nodes/{name}', () => {
  it('merges, and removes with null', async () => {
    await put('n001', { settings: { domain: 'a', kernel: { version: '5', args: ['quiet'] }, tags: { rack: 'r1' } } })
    const node = await patch('n001', { domain: null, kernel: { args: ['debug'] }, tags: { row: '2' } })
    expect(node.settings).toEqual({ kernel: { version: '5', args: ['debug'] }, tags: { rack: 'r1', row: '2' } })
    expect((await test.call('PATCH', '/api/nodes/n001', { body: { settings: null } })).settings).toEqual({})
  })

  it('stores null at what is to be cleared, so that profiles have no say there', async () => {
    await test.call('PUT', '/api/profiles/p', { body: { settings: { domain: 'p', kernel: { args: ['a'] } } } })
    await put('n001', { profiles: ['p'] })
    const node = await patch('n001', {}, '?clear=domain,kernel.args')
    expect(node.settings).toEqual({ domain: null, kernel: { args: null } })
    expect(await test.call('GET', '/api/nodes/n001/effective')).toEqual({})
    const again = await patch('n001', { domain: null, kernel: null })
    expect(again.settings).toEqual({})
    expect(await test.call('GET', '/api/nodes/n001/effective')).toEqual({ domain: 'p', kernel: { args: ['a'] } })
  })

  it('clears without a body', async () => {
    await put('n001', { settings: { ntp: ['10.0.0.1'] } })
    expect((await test.call('PATCH', '/api/nodes/n001?clear=ntp')).settings).toEqual({ ntp: null })
  })

  it.each([
    ['an unknown field', { settings: { imagee: 'x' } }, '', 'SETTINGS_INVALID', 'settings.imagee'],
    ['a wrong value', { settings: { stages: 3 } }, '', 'SETTINGS_INVALID', 'settings.stages'],
    ['an unknown path to clear', {}, '?clear=kernel.colour', 'SETTINGS_INVALID', 'settings.kernel.colour'],
    ['a path below a value', { settings: { domain: 'x' } }, '?clear=domain.x', 'SETTINGS_INVALID', 'settings.domain'],
    ['a prototype', {}, '?clear=__proto__.x', 'SETTINGS_INVALID', undefined],
    ['a field beside settings', { name: 'n2' }, '', 'REQUEST_INVALID', 'name'],
    ['settings that are no map', { settings: [] }, '', 'SETTINGS_INVALID', 'settings'],
    ['profiles that are no list', { profiles: 'p' }, '', 'SETTINGS_INVALID', 'profiles'],
    ['a profile that does not exist', { profiles: ['gone'] }, '', 'PROFILE_UNKNOWN', 'profiles'],
    ['a body that is no map', [], '', 'REQUEST_INVALID', undefined],
  ])('refuses %s', async (_label, body, query, code, field) => {
    await put('n001')
    const answer = await refused('PATCH', `/api/nodes/n001${query}`, { body })
    expect(answer).toMatchObject({ code, ...(field && { field }) })
    expect((await test.call('GET', '/api/nodes/n001')).settings).toEqual({})
  })

  it('takes application/merge-patch+json', async () => {
    await put('n001')
    const headers = { 'content-type': 'application/merge-patch+json' }
    const node = await test.call('PATCH', '/api/nodes/n001', { body: { settings: { domain: 'x' } }, headers })
    expect(node.settings).toEqual({ domain: 'x' })
  })

  it('refuses an If-Match that is no ETag, and one that is old', async () => {
    const { revision: seen } = await put('n001')
    const answer = (tag: string) => refused('PATCH', '/api/nodes/n001', { body: {}, headers: { 'if-match': tag } })
    for (const tag of ['5', 'W/"5"', '"5", "6"', '"x"', ''])
      expect(await answer(tag)).toMatchObject({ status: 400, code: 'REQUEST_INVALID', field: 'If-Match' })
    expect(await answer(`"${seen - 1}"`)).toMatchObject({ status: 412, code: 'REVISION_CONFLICT' })
    expect(
      (await test.send('PATCH', '/api/nodes/n001', { body: {}, headers: { 'if-match': `"${seen}"` } })).status,
    ).toBe(200)
  })

  it('loses none of 200 edits of one node that come at once, and makes a revision of each', async () => {
    await put('n001')
    const before = await revision()
    await Promise.all(Array.from({ length: 200 }, (_, at) => patch('n001', { tags: { [`t${at}`]: String(at) } })))
    const { settings } = await test.call('GET', '/api/nodes/n001')
    expect(settings.tags).toEqual(Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`t${at}`, String(at)])))
    expect(await revision()).toBe(before + 200)
  })

  it('loses none of 200 edits of 200 nodes that come at once, and makes a revision of each', async () => {
    await test.call('POST', '/api/nodes', { body: { names: 'n[001-200]' } })
    const before = await revision()
    const names = Array.from({ length: 200 }, (_, at) => `n${String(at + 1).padStart(3, '0')}`)
    const nodes = await Promise.all(names.map((name) => patch(name, { tags: { me: name } })))
    expect(new Set(nodes.map((node) => node.revision)).size).toBe(200)
    expect(await revision()).toBe(before + 200)
    const { items } = await test.call('GET', '/api/nodes?limit=1000')
    expect(items.map((node: { settings: { tags: { me: string } } }) => node.settings.tags.me)).toEqual(names)
  })
})

describe('DELETE /api/nodes/{name}', () => {
  it('deletes the node, which its history outlives', async () => {
    const { revision: seen } = await put('n001')
    expect(await refused('DELETE', '/api/nodes/n001', { headers: { 'if-match': '"999"' } })).toMatchObject({
      status: 412,
    })
    const response = await test.send('DELETE', '/api/nodes/n001', { headers: { 'if-match': `"${seen}"` } })
    expect([response.status, await response.text()]).toEqual([204, ''])
    expect(response.headers.get('x-revision')).toBe(String(seen + 1))
    expect(await refused('GET', '/api/nodes/n001')).toMatchObject({ code: 'NODE_UNKNOWN' })
    expect(await refused('DELETE', '/api/nodes/n001')).toMatchObject({ code: 'NODE_UNKNOWN' })
    const { items } = await test.call('GET', '/api/nodes/n001/history')
    expect(items.map(({ id }: { id: number }) => id)).toEqual([seen + 1, seen])
  })
})

describe('GET /api/nodes', () => {
  it('walks 250 nodes in pages, each once, in order', async () => {
    await test.call('POST', '/api/nodes', { body: { names: 'n[001-250]' } })
    const seen: string[] = []
    let after = ''
    let pages = 0
    for (; pages < 10; pages++) {
      const page = await test.call('GET', `/api/nodes?limit=30${after}`)
      seen.push(...page.items.map(({ name }: { name: string }) => name))
      if (page.next === null) break
      after = `&after=${page.next}`
    }
    expect(pages).toBe(8)
    expect(seen).toEqual(Array.from({ length: 250 }, (_, at) => `n${String(at + 1).padStart(3, '0')}`))
    const selected = await test.call('GET', '/api/nodes?limit=30&select=n[101-250]')
    expect([selected.items[0].name, selected.items.length, selected.next]).toEqual(['n101', 30, 'n130'])
    const last = await test.call('GET', '/api/nodes?limit=250')
    expect([last.items.length, last.next]).toEqual([250, null])
  })

  it('has 100 nodes a page that does not say', async () => {
    await test.call('POST', '/api/nodes', { body: { names: 'n[001-101]' } })
    const { items, next } = await test.call('GET', '/api/nodes')
    expect([items.length, next]).toEqual([100, 'n100'])
  })

  it('selects, also by what profiles say, and adds the settings that hold', async () => {
    await test.call('PUT', '/api/profiles/gpu', { body: { settings: { tags: { rack: 'r12' } } } })
    await put('n1')
    await put('g1', { profiles: ['gpu'], settings: { domain: 'x' } })
    const select = encodeURIComponent('tag:rack=r12 & !n*')
    expect(await test.call('GET', `/api/nodes?select=${select}&effective=true`)).toEqual({
      items: [
        {
          ...(await test.call('GET', '/api/nodes/g1')),
          effective: { domain: 'x', tags: { rack: 'r12' } },
        },
      ],
      next: null,
    })
  })

  it.each([
    ['select=n[]', 'SELECTOR_INVALID'],
    ['select=', 'SELECTOR_INVALID'],
    ['limit=0', 'REQUEST_INVALID'],
    ['limit=1001', 'REQUEST_INVALID'],
    ['limit=-1', 'REQUEST_INVALID'],
    ['limit=1e3', 'REQUEST_INVALID'],
    ['limit=', 'REQUEST_INVALID'],
    ['limit=5&limit=6', 'REQUEST_INVALID'],
    ['effective=yes', 'REQUEST_INVALID'],
  ])('refuses ?%s', async (query, code) => {
    expect(await refused('GET', `/api/nodes?${query}`)).toMatchObject({ status: 400, code })
  })
})

describe('POST /api/nodes', () => {
  it('creates nodes with what they have in common, as one revision', async () => {
    const before = await revision()
    const made = await test.call('POST', '/api/nodes', { body: { names: 'n[01-03],login', settings: { domain: 'x' } } })
    expect(made).toEqual({ revision: before + 1, nodes: ['n01', 'n02', 'n03', 'login'] })
    expect((await test.call('GET', '/api/nodes/login')).settings).toEqual({ domain: 'x' })
  })

  it('creates one node with what is its own', async () => {
    const settings = { netdevs: { default: { mac: mac(1) } }, uuid: '4C4C4544-0000-2010-8020-80C04F303132' }
    await test.call('POST', '/api/nodes', { body: { names: 'n1', settings } })
    expect((await test.call('GET', '/api/nodes/n1')).settings.uuid).toBe('4c4c4544-0000-2010-8020-80c04f303132')
  })

  it.each([
    ['a name that is taken', { names: 'n[0-2]' }, 'NODE_EXISTS'],
    ['a MAC for several', { names: 'n[2-3]', settings: { netdevs: { eth0: { mac: mac(1) } } } }, 'SETTINGS_INVALID'],
    ['a uuid for several', { names: 'n[2-3]', settings: { uuid: crypto.randomUUID() } }, 'SETTINGS_INVALID'],
    ['a pattern', { names: 'n*' }, 'SELECTOR_INVALID'],
    ['no names', { names: '' }, 'SELECTOR_INVALID'],
    ['an empty range', { names: 'n[3-2]' }, 'SELECTOR_INVALID'],
    ['names that are no names of nodes', { names: 'N[2-3]' }, 'NAME_INVALID'],
    ['a profile that does not exist', { names: 'n[2-3]', profiles: ['x'] }, 'PROFILE_UNKNOWN'],
    ['nothing at all', {}, 'REQUEST_INVALID'],
  ])('creates none with %s', async (_label, body, code) => {
    await put('n1')
    expect(await refused('POST', '/api/nodes', { body })).toMatchObject({ code })
    expect((await test.call('GET', '/api/nodes')).items).toHaveLength(1)
  })

  it('creates none with dryRun', async () => {
    const before = await revision()
    const tried = await test.call('POST', '/api/nodes?dryRun=true', { body: { names: 'n[1-2]' } })
    expect(tried).toMatchObject({ revision: before, nodes: ['n1', 'n2'], changes: [{ name: 'n1' }, { name: 'n2' }] })
    expect((await test.call('GET', '/api/nodes')).items).toEqual([])
  })
})

describe('PATCH and DELETE /api/nodes', () => {
  beforeEach(() => test.call('POST', '/api/nodes', { body: { names: 'n[1-5]' } }))
  const bulk = (select: string, body: unknown, query = '') =>
    test.call('PATCH', `/api/nodes?select=${encodeURIComponent(select)}${query}`, { body })

  it('changes all that the selector means, as one revision', async () => {
    const before = await revision()
    expect(await bulk('n[2-3],n5', { settings: { tags: { rack: 'r1' } } })).toEqual({
      revision: before + 1,
      nodes: ['n2', 'n3', 'n5'],
    })
    const { items } = await test.call('GET', '/api/nodes?select=tag:rack=r1')
    expect(items.map(({ name }: { name: string }) => name)).toEqual(['n2', 'n3', 'n5'])
    await bulk('tag:rack=r1', { settings: { tags: { rack: null } } }, '&clear=domain')
    expect((await test.call('GET', '/api/nodes/n5')).settings).toEqual({ tags: {}, domain: null })
  })

  it('changes nothing when one node cannot be changed', async () => {
    await put('n4', { settings: { kernel: { version: '5' } } })
    await put('n3', { settings: { resources: { x: 1 } } })
    const before = await revision()
    const select = encodeURIComponent('n*')
    const refusedBulk = (body: unknown, query = '') => refused('PATCH', `/api/nodes?select=${select}${query}`, { body })
    expect(await refusedBulk({ profiles: ['gone'] })).toMatchObject({ code: 'PROFILE_UNKNOWN' })
    expect(await refusedBulk({ settings: { netdevs: { eth0: { mac: mac(1) } } } })).toMatchObject({
      code: 'SETTINGS_INVALID',
      field: 'settings.netdevs.eth0.mac',
    })
    expect(await refusedBulk({ settings: { domain: 'x' } }, '&clear=kernel.colour')).toMatchObject({
      code: 'SETTINGS_INVALID',
    })
    expect(await revision()).toBe(before)
    for (const { settings } of (await test.call('GET', '/api/nodes')).items) expect(settings.domain).toBeUndefined()
  })

  it('names the node whose address is taken', async () => {
    await put('n1', { settings: { netdevs: { eth0: { mac: mac(1), address: '10.0.0.1/24' } } } })
    await put('n2')
    const one = { settings: { netdevs: { eth0: { address: '10.0.0.1/16' } } } }
    expect(await refused('PATCH', '/api/nodes?select=n2', { body: one })).toMatchObject({
      status: 409,
      code: 'ADDRESS_TAKEN',
      message: expect.stringMatching(/node n2 cannot have 10\.0\.0\.1: it belongs to node n1/),
    })
    const two = { settings: { netdevs: { eth0: { mac: mac(1) } } } }
    expect(await refused('PATCH', '/api/nodes/n2', { body: two })).toMatchObject({
      code: 'MAC_TAKEN',
      message: expect.stringContaining('node n1'),
      field: 'settings.netdevs.eth0.mac',
    })
  })

  it.each([
    ['without a selector', '', 'REQUEST_INVALID'],
    ['with an empty one', '?select=', 'SELECTOR_INVALID'],
    ['with an empty range', '?select=n[]', 'SELECTOR_INVALID'],
    ['with a node that is not there', '?select=n[1-9]', 'NODE_UNKNOWN'],
    ['that finds nothing', '?select=x*', 'NODE_UNKNOWN'],
  ])('does nothing %s', async (_label, query, code) => {
    const before = await revision()
    expect(await refused('PATCH', `/api/nodes${query}`, { body: { settings: { domain: 'x' } } })).toMatchObject({
      code,
    })
    expect(await refused('DELETE', `/api/nodes${query}`)).toMatchObject({ code })
    expect(await revision()).toBe(before)
  })

  it('shows with dryRun what would change, and with expect refuses when the registry moved since', async () => {
    const body = { settings: { domain: 'x' } }
    const tried = await bulk('n[1-2]', body, '&dryRun=true')
    expect(tried.changes).toEqual(
      ['n1', 'n2'].map((name) => ({
        noun: 'node',
        name,
        before: { profiles: [], settings: {} },
        after: { profiles: [], settings: { domain: 'x' } },
      })),
    )
    await put('other')
    const path = `/api/nodes?select=n[1-2]&expect=${tried.revision}`
    expect(await refused('PATCH', path, { body })).toMatchObject({ status: 412, code: 'REVISION_CONFLICT' })
    expect(await refused('DELETE', path)).toMatchObject({ status: 412, code: 'REVISION_CONFLICT' })
    expect((await bulk('n[1-2]', body, `&expect=${tried.revision + 1}`)).nodes).toEqual(['n1', 'n2'])
  })

  it('deletes all that the selector means, as one revision', async () => {
    const before = await revision()
    const tried = await test.call('DELETE', '/api/nodes?select=n[2-4]&dryRun=true')
    expect(tried.changes).toMatchObject([{ name: 'n2', after: null }, { name: 'n3' }, { name: 'n4' }])
    expect(await test.call('DELETE', '/api/nodes?select=n[2-4]&message=old')).toEqual({
      revision: before + 1,
      nodes: ['n2', 'n3', 'n4'],
    })
    expect((await test.call('GET', '/api/nodes')).items.map(({ name }: { name: string }) => name)).toEqual(['n1', 'n5'])
  })

  it('edits 10,000 nodes as one revision, with as many statements as five', async () => {
    await test.call('POST', '/api/nodes', { body: { names: 'm[00001-10000]' } })
    const before = await revision()
    const { registry } = test.services
    const five = await statementsOf(registry, () => bulk('n*', { settings: { domain: 'x' } }))
    const many = await statementsOf(registry, () => bulk('m*', { settings: { domain: 'x' } }))
    expect(many.length).toBe(five.length)
    expect(await revision()).toBe(before + 2)
    expect((await test.call('GET', `/api/revisions/${before + 2}`)).changes).toHaveLength(10_000)
  })
})

describe('a node, after inheritance', () => {
  beforeEach(async () => {
    await test.call('PUT', '/api/profiles/base', {
      body: { settings: { image: 'rocky8', kernel: { args: ['quiet'] } } },
    })
    await test.call('PUT', '/api/profiles/gpu', { body: { profiles: ['base'], settings: { image: 'rocky9' } } })
    await put('g1', { profiles: ['gpu'], settings: { kernel: { args: ['~quiet', 'debug'] } } })
  })

  it('is shown by /effective', async () => {
    expect(await test.call('GET', '/api/nodes/g1/effective')).toEqual({ image: 'rocky9', kernel: { args: ['debug'] } })
    expect(await refused('GET', '/api/nodes/g2/effective')).toMatchObject({ code: 'NODE_UNKNOWN' })
  })

  it('is explained by /explain, all of it or below a field', async () => {
    const image = {
      field: 'image',
      value: 'rocky9',
      from: ['profile:gpu'],
      hidden: [{ from: 'profile:base', value: 'rocky8' }],
    }
    const args = { field: 'kernel.args', value: ['debug'], from: ['profile:base', 'node:g1'], hidden: [] }
    expect(await test.call('GET', '/api/nodes/g1/explain')).toEqual([image, args])
    expect(await test.call('GET', '/api/nodes/g1/explain?field=kernel')).toEqual([args])
    expect(await test.call('GET', '/api/nodes/g1/explain?field=kern')).toEqual([])
  })

  it('has its own image in selections', async () => {
    await addImage(test, 'rocky9')
    expect((await test.call('GET', '/api/nodes?select=image:rocky9')).items).toHaveLength(1)
    expect((await test.call('GET', '/api/nodes?select=image:rocky8')).items).toHaveLength(0)
  })
})

describe('GET /api/nodes/{name}/history', () => {
  it('lists what happened to the node, newest first, in pages', async () => {
    for (const domain of ['a', 'b', 'c']) await put('n001', { settings: { domain } }, `?message=to%20${domain}`)
    await put('n002')
    const { items, next } = await test.call('GET', '/api/nodes/n001/history?limit=2')
    expect(items.map(({ message }: { message: string }) => message)).toEqual(['to c', 'to b'])
    expect(items[0].changes).toEqual([
      {
        noun: 'node',
        name: 'n001',
        before: { profiles: [], settings: { domain: 'b' } },
        after: { profiles: [], settings: { domain: 'c' } },
      },
    ])
    const rest = await test.call('GET', `/api/nodes/n001/history?limit=2&before=${next}`)
    expect(rest.items.map(({ message }: { message: string }) => message)).toEqual(['to a'])
    expect(rest.next).toBeNull()
    expect(await test.call('GET', '/api/nodes/nobody/history')).toEqual({ items: [], next: null })
  })
})
