/** `/self/token`: the ticket of a boot for a token that lasts. */
import { Hono } from 'hono'
import type { Agents } from '../boot/agents.ts'
import { bearerIn } from './caller.ts'

/**
 * Mounted at `/self`. Plain text, because those who ask are shell scripts. A token is no ticket, so it cannot be made to
 * last by itself.
 */
export const selfTokenRoutes = (agents: Agents) =>
  new Hono().post('/token', async (c) => {
    const token = await agents.exchange(bearerIn(c.req.header('authorization')))
    const body = new TextEncoder().encode(`${token}\n`)
    return c.body(body, 201, {
      'Content-Type': 'text/plain; charset=utf-8',
      'Content-Length': String(body.length),
      'Cache-Control': 'no-store',
    })
  })
