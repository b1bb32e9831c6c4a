/** Settings at random: whatever the schema takes, with as much in them as shipped overlays read. */
import fc from 'fast-check'
import type { NamedSettings } from '../../src/overlays/view.ts'
import { inherit } from '../../src/registry/inherit.ts'
import { type Effective, type Netdev, type Settings, settingsSchema } from '../../src/registry/settings.ts'

const byte = fc.nat(255).map((value) => value.toString(16).padStart(2, '0'))
const bytes = (length: number) => fc.array(byte, { minLength: length, maxLength: length }).map((all) => all.join(':'))
/** A hardware address of Ethernet, of an InfiniBand port, of IPoIB. */
export const anyMac = fc.oneof({ weight: 4, arbitrary: bytes(6) }, bytes(8), bytes(20))

/** Text on one line, as free tags and descriptions hold it. */
export const anyLine = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom('{{x}}', '$(id)', '`id`', "a'b", 'a"b', 'a\\', '# a', '[a]', 'a=b', ' a ', '%i'),
)

const octet = fc.nat(255)
/** Mostly addresses that a machine can have; the others make the schema refuse the whole. */
const ip4 = fc.oneof(
  {
    weight: 60,
    arbitrary: fc.tuple(fc.integer({ min: 1, max: 223 }), octet, octet, octet).map((octets) => octets.join('.')),
  },
  fc.constantFrom('0.0.0.0', '255.255.255.255', '127.0.0.1', '224.0.0.1'),
)
const ip6 = fc.oneof(
  { weight: 20, arbitrary: fc.ipV6() },
  { weight: 5, arbitrary: fc.constantFrom('fe80::1', '2001:DB8::A', 'fd00:0:0::1') },
  fc.constantFrom('::', '::1', 'ff02::1', '::ffff:0a00:0001'),
)
const cidr4 = fc.tuple(ip4, fc.integer({ min: 1, max: 32 })).map((parts) => parts.join('/'))
const cidr6 = fc.tuple(ip6, fc.integer({ min: 1, max: 128 })).map((parts) => parts.join('/'))
const ip = fc.oneof(ip4, ip6)
const domain = fc.constantFrom('example', 'cluster.example', 'a.b', 'X1', 'a-b.c')
const device = fc.oneof(
  fc.constantFrom('eno1', 'ens1f0np0', 'ib0', 'bond0', 'bond0.100', 'mgmt_0', 'a-b', 'abcdefghijklmno'),
  fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/),
)
const netdevName = fc.constantFrom(
  'default',
  'eth0',
  'eth1',
  'ib0',
  'bond0',
  'v-100',
  'a_b',
  '0',
  'all',
  'averylongname0123',
)

const optionally = <T extends Record<string, fc.Arbitrary<unknown>>>(fields: T) =>
  fc.record(fields, { requiredKeys: [] }) as fc.Arbitrary<{
    [K in keyof T]?: T[K] extends fc.Arbitrary<infer V> ? V : never
  }>

const metric = fc.option(fc.nat(999_999_999).map(String), { nil: undefined })
const route = fc
  .oneof(fc.tuple(cidr4, ip4, metric), fc.tuple(cidr6, ip6, metric))
  .map((parts) => parts.filter((part) => part !== undefined).join(','))

/** Tags of a netdev: those that overlays know, with what they may hold, and others with any text. */
const netdevTags = optionally({
  route1: route,
  route2: route,
  route10: route,
  DNS: ip,
  DNS1: ip,
  DNSSEARCH: fc.array(domain, { minLength: 1, maxLength: 2 }).map((all) => all.join(';')),
  xmit_hash_policy: fc.constantFrom('layer2', 'layer2+3', 'layer3+4', 'encap2+3', 'encap3+4', 'vlan+srcmac'),
  lacp_rate: fc.constantFrom('slow', 'fast', '0', '1'),
  miimon: fc.nat(60000).map(String),
  updelay: fc.nat(60000).map(String),
  downdelay: fc.nat(60000).map(String),
  'cloned-mac-address': bytes(6),
  ipv6_method: fc.constantFrom('auto', 'dhcp', 'link-local', 'disabled', 'ignore'),
  transport_mode: fc.constantFrom('datagram', 'connected'),
  other: anyLine,
})

