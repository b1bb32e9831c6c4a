/** Which netdevs each network service is told of, and in which order. */
import { AppError } from '../errors.ts'
import { type NetworkService, networkServices, networkTagFault } from '../registry/network-tags.ts'
import type { NetdevView } from './netdev-view.ts'
import type { NamedSettings } from './view.ts'

/** Netdevs by service. What another one is made of or lies on comes before it. */
export type NetworkView = Record<NetworkService, NetdevView[]>

/**
 * Without the tag `network` every service is told of the netdevs, as an image runs one of them: with it, one or none. Left out are
 * netdevs with a fault, and those that a service has no words for.
 */
export function networkView({ name, settings }: NamedSettings, netdevs: readonly NetdevView[]): NetworkView {
  const wanted = settings.tags?.network
  const fault = wanted === undefined ? undefined : networkTagFault(wanted)
  if (fault !== undefined)
    throw new AppError('SETTINGS_INVALID', `node ${name}: tags.network ${fault}, not ${JSON.stringify(wanted)}`, {
      field: 'settings.tags.network',
    })
  const chosen = new Map<string, NetworkService>(Object.entries(networkServices)).get(wanted ?? '')
  const ordered = netdevs.filter((netdev) => netdev.findable).sort((a, b) => a.layer - b.layer)
  const of = (service: NetworkService, fits: (netdev: NetdevView) => boolean = () => true): NetdevView[] =>
    wanted === undefined || chosen === service ? ordered.filter(fits) : []
  return {
    networkd: of('networkd'),
    networkmanager: of('networkmanager'),
    ifcfg: of('ifcfg', hasNamedParent),
    ifupdown: of('ifupdown'),
    netplan: of('netplan'),
    wicked: of('wicked', isForWicked),
  }
}

const hasNamedParent = ({ vlan }: NetdevView): boolean => vlan === undefined || vlan.parentDevice !== undefined

/** The name of a file is all that tells wicked which interface it is about; a bond without members is an error to it. */
const isForWicked = ({ device, vlan, bond }: NetdevView): boolean =>
  device !== undefined &&
  (vlan === undefined || vlan.parentDevice !== undefined) &&
  (bond === undefined || bond.ports.some((port) => port.device !== undefined))
