import { describe, expect, it } from 'vitest'
import type { NetdevView } from '../../../src/overlays/netdev-view.ts'
import { buildView } from '../../../src/overlays/view.ts'
import { type Effective, settingsSchema } from '../../../src/registry/settings.ts'
import { inputOf } from '../fixtures.ts'
import { filesOf, gpu, unnamed } from './nodes.ts'

type Netdevs = NonNullable<Effective['netdevs']>
const netdevOf = (netdevs: Netdevs, name: string): NetdevView | undefined =>
  buildView(inputOf({ name: 'n1', settings: { netdevs } })).netdev[name]
const mac = '52:54:00:00:00:01'

describe('a netdev has a fault', () => {
  const port = { device: 'eno1' }
  it.each<[string, Netdevs, string]>([
    ['without a mac and a device', { x: {} }, 'has neither a mac nor a device'],
    ['with a device that Linux refuses', { x: { device: 'a:b' } }, 'has the device a:b, which Linux refuses'],
    ['with a number for a device', { x: { device: '7' } }, 'has the device 7, which Linux refuses'],
    [
      'as InfiniBand that only has a port GUID',
      { x: { type: 'infiniband', mac: '00:02:c9:03:00:0a:2f:c1' } },
      'has no device, and a mac of 8 bytes instead of 20',
    ],
    ['as a VLAN without a number', { p: port, x: { type: 'vlan', vlan: { parent: 'p' } } }, 'has no vlan.id'],
    ['as a VLAN on nothing', { x: { type: 'vlan', vlan: { id: 5 } } }, 'has no vlan.parent'],
    ['as a VLAN on itself', { x: { type: 'vlan', vlan: { id: 5, parent: 'x' } } }, 'is a VLAN on itself'],
    [
      'as a VLAN on a netdev with a fault',
      { p: {}, x: { type: 'vlan', vlan: { id: 5, parent: 'p' } } },
      'lies on p, which has neither a mac nor a device',
    ],
    [
      'as a VLAN on InfiniBand',
      { p: { type: 'infiniband', device: 'ib0' }, x: { type: 'vlan', vlan: { id: 5, parent: 'p' } } },
      'lies on p, and InfiniBand carries no VLAN',
    ],
    [
      'as a bond of a bond',
      { b: { type: 'bond' }, x: { type: 'bond', bond: { members: ['b'] } } },
      'has the member b, which is a bond',
    ],
    [
      'as a bond of a member that is another’s',
      { a: { type: 'bond', bond: { members: ['eno1'] } }, x: { type: 'bond', bond: { members: ['eno1'] } } },
      'has the member eno1, which is in a',
    ],
    ['with the device of another one', { a: port, x: port }, 'is eno1, which is a already'],
  ])('%s', (_what, netdevs, fault) => {
    expect(netdevOf(netdevs, 'x')).toMatchObject({ fault, findable: false })
    const { network } = buildView(inputOf({ name: 'n1', settings: { netdevs } }))
    for (const told of Object.values(network)) expect(told.map(({ name }) => name)).not.toContain('x')
  })

  it('as the eighth VLAN on one another', () => {
    const vlans = Array.from({ length: 8 }, (_, at) => [
      `v${at}`,
      { type: 'vlan' as const, vlan: { id: 1, parent: at === 0 ? 'eno1' : `v${at - 1}` } },
    ])
    const netdevs: Netdevs = Object.fromEntries(vlans)
    expect(netdevOf(netdevs, 'v6')).toMatchObject({ fault: undefined, layer: 8 })
    expect(netdevOf(netdevs, 'v7')?.fault).toMatch(/Linux takes no more/)
  })
})

