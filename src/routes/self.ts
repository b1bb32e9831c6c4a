/** `/self`: what a node tells and asks about itself, by the ticket of its boot or the token that it got for it. */
import { Hono } from 'hono'
import type { Agents } from '../boot/agents.ts'
import type { Services } from '../services.ts'
import { callers } from './caller.ts'
import { selfEventRoutes } from './self-events.ts'
import { type SelfOptions, selfOverlayRoutes } from './self-overlays.ts'
import { selfTokenRoutes } from './self-token.ts'

/** Mounted at `/self`. Every route asks who it is before it looks at anything else. */
export function selfRoutes(services: Services, { agents, ...options }: SelfOptions & { agents: Agents }) {
  const callerOf = callers(agents)
  return new Hono()
    .route('/', selfTokenRoutes(agents))
    .route('/', selfEventRoutes(services, { callerOf }))
    .route('/', selfOverlayRoutes(services, { ...options, callerOf }))
}
