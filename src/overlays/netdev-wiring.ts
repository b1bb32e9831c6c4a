/** How a node's netdevs hang together: bonds and their members, VLANs and their parents, and which of them cannot be had. */
import type { Netdev } from '../registry/settings.ts'
import { byName } from './natural.ts'

/** Configured netdevs with those that bonds and VLANs name, and what ties them. */
export type Wiring = {
  /** Every netdev, whether configured or only named by a bond or VLAN. */
  netdevs: ReadonlyMap<string, Netdev>
  /** The bond that a netdev is a member of. Only bonds that can be had. */
  masterOf(name: string): string | undefined
  /** The VLANs on a netdev, by name. Only those that can be had. */
  vlansOn(name: string): string[]
  /** How many netdevs lie below one another: 0 of a port, 1 of a bond, 2 of a VLAN, one more of a VLAN on a VLAN. */
  layerOf(name: string): number
  /** Why no network service can be told of this netdev, as the end of a sentence; `undefined` when each can. */
  faultOf(name: string): string | undefined
}

/** Linux's IFNAMSIZ is 16 with the closing NUL (include/uapi/linux/if.h). */
const longestDevice = 15

/**
 * What Linux and its network services all take for an interface's name: `dev_valid_name()` refuses colons; `default` and `all`
 * are taken below /proc/sys/net; systemd refuses numbers.
 */
const isDeviceName = (name: string): boolean =>
  name.length <= longestDevice &&
  /^(?![0-9]+$)[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name) &&
  !/^(?:all|default)$/.test(name)

/** MAX_NEST_DEV is 8 with the port (include/linux/netdevice.h). */
const deepestVlan = 7

/** Bytes of a hardware address that the kernel shows for each kind of link (RFC 4391 §9.1.1 has the 20 of IPoIB). */
export const linkAddressBytes = { ethernet: 6, vlan: 6, bond: 6, infiniband: 20 } as const

/** How many bytes a hardware address has. */
export const bytesIn = (mac: string): number => (mac.length + 1) / 3

/** The interface's name: `device`, or what a bond or VLAN is called that has none. `undefined` where that is nobody's to say. */
export function deviceOf(name: string, { device, type }: Netdev): string | undefined {
  if (device !== undefined) return isDeviceName(device) ? device : undefined
  if (type !== 'bond' && type !== 'vlan') return undefined
  return [name, `${type}-${name}`].find(isDeviceName)
}

/** A name for formats that need one: the interface's, or `muster-NAME` where that is not known. */
export const interfaceOf = (name: string, netdev: Netdev): string => deviceOf(name, netdev) ?? `muster-${name}`

/** Only of a netdev without a fault, as VLANs may go round in circles else. */
function layerOf(name: string, netdevs: ReadonlyMap<string, Netdev>): number {
  const { type, vlan } = netdevs.get(name) ?? {}
  if (type !== 'vlan') return type === 'bond' ? 1 : 0
  return Math.max(2, 1 + layerOf(vlan?.parent ?? '', netdevs))
}

