/**
 * What a template sees: `{{node.fqdn}}`, `{{#netdevs}}…{{/netdevs}}`. docs/overlays.md has the table of every name.
 *
 * A name that exists and has no value (`{{domain}}` where none is set) is `undefined` here, not missing: sections take
 * it for false, a variable tag is an error either way, and the error can say which of the two it was.
 *
 * Nothing is worked out before it is read, because most nodes' files are remembered and not rendered: then only the stamps
 * of what they read are wanted (`stamps.ts`).
 */
import type { Digest } from '../blobs/digest.ts'
import type { Effective, Json, RootKind } from '../registry/settings.ts'
import { type BmcView, bmcView } from './bmc-view.ts'
import { debugText } from './debug-text.ts'
import { type FstabEntry, fstabEntries, type MountView, mountViews, type SwapView, swapViews } from './disks-view.ts'
import { type HeadView, headView } from './head-view.ts'
import type { Inputs } from './inputs.ts'
import { type ListedNode, listedNodes, type NodeNames, namesOf, networkSettings } from './listed-nodes.ts'
import { type MigView, migView } from './mig-view.ts'
import { type NetdevView, netdevViews, primaryOf } from './netdev-view.ts'
import { type NetworkView, networkView } from './network-services.ts'
import { type RootView, rootView } from './root-view.ts'
import { stampsOf } from './stamps.ts'
import { type Reader, readers, type Tracked, tracking } from './tracking.ts'
import { type UsersView, usersView } from './users-view.ts'
import { type Makers, workedOut } from './worked-out.ts'

/** A node by its name, with the settings that hold for it. */
export type NamedSettings = { name: string; settings: Effective }

/** Plain data that a view is made of. */
export type ViewInput = {
  /** `profiles` as the node lists them. */
  node: NamedSettings & { profiles: string[] }
  /** `architecture` in the kernel's words (`uname -m`). */
  image?: { name: string; version: number; digest: Digest; architecture: string } | undefined
  /** `args` as they are planned for the boot. */
  kernel?: { version: string; args: string[] } | undefined
  root: { kind: RootKind; size?: string | undefined }
  init: string
  onFailure: 'retry' | 'reboot' | 'shell'
  /** Seconds. */
  runtimeInterval: number
  cluster: string
  /** `http://10.0.0.1:9873`, without a slash at the end. */
  head: { url: string }
  /** Whether a file of the node's overlays is private. */
  private: boolean
  /** What may have to be fetched. Asked only for what a template reads. */
  inputs: Inputs
}

/** The node that is rendered for. */
export type NodeView = NodeNames & {
  profiles: string[]
  uuid: string | undefined
  serial: string | undefined
  assetTag: string | undefined
  description: string | undefined
}

/** Everything that a template may name, but for the look-ups `image.file` and `head.file` (`look-up.ts`). */
export type View = {
  node: NodeView
  cluster: string
  head: HeadView
  image: { name: string; version: number; digest: Digest; architecture: string } | undefined
  kernel: { version: string; args: string[] } | undefined
  root: RootView
  init: string
  onFailure: 'retry' | 'reboot' | 'shell'
  runtimeInterval: number
  /** Whether a file of the node's overlays is private. */
  private: boolean
  /** The settings that hold, as they are, but for `bmc.password`. */
  settings: Effective
  domain: string | undefined
  nameservers: string[]
  search: string[]
  /** `servers`: the node's `nameservers`, then every netdev's; `search`: `search`, else the domain, then every netdev's. Each once. */
  dns: { servers: string[]; search: string[] }
  /** Of the settings, else of the tag `ntp_servers`, else of `ntp_server`. */
  ntp: string[]
  /** Of the settings, else of the tag `localtime`. */
  timezone: string | undefined
  /** Sorted by name, `n2` before `n10`, the primary first. */
  netdevs: NetdevView[]
  netdev: Record<string, NetdevView>
  primary: NetdevView | undefined
  /** Netdevs that each network service shall configure: `tags.network` narrows to one of them. */
  network: NetworkView
  bmc: BmcView | undefined
  /** What is to be mounted: partitions with a mount point and entries of `resources.fstab`; parents first, each path once. */
  mounts: MountView[]
  swaps: SwapView[]
  /** `resources.fstab`, defaults filled in. */
  fstab: FstabEntry[]
  users: UsersView
  /** Lines of `resources.sshAuthorizedKeys`, else of the head node's file `authorized_keys`. */
  authorizedKeys: string[]
  mig: MigView
  tags: Record<string, string>
  resources: Record<string, Json>
  /** Texts by name; of a key pair also `NAME_pub`. For private files alone: read for another, it throws `TEMPLATE_INVALID`. */
  secrets: Record<string, string>
  nodes: ListedNode[]
  /** All of the above as JSON, without secrets and users, and with the number of nodes. */
  view: string
}

