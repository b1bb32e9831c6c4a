/** The nodes of the cluster as templates list them. */
import type { Effective } from '../registry/settings.ts'
import { byName } from './natural.ts'
import { type NetdevView, netdevViews, primaryOf } from './netdev-view.ts'
import type { NamedSettings } from './view.ts'

/** A node's names: `n1`, or `n1.cluster.example` from its name or from its `domain`. */
export type NodeNames = { name: string; hostname: string; fqdn: string; domain: string | undefined }

/** A node as `nodes` lists it. */
export type ListedNode = NodeNames & { netdevs: NetdevView[]; primary: NetdevView | undefined }

/** The nodes in natural order. A list that is in that order already is sorted in no time. */
export const listedNodes = (nodes: readonly NamedSettings[]): ListedNode[] => nodes.toSorted(byName).map(listedNode)

/** A node's names, from its name and its domain. */
export function namesOf({ name, settings }: NamedSettings): NodeNames {
  const dot = name.indexOf('.')
  if (dot > 0) return { name, hostname: name.slice(0, dot), fqdn: name, domain: name.slice(dot + 1) }
  const { domain } = settings
  return { name, hostname: name, fqdn: domain === undefined ? name : `${name}.${domain}`, domain }
}

/** The settings that netdevs are made of. Nothing else is given to them, so that the stamp of these is the stamp of those. */
export const networkSettings = ({ netdevs, domain, nameservers, search }: Effective): Effective => ({
  ...(netdevs && { netdevs }),
  ...(domain !== undefined && { domain }),
  ...(nameservers && { nameservers }),
  ...(search && { search }),
})

/** Makes netdevs anew whenever they are read: kept for 10,000 nodes they would cost more than they save. */
function listedNode(node: NamedSettings): ListedNode {
  const { name, hostname, fqdn, domain } = namesOf(node)
  const netdevs = () => netdevViews({ name, settings: networkSettings(node.settings) })
  return {
    name,
    hostname,
    fqdn,
    domain,
    get netdevs() {
      return netdevs()
    },
    get primary() {
      return primaryOf(netdevs())
    },
  }
}
