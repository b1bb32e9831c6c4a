/**
 * What a template sees: `{{node.fqdn}}`, `{{#netdevs}}…{{/netdevs}}`. docs/overlays.md has the table of every name.
 *
 * A name that exists and has no value (`{{domain}}` where none is set) is `undefined` here, not missing: sections take
 * it for false, a variable tag is an error either way, and the error can say which of the two it was.
 */
import type { Digest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import type { Effective, Json, RootKind } from '../registry/settings.ts'
import { parseIp4, parseIp6 } from './ip.ts'
import { byName } from './natural.ts'
import { type NetdevView, netdevViews, primaryOf } from './netdev-view.ts'

/** A node by its name, with the settings that hold for it. */
export type NamedSettings = { name: string; settings: Effective }

/** Plain data that a view is made of. `nodes` is called only when a template reads `nodes`. */
export type ViewInput = {
  node: NamedSettings
  image?: { name: string; version: number; digest: Digest } | undefined
  kernel?: { version: string } | undefined
  root: { kind: RootKind; size?: string | undefined }
  init: string
  onFailure: 'retry' | 'reboot' | 'shell'
  /** Seconds. */
  runtimeInterval: number
  cluster: string
  /** `http://10.0.0.1:9873`, without a slash at the end. */
  head: { url: string }
  /** Every node of the cluster, in any order. */
  nodes: () => NamedSettings[]
}

/** A node's names: `n1`, or `n1.cluster.example` from its name or from its `domain`. */
export type NodeNames = { name: string; hostname: string; fqdn: string; domain: string | undefined }

/** A node as `nodes` lists it. */
export type ListedNode = NodeNames & { netdevs: NetdevView[]; primary: NetdevView | undefined }

/** The head node as templates see it. `ip` is there when `host` is an address. */
export type HeadView = { url: string; host: string; port: number; ip: string | undefined }

/** Everything that a template may name. */
export type View = {
  node: NodeNames
  cluster: string
  head: HeadView
  image: { name: string; version: number; digest: Digest } | undefined
  kernel: { version: string } | undefined
  root: { kind: RootKind; size: string | undefined }
  init: string
  onFailure: 'retry' | 'reboot' | 'shell'
  runtimeInterval: number
  domain: string | undefined
  nameservers: string[]
  search: string[]
  ntp: string[]
  timezone: string | undefined
  /** Sorted by name, `n2` before `n10`, the primary first. */
  netdevs: NetdevView[]
  netdev: Record<string, NetdevView>
  primary: NetdevView | undefined
  /** Netdevs that each network service shall configure: `tags.network` narrows to one of them. */
  network: { networkd: NetdevView[]; networkmanager: NetdevView[] }
  tags: Record<string, string>
  resources: Record<string, Json>
  nodes: ListedNode[]
}

/**
 * Names of the view that say the same to every node. A template that read only these gives every node the same bytes,
 * and is rendered once (`SharedOutputs` in render.ts).
 */
export const clusterWide: ReadonlySet<string> = new Set(['cluster', 'head', 'nodes'])

/**
 * The view of one node. `tags.network` and route tags are read when a template asks for them, and throw
 * `SETTINGS_INVALID` then; everything else was checked when the settings were stored.
 */
export function buildView(input: ViewInput): View {
  const { node } = input
  const { settings } = node
  const netdevs = netdevViews(node)
  const primary = primaryOf(netdevs)
  const listed = once(() => input.nodes().toSorted(byName).map(listedNode))
  return {
    node: namesOf(node),
    cluster: input.cluster,
    head: headView(input.head.url),
    image: input.image && { name: input.image.name, version: input.image.version, digest: input.image.digest },
    kernel: input.kernel && { version: input.kernel.version },
    root: { kind: input.root.kind, size: input.root.size },
    init: input.init,
    onFailure: input.onFailure,
    runtimeInterval: input.runtimeInterval,
    domain: settings.domain,
    nameservers: settings.nameservers ?? [],
    search: settings.search ?? [],
    ntp: settings.ntp ?? [],
    timezone: settings.timezone,
    netdevs,
    netdev: Object.fromEntries(netdevs.map((netdev) => [netdev.name, netdev])),
    primary,
    get network() {
      return networkServices(node, netdevs)
    },
    tags: settings.tags ?? {},
    resources: settings.resources ?? {},
    get nodes() {
      return listed()
    },
  }
}

/** Makes netdevs anew whenever they are read: kept for 10,000 nodes they would cost more than they save. */
function listedNode(node: NamedSettings): ListedNode {
  const { name, hostname, fqdn, domain } = namesOf(node)
  return {
    name,
    hostname,
    fqdn,
    domain,
    get netdevs() {
      return netdevViews(node)
    },
    get primary() {
      return primaryOf(netdevViews(node))
    },
  }
}

function namesOf({ name, settings }: NamedSettings): NodeNames {
  const dot = name.indexOf('.')
  if (dot > 0) return { name, hostname: name.slice(0, dot), fqdn: name, domain: name.slice(dot + 1) }
  const { domain } = settings
  return { name, hostname: name, fqdn: domain === undefined ? name : `${name}.${domain}`, domain }
}

function headView(url: string): HeadView {
  const { protocol, hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const isAddress = parseIp4(host) !== undefined || parseIp6(host) !== undefined
  return {
    url,
    host,
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    ip: isAddress ? host : undefined,
  }
}

function networkServices({ name, settings }: NamedSettings, netdevs: NetdevView[]): View['network'] {
  const wanted = settings.tags?.network
  if (wanted !== undefined && !['networkd', 'networkmanager', 'none'].includes(wanted))
    throw new AppError(
      'SETTINGS_INVALID',
      `node ${name}: tags.network is ${JSON.stringify(wanted)}: it must be networkd, networkmanager or none`,
      { field: 'settings.tags.network' },
    )
  const known = netdevs.filter((netdev) => netdev.findable)
  return {
    networkd: wanted === undefined || wanted === 'networkd' ? known : [],
    networkmanager: wanted === undefined || wanted === 'networkmanager' ? known : [],
  }
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}
