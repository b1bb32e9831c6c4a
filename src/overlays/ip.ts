/** Arithmetic on IP addresses: what templates say of a netdev beside its address. Pure, no look-ups. */

/** An IPv4 address with its prefix, taken apart. `broadcast` is absent where there is none: /31 (RFC 3021) and /32. */
export type Cidr4 = { ip: string; prefix: number; netmask: string; network: string; broadcast: string | undefined }

/** An IPv6 address with its prefix, taken apart; addresses as the URL standard spells them (RFC 5952 §4). */
export type Cidr6 = { ip: string; prefix: number; network: string }

const all4 = 2 ** 32 - 1
const all6 = 2n ** 128n - 1n

/** Reads `10.0.0.1/24`; `undefined` for anything else. */
export function parseCidr4(text: string): Cidr4 | undefined {
  const slash = text.indexOf('/')
  const ip = text.slice(0, slash)
  const value = parseIp4(ip)
  const prefix = prefixLength(text.slice(slash + 1), 32)
  if (slash < 0 || value === undefined || prefix === undefined) return undefined
  // Not by shifting: a shift count of 32 is 0 in JavaScript.
  const block = 2 ** (32 - prefix)
  const network = value - (value % block)
  return {
    ip,
    prefix,
    netmask: formatIp4(all4 - (block - 1)),
    network: formatIp4(network),
    broadcast: prefix > 30 ? undefined : formatIp4(network + block - 1),
  }
}

/** Reads `fd00::1/64`; `undefined` for anything else, also for an address with a zone. */
export function parseCidr6(text: string): Cidr6 | undefined {
  const [address = '', length = '', ...rest] = text.split('/')
  const value = parseIp6(address)
  const prefix = prefixLength(length, 128)
  if (value === undefined || prefix === undefined || rest.length > 0) return undefined
  const hostBits = BigInt(128 - prefix)
  return { ip: formatIp6(value), prefix, network: formatIp6((value >> hostBits) << hostBits) }
}

/** The 32 bits of a dotted quad; `undefined` for anything else (leading zeros too: some readers take them for octal). */
export function parseIp4(text: string): number | undefined {
  let [value, part, digits, parts] = [0, 0, 0, 1]
  // Digit by digit, because this runs for every address of the cluster whenever /etc/hosts is rendered.
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 48
    if (digit >= 0 && digit <= 9 && (digits === 0 || part > 0)) {
      part = part * 10 + digit
      digits++
      if (part > 255) return undefined
    } else if (digit === -2 && digits > 0) {
      value = value * 256 + part
      part = 0
      digits = 0
      parts++
    } else {
      return undefined
    }
  }
  return parts === 4 && digits > 0 ? value * 256 + part : undefined
}

/** 32 bits as a dotted quad. */
export const formatIp4 = (value: number): string =>
  `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`

/** The 128 bits of an IPv6 address in any spelling of RFC 4291 §2.2; `undefined` for anything else. */
export function parseIp6(text: string): bigint | undefined {
  const tail = text.slice(text.lastIndexOf(':') + 1)
  const quad = tail.includes('.') ? parseIp4(tail) : undefined
  if (tail.includes('.') && quad === undefined) return undefined
  const plain =
    quad === undefined
      ? text
      : `${text.slice(0, -tail.length)}${Math.floor(quad / 65536).toString(16)}:${(quad % 65536).toString(16)}`
  const halves = plain.split('::')
  if (halves.length > 2) return undefined
  const [head = [], after = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const missing = 8 - head.length - after.length
  // `::` stands for one group of zeros at least (RFC 5952 §4.2.2 only advises against one; RFC 4291 allows it).
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const groups = [...head, ...Array<string>(missing).fill('0'), ...after]
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined
  return groups.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n)
}

/** An IPv6 address in its one spelling; what is none stays as it is. */
export function canonicalIp6(text: string): string {
  const value = parseIp6(text)
  return value === undefined ? text : formatIp6(value)
}

/** Whether an address can be reached from a network: it lies in it, or is link-local, which every IPv6 interface reaches. */
export function isWithin(ip: string, network: Cidr4 | Cidr6 | undefined): boolean {
  if (network === undefined) return false
  if (!ip.includes(':')) return parseCidr4(`${ip}/${network.prefix}`)?.network === network.network
  const isLinkLocal = parseCidr6(`${ip}/10`)?.network === 'fe80::'
  return isLinkLocal || parseCidr6(`${ip}/${network.prefix}`)?.network === network.network
}

/** 128 bits as RFC 5952 §4 has them: lower case, the longest run of two or more zero groups shortened, the first of equals. */
export function formatIp6(value: bigint): string {
  const digits = (value & all6).toString(16).padStart(32, '0')
  const groups = Array.from({ length: 8 }, (_, at) =>
    Number.parseInt(digits.slice(at * 4, at * 4 + 4), 16).toString(16),
  )
  let best = { at: 0, length: 1 }
  for (let at = 0; at < 8; at++) {
    let length = 0
    while (groups[at + length] === '0') length++
    if (length > best.length) best = { at, length }
  }
  if (best.length < 2) return groups.join(':')
  return `${groups.slice(0, best.at).join(':')}::${groups.slice(best.at + best.length).join(':')}`
}

function prefixLength(text: string, most: number): number | undefined {
  const value = Number(text)
  return value <= most && String(value) === text && Number.isInteger(value) && value >= 0 ? value : undefined
}
