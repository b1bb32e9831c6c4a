/** Network devices as templates see them: addresses taken apart, bonds and VLANs tied to the devices they are made of. */
import type { Effective, Netdev } from '../registry/settings.ts'
import type { BondView } from './bond-view.ts'
import { byName } from './natural.ts'
import { wire } from './netdev-wiring.ts'
import { netdevView } from './one-netdev.ts'
import type { RouteView } from './route-tags.ts'

/** A netdev that another one is made of or carried by. */
export type NetdevReference = { name: string; device: string | undefined; interface: string }

/** A network device of a node. Everything that may have no value is there all the same, as `undefined`. */
export type NetdevView = {
  name: string
  mac: string | undefined
  /** `mac` when it is what Linux shows as the interface's address: 6 bytes of Ethernet, 20 of InfiniBand. */
  linkAddress: string | undefined
  /** The InfiniBand port's GUID, the last 8 bytes of its address: the others change from boot to boot. */
  portGuid: string | undefined
  /** The address that it takes on: of the tag `cloned-mac-address`, else the `mac` of a bond or VLAN. */
  clonedMac: string | undefined
  /** Interface name. Bonds and VLANs are called like the netdev when they have none (and it is a name for Linux). */
  device: string | undefined
  /** `device`, or `muster-NAME` for formats that need some name; no two netdevs with the same are configured. */
  interface: string
  type: 'ethernet' | 'vlan' | 'bond' | 'infiniband'
  address: string | undefined
  ip: string | undefined
  prefix: number | undefined
  netmask: string | undefined
  network: string | undefined
  broadcast: string | undefined
  address6: string | undefined
  ip6: string | undefined
  prefix6: number | undefined
  network6: string | undefined
  gateway: string | undefined
  gateway6: string | undefined
  /** The gateway is not in the netdev's network: services have to be told that it is on the link all the same. */
  gatewayOnLink: boolean
  gateway6OnLink: boolean
  mtu: number | undefined
  primary: boolean
  vlan: VlanView | undefined
  bond: BondView | undefined
  /** Of InfiniBand: `datagram`, unless the tag `transport_mode` says otherwise. */
  infiniband: { mode: string; isConnected: boolean } | undefined
  /** The bond that lists this netdev as a member. */
  master: (NetdevReference & { bond: BondView }) | undefined
  /** VLANs that name this netdev as their parent. */
  vlans: (NetdevReference & { id: number | undefined })[]
  /** As set for this netdev, else of its tags `DNS`, `DNS1`, … */
  dns: string[]
  /** What its resolver should ask: `dns`, and on the primary the node's `nameservers` too; by family, and both. */
  resolvers: string[]
  resolvers4: string[]
  resolvers6: string[]
  /** Domains to search: the node's `search` (or else its `domain`) on the primary, and those of the tag `DNSSEARCH`. */
  searches: string[]
  tags: Record<string, string>
  /** Routes from tags, by family. Reading them throws `SETTINGS_INVALID` for a tag that is none. */
  routes4: RouteView[]
  routes6: RouteView[]
  isEthernet: boolean
  isVlan: boolean
  isBond: boolean
  isInfiniband: boolean
  /** A bond or a VLAN: software has to make it. */
  isVirtual: boolean
  /** It has no address of either family, is no member of a bond, and was not just named by a bond or VLAN. */
  isDhcp: boolean
  /** It has an IPv4 address, or gets one by DHCP. */
  hasIpv4: boolean
  /** It has an IPv6 address, or gets one: not `link-local` alone. */
  hasIpv6: boolean
  /** How it comes to IPv6: exactly one of these is true, none of a bond member. `isLinkLocal6` without other addresses. */
  isStatic6: boolean
  isAuto6: boolean
  isDhcp6: boolean
  isLinkLocal6: boolean
  isDisabled6: boolean
  /** Nothing is to be done about IPv6. */
  isIgnored6: boolean
  /** While the node is up it has the MAC that it came with: it is no bond's member, and takes on no other. */
  keepsMac: boolean
  /** Linux can tell by its address that it is to be called by its name. */
  isNamedByMac: boolean
  /** What it lies on has a lower one: 0 of a port, 1 of a bond, 2 of a VLAN, 3 of a VLAN on that. */
  layer: number
  /** Why no network service is told of it, as the end of a sentence: `has no vlan.id`. */
  fault: string | undefined
  /** It has no fault: there is a way to tell which interface it is, or to make it. */
  findable: boolean
}

/** A VLAN. `parentDevice` and `parentMac` are the parent's, where known. */
export type VlanView = {
  id: number | undefined
  parent: string | undefined
  parentDevice: string | undefined
  parentInterface: string | undefined
  parentMac: string | undefined
}

/**
 * A node's netdevs, by name in natural order, the primary first. A bond member or VLAN parent that is no netdev is taken
 * for the name of a device, and is listed like one that has only that.
 */
export function netdevViews({ name: node, settings }: { name: string; settings: Effective }): NetdevView[] {
  const configured = settings.netdevs ?? {}
  const wiring = wire(configured)
  const primary = primaryName(configured)
  return [...wiring.netdevs.keys()]
    .map((name) => netdevView(name, { node, settings, primary, wiring }))
    .sort((a, b) => Number(b.primary) - Number(a.primary) || byName(a, b))
}

/** The primary of a list that {@link netdevViews} made. */
export const primaryOf = (netdevs: readonly NetdevView[]): NetdevView | undefined =>
  netdevs.find((netdev) => netdev.primary)

/** Which netdev is the primary: the one that says so, else the one named `default`, else the first by name. */
function primaryName(netdevs: Record<string, Netdev>): string | undefined {
  let first: string | undefined
  let chosen: string | undefined
  for (const name of Object.keys(netdevs)) {
    if (first === undefined || byName({ name }, { name: first }) < 0) first = name
    if (netdevs[name]?.primary === true && (chosen === undefined || byName({ name }, { name: chosen }) < 0))
      chosen = name
  }
  return chosen ?? (Object.hasOwn(netdevs, 'default') ? 'default' : first)
}
