/** The number of the newest revision, for what is asked all the time: in a storm not even one query for each request. */
import { sql } from 'drizzle-orm'
import { type RegistryDatabase, revisions } from './schema.ts'

/**
 * A function that answers the registry's revision (0 when nobody has edited it). It asks again when this process has
 * written, and else after `trustMilliseconds` of the database.
 */
export function newestRevision(db: RegistryDatabase): () => Promise<number> {
  const query = db
    .select({ id: sql<number | null>`max(${revisions.id})` })
    .from(revisions)
    .prepare()
  let known: { revision: number; writes: number; at: number } | undefined
  return async () => {
    // The count is read before the query: a write that comes between the two makes the next caller ask again.
    const [writes, at] = [db.writes(), performance.now()]
    if (known?.writes === writes && at - known.at < db.trustMilliseconds) return known.revision
    const revision = (await query.get())?.id ?? 0
    known = { revision, writes, at }
    return revision
  }
}
