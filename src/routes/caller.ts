/** Which node asks under `/self`: by the ticket of its boot, or by its client's token (RFC 6750). */
import type { Context } from 'hono'
import type { Agents, Caller } from '../boot/agents.ts'

/** Whom a request comes from. Throws `TICKET_INVALID` or `TOKEN_INVALID`. */
export type CallerOf = (c: Context) => Promise<Caller>

/** A function that tells whom a request comes from. */
export const callers =
  (agents: Agents): CallerOf =>
  (c) =>
    agents.caller(bearerIn(c.req.header('authorization')))

/** The ticket or token of a header; nothing, which is neither, when there is none. */
export const bearerIn = (header: string | undefined): string =>
  /^bearer +((?:muster_agent_)?[0-9a-f]+) *$/i.exec(header ?? '')?.[1] ?? ''