/**
 * The view of one node. What was checked when settings were stored is not checked again, but `tags.network` and route tags
 * are when a template asks for them, and throw `SETTINGS_INVALID` then: they may have been stored before there was a check.
 * Getters throw what `Inputs` throw.
 */
export function buildView(input: ViewInput): View & Tracked {
  const reader = readers.nobody()
  const view = viewFrom({ input, settings: input.node.settings, reader })
  return Object.assign(view, {
    [tracking]: { reader, inputs: input.inputs, stampOf: stampsOf(input, view, reader) },
  })
}

/** What a view is made of, and for whom it is read. */
type Origin = { input: ViewInput; settings: Effective; reader: Reader }

/** Each name of the view, and how its value comes about. */
const makers: Makers<View, Origin> = {
  node: ({ input }) => nodeView(input),
  cluster: ({ input }) => input.cluster,
  head: ({ input }) => headView(input.head.url),
  image: ({ input }) => input.image,
  kernel: ({ input }) => input.kernel,
  root: ({ input }) => rootView(input.root),
  init: ({ input }) => input.init,
  onFailure: ({ input }) => input.onFailure,
  runtimeInterval: ({ input }) => input.runtimeInterval,
  private: ({ input }) => input.private,
  settings: ({ settings }) => withoutPassword(settings),
  domain: ({ settings }) => settings.domain,
  nameservers: ({ settings }) => settings.nameservers ?? [],
  search: ({ settings }) => settings.search ?? [],
  dns: ({ settings }, { netdevs }) => dnsView(settings, netdevs),
  ntp: ({ settings: { ntp, tags } }) => ntp ?? listOf(tags?.ntp_servers ?? tags?.ntp_server),
  timezone: ({ settings: { timezone, tags } }) => timezone ?? (tags?.localtime || undefined),
  netdevs: ({ input: { node } }) => netdevViews({ name: node.name, settings: networkSettings(node.settings) }),
  netdev: (_from, { netdevs }) => Object.fromEntries(netdevs.map((netdev) => [netdev.name, netdev])),
  primary: (_from, { netdevs }) => primaryOf(netdevs),
  network: ({ input }, { netdevs }) => networkView(input.node, netdevs),
  bmc: ({ settings: { bmc, tags = {} }, input, reader }) =>
    bmc && bmcView(bmc, tags, () => passwordOf(bmc, input.inputs, reader)),
  mounts: ({ settings }) => mountViews(settings),
  swaps: ({ settings }) => swapViews(settings),
  fstab: ({ settings }) => fstabEntries(settings.resources?.fstab),
  users: ({ settings, input }) => usersView(settings, input.inputs),
  authorizedKeys: ({ settings, input }) => authorizedKeys(settings, input.inputs),
  mig: ({ settings }) => migView(settings.tags?.gpuMigProfiles),
  tags: ({ settings }) => settings.tags ?? {},
  resources: ({ settings }) => settings.resources ?? {},
  secrets: ({ input, reader }) => secretsView(input.inputs, reader),
  nodes: ({ input }) => listedNodes(input.inputs.nodes()),
  view: ({ input }, view) => debugText(view, input.inputs.nodes().length),
}

// Secrets are made anew whenever they are read, because it depends on the reader whether they may be.
const viewFrom = workedOut(makers, ['secrets'])

function nodeView({ node }: ViewInput): NodeView {
  const { uuid, serial, assetTag, description } = node.settings
  return { ...namesOf(node), profiles: node.profiles, uuid, serial, assetTag, description }
}

function secretsView(inputs: Inputs, reader: Reader): Record<string, string> {
  readers.check(reader, 'secrets')
  return Object.fromEntries(inputs.secrets())
}

function passwordOf(bmc: NonNullable<Effective['bmc']>, inputs: Inputs, reader: Reader): string | undefined {
  readers.check(reader, 'bmc.password')
  return bmc.password === undefined ? undefined : inputs.secrets().get(bmc.password.slice('secret:'.length))
}

function withoutPassword(settings: Effective): Effective {
  if (settings.bmc?.password === undefined) return settings
  const { password: _password, ...bmc } = settings.bmc
  return { ...settings, bmc }
}

const listOf = (text = ''): string[] => text.split(/[\s,]+/).filter((part) => part !== '')

function dnsView({ nameservers = [], search, domain }: Effective, netdevs: readonly NetdevView[]): View['dns'] {
  const own = search ?? (domain === undefined ? [] : [domain])
  return {
    servers: [...new Set([...nameservers, ...netdevs.flatMap((netdev) => netdev.dns)])],
    search: [...new Set([...own, ...netdevs.flatMap((netdev) => netdev.searches)])],
  }
}

/** authorized_keys(5): empty lines and those that begin with # say nothing. */
function authorizedKeys({ resources }: Effective, inputs: Inputs): string[] {
  const own = resources?.sshAuthorizedKeys
  if (Array.isArray(own)) return own.map(String)
  const lines = new TextDecoder().decode(inputs.headFile('authorized_keys')).split('\n')
  return lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'))
}
