/** Addresses that a node, or a router, can have: one machine's, which network services take for an interface. */

/** Not of 0.0.0.0/8 (this network), or from 224.0.0.0 up (multicast, broadcast): RFC 6890 §2.2. Loopback harms nobody. */
const isHost4 = (address: string): boolean => {
  const first = Number(address.split('.')[0])
  return first > 0 && first < 224
}

/** Not `::` or of ff00::/8 (RFC 4291 §2.4), and no IPv4 address in another dress (`::ffff:0:0/96`, §2.5.5.2). */
const isHost6 = (address: string): boolean => {
  // The URL standard's one spelling, so that there is one to look at.
  const host = URL.parse(`http://[${address}]/`)?.hostname.slice(1, -1) ?? '::'
  return host !== '::' && !/^ff[0-9a-f]{2}:/.test(host) && !/^::ffff:/.test(host)
}

/** Whether an address, which is known to be one, can be a machine's. */
export const isHostAddress = (address: string): boolean => (address.includes(':') ? isHost6(address) : isHost4(address))

/** The same of an address with its prefix, which must leave something of the world to others. */
export function isHostCidr(cidr: string): boolean {
  const slash = cidr.indexOf('/')
  return isHostAddress(cidr.slice(0, slash)) && cidr.slice(slash + 1) !== '0'
}
