/**
 * Attempts that are under way, and their tickets.
 *
 * An attempt's id is in URLs and no secret. Its ticket is: 256 random bits that are given out while the attempt is young and
 * the ticket unused, of which only the hash is remembered. The journal writes late, so the freshest attempts are kept in
 * memory too; the database knows those that other processes opened and those from before a restart.
 */
import { attemptById, attemptByTicket } from '../activity/attempts.ts'
import type { EventKind } from '../activity/schema.ts'
import { digestOf, hexOf } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import type { Json } from '../registry/settings.ts'
import type { Services } from '../services.ts'

/** An attempt, as far as the machine that makes it is concerned. */
export type OpenAttempt = {
  id: string
  node: string
  mac: string
  startedAt: Date
  ticketHash?: string | undefined
  ticketUsedAt?: Date | undefined
}

/** An attempt that was opened here. */
type FreshAttempt = OpenAttempt & { plan: Json; address: string | undefined }

/** What an attempt is opened with. `plan` is what the machine is told to boot. */
export type Opening = { node: string; mac: string; plan: Json; address?: string | undefined }

/** Attempts under way. */
export type Attempts = {
  /**
   * Opens an attempt and answers its id: 128 random bits, hex. A machine that asks again from the same address, for the
   * same plan, within a minute and before it has fetched its ticket, is still making the attempt that it has.
   */
  open(opening: Opening): string
  /** The attempt with an id, of a MAC. Throws `ATTEMPT_UNKNOWN`. */
  find(id: string, mac: string): Promise<OpenAttempt>
  /** A fresh ticket; one that was minted before is worth nothing from now on. Throws `TICKET_SPENT`. */
  mint(attempt: OpenAttempt): Promise<string>
  /** Whose ticket it is. From then on it is used, and no other can be minted. Throws `TICKET_INVALID`. */
  redeem(ticket: string): Promise<OpenAttempt>
  /** Notes a step of an attempt. */
  tell(attempt: OpenAttempt, kind: EventKind, detail: Json): void
}

/** Random bytes. Tests give their own. */
export type Random = (length: number) => Uint8Array

/** For how long after the script a ticket can be fetched: iPXE retries slowly, and a storm is slow too. */
const ticketMinutes = 15
/** For how long after the script a ticket is good. */
const ticketHours = 24
/** For how long a machine that asks again is still booting the same time. */
const sameBootSeconds = 60
/** Attempts that are kept in memory. */
const mostKept = 20_000

const idGrammar = /^[0-9a-f]{32}$/
const ticketGrammar = /^[0-9a-f]{64}$/

/**
 * Random bytes of the platform. They are asked for a few thousand at a time, and each is given out once: asking costs more
 * than all else that an attempt's id takes.
 */
export function randomBytes(): Random {
  const pool = new Uint8Array(4096)
  let used = pool.length
  return (length) => {
    if (used + length > pool.length) {
      crypto.getRandomValues(pool)
      used = 0
    }
    used += length
    const bytes = pool.slice(used - length, used)
    pool.fill(0, used - length, used)
    return bytes
  }
}

