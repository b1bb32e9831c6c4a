/** Nodes of several kinds for the tests of network overlays, and their files. */
import { renderOverlays } from '../../../src/overlays/layers.ts'
import type { RenderedFile } from '../../../src/overlays/render.ts'
import { buildView, type NamedSettings } from '../../../src/overlays/view.ts'
import { inputOf, shippedOverlay } from '../fixtures.ts'

/** Every overlay that says something of a node's network. */
export const networkOverlays = [
  'NetworkManager',
  'systemd-networkd',
  'ifcfg',
  'ifupdown',
  'netplan',
  'wicked',
  'udev-names',
  'systemd-names',
]

/** One Ethernet device that asks for its address, and nothing else. */
export const dhcp: NamedSettings = {
  name: 'n1',
  settings: { netdevs: { default: { mac: '52:54:00:00:00:01' } } },
}

/** One Ethernet device with a fixed address and a name. */
export const fixed: NamedSettings = {
  name: 'n2',
  settings: {
    domain: 'cluster.example',
    nameservers: ['10.0.0.1'],
    netdevs: { default: { mac: '52:54:00:00:00:02', device: 'eno1', address: '10.0.0.2/24', gateway: '10.0.0.1' } },
  },
}

/** A bond of two ports, VLANs on it and on a port of its own, InfiniBand, both families, routes, resolvers, large frames. */
export const gpu: NamedSettings = {
  name: 'g1',
  settings: {
    domain: 'cluster.example',
    nameservers: ['10.0.0.1', 'fd00::1'],
    search: ['cluster.example', 'example'],
    netdevs: {
      default: {
        type: 'bond',
        device: 'bond0',
        mac: '02:54:00:00:01:00',
        bond: { mode: '802.3ad', members: ['port1', 'port2'], miimon: 50 },
        address: '10.0.1.1/16',
        address6: 'fd00:0:0::1:1/64',
        gateway: '10.0.0.1',
        gateway6: 'fd00::1',
        mtu: 9000,
        tags: {
          route1: '10.8.0.0/16,10.0.0.8',
          route2: '10.9.1.2/16, 10.0.0.9, 200',
          route10: 'fd08::/32,fd00::8',
          xmit_hash_policy: 'layer3+4',
          lacp_rate: 'fast',
          updelay: '220',
          downdelay: '100',
        },
      },
      port1: { mac: '52:54:00:00:01:01', device: 'ens1f0np0', mtu: 9000 },
      port2: { mac: '52:54:00:00:01:02', device: 'ens1f1np1', mtu: 9000 },
      storage: {
        type: 'vlan',
        device: 'bond0.100',
        vlan: { id: 100, parent: 'default' },
        address: '172.16.1.1/20',
        tags: { DNS1: '172.16.0.53', DNSSEARCH: 'storage.example' },
      },
      manage: { mac: '52:54:00:00:01:03', device: 'eno1', tags: { ipv6_method: 'disabled' } },
      camera: { type: 'vlan', vlan: { id: 7, parent: 'manage' }, tags: { ipv6_method: 'dhcp' }, mtu: 1400 },
      ib0: {
        type: 'infiniband',
        device: 'ib0',
        mac: '80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:0a:2f:c1',
        address: '10.4.1.1/16',
        mtu: 2044,
        tags: { transport_mode: 'connected', ipv6_method: 'link-local' },
      },
      lost: { type: 'vlan', vlan: { parent: 'default' } },
    },
  },
}

/** A bond and a VLAN of ports that are known by their MAC alone; the bond asks for its address. */
export const unnamed: NamedSettings = {
  name: 'n3',
  settings: {
    netdevs: {
      default: { type: 'bond', bond: { members: ['port1', 'port2'] } },
      port1: { mac: '52:54:00:00:03:01' },
      port2: { mac: '52:54:00:00:03:02' },
      other: { mac: '52:54:00:00:03:03', address6: 'fd00::3/64', tags: { 'cloned-mac-address': '02-00-00-00-00-03' } },
      v5: { type: 'vlan', vlan: { id: 5, parent: 'other' }, address: '10.5.0.3/24' },
    },
  },
}

/** A few words for each, and the node. */
export const kinds: [string, NamedSettings][] = [
  ['a node with one Ethernet device and DHCP', dhcp],
  ['a node with a named device and a fixed address', fixed],
  ['a GPU node with a bond, VLANs, InfiniBand and IPv6', gpu],
  ['a node with ports that have no names', unnamed],
]

/** What an overlay gives a node. */
export async function filesOf(overlay: string, node: NamedSettings): Promise<RenderedFile[]> {
  return renderOverlays([await shippedOverlay(overlay)], buildView(inputOf(node)))
}
