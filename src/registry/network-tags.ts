/**
 * Tags that say how a node's network is set up, and what they may hold: `network` of the node, and those of its netdevs. Their
 * names are those that sites know from Warewulf.
 */
import { z } from '@hono/zod-openapi'
import { isHostAddress } from './host-address.ts'

const address4 = z.ipv4()
const address6 = z.ipv6()
const cidr4 = z.cidrv4()
const cidr6 = z.cidrv6()
const fits = (schema: z.ZodType, value: string): boolean => schema.safeParse(value).success

/** Services that set a network up, as the tag `network` of a node names them: by the overlay, or in short. */
export const networkServices = {
  networkd: 'networkd',
  'systemd-networkd': 'networkd',
  networkmanager: 'networkmanager',
  NetworkManager: 'networkmanager',
  ifcfg: 'ifcfg',
  ifupdown: 'ifupdown',
  netplan: 'netplan',
  wicked: 'wicked',
} as const
/** A service that sets a network up. */
export type NetworkService = (typeof networkServices)[keyof typeof networkServices]

/** What is wrong with the tag `network` of a node, as the end of a sentence; `undefined` when nothing is. */
export const networkTagFault = (value: string): string | undefined =>
  value === 'none' || Object.hasOwn(networkServices, value)
    ? undefined
    : `must be ${Object.keys(networkServices).join(', ')} or none`

/** IPv6 methods that a netdev may ask for, in NetworkManager's words (nm-settings(5), ipv6.method). */
const ipv6Methods = ['auto', 'dhcp', 'link-local', 'disabled', 'ignore'] as const

/** Hash policies of a bond that every service knows: not vlan+srcmac, which is younger than systemd 252. */
const hashPolicies = ['layer2', 'layer2+3', 'layer3+4', 'encap2+3', 'encap3+4']

/** What stands in the tag, as a list: `10.0.0.1; 10.0.0.2`, `a.example,b.example`. */
export const listed = (value: string): string[] => value.split(/[\s,;]+/).filter((part) => part !== '')

/** `DESTINATION,GATEWAY[,METRIC]` taken apart; `undefined` when it is none. Both addresses are of one family. */
export function routeOf(
  value: string,
): { destination: string; gateway: string; metric: number | undefined } | undefined {
  const [destination = '', gateway = '', metric, ...rest] = value.split(',').map((part) => part.trim())
  const isRoute =
    (fits(cidr4, destination) && fits(address4, gateway)) || (fits(cidr6, destination) && fits(address6, gateway))
  // The kernel's metric is an u32; nine digits are within it.
  if (!isRoute || !isHostAddress(gateway) || rest.length > 0 || (metric !== undefined && !/^[0-9]{1,9}$/.test(metric)))
    return undefined
  return { destination, gateway, metric: metric === undefined ? undefined : Number(metric) }
}

type Rule = { tag: RegExp; fits: (value: string) => boolean; fault: string }

const oneOf = (values: readonly string[]): Omit<Rule, 'tag'> => ({
  fits: (value) => values.includes(value),
  fault: `must be one of ${values.join(', ')}`,
})

const rules: readonly Rule[] = [
  {
    tag: /^route[0-9]*$/,
    fits: (value) => routeOf(value) !== undefined,
    fault: 'must be DESTINATION/PREFIX,GATEWAY or DESTINATION/PREFIX,GATEWAY,METRIC, such as 10.8.0.0/16,10.1.0.1',
  },
  {
    tag: /^DNS[0-9]*$/,
    fits: (value) => listed(value).every((part) => fits(address4, part) || fits(address6, part)),
    fault: 'must be addresses, with blanks, commas or semicolons between them',
  },
  {
    tag: /^DNSSEARCH$/,
    fits: (value) => listed(value).every((part) => /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(part)),
    fault: 'must be domain names, with blanks, commas or semicolons between them',
  },
  {
    tag: /^(?:miimon|updelay|downdelay)$/,
    fits: (value) => /^[0-9]{1,5}$/.test(value) && Number(value) <= 60000,
    fault: 'must be milliseconds: 0 to 60000',
  },
  { tag: /^xmit_hash_policy$/, ...oneOf(hashPolicies) },
  { tag: /^lacp_rate$/, ...oneOf(['slow', 'fast', '0', '1']) },
  { tag: /^transport_mode$/, ...oneOf(['datagram', 'connected']) },
  { tag: /^ipv6_method$/, ...oneOf(ipv6Methods) },
  {
    tag: /^cloned-mac-address$/,
    fits: (value) => /^[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}$/.test(value),
    fault: 'must be a MAC such as 52:54:00:12:34:56',
  },
]

/** What is wrong with a tag of a netdev, as the end of a sentence; `undefined` when nothing is, or when it is nobody's. */
export function netdevTagFault(tag: string, value: string): string | undefined {
  const rule = rules.find((one) => one.tag.test(tag))
  return rule === undefined || rule.fits(value) ? undefined : rule.fault
}
