/**
 * Clients of nodes and their tokens.
 *
 * A ticket is of one boot and ends after a day. A node exchanges it for a token of its own, of which only the hash is kept:
 * 256 random bits, good for as long as the client is heard of, and until the node is deleted. A node that was deleted and
 * made again is another node: what was given to the first one is worth nothing.
 */
import { type AgentIdentity, agentByHash, agentDays } from '../activity/agents.ts'
import { digestOf, hex, hexOf } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import { newestRevision } from '../registry/newest-revision.ts'
import { nodeStanding } from '../registry/standing.ts'
import type { Services } from '../services.ts'
import { type Attempts, type Random, randomBytes } from './attempts.ts'

/** Who asks: a node, in which of its boots (`attempt`), and by what it has proved that. */
export type Caller = { node: string; attempt: string; how: 'ticket' | 'token' }

/** Clients of nodes. */
export type Agents = {
  /**
   * A fresh token for the node whose ticket it is; one that was given for the same ticket is worth nothing from now on.
   * Resolves when it is written. Throws `TICKET_INVALID`, and `REGISTRY_BUSY` when it cannot be written now.
   */
  exchange(ticket: string): Promise<string>
  /** Whose ticket or token it is. Throws `TICKET_INVALID` or `TOKEN_INVALID`. */
  caller(bearer: string): Promise<Caller>
}

/** Before the 64 hex digits of a token, so that it is known for what it is. */
const prefix = 'muster_agent_'
const tokenGrammar = /^muster_agent_[0-9a-f]{64}$/
/** How often at most it is written that a client was heard of, and is asked whether its token still holds. */
const seenMilliseconds = 5 * 60_000
/** Clients that are kept in memory. */
const mostKept = 50_000

/** Clients of these services. */
export function openAgents(
  services: Pick<Services, 'activity' | 'registry' | 'journal' | 'now' | 'digest'>,
  {
    attempts,
    newest = newestRevision(services.registry),
    random: bytes = randomBytes(),
  }: { attempts: Attempts; newest?: () => Promise<number>; random?: Random },
): Agents {
  const { activity, registry, journal, now } = services
  const stored = agentByHash(activity)
  const stands = nodeStanding(registry)
  // At once where that can be: Web Crypto would be the greater part of an answer that says that nothing has changed.
  const hashOf = async (token: string): Promise<string> =>
    hexOf(services.digest?.(token) ?? (await digestOf(new TextEncoder().encode(token))))
  // A Map keeps its keys in the order of insertion, so its first key is the oldest.
  const byHash = new Map<string, AgentIdentity>()
  const byAttempt = new Map<string, AgentIdentity>()
  const stoodAt = new Map<string, number>()

  const forget = (agent: AgentIdentity) => {
    byHash.delete(agent.hash)
    if (byAttempt.get(agent.attempt) === agent) byAttempt.delete(agent.attempt)
  }

  const remember = (agent: AgentIdentity) => {
    const before = byAttempt.get(agent.attempt)
    if (before) forget(before)
    byHash.set(agent.hash, agent)
    byAttempt.set(agent.attempt, agent)
    const oldest = byHash.values().next()
    if (byHash.size > mostKept && !oldest.done) forget(oldest.value)
  }

  /** Whether the node was there at every moment since. Asked once for each revision of the registry. */
  async function stillStands(attempt: string, node: string, since: Date): Promise<boolean> {
    const revision = await newest()
    if (stoodAt.get(attempt) === revision) return true
    if (!(await stands(node, since))) return false
    if (stoodAt.size >= mostKept) stoodAt.clear()
    stoodAt.set(attempt, revision)
    return true
  }

  async function ofTicket(ticket: string): Promise<Caller> {
    const { id, node, startedAt } = await attempts.redeem(ticket)
    if (await stillStands(id, node, startedAt)) return { node, attempt: id, how: 'ticket' }
    throw new AppError(
      'TICKET_INVALID',
      `node ${node}, whose ticket this is, was deleted since: boot the machine again`,
    )
  }

  /** What the database has, which others write too; `undefined` also for a token that was replaced a moment ago. */
  async function read(hash: string): Promise<AgentIdentity | undefined> {
    await journal.flush().catch(() => undefined)
    const row = await stored(hash)
    const known = row && byAttempt.get(row.attempt)
    return known && known.hash !== hash && known.createdAt >= row.createdAt ? undefined : row
  }

  async function ofToken(token: string): Promise<Caller> {
    const hash = await hashOf(token)
    let agent = byHash.get(hash)
    const isDue = !agent || now().getTime() - agent.seenAt.getTime() >= seenMilliseconds
    if (isDue) {
      const row = tokenGrammar.test(token) ? await read(hash) : undefined
      if (agent && !row) forget(agent)
      agent = row && now().getTime() - row.seenAt.getTime() <= agentDays * 86_400_000 ? row : undefined
      if (agent) remember(agent)
    }
    if (!agent)
      throw new AppError(
        'TOKEN_INVALID',
        `this token is of no client of the last ${agentDays} days: exchange the ticket again, or boot the node again`,
      )
    const { node, attempt } = agent
    if (!(await stillStands(attempt, node, agent.createdAt))) {
      forget(agent)
      throw new AppError(
        'TOKEN_INVALID',
        `node ${node}, whose token this is, was deleted since: boot the machine again`,
      )
    }
    const at = now()
    if (at.getTime() - agent.seenAt.getTime() >= seenMilliseconds) {
      agent.seenAt = at
      journal.record({ type: 'agent-seen', attempt, at })
    }
    return { node, attempt, how: 'token' }
  }

  return {
    async exchange(ticket) {
      const { node, attempt } = await ofTicket(ticket)
      const token = prefix + hex(bytes(32))
      const hash = await hashOf(token)
      // Nothing waits between these two, so memory and journal have the same order when a ticket is exchanged many times at once.
      const at = now()
      remember({ attempt, node, hash, createdAt: at, seenAt: at })
      journal.record({ type: 'agent', attempt, node, hash, at })
      await journal.flush().catch((cause: unknown) => {
        throw new AppError('REGISTRY_BUSY', 'a token cannot be written now: try again', { cause })
      })
      return token
    },
    caller: async (bearer) => (bearer.startsWith(prefix) ? ofToken(bearer) : ofTicket(bearer)),
  }
}