const anyNetdev = optionally({
  mac: anyMac,
  device,
  type: fc.constantFrom('ethernet', 'vlan', 'bond', 'infiniband'),
  address: cidr4,
  address6: cidr6,
  gateway: ip4,
  gateway6: ip6,
  mtu: fc.oneof(fc.constantFrom(1500, 2044, 9000), fc.integer({ min: 68, max: 65536 })),
  primary: fc.boolean(),
  vlan: optionally({ id: fc.integer({ min: 1, max: 4094 }), parent: netdevName }),
  bond: optionally({
    mode: fc.constantFrom(
      'balance-rr',
      'active-backup',
      'balance-xor',
      'broadcast',
      '802.3ad',
      'balance-tlb',
      'balance-alb',
    ),
    members: fc.array(netdevName, { maxLength: 3 }),
    miimon: fc.nat(60000),
  }),
  dns: fc.array(ip, { maxLength: 2 }),
  tags: netdevTags,
})

/** Netdevs that are made as people make them: ports with MACs, perhaps a bond of them, VLANs, InfiniBand. */
const soundNetdevs: fc.Arbitrary<Record<string, Partial<Netdev>>> = fc
  .record({
    ports: fc.array(bytes(6), { minLength: 2, maxLength: 3 }),
    named: fc.boolean(),
    bonded: fc.boolean(),
    vlan: fc.option(fc.integer({ min: 1, max: 4094 }), { nil: undefined }),
    fabric: fc.option(bytes(20), { nil: undefined }),
    shared: fc.array(anyNetdev, { minLength: 5, maxLength: 5 }),
  })
  .map(({ ports, named, bonded, vlan, fabric, shared }) => {
    const what = (at: number): Partial<Netdev> => {
      const { mac: _mac, device: _device, type: _type, vlan: _vlan, bond, ...rest } = shared[at] ?? {}
      return { ...rest, ...(bond?.mode === undefined ? {} : { bond: { mode: bond.mode } }) } as Partial<Netdev>
    }
    const members = ports.slice(0, 2).map((_, at) => `port${at}`)
    return {
      ...Object.fromEntries(
        ports.map((mac, at) => [`port${at}`, { ...what(at), mac, ...(named ? { device: `eno${at}` } : {}) }]),
      ),
      ...(bonded ? { default: { ...what(3), type: 'bond', device: 'bond0', bond: { ...what(3).bond, members } } } : {}),
      ...(vlan === undefined
        ? {}
        : { storage: { ...what(4), type: 'vlan', vlan: { id: vlan, parent: bonded ? 'default' : 'port0' } } }),
      ...(fabric === undefined ? {} : { ib0: { ...what(2), type: 'infiniband', device: 'ib0', mac: fabric } }),
    }
  })

/** Netdevs of one node: sound ones, and anything else that the schema takes. */
export const anyNetdevs = fc.oneof(soundNetdevs, fc.dictionary(netdevName, anyNetdev, { maxKeys: 5 }))

const path = fc.constantFrom(
  '/scratch',
  '/scratch/local',
  '/mnt/a-b',
  '/var/lib/a.b',
  '/',
  '/home',
  '/opt/x%y',
  '/data/é',
)
const account = fc.constantFrom('alice', 'bob', 'root', 'a-b', '_svc', 'c0')
const number = fc.integer({ min: 1, max: 65533 })

const partition = fc
  .tuple(
    fc.record({ label: fc.constantFrom('scratch', 'swap', 'a.b', 'cache-1', 'x_y') }),
    optionally({
      size: fc.constantFrom('10%', '8G', '512M', '4096'),
      filesystem: fc.constantFrom('xfs', 'ext4', 'btrfs', 'vfat', 'swap'),
      mount: path,
      options: fc.array(fc.constantFrom('noatime', 'nodev', 'x-a=b', 'discard'), { maxLength: 2 }),
      format: fc.constantFrom('always', 'once'),
    }),
  )
  .map(([label, rest]) => ({ ...label, ...rest }))

const disk = fc.record({
  match: fc.constantFrom('/dev/sda', 'smallest nvme', { size: '100G-2T' }, { model: 'Dell Ent NVMe' }),
  wipe: fc.constantFrom('never', 'ours', 'always'),
  partitions: fc.array(partition, { maxLength: 3 }),
})

const fstab = fc.array(
  fc
    .tuple(
      fc.record({
        spec: fc.constantFrom('head:/home', '10.0.0.1:/opt', '[fd00::1]:/x', 'tmpfs', 'UUID=1-2'),
        file: path,
      }),
      optionally({
        vfstype: fc.constantFrom('nfs', 'nfs4', 'tmpfs', 'xfs', 'lustre'),
        mntops: fc.constantFrom('defaults', 'ro,_netdev', 'size=1G'),
        freq: fc.constantFrom(0, 1),
        passno: fc.constantFrom(0, 2),
      }),
    )
    .map(([needed, rest]) => ({ ...needed, ...rest })),
  { maxLength: 3 },
)

