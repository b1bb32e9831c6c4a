import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { byName } from '../../src/overlays/natural.ts'
import { namesIn } from '../../src/overlays/scope.ts'
import { buildView } from '../../src/overlays/view.ts'
import type { Effective } from '../../src/registry/settings.ts'
import { bonded, infiniband, inputOf, inputsOf, plain } from './fixtures.ts'

const viewOf = (settings: Effective, name = 'n1') => buildView(inputOf({ name, settings }))

describe('the view of a node', () => {
  it.each([
    ['n1', undefined, { name: 'n1', hostname: 'n1', fqdn: 'n1', domain: undefined }],
    ['n1', 'example', { name: 'n1', hostname: 'n1', fqdn: 'n1.example', domain: 'example' }],
    ['n1.a.b', undefined, { name: 'n1.a.b', hostname: 'n1', fqdn: 'n1.a.b', domain: 'a.b' }],
    ['n1.a.b', 'example', { name: 'n1.a.b', hostname: 'n1', fqdn: 'n1.a.b', domain: 'a.b' }],
  ])('names %s with domain %s', (name, domain, names) => {
    expect(viewOf(domain === undefined ? {} : { domain }, name).node).toMatchObject(names)
  })

  it.each([
    ['http://10.0.0.1:9873', { host: '10.0.0.1', port: 9873, ip: '10.0.0.1' }],
    ['https://[fd00::1]', { host: 'fd00::1', port: 443, ip: 'fd00::1' }],
    ['http://head.example', { host: 'head.example', port: 80, ip: undefined }],
  ])('takes the head node at %s apart', (url, parts) => {
    expect(buildView({ ...inputOf(plain), head: { url } }).head).toEqual({ url, ...parts })
  })

  it.each<[string, NonNullable<Effective['netdevs']>, string]>([
    ['the one that says so', { a: {}, default: {}, z: { primary: true } }, 'z'],
    ['the one named default', { a: {}, default: {} }, 'default'],
    ['the first by name, n2 before n10', { n10: {}, n2: {} }, 'n2'],
  ])('takes for primary %s, and lists it first', (_which, netdevs, expected) => {
    const view = viewOf({ netdevs })
    expect(view.primary?.name).toBe(expected)
    expect(view.netdevs.map((netdev) => netdev.primary)).toEqual([
      true,
      ...Object.keys(netdevs)
        .slice(1)
        .map(() => false),
    ])
    expect(view.netdevs[0]?.name).toBe(expected)
  })

  it('has neither netdevs nor a primary for a node without them', () => {
    expect(viewOf({})).toMatchObject({ netdevs: [], netdev: {}, primary: undefined, tags: {}, resources: {}, ntp: [] })
  })

  it('ties bonds to members and VLANs to parents', () => {
    const { netdev } = buildView(inputOf(bonded))
    expect(netdev.default).toMatchObject({
      isBond: true,
      isVirtual: true,
      isDhcp: false,
      bond: { mode: '802.3ad', members: ['port1', 'port2'], memberDevices: ['port1', 'port2'], miimon: 50 },
      vlans: [{ name: 'storage', device: 'bond0.100' }],
      address6: 'fd00::10/64',
      network6: 'fd00::',
    })
    expect(netdev.port1).toMatchObject({
      master: { name: 'default', device: 'bond0' },
      isDhcp: false,
      device: undefined,
    })
    expect(netdev.storage?.vlan).toMatchObject({
      id: 100,
      parent: 'default',
      parentDevice: 'bond0',
      parentMac: undefined,
    })
  })

  it('takes a bond member that is no netdev for a device', () => {
    const { netdevs } = viewOf({ netdevs: { bond0: { type: 'bond', bond: { members: ['eno1', 'eno2'] } } } })
    expect(netdevs.map(({ name, device, isDhcp, findable }) => [name, device, isDhcp, findable])).toEqual([
      ['bond0', 'bond0', true, true],
      ['eno1', 'eno1', false, true],
      ['eno2', 'eno2', false, true],
    ])
    expect(netdevs[0]?.bond).toMatchObject({
      mode: 'active-backup',
      members: ['eno1', 'eno2'],
      memberDevices: ['eno1', 'eno2'],
      miimon: 100,
    })
  })

  it('gives no device name to a bond whose name Linux would refuse', () => {
    expect(viewOf({ netdevs: { averylongbondname: { type: 'bond' } } }).primary?.device).toBeUndefined()
  })

  it('knows the link address of InfiniBand by 20 bytes, not by the 8 of a port GUID', () => {
    expect(buildView(inputOf(infiniband)).netdev.ib0?.linkAddress).toMatch(/^80:00:/)
    const { primary } = viewOf({ netdevs: { ib0: { type: 'infiniband', mac: '00:02:c9:03:00:0a:2f:c1' } } })
    expect(primary).toMatchObject({ mac: '00:02:c9:03:00:0a:2f:c1', linkAddress: undefined, isInfiniband: true })
  })

  it('reads routes from tags in their order, by family', () => {
    const { primary } = buildView(inputOf(bonded))
    expect(primary?.routes4).toMatchObject([
      { number: 1, destination: '10.8.0.0/16', gateway: '10.0.0.8', metric: undefined, isOnLink: false },
      { number: 2, destination: '10.9.0.0/16', gateway: '10.0.0.9', metric: 200, isOnLink: false },
    ])
    expect(primary?.routes6).toMatchObject([
      { number: 1, destination: 'fd08::/32', gateway: 'fd00::8', metric: undefined, isOnLink: false },
    ])
  })

  it.each([
    '',
    '10.0.0.0/8',
    '10.0.0.0,10.0.0.1',
    '10.0.0.0/8,fd00::1',
    'fd00::/8,10.0.0.1',
    '10.0.0.0/8,10.0.0.1,x',
    'default,10.0.0.1',
  ])('says of the route tag %j what it must be, once a template asks', (route1) => {
    const { primary } = viewOf({ netdevs: { eth0: { tags: { route1 } } } })
    expect(() => primary?.routes4).toThrow(
      expect.objectContaining({ code: 'SETTINGS_INVALID', field: 'settings.netdevs.eth0.tags.route1' }),
    )
  })

  it.each([
    [undefined, 1, 1],
    ['networkd', 1, 0],
    ['networkmanager', 0, 1],
    ['none', 0, 0],
  ])('gives its netdevs to the services that the tag network names: %s', (network, networkd, networkmanager) => {
    const view = viewOf({ netdevs: { eth0: { device: 'eth0' }, lost: {} }, ...(network ? { tags: { network } } : {}) })
    expect([view.network.networkd.length, view.network.networkmanager.length]).toEqual([networkd, networkmanager])
  })

  it('refuses a network service that it does not know', () => {
    expect(() => viewOf({ tags: { network: 'netctl' } }).network).toThrow(
      /tags\.network must be networkd, .* or none, not "netctl"/,
    )
  })

  it('lists the nodes in natural order, and asks for them once and only when they are read', () => {
    let calls = 0
    const nodes = ['n10', 'n2', 'n1'].map((name) => ({ name, settings: { domain: 'example' } }))
    const view = buildView({
      ...inputOf(plain),
      inputs: {
        ...inputsOf([]),
        nodes: () => {
          calls++
          return nodes
        },
      },
    })
    expect(calls).toBe(0)
    expect(view.nodes.map((node) => node.fqdn)).toEqual(['n1.example', 'n2.example', 'n10.example'])
    expect(view.nodes).toBe(view.nodes)
    expect(calls).toBe(1)
    expect(nodes.map((node) => node.name)).toEqual(['n10', 'n2', 'n1'])
  })
})

