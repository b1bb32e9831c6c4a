/** The names of the view as data, for what must know them before any node is: `lint`. */
import { settingsSchema } from '../registry/settings.ts'
import type { View } from './view.ts'

/**
 * What a name holds. `value`: a text, number or truth, with nothing inside. `open`: a map whose keys are anybody's choice. Else the
 * names inside; of a list, those of its items.
 */
export type Shape = 'value' | 'open' | { readonly [name: string]: Shape }

/** The shape that a type of the view has to be declared with. */
type Declared<T> = T extends string | number | boolean
  ? 'value'
  : T extends readonly (infer Item)[]
    ? Declared<NonNullable<Item>>
    : string extends keyof T
      ? 'open'
      : { [Name in keyof T]-?: Declared<NonNullable<T[Name]>> }

type DeclaredView = { [Name in Exclude<keyof View, 'settings'>]: Declared<NonNullable<View[Name]>> }

const reference = { name: 'value', device: 'value', interface: 'value' } as const
const bond = {
  mode: 'value',
  members: 'value',
  memberDevices: 'value',
  ports: { ...reference, number: 'value' },
  miimon: 'value',
  updelay: 'value',
  downdelay: 'value',
  xmitHashPolicy: 'value',
  lacpRate: 'value',
} as const
const route = { number: 'value', destination: 'value', gateway: 'value', metric: 'value', isOnLink: 'value' } as const
const names = { name: 'value', hostname: 'value', fqdn: 'value', domain: 'value' } as const

const netdev: DeclaredView['primary'] = {
  name: 'value',
  mac: 'value',
  linkAddress: 'value',
  portGuid: 'value',
  clonedMac: 'value',
  device: 'value',
  interface: 'value',
  type: 'value',
  address: 'value',
  ip: 'value',
  prefix: 'value',
  netmask: 'value',
  network: 'value',
  broadcast: 'value',
  address6: 'value',
  ip6: 'value',
  prefix6: 'value',
  network6: 'value',
  gateway: 'value',
  gateway6: 'value',
  gatewayOnLink: 'value',
  gateway6OnLink: 'value',
  mtu: 'value',
  primary: 'value',
  vlan: { id: 'value', parent: 'value', parentDevice: 'value', parentInterface: 'value', parentMac: 'value' },
  bond,
  infiniband: { mode: 'value', isConnected: 'value' },
  master: { ...reference, bond },
  vlans: { ...reference, id: 'value' },
  dns: 'value',
  resolvers: 'value',
  resolvers4: 'value',
  resolvers6: 'value',
  searches: 'value',
  tags: 'open',
  routes4: route,
  routes6: route,
  isEthernet: 'value',
  isVlan: 'value',
  isBond: 'value',
  isInfiniband: 'value',
  isVirtual: 'value',
  isDhcp: 'value',
  hasIpv4: 'value',
  hasIpv6: 'value',
  isStatic6: 'value',
  isAuto6: 'value',
  isDhcp6: 'value',
  isLinkLocal6: 'value',
  isDisabled6: 'value',
  isIgnored6: 'value',
  keepsMac: 'value',
  isNamedByMac: 'value',
  layer: 'value',
  fault: 'value',
  findable: 'value',
}

const view: DeclaredView = {
  node: { ...names, profiles: 'value', uuid: 'value', serial: 'value', assetTag: 'value', description: 'value' },
  cluster: 'value',
  head: { url: 'value', host: 'value', port: 'value', ip: 'value' },
  image: { name: 'value', version: 'value', digest: 'value', architecture: 'value' },
  kernel: { version: 'value', args: 'value' },
  root: { kind: 'value', size: 'value', mount: { what: 'value', type: 'value' } },
  init: 'value',
  onFailure: 'value',
  runtimeInterval: 'value',
  private: 'value',
  domain: 'value',
  nameservers: 'value',
  search: 'value',
  dns: { servers: 'value', search: 'value' },
  ntp: 'value',
  timezone: 'value',
  netdevs: netdev,
  netdev: 'open',
  primary: netdev,
  network: {
    networkd: netdev,
    networkmanager: netdev,
    ifcfg: netdev,
    ifupdown: netdev,
    netplan: netdev,
    wicked: netdev,
  },
  bmc: {
    address: 'value',
    prefix: 'value',
    netmask: 'value',
    gateway: 'value',
    vlan: 'value',
    user: 'value',
    password: 'value',
    protocol: 'value',
    interface: 'value',
    write: 'value',
    bitRate: 'value',
  },
  mounts: {
    what: 'value',
    where: 'value',
    type: 'value',
    options: 'value',
    freq: 'value',
    passno: 'value',
    unit: 'value',
    forUnit: { what: 'value', where: 'value', options: 'value' },
    target: 'value',
    isLocal: 'value',
    isNetwork: 'value',
  },
  swaps: { what: 'value', unit: 'value', options: 'value', forUnit: { what: 'value', options: 'value' } },
  fstab: { spec: 'value', file: 'value', vfstype: 'value', mntops: 'value', freq: 'value', passno: 'value' },
  users: { passwd: 'value', group: 'value', shadow: 'value' },
  authorizedKeys: 'value',
  mig: { gpus: { index: 'value', profiles: 'value' } },
  tags: 'open',
  resources: 'open',
  secrets: 'open',
  nodes: { ...names, netdevs: netdev, primary: netdev },
  view: 'value',
}

/** Every name of the view, with the look-ups `image.file` and `head.file`. */
export const viewShape: { readonly [name: string]: Shape } = {
  ...view,
  image: { ...view.image, file: 'value' },
  head: { ...view.head, file: 'value' },
  // Settings are refused by name when they are stored, so no other name can ever be there.
  settings: Object.fromEntries(Object.keys(settingsSchema.shape).map((name) => [name, 'open'])),
}

/** Names of the view that differ from node to node: a template that reads one of them *and* `nodes` is rendered for each node. */
export const namesOfOneNode: ReadonlySet<string> = new Set([
  'node',
  'netdevs',
  'netdev',
  'primary',
  'network',
  'bmc',
  'settings',
  'secrets',
  'view',
])

/** Every name that stands anywhere in the view, and `key`, which items of a map have. */
export const everyName: ReadonlySet<string> = new Set(['key', ...namesBelow(viewShape)])

function namesBelow(shape: Shape): string[] {
  if (typeof shape === 'string') return []
  return Object.entries(shape).flatMap(([name, below]) => [name, ...namesBelow(below)])
}
