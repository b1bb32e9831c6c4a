/** Boots of one image version on many nodes: what rollouts are judged by. */
import { and, asc, eq, gte, sql } from 'drizzle-orm'
import { type ActivityDatabase, attempts, type EventKind, events } from './schema.ts'

/** A boot: when its script was asked for, and of each kind of event the newest, in the order in which they were told. */
export type Boot = { id: string; startedAt: Date; events: { at: Date; kind: EventKind }[] }

/**
 * Boots of the image with this manifest digest by the named nodes since a time, oldest first, by node. One query that reads
 * the index of these nodes from that time on, whatever others did and these did before.
 */
export async function bootsOf(
  db: ActivityDatabase,
  { nodes, image, since }: { nodes: readonly string[]; image: string; since: Date },
): Promise<Map<string, Boot[]>> {
  const last = sql<number | null>`max(${events.id})`
  const rows = await db
    .select({
      id: attempts.id,
      node: attempts.node,
      startedAt: attempts.startedAt,
      kind: events.kind,
      at: sql<number | null>`max(${events.at})`,
    })
    .from(attempts)
    .leftJoin(events, eq(events.attempt, attempts.id))
    .where(
      and(
        sql`${attempts.node} in (select value from json_each(${JSON.stringify(nodes)}))`,
        gte(attempts.startedAt, since),
        sql`${attempts.plan}->>'$.image.digest' = ${image}`,
      ),
    )
    .groupBy(attempts.id, events.kind)
    .orderBy(asc(attempts.startedAt), asc(sql`${attempts}.rowid`), asc(last))
    .all()
  const byNode = new Map<string, Boot[]>()
  for (const { id, node, startedAt, kind, at } of rows) {
    const boots = byNode.get(node) ?? []
    byNode.set(node, boots)
    const known = boots.at(-1)
    const boot = known?.id === id ? known : { id, startedAt, events: [] }
    if (boot !== known) boots.push(boot)
    if (kind !== null && at !== null) boot.events.push({ kind, at: new Date(at) })
  }
  return byNode
}