const localusers = fc.uniqueArray(
  fc
    .tuple(
      fc.record({ name: account, uid: number, gid: number }),
      optionally({
        gecos: fc.constantFrom('', 'Alice A.', 'é'),
        home: fc.constantFrom('/home/a', '/nonexistent'),
        shell: fc.constantFrom('/bin/sh', '/sbin/nologin'),
      }),
    )
    .map(([needed, rest]) => ({ ...needed, ...rest })),
  { maxLength: 3, selector: ({ name }) => name },
)

const localgroups = fc.uniqueArray(
  fc
    .tuple(fc.record({ name: account, gid: number }), optionally({ members: fc.array(account, { maxLength: 2 }) }))
    .map(([needed, rest]) => ({ ...needed, ...rest })),
  { maxLength: 3, selector: ({ name }) => name },
)

const key = fc.constantFrom(
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl root@head',
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl',
)

/** Everything that the schema takes and overlays read. */
const fields = {
  kernel: optionally({ args: fc.array(fc.constantFrom('quiet', 'console=ttyS0,115200', 'a="b c"'), { maxLength: 3 }) }),
  init: fc.constantFrom('/sbin/init', '/usr/lib/systemd/systemd'),
  runtimeInterval: fc.integer({ min: 10, max: 86400 }),
  netdevs: anyNetdevs,
  domain,
  nameservers: fc.array(ip, { maxLength: 2 }),
  search: fc.array(domain, { maxLength: 2 }),
  ntp: fc.array(fc.oneof(ip, domain), { maxLength: 2 }),
  timezone: fc.constantFrom('UTC', 'America/Phoenix', 'Etc/GMT+7'),
  disks: fc.array(disk, { maxLength: 2 }),
  bmc: optionally({
    address: ip4,
    netmask: fc.constantFrom('255.255.255.0', '255.255.0.0'),
    gateway: ip4,
    vlan: fc.integer({ min: 1, max: 4094 }),
    user: fc.constantFrom('admin', 'ADMIN', 'a b'),
    protocol: fc.constantFrom('ipmi', 'redfish'),
    interface: fc.constantFrom('lan', 'lanplus', 'open'),
    write: fc.boolean(),
  }),
  uuid: fc.uuid(),
  serial: anyLine,
  assetTag: anyLine,
  tags: optionally({
    network: fc.constantFrom('none', 'networkd', 'networkmanager', 'ifcfg', 'ifupdown', 'netplan', 'wicked'),
    localtime: fc.constantFrom('UTC', 'Europe/Berlin'),
    ntp_server: fc.constantFrom('10.0.0.1', 'ntp.example'),
    ntp_servers: fc.constantFrom('10.0.0.1,ntp.example', 'a.example'),
    gpuMigProfiles: fc.constantFrom('2,2', '2,2:3', '9,14,19'),
    PasswordlessRoot: fc.constantFrom('true', 'false'),
    bmcBitRate: fc.constantFrom('115.2', '38.4'),
    cpuArch: fc.constantFrom('x86_64', 'aarch64', 'zen4'),
    arch: fc.constantFrom('x86_64', 'zen4'),
    slurmPrefix: fc.constantFrom('/opt/slurm', '/usr'),
    other: anyLine,
  }),
  resources: optionally({
    fstab,
    localusers,
    localgroups,
    sshAuthorizedKeys: fc.array(key, { maxLength: 3 }),
    other: fc.jsonValue(),
  }),
  description: anyLine,
}

/** Settings that the schema takes, as they are after inheritance. What it refuses is never made into a case. */
export const anySettings: fc.Arbitrary<Effective> = optionally(fields)
  .map(effective)
  .filter((one) => one !== undefined)

/** Settings around these netdevs, which overlays for networks read. */
export const anyNetwork: fc.Arbitrary<Effective> = fc
  .tuple(anyNetdevs, optionally({ domain: fields.domain, nameservers: fields.nameservers, search: fields.search }))
  .map(([netdevs, rest]) => effective({ netdevs, ...rest }))
  .filter((one) => one !== undefined)

/** One to five nodes with any settings; every second one has a name with a domain. */
export const anyNodes: fc.Arbitrary<NamedSettings[]> = fc
  .array(anySettings, { minLength: 1, maxLength: 5 })
  .map((all) => all.map((settings, at) => ({ name: at % 2 ? `n${at}` : `n${at}.own.example`, settings })))

function effective(settings: unknown): Effective | undefined {
  const parsed = settingsSchema.safeParse(settings)
  // What the schema answers is what is stored.
  return parsed.success
    ? inherit({ name: 'n1', profiles: [], settings: parsed.data as Settings }, new Map())
    : undefined
}
