/** What clients say of their nodes: the newest of each, written by the journal into the rows of their tokens. */
import { asc, type SQL, sql } from 'drizzle-orm'
import type { Digest } from '../blobs/digest.ts'
import type { ReportEntry } from './journal.ts'
import { type ActivityDatabase, type AgentReport, agents, attempts, events } from './schema.ts'
import { touchStatement } from './trees.ts'

/** What the client of a node's newest boot said last, and when it was heard of. */
export type NodeReport = {
  node: string
  attempt: string
  /** When the client began: soon after the boot. */
  createdAt: Date
  seenAt: Date
  /** Absent until it said what it runs. */
  reportedAt?: Date
  report: AgentReport
}

/** The part of an attempt's plan that tells which overlays it was made of. */
export type AttemptOverlays = { system: OverlayOfAttempt[]; runtime: OverlayOfAttempt[] }
type OverlayOfAttempt = { name: string; version?: number; digest: Digest }

/** Statements that write reports; several of one client become one. A client without a token has no row, and is passed over. */
export function reportStatements(told: readonly ReportEntry[]): SQL[] {
  const rows: Record<string, { at: number; report: object }> = {}
  for (const { attempt, at, report } of told) {
    const before = rows[attempt]
    rows[attempt] = {
      at: Math.max(before?.at ?? 0, at.getTime()),
      // JSON has null where a merge patch (RFC 7396) takes something away.
      report: { ...before?.report, ...report, failure: report.failure ?? null },
    }
  }
  const digests = told.flatMap(({ report }) => [report.system, report.runtime].filter((digest) => digest !== undefined))
  const [first] = told
  return [
    sql`update ${agents} set report = json_patch(coalesce(report, '{}'), told.value->'report'), reported_at = told.value->>'at',
        seen_at = max(seen_at, told.value->>'at')
      from json_each(${JSON.stringify(rows)}) as told where ${agents.attempt} = told.key`,
    ...(digests.length > 0 && first ? [touchStatement(digests, first.at)] : []),
  ]
}

const columns = {
  node: agents.node,
  attempt: agents.attempt,
  createdAt: agents.createdAt,
  seenAt: agents.seenAt,
  reportedAt: agents.reportedAt,
  report: agents.report,
}

/** The newest client of each of the named nodes that has one, by node; one query that reads as many rows as there are nodes. */
export async function reportsOf(db: ActivityDatabase, nodes: readonly string[]): Promise<Map<string, NodeReport>> {
  if (nodes.length === 0) return new Map()
  const rows = await db
    .select(columns)
    .from(sql`json_each(${JSON.stringify(nodes)}) as wanted`)
    .innerJoin(
      agents,
      sql`${agents}.rowid = (select newest.rowid from ${agents} as newest where newest.node = wanted.value
        order by newest.created_at desc, newest.rowid desc limit 1)`,
    )
    .all()
  return new Map(rows.map((row) => [row.node, reportOf(row)]))
}

/** A function that finds the newest client of a node, with one prepared query by index. */
export function reportOfNode(db: ActivityDatabase): (node: string) => Promise<NodeReport | undefined> {
  const query = db
    .select(columns)
    .from(agents)
    .where(sql`${agents.node} = ${sql.placeholder('node')}`)
    .orderBy(sql`${agents.createdAt} desc, rowid desc`)
    .limit(1)
    .prepare()
  return async (node) => {
    const row = await query.get({ node })
    return row ? reportOf(row) : undefined
  }
}

function reportOf({ reportedAt, report, ...row }: Pick<typeof agents.$inferSelect, keyof typeof columns>): NodeReport {
  return { ...row, ...(reportedAt && { reportedAt }), report: report ?? {} }
}

/** A function that finds when a boot was ready first, with one prepared query by index. */
export function readyTime(db: ActivityDatabase): (attempt: string) => Promise<Date | undefined> {
  const query = db
    .select({ at: events.at })
    .from(events)
    .where(sql`${events.attempt} = ${sql.placeholder('attempt')} and ${events.kind} = 'ready'`)
    .orderBy(asc(events.id))
    .limit(1)
    .prepare()
  return async (attempt) => (await query.get({ attempt }))?.at
}

/** The overlays that the plans of these attempts named, by attempt; one query. */
export async function overlaysOfAttempts(
  db: ActivityDatabase,
  ids: readonly string[],
): Promise<Map<string, AttemptOverlays>> {
  if (ids.length === 0) return new Map()
  const rows = await db
    .select({ id: attempts.id, overlays: sql<string | null>`${attempts.plan}->'$.overlays'` })
    .from(attempts)
    .where(sql`${attempts.id} in (select value from json_each(${JSON.stringify(ids)}))`)
    .all()
  return new Map(
    // As `planRecord` wrote it.
    rows.flatMap(({ id, overlays }) => (overlays === null ? [] : [[id, JSON.parse(overlays) as AttemptOverlays]])),
  )
}
