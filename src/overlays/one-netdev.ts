/** One netdev as templates see it: what each of its names means. */
import { listed } from '../registry/network-tags.ts'
import type { Effective, Netdev } from '../registry/settings.ts'
import { bondView } from './bond-view.ts'
import { type Cidr4, type Cidr6, canonicalIp6, isWithin, parseCidr4, parseCidr6 } from './ip.ts'
import { type NetdevTag, netdevTags, numberedKeys } from './netdev-tag.ts'
import type { NetdevReference, NetdevView } from './netdev-view.ts'
import { bytesIn, deviceOf, interfaceOf, linkAddressBytes, type Wiring } from './netdev-wiring.ts'
import { type RouteView, taggedRoutes } from './route-tags.ts'
import { workedOut } from './worked-out.ts'

/** The node around a netdev. */
export type Surroundings = { node: string; settings: Effective; primary: string | undefined; wiring: Wiring }

/** What a netdev's view is made of. */
type Place = Surroundings & { name: string; netdev: Netdev; v4: Cidr4 | undefined; v6: Cidr6 | undefined }

/** IPoIB's largest in connected mode, and the largest that NetworkManager takes (Documentation/infiniband/ipoib.rst). */
const largestInfinibandMtu = 65520

const nothing: never[] = []

const view = workedOut<NetdevView, Place>({
  name: ({ name }) => name,
  mac: ({ netdev }) => netdev.mac,
  linkAddress: ({ netdev: { mac } }, { type }) =>
    mac !== undefined && bytesIn(mac) === linkAddressBytes[type] ? mac : undefined,
  portGuid: ({ netdev: { mac } }, { isInfiniband }) =>
    isInfiniband && mac !== undefined && bytesIn(mac) >= 8 ? mac.slice(-portGuidLength) : undefined,
  clonedMac: (place, { isInfiniband, isVirtual, linkAddress }) =>
    isInfiniband ? undefined : (clonedMac(place) ?? (isVirtual ? linkAddress : undefined)),
  device: ({ name, netdev }) => deviceOf(name, netdev),
  interface: ({ name, netdev }) => interfaceOf(name, netdev),
  type: ({ netdev }) => netdev.type ?? 'ethernet',
  address: ({ netdev }) => netdev.address,
  ip: ({ v4 }) => v4?.ip,
  prefix: ({ v4 }) => v4?.prefix,
  netmask: ({ v4 }) => v4?.netmask,
  network: ({ v4 }) => v4?.network,
  broadcast: ({ v4 }) => v4?.broadcast,
  address6: ({ v6 }) => v6 && `${v6.ip}/${v6.prefix}`,
  ip6: ({ v6 }) => v6?.ip,
  prefix6: ({ v6 }) => v6?.prefix,
  network6: ({ v6 }) => v6?.network,
  gateway: ({ netdev }) => netdev.gateway,
  gateway6: ({ netdev }) => netdev.gateway6 && canonicalIp6(netdev.gateway6),
  gatewayOnLink: ({ v4 }, { gateway }) => gateway !== undefined && !isWithin(gateway, v4),
  gateway6OnLink: ({ v6 }, { gateway6 }) => gateway6 !== undefined && !isWithin(gateway6, v6),
  mtu: ({ netdev: { mtu } }, { isInfiniband }) =>
    isInfiniband && mtu !== undefined ? Math.min(mtu, largestInfinibandMtu) : mtu,
  primary: ({ name, primary }) => name === primary,
  vlan: ({ netdev: { vlan }, wiring }, { isVlan }) => {
    if (!isVlan) return undefined
    const parent = vlan?.parent === undefined ? undefined : referenceTo(vlan.parent, wiring)
    return {
      id: vlan?.id,
      parent: vlan?.parent,
      parentDevice: parent?.device,
      parentInterface: parent?.interface,
      parentMac: wiring.netdevs.get(vlan?.parent ?? '')?.mac,
    }
  },
  bond: (place, { isBond }) => (isBond ? bondView(place.netdev, tagOf(place), place.wiring) : undefined),
  infiniband: (place, { isInfiniband }) => {
    const mode = (isInfiniband && tagOf(place)('transport_mode')) || 'datagram'
    return isInfiniband ? { mode, isConnected: mode === 'connected' } : undefined
  },
  master: ({ name, node, wiring }) => {
    const master = wiring.masterOf(name)
    if (master === undefined) return undefined
    const netdev = wiring.netdevs.get(master) ?? {}
    const tag = netdevTags(netdev.tags ?? {}, node, master)
    return { ...referenceTo(master, wiring), bond: bondView(netdev, tag, wiring) }
  },
  vlans: ({ name, wiring }) =>
    wiring.vlansOn(name).map((vlan) => ({ ...referenceTo(vlan, wiring), id: wiring.netdevs.get(vlan)?.vlan?.id })),
  dns: (place) => place.netdev.dns ?? taggedAddresses(place.netdev.tags ?? {}, tagOf(place)),
  resolvers: ({ settings: { nameservers } }, { dns, primary }) =>
    primary && nameservers?.length ? [...new Set([...dns, ...nameservers])] : dns,
  resolvers4: (_place, { resolvers }) => resolvers.filter((one) => !one.includes(':')),
  resolvers6: (_place, { resolvers }) => resolvers.filter((one) => one.includes(':')),
  searches: (place, { primary }) => {
    const { search, domain } = place.settings
    const own = primary ? (search ?? (domain === undefined ? nothing : [domain])) : nothing
    const tagged = tagOf(place)('DNSSEARCH')
    return tagged === undefined ? own : [...new Set([...own, ...listed(tagged)])]
  },
  tags: ({ netdev }) => netdev.tags ?? {},
  routes4: (place, { hasIpv4 }) => (hasIpv4 ? routesOf(place).v4 : nothing),
  routes6: (place, { hasIpv6 }) => (hasIpv6 ? routesOf(place).v6 : nothing),
  isEthernet: (_place, { type }) => type === 'ethernet',
  isVlan: (_place, { type }) => type === 'vlan',
  isBond: (_place, { type }) => type === 'bond',
  isInfiniband: (_place, { type }) => type === 'infiniband',
  isVirtual: (_place, { type }) => type === 'bond' || type === 'vlan',
  isDhcp: ({ name, settings, v4, v6, wiring }) =>
    !v4 && !v6 && wiring.masterOf(name) === undefined && Object.hasOwn(settings.netdevs ?? {}, name),
  hasIpv4: ({ name, v4, wiring }, { isDhcp }) => isDhcp || (v4 !== undefined && wiring.masterOf(name) === undefined),
  hasIpv6: (_place, { isStatic6, isAuto6, isDhcp6 }) => isStatic6 || isAuto6 || isDhcp6,
  isStatic6: ({ name, v6, wiring }) => v6 !== undefined && wiring.masterOf(name) === undefined,
  isAuto6: (place, self) => method6(place, self) === 'auto',
  isDhcp6: (place, self) => method6(place, self) === 'dhcp',
  isLinkLocal6: (place, self) => method6(place, self) === 'link-local',
  isDisabled6: (place, self) => method6(place, self) === 'disabled',
  isIgnored6: (place, self) => method6(place, self) === 'ignore',
  keepsMac: (place) => place.wiring.masterOf(place.name) === undefined && clonedMac(place) === undefined,
  isNamedByMac: (_place, { isVirtual, linkAddress, device, findable }) =>
    !isVirtual && linkAddress !== undefined && device !== undefined && findable,
  layer: ({ name, wiring }) => (wiring.faultOf(name) === undefined ? wiring.layerOf(name) : 0),
  fault: ({ name, wiring }) => wiring.faultOf(name),
  findable: ({ name, wiring }) => wiring.faultOf(name) === undefined,
})

