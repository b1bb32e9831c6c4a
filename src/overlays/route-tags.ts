/** Routes of a netdev, which the tags `route`, `route1`, `route2`, … spell: `10.8.0.0/16,10.0.0.8` or with a metric after it. */
import { routeOf } from '../registry/network-tags.ts'
import { type Cidr4, type Cidr6, canonicalIp6, isWithin, parseCidr4, parseCidr6 } from './ip.ts'
import { type NetdevTag, numberedKeys } from './netdev-tag.ts'

/**
 * A route from a tag `route…: DESTINATION,GATEWAY[,METRIC]`. `number` counts from 1, for formats that number them. Bits of the
 * destination behind its prefix are 0, as `ip route` wants it.
 */
export type RouteView = {
  number: number
  destination: string
  gateway: string
  metric: number | undefined
  /** The gateway is not in the netdev's network, or that is not known: services have to be told that it is on the link. */
  isOnLink: boolean
}

/**
 * The routes among a netdev's tags, in the order of their numbers, by family. Throws `SETTINGS_INVALID` for a tag that
 * begins like a route and is none. `own4` and `own6` are the netdev's networks.
 */
export function taggedRoutes(
  tags: Readonly<Record<string, string>>,
  tag: NetdevTag,
  own4: Cidr4 | undefined,
  own6: Cidr6 | undefined,
): { v4: RouteView[]; v6: RouteView[] } {
  const routes = numberedKeys(tags, /^route[0-9]*$/).flatMap((key) => routeOf(tag(key) ?? '') ?? [])
  const numbered = (wanted: 4 | 6) =>
    routes
      .filter(({ destination }) => destination.includes(':') === (wanted === 6))
      .map((route, at): RouteView => {
        const parsed = wanted === 4 ? parseCidr4(route.destination) : parseCidr6(route.destination)
        const destination = parsed === undefined ? route.destination : `${parsed.network}/${parsed.prefix}`
        const gateway = wanted === 4 ? route.gateway : canonicalIp6(route.gateway)
        const isOnLink = !isWithin(gateway, wanted === 4 ? own4 : own6)
        return { number: at + 1, destination, gateway, metric: route.metric, isOnLink }
      })
  return { v4: numbered(4), v6: numbered(6) }
}
