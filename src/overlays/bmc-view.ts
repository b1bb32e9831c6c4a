/** A node's BMC as templates see it. */
import type { Effective } from '../registry/settings.ts'
import { parseIp4 } from './ip.ts'

/** The settings of a BMC. Everything that may have no value is there all the same, as `undefined`. */
export type BmcView = {
  address: string | undefined
  /** From `netmask`. */
  prefix: number | undefined
  netmask: string | undefined
  gateway: string | undefined
  vlan: number | undefined
  user: string | undefined
  /** The text of the secret, for private files alone. Not enumerable, so that whoever lists a BMC does not read it. */
  readonly password: string | undefined
  protocol: 'ipmi' | 'redfish' | undefined
  interface: 'lan' | 'lanplus' | 'open' | undefined
  /** Whether the node sets its BMC at boot. */
  write: boolean
  /** kbit/s of serial over LAN, from the tag `bmcBitRate`: `115.2`. */
  bitRate: string | undefined
}

/** The view of `settings.bmc`. `password` is called when a template reads it. */
export function bmcView(
  bmc: NonNullable<Effective['bmc']>,
  tags: Readonly<Record<string, string>>,
  password: () => string | undefined,
): BmcView {
  const view = {
    address: bmc.address,
    prefix: bmc.netmask === undefined ? undefined : prefixOf(bmc.netmask),
    netmask: bmc.netmask,
    gateway: bmc.gateway,
    vlan: bmc.vlan,
    user: bmc.user,
    password: undefined,
    protocol: bmc.protocol,
    interface: bmc.interface,
    write: bmc.write ?? false,
    bitRate: tags.bmcBitRate,
  }
  return Object.defineProperty(view, 'password', { get: password, enumerable: false })
}

/** 24 of 255.255.255.0; `undefined` for a mask with holes. */
function prefixOf(netmask: string): number | undefined {
  const host = ~(parseIp4(netmask) ?? 0) >>> 0
  return (host & (host + 1)) === 0 ? Math.clz32(host) : undefined
}
