/**
 * Entries of the journal as SQL. The number of statements does not grow with the entries (an attempt needs one for each
 * plan, of which a storm has few): rows travel as one JSON parameter each, because D1 takes at most 100 parameters a statement (developers.cloudflare.com/d1/platform/limits).
 *
 * `or ignore` passes over a row that breaks a constraint, so that one odd entry cannot hold up all that follow it.
 */
import { type SQL, sql } from 'drizzle-orm'
import { agentStatements, forgetAgents, seenStatement } from './agents.ts'
import type { Entry, TreeEntry } from './journal.ts'
import { reportStatements } from './reports.ts'
import { attempts, events, machines } from './schema.ts'
import { forgetTrees, type Text, textStatement, treeStatement } from './trees.ts'

/** An entry whose JSON is text already; the texts of a tree are rows of their own. */
export type Row =
  | { [Type in Plain['type']]: Texts<Extract<Plain, { type: Type }>> }[Plain['type']]
  | Omit<TreeEntry, 'texts'>
  | Text
type Plain = Exclude<Entry, TreeEntry>
type Texts<E> = { [Key in keyof E]: Key extends 'plan' | 'detail' | 'facts' ? string : E[Key] }

/** Attempts that are kept of each node. */
const attemptsPerNode = 50
/** Age in days at which attempts and events are forgotten. */
const daysKept = 90
/** Discovered machines that are kept. */
const machinesAtMost = 10_000

/** Statements that write the entries, and keep attempts per node and machines within their bounds. */
export function statementsOf(entries: readonly Row[]): SQL[] {
  const told = partition(entries)
  return [
    ...attemptStatements(told.attempts),
    ...(told.tickets.length > 0 ? [ticketStatement(told.tickets)] : []),
    ...(told.used.length > 0 ? [usedStatement(told.used)] : []),
    ...(told.events.length > 0 ? [eventStatement(told.events)] : []),
    ...(told.machines.length > 0 ? machineStatements(told.machines) : []),
    ...(told.attempts.length > 0 ? surplusStatements(told.attempts) : []),
    ...(told.agents.length > 0 ? agentStatements(told.agents) : []),
    ...(told.seen.length > 0 ? [seenStatement(told.seen)] : []),
    ...(told.reports.length > 0 ? reportStatements(told.reports) : []),
    ...(told.trees.length > 0 ? [treeStatement(told.trees)] : []),
    ...(told.texts.length > 0 ? [textStatement(told.texts)] : []),
  ]
}

/**
 * Statements that forget what is older than {@link daysKept}. Rows are in the order of their making, so only the first
 * few are looked at: called now and then, this keeps up without ever reading a whole table.
 */
export function forgetStatements(now: Date): SQL[] {
  const cutoff = now.getTime() - daysKept * 86_400_000
  return [
    sql`delete from ${attempts} where rowid in (select rowid from ${attempts} order by rowid limit 1000) and started_at < ${cutoff}`,
    sql`delete from ${events} where id in (select id from ${events} order by id limit 10000) and at < ${cutoff}`,
    forgetAgents(now),
    ...forgetTrees(now),
  ]
}

type Told<Type extends Row['type']> = Extract<Row, { type: Type }>

function partition(entries: readonly Row[]) {
  const told = {
    attempts: [] as Told<'attempt'>[],
    tickets: [] as Told<'ticket'>[],
    used: [] as Told<'ticket-used'>[],
    events: [] as Told<'event'>[],
    machines: [] as Told<'machine'>[],
    agents: [] as Told<'agent'>[],
    seen: [] as Told<'agent-seen'>[],
    reports: [] as Told<'report'>[],
    trees: [] as Told<'tree'>[],
    texts: [] as Told<'text'>[],
  }
  for (const entry of entries) {
    if (entry.type === 'attempt') told.attempts.push(entry)
    else if (entry.type === 'ticket') told.tickets.push(entry)
    else if (entry.type === 'ticket-used') told.used.push(entry)
    else if (entry.type === 'event') told.events.push(entry)
    else if (entry.type === 'agent') told.agents.push(entry)
    else if (entry.type === 'agent-seen') told.seen.push(entry)
    else if (entry.type === 'report') told.reports.push(entry)
    else if (entry.type === 'tree') told.trees.push(entry)
    else if (entry.type === 'text') told.texts.push(entry)
    else told.machines.push(entry)
  }
  return told
}