describe('a netdev', () => {
  it.each([
    ['default', 'bond', 'bond-default'],
    ['0', 'vlan', 'vlan-0'],
    ['uplink', 'bond', 'uplink'],
  ] as const)('%s that is a %s without a device is called %s', (name, type, device) => {
    expect(netdevOf({ [name]: { type } }, name)?.device).toBe(device)
  })

  it('takes for its resolvers what its tags say, where it has none', () => {
    const tags = { DNS2: '10.0.0.2', DNS: '10.0.0.1,fd00::1', DNS10: '10.0.0.10', DNSSEARCH: 'a.example; b.example' }
    expect(netdevOf({ x: { mac, tags } }, 'x')).toMatchObject({
      dns: ['10.0.0.1', 'fd00::1', '10.0.0.2', '10.0.0.10'],
      searches: ['a.example', 'b.example'],
    })
    expect(netdevOf({ x: { mac, dns: ['10.0.0.9'], tags } }, 'x')?.dns).toEqual(['10.0.0.9'])
  })

  it.each<[string, Netdevs[string], string]>([
    ['an address', { address6: 'fd00::1/64', tags: { ipv6_method: 'disabled' } }, 'isStatic6'],
    ['DHCP for IPv4', {}, 'isAuto6'],
    ['the tag ipv6_method: dhcp', { tags: { ipv6_method: 'dhcp' } }, 'isDhcp6'],
    ['the tag ipv6_method: link-local', { tags: { ipv6_method: 'link-local' } }, 'isLinkLocal6'],
    ['the tag ipv6_method: disabled', { tags: { ipv6_method: 'disabled' } }, 'isDisabled6'],
    ['the tag ipv6_method: ignore', { tags: { ipv6_method: 'ignore' } }, 'isIgnored6'],
  ])('with %s comes to IPv6 in one way', (_what, netdev, way) => {
    const view = netdevOf({ x: { mac, ...netdev } }, 'x')
    const ways = ['isStatic6', 'isAuto6', 'isDhcp6', 'isLinkLocal6', 'isDisabled6', 'isIgnored6']
    expect(ways.filter((one) => Reflect.get(view ?? {}, one))).toEqual([way])
  })

  it.each<[string, string, Record<string, unknown>]>([
    ['updelay', '149', { updelay: 100 }],
    ['updelay', '99', { updelay: undefined }],
    ['lacp_rate', 'fast', { lacpRate: undefined }],
    ['miimon', '0', { miimon: 0 }],
  ])('that is a bond says with the tag %s: %s what the kernel makes of it', (tag, value, bond) => {
    expect(netdevOf({ x: { type: 'bond', tags: { [tag]: value } } }, 'x')?.bond).toMatchObject(bond)
  })

  it('throws for a tag that was stored before tags were checked', () => {
    const view = netdevOf({ x: { type: 'bond', bond: { mode: '802.3ad' }, tags: { lacp_rate: 'hourly' } } }, 'x')
    expect(() => view?.bond).toThrow(
      expect.objectContaining({ code: 'SETTINGS_INVALID', field: 'settings.netdevs.x.tags.lacp_rate' }),
    )
  })

  it.each([
    ['10.0.0.1', '10.0.0.2/24', false],
    ['10.0.1.1', '10.0.0.2/24', true],
    ['10.0.0.1', '10.0.0.2/32', true],
  ])('with the gateway %s and the address %s says whether that is beyond its network: %s', (gateway, address, isOn) => {
    expect(netdevOf({ x: { mac, gateway, address } }, 'x')?.gatewayOnLink).toBe(isOn)
  })
})

describe('settings of a netdev', () => {
  it.each<[Netdevs[string], RegExp]>([
    [{ address: '0.0.0.0/8' }, /address of one machine/],
    [{ address: '10.0.0.1/0' }, /address of one machine/],
    [{ address6: 'ff02::1/64' }, /address of one machine/],
    [{ gateway: '255.255.255.255' }, /address of one machine/],
    [{ gateway6: '0:0::0' }, /address of one machine/],
    [{ tags: { route1: '10.0.0.0/8,0.0.0.0' } }, /DESTINATION\/PREFIX,GATEWAY/],
    [{ tags: { DNS1: 'ns.example' } }, /must be addresses/],
    [{ tags: { xmit_hash_policy: 'layer9' } }, /must be one of layer2, /],
    [{ tags: { 'cloned-mac-address': 'random' } }, /must be a MAC/],
    [{ tags: { ipv6_method: 'shared' } }, /must be one of auto, /],
  ])('%j are refused when they are stored', (netdev, message) => {
    const { error } = settingsSchema.safeParse({ netdevs: { x: netdev } })
    expect(error?.issues.map((issue) => issue.message)).toEqual([expect.stringMatching(message)])
  })
})

describe('the tag network', () => {
  const told = (network: string) =>
    Object.entries(
      buildView(inputOf({ name: 'n1', settings: { netdevs: { x: { device: 'x0' } }, tags: { network } } })).network,
    )
      .filter(([, netdevs]) => netdevs.length > 0)
      .map(([service]) => service)

  it.each([
    ['networkd', 'networkd'],
    ['systemd-networkd', 'networkd'],
    ['networkmanager', 'networkmanager'],
    ['NetworkManager', 'networkmanager'],
    ['ifcfg', 'ifcfg'],
    ['ifupdown', 'ifupdown'],
    ['netplan', 'netplan'],
    ['wicked', 'wicked'],
  ])('%s tells one service alone: %s', (network, service) => {
    expect(told(network)).toEqual([service])
    expect(settingsSchema.safeParse({ tags: { network } }).success).toBe(true)
  })

  it('none tells nobody, and no overlay makes a file', async () => {
    expect(told('none')).toEqual([])
    for (const overlay of ['NetworkManager', 'systemd-networkd', 'ifcfg', 'ifupdown', 'netplan', 'wicked'])
      expect(await filesOf(overlay, { ...gpu, settings: { ...gpu.settings, tags: { network: 'none' } } })).toEqual([])
  })

  it('of another kind is refused when it is stored', () => {
    expect(settingsSchema.safeParse({ tags: { network: 'netctl' } }).error?.issues[0]?.message).toMatch(
      /or none, not "netctl"$/,
    )
  })
})

describe('what a service has no words for', () => {
  it('is left out: for wicked netdevs without a device, for ifcfg VLANs on such', () => {
    const { network } = buildView(inputOf(unnamed))
    expect(network.wicked).toEqual([])
    expect(network.ifcfg.map(({ name }) => name)).toEqual(['other', 'port1', 'port2', 'default'])
  })

  it('is told in an order in which nothing lies on what comes later', () => {
    const { network } = buildView(inputOf(gpu))
    expect(network.netplan.map(({ name, layer }) => [name, layer])).toEqual([
      ['ib0', 0],
      ['manage', 0],
      ['port1', 0],
      ['port2', 0],
      ['default', 1],
      ['camera', 2],
      ['storage', 2],
    ])
  })
})
