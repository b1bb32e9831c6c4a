/** Network devices as templates see them: addresses taken apart, bonds and VLANs tied to the devices they are made of. */
import type { Effective, Netdev } from '../registry/settings.ts'
import { parseCidr4, parseCidr6 } from './ip.ts'
import { byName } from './natural.ts'
import { type RouteView, taggedRoutes } from './route-tags.ts'

/** A netdev that another one is made of or carried by. */
export type NetdevReference = { name: string; device: string | undefined }

/** A network device of a node. Everything that may have no value is there all the same, as `undefined`. */
export type NetdevView = {
  name: string
  mac: string | undefined
  /** `mac` when it is what Linux shows as the interface's address: not for 8 bytes, an InfiniBand port GUID. */
  linkAddress: string | undefined
  /** Interface name. Bonds and VLANs are called like the netdev when they have none (and it is short enough). */
  device: string | undefined
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
  mtu: number | undefined
  primary: boolean
  vlan: VlanView | undefined
  bond: BondView | undefined
  /** The bond that lists this netdev as a member. */
  master: NetdevReference | undefined
  /** VLANs that name this netdev as their parent. */
  vlans: NetdevReference[]
  /** As set for this netdev. */
  dns: string[]
  /** What its resolver should ask: `dns`, and on the primary the node's `nameservers` too; by family, and both. */
  resolvers: string[]
  resolvers4: string[]
  resolvers6: string[]
  /** Domains to search: the node's `search` (or else its `domain`) on the primary, none elsewhere. */
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
  /** There is a way to tell which interface it is: a MAC or a device name, or it is made by software. */
  findable: boolean
}

/** A VLAN. `parentDevice` and `parentMac` are the parent's, where known. */
export type VlanView = {
  id: number | undefined
  parent: string | undefined
  parentDevice: string | undefined
  parentMac: string | undefined
}

/** A bond. Without a mode it is active-backup; without `miimon` links are looked at every 100 ms. */
export type BondView = { mode: string; members: string[]; memberDevices: string[]; miimon: number }

/** Linux's IFNAMSIZ is 16 with the closing NUL (include/uapi/linux/if.h). */
const longestDevice = 15

/**
 * A node's netdevs, by name in natural order, the primary first. A bond member or VLAN parent that is no netdev is taken
 * for the name of a device, and is listed like one that has only that.
 */
export function netdevViews({ name: node, settings }: { name: string; settings: Effective }): NetdevView[] {
  const { netdevs: configured = {} } = settings
  const around: Surroundings = {
    node,
    settings,
    primary: primaryName(configured),
    netdevs: configured,
    masters: new Map(),
    vlans: new Map(),
  }
  for (const [name, { type, bond, vlan }] of Object.entries(configured)) {
    if (type === 'bond') {
      for (const member of bond?.members ?? []) around.masters.set(member, name)
      addNamed(around, bond?.members ?? [])
    }
    if (type === 'vlan' && vlan?.parent !== undefined) {
      around.vlans.set(vlan.parent, [...(around.vlans.get(vlan.parent) ?? []), name].sort())
      addNamed(around, [vlan.parent])
    }
  }
  return Object.keys(around.netdevs)
    .map((name) => netdevView(name, around))
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

/** What a netdev's view needs to know of the node. */
type Surroundings = {
  node: string
  settings: Effective
  primary: string | undefined
  netdevs: Record<string, Netdev>
  /** Bonds by the names of their members. */
  masters: Map<string, string>
  /** VLANs by the names of their parents. */
  vlans: Map<string, string[]>
}

/** Lists what a bond or VLAN names and nobody has configured. */
function addNamed(around: Surroundings, names: readonly string[]): void {
  for (const name of names)
    if (!Object.hasOwn(around.netdevs, name))
      around.netdevs = { ...around.netdevs, [name]: name.length <= longestDevice ? { device: name } : {} }
}

const nothing: never[] = []

function netdevView(name: string, around: Surroundings): NetdevView {
  const { settings } = around
  const netdev = around.netdevs[name] ?? {}
  const { mac, address, address6, tags = {}, type = 'ethernet', dns = nothing } = netdev
  const primary = name === around.primary
  const v4 = address === undefined ? undefined : parseCidr4(address)
  const v6 = address6 === undefined ? undefined : parseCidr6(address6)
  const device = deviceOf(name, netdev)
  const master = around.masters.get(name)
  const isVirtual = type === 'bond' || type === 'vlan'
  const isDhcp = !v4 && !v6 && master === undefined && Object.hasOwn(settings.netdevs ?? {}, name)
  const resolvers = primary && settings.nameservers?.length ? [...new Set([...dns, ...settings.nameservers])] : dns
  return {
    name,
    mac,
    linkAddress: mac?.length === '00:00:00:00:00:00:00:00'.length ? undefined : mac,
    device,
    type,
    address,
    ip: v4?.ip,
    prefix: v4?.prefix,
    netmask: v4?.netmask,
    network: v4?.network,
    broadcast: v4?.broadcast,
    address6: v6 && `${v6.ip}/${v6.prefix}`,
    ip6: v6?.ip,
    prefix6: v6?.prefix,
    network6: v6?.network,
    gateway: netdev.gateway,
    gateway6: netdev.gateway6,
    mtu: netdev.mtu,
    primary,
    vlan: type === 'vlan' ? vlanView(netdev, around) : undefined,
    bond: type === 'bond' ? bondView(netdev, around) : undefined,
    master: master === undefined ? undefined : referenceTo(master, around),
    vlans: around.vlans.get(name)?.map((vlan) => referenceTo(vlan, around)) ?? nothing,
    dns,
    resolvers,
    resolvers4: resolvers.length === 0 ? nothing : resolvers.filter((one) => !one.includes(':')),
    resolvers6: resolvers.length === 0 ? nothing : resolvers.filter((one) => one.includes(':')),
    searches: primary ? (settings.search ?? (settings.domain === undefined ? nothing : [settings.domain])) : nothing,
    tags,
    get routes4() {
      return taggedRoutes(tags, around.node, name).v4
    },
    get routes6() {
      return taggedRoutes(tags, around.node, name).v6
    },
    isEthernet: type === 'ethernet',
    isVlan: type === 'vlan',
    isBond: type === 'bond',
    isInfiniband: type === 'infiniband',
    isVirtual,
    isDhcp,
    hasIpv4: v4 !== undefined || isDhcp,
    findable: isVirtual || mac !== undefined || device !== undefined,
  }
}

const referenceTo = (name: string, { netdevs }: Surroundings): NetdevReference => ({
  name,
  device: deviceOf(name, netdevs[name]),
})

function deviceOf(name: string, netdev: Netdev | undefined): string | undefined {
  if (netdev?.device !== undefined) return netdev.device
  return (netdev?.type === 'bond' || netdev?.type === 'vlan') && name.length <= longestDevice ? name : undefined
}

function vlanView({ vlan }: Netdev, { netdevs }: Surroundings): VlanView {
  const parent = vlan?.parent === undefined ? undefined : netdevs[vlan.parent]
  return {
    id: vlan?.id,
    parent: vlan?.parent,
    parentDevice: vlan?.parent === undefined ? undefined : deviceOf(vlan.parent, parent),
    parentMac: parent?.mac,
  }
}

function bondView({ bond }: Netdev, { netdevs }: Surroundings): BondView {
  const members = bond?.members ?? []
  return {
    mode: bond?.mode ?? 'active-backup',
    members,
    memberDevices: members.map((member) => deviceOf(member, netdevs[member]) ?? member),
    miimon: bond?.miimon ?? 100,
  }
}