/** Attempts of these services. */
export function openAttempts(
  services: Pick<Services, 'activity' | 'journal' | 'now'>,
  { random: bytes = randomBytes() }: { random?: Random } = {},
): Attempts {
  const { activity, journal, now } = services
  const storedById = attemptById(activity)
  const storedByTicket = attemptByTicket(activity)
  // A Map keeps its keys in the order of insertion, so its first key is the oldest.
  const fresh = new Map<string, FreshAttempt>()
  const newest = new Map<string, FreshAttempt>()
  const byTicket = new Map<string, OpenAttempt>()

  const forget = (attempt: FreshAttempt) => {
    fresh.delete(attempt.id)
    if (newest.get(attempt.mac) === attempt) newest.delete(attempt.mac)
    if (attempt.ticketHash !== undefined) byTicket.delete(attempt.ticketHash)
  }

  /** What the database says, with everything told so far; what it cannot say is no reason not to boot. */
  const settled = async () => journal.flush().catch(() => undefined)

  return {
    open({ node, mac, plan, address }) {
      const startedAt = now()
      const last = newest.get(mac)
      if (last && isSameBoot(last, { node, mac, plan, address }, startedAt)) return last.id
      const id = lowerHex(bytes(16))
      const attempt = { id, node, mac, startedAt, plan, address }
      fresh.set(id, attempt)
      newest.set(mac, attempt)
      const oldest = fresh.values().next()
      if (fresh.size > mostKept && !oldest.done) forget(oldest.value)
      journal.record({ type: 'attempt', id, node, mac, at: startedAt, plan, ...(address !== undefined && { address }) })
      return id
    },

    async find(id, mac) {
      const found = fresh.get(id) ?? (idGrammar.test(id) ? ofRow(await storedById(id)) : undefined)
      if (found?.mac === mac) return found
      throw new AppError('ATTEMPT_UNKNOWN', `${mac} makes no attempt ${id.slice(0, 40)}: ask for a new boot script`)
    },

    async mint(attempt) {
      await settled()
      // Another process may know of a use that this one has not seen.
      const stored = ofRow(await storedById(attempt.id).catch(() => undefined))
      if (attempt.ticketUsedAt ?? stored?.ticketUsedAt)
        throw new AppError('TICKET_SPENT', `the ticket of attempt ${attempt.id} was used: ask for a new boot script`)
      if (age(attempt, now()) > ticketMinutes * 60_000)
        throw new AppError(
          'TICKET_SPENT',
          `attempt ${attempt.id} began more than ${ticketMinutes} minutes ago: ask for a new boot script`,
        )
      const ticket = lowerHex(bytes(32))
      const hash = await hashOf(ticket)
      const known = fresh.get(attempt.id)
      if (known) {
        if (known.ticketHash !== undefined) byTicket.delete(known.ticketHash)
        known.ticketHash = hash
        byTicket.set(hash, known)
      }
      journal.record({ type: 'ticket', attempt: attempt.id, hash })
      await settled()
      return ticket
    },

    async redeem(ticket) {
      const hash = await hashOf(ticket)
      const attempt = ticketGrammar.test(ticket) ? (byTicket.get(hash) ?? (await ofHash(hash))) : undefined
      if (!attempt || age(attempt, now()) > ticketHours * 3_600_000)
        throw new AppError('TICKET_INVALID', `this ticket is of no attempt of the last ${ticketHours} hours`)
      if (attempt.ticketUsedAt === undefined) {
        attempt.ticketUsedAt = now()
        journal.record({ type: 'ticket-used', attempt: attempt.id, at: attempt.ticketUsedAt })
        await settled()
      }
      return attempt
    },

    tell: (attempt, kind, detail) => journal.record({ type: 'event', attempt: attempt.id, at: now(), kind, detail }),
  }

  async function ofHash(hash: string): Promise<OpenAttempt | undefined> {
    await settled()
    return ofRow(await storedByTicket(hash))
  }
}

const isSameBoot = (last: FreshAttempt, { node, plan, address }: Opening, now: Date): boolean =>
  last.ticketHash === undefined &&
  last.node === node &&
  last.plan === plan &&
  last.address === address &&
  age(last, now) < sameBootSeconds * 1000

type Row = Awaited<ReturnType<ReturnType<typeof attemptById>>>

function ofRow(row: Row): OpenAttempt | undefined {
  if (!row) return undefined
  const { id, node, mac, startedAt, ticketHash, ticketUsedAt } = row
  return { id, node, mac, startedAt, ticketHash: ticketHash ?? undefined, ticketUsedAt: ticketUsedAt ?? undefined }
}

const age = (attempt: OpenAttempt, now: Date): number => now.getTime() - attempt.startedAt.getTime()

const hashOf = async (ticket: string): Promise<string> => hexOf(await digestOf(new TextEncoder().encode(ticket)))

const digits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** As `hex` of `blobs/digest.ts`, at a fifth of its cost: every boot script needs one. */
function lowerHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += digits[byte]
  return text
}
