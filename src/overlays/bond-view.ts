/** A bond as templates see it: what the kernel will really do with what is set. */
import type { Netdev } from '../registry/settings.ts'
import type { NetdevTag } from './netdev-tag.ts'
import { deviceOf, interfaceOf, type Wiring } from './netdev-wiring.ts'

/** A bond. Without a mode it is active-backup; without `miimon` links are looked at every 100 ms. */
export type BondView = {
  mode: string
  /** Names of netdevs. Those that cannot be had are left out. */
  members: string[]
  memberDevices: string[]
  /** The members, counted from 0. */
  ports: { number: number; name: string; device: string | undefined; interface: string }[]
  /** Milliseconds; 0 looks at no links. */
  miimon: number
  /** Milliseconds, multiples of `miimon`; absent for none. */
  updelay: number | undefined
  downdelay: number | undefined
  /** In modes that hash. */
  xmitHashPolicy: string | undefined
  /** In mode 802.3ad. */
  lacpRate: 'slow' | 'fast' | undefined
}

/** Modes that ask for `miimon`, which the kernel sets to 100 where it is 0 (drivers/net/bonding/bond_options.c). */
const watchful = ['802.3ad', 'balance-tlb', 'balance-alb']
/** Modes that choose a port by a hash. Elsewhere NetworkManager and wicked refuse a policy. */
const hashing = ['balance-xor', '802.3ad']

/** The view of a bond. Reads its tags, and throws what they throw. */
export function bondView({ bond }: Netdev, tag: NetdevTag, { netdevs, faultOf }: Wiring): BondView {
  const members = [...new Set(bond?.members ?? [])].filter((member) => faultOf(member) === undefined)
  const mode = bond?.mode ?? 'active-backup'
  const set = bond?.miimon ?? Number(tag('miimon') ?? 100)
  const miimon = set === 0 && watchful.includes(mode) ? 100 : set
  const delay = (key: string): number | undefined => {
    const text = tag(key)
    // The kernel takes multiples of miimon, and rounds others down (bond_options.c); wicked refuses less than one.
    const rounded = text === undefined || miimon === 0 ? 0 : Number(text) - (Number(text) % miimon)
    return rounded === 0 ? undefined : rounded
  }
  const rate = tag('lacp_rate')
  return {
    mode,
    members,
    memberDevices: members.map((member) => deviceOf(member, netdevs.get(member) ?? {}) ?? member),
    ports: members.map((name, number) => {
      const member = netdevs.get(name) ?? {}
      return { number, name, device: deviceOf(name, member), interface: interfaceOf(name, member) }
    }),
    miimon,
    updelay: delay('updelay'),
    downdelay: delay('downdelay'),
    xmitHashPolicy: hashing.includes(mode) ? tag('xmit_hash_policy') : undefined,
    lacpRate: mode !== '802.3ad' || rate === undefined ? undefined : /^(?:fast|1)$/.test(rate) ? 'fast' : 'slow',
  }
}
