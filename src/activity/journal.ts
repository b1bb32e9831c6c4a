/** Journal: takes what happened at once and writes it soon, many at a time, so that no request waits for a disk. */
import type { Log } from '../log.ts'
import type { Json } from '../registry/settings.ts'
import { forgetStatements, type Row, statementsOf } from './batch.ts'
import type { ActivityDatabase, AgentReport, EventKind } from './schema.ts'

/** Something that happened. */
export type Entry =
  | { type: 'attempt'; id: string; node: string; mac: string; at: Date; plan: Json; address?: string }
  | { type: 'event'; attempt: string; at: Date; kind: EventKind; detail: Json }
  | { type: 'ticket'; attempt: string; hash: string }
  | { type: 'ticket-used'; attempt: string; at: Date }
  | { type: 'machine'; mac: string; at: Date; facts: Record<string, string>; address?: string }
  | AgentEntry
  | SeenEntry
  | ReportEntry
  | TreeEntry

/** A client of a node has a token (`hash`: its sha256 in hex); one of the same attempt has it instead of the one before. */
export type AgentEntry = { type: 'agent'; attempt: string; node: string; hash: string; at: Date }

/** The client of an attempt was heard of. */
export type SeenEntry = { type: 'agent-seen'; attempt: string; at: Date }

/** What the client of an attempt said of its node: what it leaves out stays as it was, `failure` alone goes away. */
export type ReportEntry = { type: 'report'; attempt: string; at: Date; report: AgentReport }

/** An overlay list that a node was given, as `activity/schema.ts` has it, and texts of its public files; digests in hex. */
export type TreeEntry = {
  type: 'tree'
  digest: string
  list: string
  texts: { digest: string; content: string }[]
  at: Date
}

/** Takes entries. */
export interface Journal {
  /** Remembers the entry and returns at once. Bounded: when writing cannot keep up, the oldest unwritten are dropped and counted in the log. */
  record(entry: Entry): void
  /** Resolves when everything recorded so far can be read from the database; rejects when it could not be written now. */
  flush(): Promise<void>
}

/** What a journal is made of. */
export type JournalOptions = {
  database: ActivityDatabase
  log: Log
  /**
   * Calls `flush` within 100 ms. Asked once for all entries that come until then. `flush` does not reject: entries that
   * could not be written stay, and another `flush` is scheduled.
   */
  schedule: (flush: () => Promise<void>) => void
  /** The clock by which old entries are forgotten. */
  now?: () => Date
}

/** Entries that wait at most. */
export const entriesAtMost = 100_000
/** Bounds of one transaction: better-sqlite3 holds up everything else meanwhile, and D1 takes 2 MB a parameter. */
const entriesPerBatch = 250
const charactersPerBatch = 300_000
const millisecondsBetweenForgetting = 60_000

/** A journal that writes into the activity database. Events of attempts that nobody knows do no harm. */
export function createJournal({ database, log, schedule, now = () => new Date() }: JournalOptions): Journal {
  let waiting: Row[] = []
  // All nodes that boot the same share one plan, so it is written out once.
  const plans = new WeakMap<object, string>()
  let dropped = 0
  let scheduled = false
  let failing = false
  let forgottenAt = 0
  let writing: Promise<unknown> = Promise.resolve()

  const later = () => {
    if (scheduled) return
    scheduled = true
    schedule(() => flush().catch(later))
  }

  const flush = () => {
    const turn = writing.then(writeAll)
    writing = turn.catch(() => undefined)
    return turn
  }

  async function writeAll(): Promise<void> {
    scheduled = false
    if (dropped > 0) log('warn', 'the journal could not keep up: oldest entries were dropped', { dropped })
    dropped = 0
    // What arrives meanwhile has a flush of its own.
    for (let left = waiting.length; left > 0; ) {
      const { batch, tooLarge } = firstOf(waiting)
      if (tooLarge > 0) log('warn', 'the journal dropped entries that are too large', { dropped: tooLarge })
      waiting = waiting.slice(batch.length + tooLarge)
      left -= batch.length + tooLarge
      await write(batch)
      // Lets requests through between two transactions.
      if (left > 0) await new Promise((resolve) => setTimeout(resolve, 0))
    }
  }

  async function write(batch: Row[]): Promise<void> {
    const at = now()
    const forgets = at.getTime() - forgottenAt >= millisecondsBetweenForgetting
    try {
      await database.batch([...statementsOf(batch), ...(forgets ? forgetStatements(at) : [])])
    } catch (error) {
      if (!failing) log('error', 'the journal cannot be written, entries wait', { error: String(error) })
      failing = true
      waiting = [...batch, ...waiting]
      throw error
    }
    if (forgets) forgottenAt = at.getTime()
    if (failing) log('info', 'the journal can be written again')
    failing = false
  }

  const planText = (plan: Json): string => {
    if (typeof plan !== 'object' || plan === null) return JSON.stringify(plan)
    const text = plans.get(plan) ?? JSON.stringify(plan)
    plans.set(plan, text)
    return text
  }

  return {
    record(entry) {
      waiting.push(...rowsOf(entry, planText))
      if (waiting.length > entriesAtMost) {
        // Some more at once, because making room at the front moves all the others.
        dropped += waiting.splice(0, entriesPerBatch).length
      }
      later()
    },
    flush,
  }
}

/** An entry as rows with their JSON as text, made when it is told: what is told later of the same object must not change it. */
function rowsOf(entry: Entry, planText: (plan: Json) => string): Row[] {
  switch (entry.type) {
    case 'attempt':
      return [{ ...entry, plan: planText(entry.plan) }]
    case 'event':
      return [{ ...entry, detail: JSON.stringify(entry.detail) }]
    case 'machine':
      return [{ ...entry, facts: JSON.stringify(entry.facts) }]
    case 'report':
      return [{ ...entry, report: { ...entry.report } }]
    case 'tree': {
      const { type, digest, list, at } = entry
      return [{ type, digest, list, at }, ...entry.texts.map((text) => ({ type: 'text' as const, ...text, at }))]
    }
    default:
      return [entry]
  }
}

/** Roughly how long a row is in JSON. */
function lengthOf(row: Row): number {
  switch (row.type) {
    case 'attempt':
      return 200 + row.plan.length
    case 'event':
      return 200 + row.detail.length
    case 'machine':
      return 200 + row.facts.length
    case 'report':
      return 1000 + (row.report.args?.length ?? 0)
    case 'tree':
      return 200 + row.list.length
    case 'text':
      return 200 + row.content.length
    default:
      return 200
  }
}

/** The rows that the next transaction takes, in order, and how many among them were larger than a transaction. */
function firstOf(rows: readonly Row[]): { batch: Row[]; tooLarge: number } {
  const batch: Row[] = []
  let tooLarge = 0
  let characters = 0
  for (const row of rows.slice(0, entriesPerBatch)) {
    const length = lengthOf(row)
    if (length > charactersPerBatch) {
      tooLarge++
      continue
    }
    characters += length
    if (characters > charactersPerBatch) break
    batch.push(row)
  }
  return { batch, tooLarge }
}