describe('natural order', () => {
  it.each([
    ['n2', 'n10'],
    ['n02', 'n2'],
    ['n9-2', 'n9-10'],
    ['n', 'n1'],
    ['a10', 'b2'],
    ['rack2n10', 'rack10n2'],
    ['n99999999999999999998', 'n99999999999999999999'],
  ])('has %s before %s', (first, second) => {
    expect(byName({ name: first }, { name: second })).toBeLessThan(0)
    expect(byName({ name: second }, { name: first })).toBeGreaterThan(0)
  })

  it('is an order: transitive, and equal only for the same name', () => {
    const name = fc.string({ unit: fc.constantFrom('0', '1', '2', '9', 'a', '-'), maxLength: 6 })
    fc.assert(
      fc.property(name, name, name, (a, b, c) => {
        const [x, y, z] = [a, b, c].map((one) => ({ name: one })).sort(byName)
        expect(byName(x!, z!)).toBeLessThanOrEqual(0)
        expect(byName(x!, y!)).toBeLessThanOrEqual(0)
        expect(byName({ name: a }, { name: b }) === 0).toBe(a === b)
      }),
      { numRuns: 5000 },
    )
  })
})

describe('docs/overlays.md', () => {
  const guide = readFileSync(fileURLToPath(new URL('../../docs/overlays.md', import.meta.url)), 'utf8')
  const view = buildView(inputOf(bonded))
  const names = namesIn(view)
    .filter((name) => name !== 'secrets')
    .flatMap((name): string[] => {
      const value: unknown = Reflect.get(view, name)
      const isFree = ['tags', 'resources', 'netdev', 'primary', 'settings'].includes(name)
      return typeof value === 'object' && value !== null && !Array.isArray(value) && !isFree
        ? Object.keys(value).map((inner) => `${name}.${inner}`)
        : [name]
    })

  it.each([...names, 'secrets', ...namesIn(view.nodes[0]!)])('has the name %s', (name) => {
    expect(guide).toContain(`\`${name}\``)
  })

  it.each(namesIn(view.netdevs[0]!))('has the name %s of a netdev', (name) => {
    expect(guide.slice(guide.indexOf('A netdev has:'))).toMatch(new RegExp(`\`${name}(?:\\.[a-zA-Z]+)?\``))
  })
})
