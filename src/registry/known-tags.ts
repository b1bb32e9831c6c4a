/** Tags that shipped overlays read, and what they must be. Other tags are the site's own, and may be anything. */
import { z } from '@hono/zod-openapi'
import { netdevTagFault, networkTagFault } from './network-tags.ts'

/** A tag that means something: what it may be, in words that follow its name, and the check. */
type KnownTag = { must: string; fits: (text: string) => boolean }

const hostName = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/
const isAddress = (text: string): boolean => z.union([z.ipv4(), z.ipv6()]).safeParse(text).success
const isTimeSource = (text: string): boolean => hostName.test(text) || isAddress(text)

/** What separates the items of a tag that is a list. */
const parts = (text: string): string[] => text.split(/[\s,;]+/).filter((part) => part !== '')
const isListOf =
  (fits: (part: string) => boolean) =>
  (text: string): boolean =>
    parts(text).every(fits)
const oneOf = (...values: string[]): KnownTag => ({
  must: `must be ${values.slice(0, -1).join(', ')} or ${values.at(-1)}`,
  fits: (text) => values.includes(text),
})

/** Zones as `timezone` has them. */
const zone: KnownTag = {
  must: 'must be a zone such as America/Phoenix',
  fits: (text) => text.length <= 64 && /^[A-Za-z0-9_+-]+(?:\/[A-Za-z0-9_+-]+)*$/.test(text),
}

/** Part of the path of a program (slurmd). Empty is as good as not there. */
const architecture: KnownTag = {
  must: 'must be one word of letters, digits, dots, dashes, underscores and +, such as x86_64',
  fits: (text) => /^[A-Za-z0-9._+-]{0,64}$/.test(text),
}

/** Tags of nodes and profiles. */
const nodeTags: Record<string, KnownTag> = {
  PasswordlessRoot: oneOf('true', 'false'),
  localtime: zone,
  ntp_server: { must: 'must be one host name or address', fits: isTimeSource },
  ntp_servers: { must: 'must be host names and addresses, separated by commas', fits: isListOf(isTimeSource) },
  // The kbit/s that IPMI knows for serial over LAN (ipmitool(1), sol set).
  bmcBitRate: oneOf('serial', '9.6', '19.2', '38.4', '57.6', '115.2'),
  arch: architecture,
  cpuArch: architecture,
  slurmPrefix: {
    must: 'must be an absolute path of letters, digits, dots, dashes, underscores and +, such as /opt/slurm',
    fits: (text) => text === '' || (text.length <= 1024 && /^(?:\/(?!\.\.?(?:\/|$))[A-Za-z0-9._+-]+)+$/.test(text)),
  },
  gpuMigProfiles: {
    must: 'must be profiles such as 9,9 for every GPU, or 9,9:19:3g.20gb for one GPU after the other',
    // What nvidia-smi takes after -cgi: numbers or names of profiles, `1g.5gb+me`, with a compute instance `3g.20gb/1c.3g.20gb`.
    fits: (text) =>
      /^(?:[A-Za-z0-9.+/-]+(?:,[A-Za-z0-9.+/-]+)*|)(?::(?:[A-Za-z0-9.+/-]+(?:,[A-Za-z0-9.+/-]+)*|))*$/.test(text) &&
      !/(?:^|[,:])-/.test(text),
  },
}

/** What is wrong with known tags, by key, of a node or profile or of a netdev. `null` clears and is never wrong. */
export function tagFaults(
  of: 'node' | 'netdev',
  tags: Readonly<Record<string, string | null>>,
): { path: PropertyKey[]; message: string }[] {
  return Object.entries(tags).flatMap(([key, text]) => {
    const fault = text === null ? undefined : of === 'netdev' ? netdevTagFault(key, text) : nodeTagFault(key, text)
    return fault === undefined ? [] : [{ path: [key], message: `${fault}, not ${JSON.stringify(text)}` }]
  })
}

function nodeTagFault(key: string, text: string): string | undefined {
  if (key === 'network') return networkTagFault(text)
  const known = Object.hasOwn(nodeTags, key) ? nodeTags[key] : undefined
  return known === undefined || known.fits(text) ? undefined : known.must
}
