/** The address and port of whoever asks. */
import type { Context } from 'hono'

/** The parts of an environment that know the client: node-server's binding; a Worker's has none of it. */
type Environment = { incoming?: { socket?: { remoteAddress?: string; remotePort?: number } } } | undefined

/**
 * The client's address, IPv4 without the prefix of a dual-stack socket; `undefined` when nobody knows it. On a head node
 * it is that of the connection. Only where there is no connection to look at, on Workers, is `CF-Connecting-IP` read:
 * Cloudflare sets it there, and elsewhere anybody could (developers.cloudflare.com/fundamentals/reference/http-headers).
 */
export function clientAddress(c: Context): string | undefined {
  const incoming = incomingOf(c)
  if (incoming) return plainAddress(incoming.socket?.remoteAddress)
  return plainAddress(c.req.header('cf-connecting-ip'))
}

/** The port that the client sends from; `undefined` when nobody knows it, as on Workers. Never what a header says. */
export const clientPort = (c: Context): number | undefined => incomingOf(c)?.socket?.remotePort

/** `::ffff:10.0.0.1`, as a dual-stack socket tells an IPv4 address (RFC 4291 §2.5.5.2), is `10.0.0.1`. */
export const plainAddress = (address: string | undefined): string | undefined =>
  address?.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '')

// Hono types the environment by the app, and this is called from any of them.
const incomingOf = (c: Context) => (c.env as Environment)?.incoming
