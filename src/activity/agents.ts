/** Clients of nodes: queries, and how the journal writes them. What was recorded a moment ago is found after `journal.flush()`. */
import { desc, eq, type SQL, sql } from 'drizzle-orm'
import type { AgentEntry, SeenEntry } from './journal.ts'
import { type ActivityDatabase, agents } from './schema.ts'

/** Clients that are kept of each node. */
const agentsPerNode = 4
/** Days after which a client that was not heard of is forgotten. */
export const agentDays = 30
/** Rows that are looked at each time that something is forgotten. */
const rowsAtOnce = 1000

/** A client as it is stored. */
export type Agent = typeof agents.$inferSelect

/** The part of a client that says whose a token is. */
export type AgentIdentity = Pick<Agent, 'attempt' | 'node' | 'hash' | 'createdAt' | 'seenAt'>

/** A function that finds a client by the sha256 (hex) of its token, with one prepared query by a unique index. */
export function agentByHash(db: ActivityDatabase): (hash: string) => Promise<AgentIdentity | undefined> {
  const query = db
    .select({
      attempt: agents.attempt,
      node: agents.node,
      hash: agents.hash,
      createdAt: agents.createdAt,
      seenAt: agents.seenAt,
    })
    .from(agents)
    .where(eq(agents.hash, sql.placeholder('hash')))
    .prepare()
  return async (hash) => (await query.get({ hash })) ?? undefined
}

/** The clients of a node, the newest first: one for each of its last few boots. */
export const listAgents = async (db: ActivityDatabase, node: string): Promise<Agent[]> =>
  db.select().from(agents).where(eq(agents.node, node)).orderBy(desc(agents.createdAt), desc(sql`rowid`)).all()

/**
 * Writes clients; a client of the same attempt gets its new token, so the old one is no longer found. What a node then has
 * too many of goes: the ones made first.
 */
export function agentStatements(told: readonly AgentEntry[]): SQL[] {
  const rows = JSON.stringify(told.map(({ attempt, node, hash, at }) => [attempt, node, hash, at.getTime()]))
  const nodes = JSON.stringify([...new Set(told.map(({ node }) => node))])
  return [
    // `where true` keeps SQLite from reading "on conflict" as a join's "on". In order: the last one told holds.
    sql`insert into ${agents} (attempt, node, hash, created_at, seen_at)
      select value->>0, value->>1, value->>2, value->>3, value->>3 from json_each(${rows}) where true order by key
      on conflict (attempt) do update set hash = excluded.hash, created_at = excluded.created_at, seen_at = excluded.seen_at`,
    sql`delete from ${agents} where rowid in (select old.rowid from json_each(${nodes}) as touched
      join ${agents} as old on old.node = touched.value where old.rowid not in (select kept.rowid from ${agents} as kept
        where kept.node = touched.value order by kept.created_at desc, kept.rowid desc limit ${agentsPerNode}))`,
  ]
}

/** Notes when clients were heard of last. One that is not there (any more) is not made. */
export function seenStatement(told: readonly SeenEntry[]): SQL {
  const times = JSON.stringify(Object.fromEntries(told.map(({ attempt, at }) => [attempt, at.getTime()] as const)))
  return sql`update ${agents} set seen_at = max(seen_at, told.value) from json_each(${times}) as told
    where ${agents.attempt} = told.key`
}

/**
 * Forgets clients that were not heard of for {@link agentDays}. Rows that are used stay where they are, so each minute has
 * another stretch of the table to look at, and every row has its turn.
 */
export function forgetAgents(now: Date): SQL {
  const cutoff = now.getTime() - agentDays * 86_400_000
  const minute = Math.floor(now.getTime() / 60_000)
  const first = sql`(${minute} % (select coalesce(max(rowid), 0) / ${rowsAtOnce} + 1 from ${agents})) * ${rowsAtOnce}`
  return sql`delete from ${agents} where rowid between ${first} and ${first} + ${rowsAtOnce - 1} and seen_at < ${cutoff}`
}