/** The view of one of a node's netdevs. */
export function netdevView(name: string, around: Surroundings): NetdevView {
  const netdev = around.wiring.netdevs.get(name) ?? {}
  const { address, address6 } = netdev
  return view({
    ...around,
    name,
    netdev,
    v4: address === undefined ? undefined : parseCidr4(address),
    v6: address6 === undefined ? undefined : parseCidr6(address6),
  })
}

const portGuidLength = '00:00:00:00:00:00:00:00'.length

const tagOf = ({ netdev, node, name }: Place): NetdevTag => netdevTags(netdev.tags ?? {}, node, name)

const clonedMac = (place: Place): string | undefined =>
  tagOf(place)('cloned-mac-address')?.toLowerCase().replaceAll('-', ':')

const routesOf = (place: Place): { v4: RouteView[]; v6: RouteView[] } =>
  taggedRoutes(place.netdev.tags ?? {}, tagOf(place), place.v4, place.v6)

/** How a netdev comes to IPv6 where it has no address of its own; `undefined` of a bond member too. */
function method6(place: Place, { isStatic6, hasIpv4 }: NetdevView): string | undefined {
  if (isStatic6 || place.wiring.masterOf(place.name) !== undefined) return undefined
  return tagOf(place)('ipv6_method') ?? (hasIpv4 ? 'auto' : 'link-local')
}

const taggedAddresses = (tags: Record<string, string>, tag: NetdevTag): string[] => [
  ...new Set(numberedKeys(tags, /^DNS[0-9]*$/).flatMap((key) => listed(tag(key) ?? ''))),
]

function referenceTo(name: string, { netdevs }: Wiring): NetdevReference {
  const netdev = netdevs.get(name) ?? {}
  return { name, device: deviceOf(name, netdev), interface: interfaceOf(name, netdev) }
}
