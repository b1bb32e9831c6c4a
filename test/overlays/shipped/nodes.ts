/** Nodes of three kinds for the golden files of shipped overlays, and what their image, head node and secrets say. */
import { renderOverlays } from '../../../src/overlays/layers.ts'
import type { RenderedFile } from '../../../src/overlays/render.ts'
import { buildView, type NamedSettings, type ViewInput } from '../../../src/overlays/view.ts'
import { bonded, cluster, type Given, inputOf, plain, shippedOverlay } from '../fixtures.ts'

/** A GPU node with everything that these overlays read. */
export const full: NamedSettings = {
  name: 'g1',
  settings: {
    domain: 'cluster.example',
    nameservers: ['10.0.0.1', '10.0.0.3'],
    search: ['cluster.example', 'example'],
    ntp: ['10.0.0.1', 'ntp.example'],
    timezone: 'America/Phoenix',
    description: 'four GPUs, rack 12',
    netdevs: {
      default: { mac: '52:54:00:00:01:01', device: 'eno1', address: '10.0.1.1/16', gateway: '10.0.0.1' },
      bmc: { address: '10.2.1.1/16' },
    },
    disks: [
      {
        match: 'smallest nvme',
        partitions: [
          { label: 'swap', size: '32G', filesystem: 'swap' },
          { label: 'scratch', filesystem: 'xfs', mount: '/scratch/local', options: ['noatime', 'nodev'] },
        ],
      },
    ],
    bmc: {
      address: '10.2.1.1',
      netmask: '255.255.0.0',
      gateway: '10.2.0.1',
      vlan: 12,
      user: 'muster',
      password: 'secret:bmc',
      write: true,
    },
    tags: {
      bmcBitRate: '115.2',
      gpuMigProfiles: '9,9:3g.20gb:',
      cpuArch: 'aarch64',
      slurmPrefix: '/packages/apps/slurm',
      PasswordlessRoot: 'true',
    },
    resources: {
      fstab: [
        { spec: 'head:/home', file: '/home', mntops: 'nfsvers=4.2,hard' },
        { spec: '10.0.0.9@o2ib:/work', file: '/work', vfstype: 'lustre', mntops: 'noauto,flock' },
        { spec: 'tmpfs', file: '/scratch', vfstype: 'tmpfs', mntops: 'size=1%' },
      ],
      localusers: [{ name: 'alice', uid: 5001, gid: 5000, gecos: 'Alice A.', home: '/home/alice', shell: '/bin/sh' }],
      localgroups: [{ name: 'people', gid: 5000, members: ['alice'] }],
      sshAuthorizedKeys: [
        'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl root@head',
        'from="10.0.0.0/8" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl admin',
      ],
    },
  },
}

/** Accounts of an image. */
export const imageFiles: Record<string, string> = {
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/bash\ndaemon:x:2:2:daemon:/sbin:/usr/sbin/nologin\n',
  '/etc/group': 'root:x:0:\nbin:x:1:\ndaemon:x:2:\n',
  '/etc/shadow': 'root:!locked::0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n',
}

/** Accounts and keys of a head node. */
export const headFiles: Record<string, string> = {
  passwd:
    'root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\nbob:x:1001:1001:Bob:/home/bob:/bin/bash\n',
  group: 'root:x:0:\nbob:x:1001:\n',
  authorized_keys: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl muster@head\n',
}

/** The kinds of nodes that golden files are made for. */
export const kinds: [string, NamedSettings][] = [
  ['a node with one Ethernet device', plain],
  ['a node with a bond, a VLAN and IPv6', bonded],
  ['a GPU node with disks, mounts, a BMC and accounts', full],
]

/** Texts that stand for secrets where what is in them does not matter. */
const secrets = {
  bmc: 'the BMC’s password',
  ssh_host_ed25519_key: 'PRIVATE HALF OF ed25519',
  ssh_host_ed25519_key_pub: 'public half of ed25519',
  ssh_host_ecdsa_key: 'PRIVATE HALF OF ecdsa',
  ssh_host_ecdsa_key_pub: 'public half of ecdsa',
}

/** What a view of a node is made of. */
export const fullInput = (node: NamedSettings, given: Given = {}): ViewInput =>
  inputOf(node, [...cluster, full], { image: imageFiles, head: headFiles, secrets, ...given })

/** The files that shipped overlays give a node. */
export async function filesOf(names: string[], node: NamedSettings, given: Given = {}): Promise<RenderedFile[]> {
  return renderOverlays(await Promise.all(names.map(shippedOverlay)), buildView(fullInput(node, given)))
}