/** Ties configured netdevs. Faults are looked for when they are asked for: /etc/hosts of a large cluster never does. */
export function wire(configured: Readonly<Record<string, Netdev>>): Wiring {
  const netdevs = new Map(Object.entries(configured))
  const named = (name: string) => {
    if (!netdevs.has(name)) netdevs.set(name, { device: name })
  }
  const masters = new Map<string, string>()
  const vlans = new Map<string, string[]>()
  const bonds: string[] = []
  for (const [name, { type, bond, vlan }] of Object.entries(configured)) {
    if (type === 'bond') bonds.push(name)
    for (const member of (type === 'bond' && bond?.members) || []) named(member)
    if (type !== 'vlan' || vlan?.parent === undefined) continue
    vlans.set(vlan.parent, [...(vlans.get(vlan.parent) ?? []), name].sort())
    named(vlan.parent)
  }
  for (const name of bonds.sort())
    for (const member of netdevs.get(name)?.bond?.members ?? []) if (!masters.has(member)) masters.set(member, name)
  const faults = new Map<string, string | undefined>()
  let owners: Map<string, string> | undefined
  const faultOf = (name: string, above: readonly string[] = []): string | undefined => {
    if (faults.has(name)) return faults.get(name)
    owners ??= ownersOf(netdevs)
    const netdev = netdevs.get(name) ?? {}
    const owner = owners.get(interfaceOf(name, netdev))
    const fault =
      owner !== name
        ? `is ${interfaceOf(name, netdev)}, which is ${owner} already`
        : netdev.type === 'vlan'
          ? vlanFault(name, netdev, netdevs, [...above, name], faultOf)
          : netdev.type === 'bond'
            ? bondFault(name, netdev, netdevs, masters)
            : linkFault(netdev)
    faults.set(name, fault)
    return fault
  }
  return {
    netdevs,
    masterOf(name) {
      const master = masters.get(name)
      return master === undefined || faultOf(master) !== undefined ? undefined : master
    },
    vlansOn: (name) => (vlans.get(name) ?? []).filter((vlan) => faultOf(vlan) === undefined),
    layerOf: (name) => layerOf(name, netdevs),
    faultOf: (name) => faultOf(name),
  }
}

/** Which netdev an interface's name belongs to: the first by name of those that claim it. */
function ownersOf(netdevs: ReadonlyMap<string, Netdev>): Map<string, string> {
  const owners = new Map<string, string>()
  for (const name of [...netdevs.keys()].sort((a, b) => byName({ name: a }, { name: b }))) {
    const claimed = interfaceOf(name, netdevs.get(name) ?? {})
    if (!owners.has(claimed)) owners.set(claimed, name)
  }
  return owners
}

function linkFault({ mac, device, type = 'ethernet' }: Netdev): string | undefined {
  if (device !== undefined) return isDeviceName(device) ? undefined : `has the device ${device}, which Linux refuses`
  if (mac === undefined) return 'has neither a mac nor a device'
  const wanted = linkAddressBytes[type]
  return bytesIn(mac) === wanted ? undefined : `has no device, and a mac of ${bytesIn(mac)} bytes instead of ${wanted}`
}

function bondFault(
  name: string,
  netdev: Netdev,
  netdevs: ReadonlyMap<string, Netdev>,
  masters: ReadonlyMap<string, string>,
): string | undefined {
  if (deviceOf(name, netdev) === undefined) return noName
  for (const member of netdev.bond?.members ?? []) {
    const type = netdevs.get(member)?.type
    if (type === 'bond' || type === 'vlan') return `has the member ${member}, which is a ${type}`
    const master = masters.get(member)
    if (master !== name) return `has the member ${member}, which is in ${master}`
  }
  return undefined
}

function vlanFault(
  name: string,
  netdev: Netdev,
  netdevs: ReadonlyMap<string, Netdev>,
  above: readonly string[],
  faultOf: (name: string, above: readonly string[]) => string | undefined,
): string | undefined {
  const { id, parent } = netdev.vlan ?? {}
  if (deviceOf(name, netdev) === undefined) return noName
  if (id === undefined) return 'has no vlan.id'
  if (parent === undefined) return 'has no vlan.parent'
  if (above.includes(parent)) return 'is a VLAN on itself'
  // IPoIB has partitions instead (Documentation/infiniband/ipoib.rst).
  if (netdevs.get(parent)?.type === 'infiniband') return `lies on ${parent}, and InfiniBand carries no VLAN`
  const fault = faultOf(parent, above)
  if (fault !== undefined) return `lies on ${parent}, which ${fault}`
  return layerOf(parent, netdevs) > deepestVlan ? `lies on ${deepestVlan} VLANs, and Linux takes no more` : undefined
}

const noName = `has no device, and a name that is none for Linux (more than ${longestDevice} characters)`