/** One for each plan that was told: in a storm many nodes have the same one, which then travels once. */
function attemptStatements(told: readonly Told<'attempt'>[]): SQL[] {
  const byPlan = Map.groupBy(told, ({ plan }) => plan)
  return [...byPlan].map(([plan, same]) => {
    const rows = JSON.stringify(
      same.map(({ id, node, mac, address, at }) => [id, node, mac, address ?? null, at.getTime()]),
    )
    return sql`insert or ignore into ${attempts} (id, node, mac, address, started_at, plan)
      select value->>0, value->>1, value->>2, value->>3, value->>4, ${plan} from json_each(${rows})`
  })
}

/** Deletes what nodes that booted again have too many of, and the events of it first. */
function surplusStatements(told: readonly Told<'attempt'>[]): SQL[] {
  const nodes = JSON.stringify([...new Set(told.map(({ node }) => node))])
  // The innermost query stops at the first attempt too many, so a node costs the reading of a short stretch of index.
  const surplus = sql`select old.id from json_each(${nodes}) as touched join ${attempts} as old on old.node = touched.value
    and old.started_at < (select started_at from ${attempts} as kept where kept.node = touched.value
      order by started_at desc limit 1 offset ${attemptsPerNode - 1})`
  return [
    sql`delete from ${events} where attempt in (${surplus})`,
    sql`delete from ${attempts} where id in (${surplus})`,
  ]
}

/** The last hash told of an attempt holds. */
function ticketStatement(told: readonly Told<'ticket'>[]): SQL {
  const hashes = JSON.stringify(Object.fromEntries(told.map(({ attempt, hash }) => [attempt, hash])))
  return sql`update ${attempts} set ticket_hash = told.value from json_each(${hashes}) as told where ${attempts.id} = told.key`
}

/** The first use told of an attempt holds. */
function usedStatement(told: readonly Told<'ticket-used'>[]): SQL {
  const times = JSON.stringify(
    Object.fromEntries(told.toReversed().map(({ attempt, at }) => [attempt, at.getTime()] as const)),
  )
  return sql`update ${attempts} set ticket_used_at = told.value from json_each(${times}) as told
    where ${attempts.id} = told.key and ticket_used_at is null`
}

function eventStatement(told: readonly Told<'event'>[]): SQL {
  const rows = JSON.stringify(told.map(({ attempt, at, kind, detail }) => [attempt, at.getTime(), kind, detail]))
  return sql`insert or ignore into ${events} (attempt, at, kind, detail)
    select value->>0, value->>1, value->>2, value->>3 from json_each(${rows}) order by key`
}

type MachineRow = {
  mac: string
  first: number
  last: number
  facts: string
  address: string | null
  requests: number
}

function machineStatements(told: readonly Told<'machine'>[]): SQL[] {
  const rows = new Map<string, MachineRow>()
  for (const { mac, at, facts, address } of told) {
    const before = rows.get(mac)
    rows.set(mac, {
      mac,
      first: Math.min(before?.first ?? at.getTime(), at.getTime()),
      last: Math.max(before?.last ?? at.getTime(), at.getTime()),
      facts,
      address: address ?? before?.address ?? null,
      requests: (before?.requests ?? 0) + 1,
    })
  }
  return [
    // `where true` keeps SQLite from reading "on conflict" as a join's "on".
    sql`insert or ignore into ${machines} (mac, facts, address, first_seen_at, last_seen_at, requests)
      select value->>'mac', value->>'facts', value->>'address', value->>'first', value->>'last', value->>'requests'
      from json_each(${JSON.stringify([...rows.values()])}) where true
      on conflict (mac) do update set facts = excluded.facts, address = coalesce(excluded.address, address),
        last_seen_at = max(last_seen_at, excluded.last_seen_at), requests = requests + excluded.requests`,
    sql`delete from ${machines} where rowid in
      (select rowid from ${machines} order by last_seen_at desc, rowid desc limit -1 offset ${machinesAtMost})`,
  ]
}
