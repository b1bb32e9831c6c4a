/** Boot attempts: queries. Entries that were recorded a moment ago are found after `journal.flush()`. */
import { asc, desc, eq, sql } from 'drizzle-orm'
import { type ActivityDatabase, attempts, events } from './schema.ts'

/** A boot attempt as it is stored. */
export type Attempt = typeof attempts.$inferSelect

/** A step of an attempt. */
export type AttemptEvent = Omit<typeof events.$inferSelect, 'attempt'>

/** The newest attempts of a node, newest first, each with its events in the order in which they were told. */
export async function listAttempts(
  db: ActivityDatabase,
  node: string,
  limit: number,
): Promise<(Attempt & { events: AttemptEvent[] })[]> {
  const found = await db
    .select()
    .from(attempts)
    .where(eq(attempts.node, node))
    .orderBy(desc(attempts.startedAt), desc(sql`rowid`))
    .limit(limit)
    .all()
  const byAttempt = await eventsOf(
    db,
    found.map(({ id }) => id),
  )
  return found.map((attempt) => ({ ...attempt, events: byAttempt.get(attempt.id) ?? [] }))
}

/** A function that finds an attempt by its id, with one prepared query by primary key. */
export function attemptById(db: ActivityDatabase): (id: string) => Promise<Attempt | undefined> {
  const query = db
    .select()
    .from(attempts)
    .where(eq(attempts.id, sql.placeholder('id')))
    .prepare()
  return async (id) => (await query.get({ id })) ?? undefined
}

/** A function that finds an attempt by the sha256 of its ticket, with one prepared query by index. */
export function attemptByTicket(db: ActivityDatabase): (hash: string) => Promise<Attempt | undefined> {
  const query = db
    .select()
    .from(attempts)
    .where(eq(attempts.ticketHash, sql.placeholder('hash')))
    .prepare()
  return async (hash) => (await query.get({ hash })) ?? undefined
}

/** Events by attempt; one query however many attempts. */
async function eventsOf(db: ActivityDatabase, ids: readonly string[]): Promise<Map<string, AttemptEvent[]>> {
  const rows = await db
    .select()
    .from(events)
    .where(sql`${events.attempt} in (select value from json_each(${JSON.stringify(ids)}))`)
    .orderBy(asc(events.id))
    .all()
  const byAttempt = new Map<string, AttemptEvent[]>(ids.map((id) => [id, []]))
  for (const { attempt, ...event } of rows) byAttempt.get(attempt)?.push(event)
  return byAttempt
}
