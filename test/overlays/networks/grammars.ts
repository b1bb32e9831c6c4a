/** Strict grammars of files whose services Debian does not have: RHEL's ifcfg, SUSE's ifcfg, and what lies beside them. */
import { parseCidr4, parseCidr6, parseIp4, parseIp6 } from '../../../src/overlays/ip.ts'

/** What a value must be. */
type Kind = (value: string) => boolean

const oneOf =
  (...values: string[]): Kind =>
  (value) =>
    values.includes(value)
const number =
  (least: number, most: number): Kind =>
  (value) =>
    /^(?:0|[1-9][0-9]*)$/.test(value) && Number(value) >= least && Number(value) <= most
const listOf =
  (kind: Kind): Kind =>
  (value) =>
    value
      .trim()
      .split(' ')
      .every((part) => kind(part))
const ip4: Kind = (value) => parseIp4(value) !== undefined
const ip6: Kind = (value) => parseIp6(value) !== undefined
const cidr4: Kind = (value) => parseCidr4(value) !== undefined
const cidr6: Kind = (value) => parseCidr6(value) !== undefined
const ip: Kind = (value) => ip4(value) || ip6(value)
const mac: Kind = (value) => /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(value)
const linkAddress: Kind = (value) => mac(value) || /^(?:[0-9a-f]{2}:){19}[0-9a-f]{2}$/.test(value)
const device: Kind = (value) => /^(?![0-9]+$|all$|default$)[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(value)
const domain: Kind = (value) => /^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(value)
const yesNo = oneOf('yes', 'no')
const name: Kind = (value) => /^muster-[A-Za-z0-9_-]+$/.test(value)

const modes = ['balance-rr', 'active-backup', 'balance-xor', 'broadcast', '802.3ad', 'balance-tlb', 'balance-alb']
const hashes = ['layer2', 'layer2+3', 'layer3+4', 'encap2+3', 'encap3+4']
/** Options of a bond, and what wicked's `ni_bonding_validate()` says of them together (src/bonding.c). */
const bondOptions: Kind = (value) => {
  const pairs = value.split(' ').map((pair): [string, string] => {
    const at = pair.indexOf('=')
    return [pair.slice(0, at), pair.slice(at + 1)]
  })
  const options = new Map(pairs)
  const kinds: Record<string, Kind> = {
    mode: oneOf(...modes),
    miimon: number(0, 60000),
    updelay: number(1, 60000),
    downdelay: number(1, 60000),
    xmit_hash_policy: oneOf(...hashes),
    lacp_rate: oneOf('slow', 'fast'),
  }
  const mode = options.get('mode') ?? ''
  const delays = [options.get('updelay'), options.get('downdelay')].filter((one) => one !== undefined)
  return (
    options.size === pairs.length &&
    options.has('mode') &&
    pairs.every(([key, option]) => kinds[key]?.(option) ?? false) &&
    delays.every((one) => Number(one) % Number(options.get('miimon')) === 0) &&
    (!options.has('lacp_rate') || mode === '802.3ad') &&
    (!options.has('xmit_hash_policy') || ['balance-xor', '802.3ad'].includes(mode)) &&
    (!['802.3ad', 'balance-tlb', 'balance-alb'].includes(mode) || options.get('miimon') !== '0')
  )
}

/** nm-settings-ifcfg-rh(5), and sysconfig.txt of RHEL 8's initscripts. */
const redHatKeys: Record<string, Kind> = {
  NAME: name,
  TYPE: oneOf('Ethernet', 'Vlan', 'Bond', 'InfiniBand'),
  HWADDR: linkAddress,
  MACADDR: mac,
  DEVICE: device,
  ONBOOT: oneOf('yes'),
  MTU: number(68, 65536),
  CONNECTED_MODE: yesNo,
  VLAN: oneOf('yes'),
  PHYSDEV: device,
  VID: number(1, 4094),
  VLAN_ID: number(1, 4094),
  BONDING_MASTER: oneOf('yes'),
  BONDING_OPTS: bondOptions,
  MASTER: device,
  SLAVE: oneOf('yes'),
  BOOTPROTO: oneOf('dhcp', 'none'),
  DHCP_CLIENT_ID: oneOf('mac'),
  IPADDR: ip4,
  PREFIX: number(1, 32),
  GATEWAY: ip4,
  IPV6INIT: yesNo,
  IPV6_AUTOCONF: yesNo,
  IPV6ADDR: cidr6,
  IPV6_DEFAULTGW: ip6,
  DHCPV6C: oneOf('yes'),
  IPV6_DISABLED: oneOf('yes'),
  DNS1: ip,
  DNS2: ip,
  DNS3: ip,
  DOMAIN: listOf(domain),
  NETWORKING: oneOf('yes'),
}

/** ifcfg(5), ifcfg-bonding(5), ifcfg-vlan(5), ifcfg-ipoib(5), ifcfg-dhcp(5) of wicked, and netconfig(8). */
const suseKeys: Record<string, Kind> = {
  NAME: name,
  STARTMODE: oneOf('auto', 'hotplug'),
  BOOTPROTO: oneOf('static', 'none', 'dhcp', 'dhcp4', 'dhcp6'),
  DHCLIENT_CREATE_CID: oneOf('hwaddress'),
  DHCLIENT6_MODE: oneOf('managed'),
  IPADDR: cidr4,
  IPADDR_6: cidr6,
  LLADDR: mac,
  MTU: number(68, 65536),
  ETHERDEVICE: device,
  VLAN_ID: number(1, 4094),
  BONDING_MASTER: oneOf('yes'),
  BONDING_MODULE_OPTS: (value) => bondOptions(value) && !/miimon=0(?: |$)/.test(value),
  IPOIB: oneOf('yes'),
  IPOIB_MODE: oneOf('datagram', 'connected'),
  NETCONFIG_DNS_STATIC_SERVERS: (value) => value === '' || listOf(ip)(value),
  NETCONFIG_DNS_STATIC_SEARCHLIST: (value) => value === '' || listOf(domain)(value),
}

/** Lines of `KEY=value` that need no quotes, or have them; each key once. */
function assignmentFaults(text: string, kindOf: (key: string) => Kind | undefined): string[] {
  const seen = new Set<string>()
  return linesOf(text).flatMap((line) => {
    const [, key = '', , quoted, bare] =
      /^([A-Z][A-Z0-9_]*)=(?:(['"])([^'"\\$`]*)\2|([A-Za-z0-9_.:/+-]*))$/.exec(line) ?? []
    const again = seen.has(key)
    seen.add(key)
    return again || !kindOf(key)?.(quoted ?? bare ?? '') ? [line] : []
  })
}

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))

const lineFaults = (text: string, fits: (words: string[]) => boolean): string[] =>
  linesOf(text).filter((line) => !fits(line.split(' ')))

const route =
  (cidr: Kind, gateway: Kind) =>
  ([destination = '', via, hop = '', ...rest]: string[]): boolean => {
    const options = rest.join(' ')
    return (
      cidr(destination) &&
      via === 'via' &&
      gateway(hop) &&
      /^(?:dev \S+)?(?: ?metric [0-9]+)?(?: ?onlink)?$/.test(options)
    )
  }

/** Destination, gateway, netmask, interface, options (routes(5)). */
const suseRoute = ([destination = '', gateway = '', netmask, on = '', ...options]: string[]): boolean => {
  const sameFamily =
    destination === 'default' || (cidr4(destination) && ip4(gateway)) || (cidr6(destination) && ip6(gateway))
  return sameFamily && ip(gateway) && netmask === '-' && device(on) && /^(?:metric [0-9]+)?$/.test(options.join(' '))
}

/** udev(7): matches with ==, one assignment at the end. */
const udevRule = (line: string): boolean =>
  /^SUBSYSTEM=="net", ACTION=="add", ATTR\{type\}=="(?:1", ENV\{DEVTYPE\}=="", ATTR\{address\}=="(?:[0-9a-f]{2}:){5}|32", ATTR\{address\}=="\*(?:[0-9a-f]{2}:){7})[0-9a-f]{2}", NAME="[A-Za-z0-9_.-]{1,15}"$/.test(
    line,
  )

const linkFile =
  /^\[Match\]\nMACAddress=(?:(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\nType=ether|(?:[0-9a-f]{2}:){19}[0-9a-f]{2}\nType=infiniband)\n\n?\[Link\]\nName=[A-Za-z0-9_.-]{1,15}$/

/** Lines of a file that its grammar does not know. Throws for a file that has no grammar here. */
export function grammarFaults(path: string, text: string): string[] {
  const named = (faults: string[]) => faults.map((line) => `${path}: ${line}`)
  const last = path.slice(path.lastIndexOf('/') + 1)
  if (path.startsWith('/etc/sysconfig/network-scripts/ifcfg-') || path === '/etc/sysconfig/network')
    return named(assignmentFaults(text, (key) => (Object.hasOwn(redHatKeys, key) ? redHatKeys[key] : undefined)))
  if (path.startsWith('/etc/sysconfig/network-scripts/route-')) return named(lineFaults(text, route(cidr4, ip4)))
  if (path.startsWith('/etc/sysconfig/network-scripts/route6-')) return named(lineFaults(text, route(cidr6, ip6)))
  if (path.startsWith('/etc/sysconfig/network/ifcfg-') || last === 'muster-dns')
    return named(
      assignmentFaults(text, (key) =>
        /^BONDING_SLAVE_[0-9]+$/.test(key) ? device : Object.hasOwn(suseKeys, key) ? suseKeys[key] : undefined,
      ),
    )
  if (path === '/etc/sysconfig/network/routes') return named(lineFaults(text, suseRoute))
  if (path.startsWith('/etc/sysctl.d/'))
    return named(
      linesOf(text).filter(
        (line) =>
          !/^net\/ipv6\/conf\/[A-Za-z0-9_.-]{1,15}\/(?:accept_ra = 0|autoconf = 0|disable_ipv6 = 1)$/.test(line),
      ),
    )
  if (path.startsWith('/etc/udev/rules.d/')) return named(linesOf(text).filter((line) => !udevRule(line)))
  if (path.endsWith('.link')) return linkFile.test(linesOf(text).join('\n')) ? [] : named([text])
  throw new Error(`no grammar for ${path}`)
}
