/** Who may have private files of overlays: the node that has proved which one it is, and root on it. */
import type { Context } from 'hono'
import { AppError } from '../errors.ts'
import type { Member } from '../registry/inherit.ts'
import { netdevRows } from '../registry/netdevs.ts'
import type { Services } from '../services.ts'
import { clientAddress, clientPort } from './client-address.ts'

/** The first port that anybody may send from (ip(7): ip_unprivileged_port_start). */
const firstOpenPort = 1024

/**
 * Throws `SECRET_DENIED`, with what to do about it, when a request that has shown the node's ticket or token may not have
 * its private files all the same. Under `privateTo: node` it must come from a port that only root can have, since every
 * user of the node can open connections from its address; and from an address of the node, if it has any.
 */
export function checkPrivate(c: Context, node: Member, { privateTo }: Pick<Services, 'privateTo'>): void {
  if (privateTo === 'ticket') return
  const port = clientPort(c)
  if (port === undefined)
    throw denied(node, `nobody can tell here which port a request comes from: set MUSTER_PRIVATE_TO=ticket`)
  if (port >= firstOpenPort)
    // Not which port: each request has another one, and clients tell the same message once.
    throw denied(
      node,
      `the request comes from a port that any user of the node can have: send it as root from a port below ${firstOpenPort} (curl --local-port 1-1023)${elsewhere}`,
    )
  const addresses = netdevRows(node.name, node.settings).flatMap(({ address, address6 }) =>
    [address, address6].filter((one) => one !== null),
  )
  const address = clientAddress(c)
  if (addresses.length === 0 || (address !== undefined && addresses.includes(address))) return
  throw denied(
    node,
    `the request comes from ${address ?? 'an unknown address'} and not from ${addresses.join(' or ')}: correct the node's netdevs${elsewhere}`,
  )
}

const elsewhere = ', or where NAT or a proxy hides who asks, set MUSTER_PRIVATE_TO=ticket'

const denied = (node: Member, why: string): AppError =>
  new AppError('SECRET_DENIED', `private files of ${node.name} are not given to this request: ${why}`)
