/** Routes of a netdev, which the tags `route`, `route1`, `route2`, … spell: `10.8.0.0/16,10.0.0.8` or with a metric after it. */
import { AppError } from '../errors.ts'
import { parseCidr4, parseCidr6, parseIp4, parseIp6 } from './ip.ts'
import { byName } from './natural.ts'

/** A route from a tag `route…: DESTINATION,GATEWAY[,METRIC]`. `number` counts from 1, for formats that number them. */
export type RouteView = {
  number: number
  destination: string
  gateway: string
  metric: number | undefined
}

/**
 * The routes among a netdev's tags, in the order of their numbers, by family. Throws `SETTINGS_INVALID` for a tag that
 * begins like a route and is none.
 */
export function taggedRoutes(
  tags: Record<string, string>,
  node: string,
  netdev: string,
): { v4: RouteView[]; v6: RouteView[] } {
  const routes = Object.entries(tags)
    .filter(([key]) => /^route[0-9]*$/.test(key))
    .map(([name, value]) => ({ name, value }))
    .sort(byName)
    .map(({ name, value }) => parseRoute(value, `netdevs.${netdev}.tags.${name}`, node))
  const isV6 = ({ destination }: Route) => destination.includes(':')
  const numbered = (route: Route, at: number): RouteView => ({ number: at + 1, ...route })
  return { v4: routes.filter((route) => !isV6(route)).map(numbered), v6: routes.filter(isV6).map(numbered) }
}

type Route = Omit<RouteView, 'number'>

function parseRoute(value: string, field: string, node: string): Route {
  const [destination = '', gateway = '', metric, ...rest] = value.split(',').map((part) => part.trim())
  const fits =
    (parseCidr4(destination) !== undefined && parseIp4(gateway) !== undefined) ||
    (parseCidr6(destination) !== undefined && parseIp6(gateway) !== undefined)
  if (!fits || rest.length > 0 || (metric !== undefined && !/^[0-9]{1,9}$/.test(metric)))
    throw new AppError(
      'SETTINGS_INVALID',
      `node ${node}: ${field} must be DESTINATION/PREFIX,GATEWAY or DESTINATION/PREFIX,GATEWAY,METRIC, such as 10.8.0.0/16,10.1.0.1`,
      { field: `settings.${field}` },
    )
  return { destination, gateway, metric: metric === undefined ? undefined : Number(metric) }
}
