/** Which blobs boots want that may still be under way: a collection spares them. */
import { sql } from 'drizzle-orm'
import { type ActivityDatabase, attempts, events } from './schema.ts'

/** Attempts that are looked at in one query: nothing else is answered meanwhile on a head node. */
const attemptsPerPage = 1000

/** Digests that stand in plans: those of images, and all of them. */
export type BlobsWanted = { images: Set<string>; all: Set<string> }

/**
 * What the plans name of boots that began since a time and are not ready yet. A boot that failed counts: it may try again.
 * Attempts are in the order of their making, so only those of the time are read.
 */
export async function blobsWanted(db: ActivityDatabase, since: Date): Promise<BlobsWanted> {
  const wanted: BlobsWanted = { images: new Set(), all: new Set() }
  let before: number | undefined
  do {
    const page = sql`(select rowid as position, id, started_at, plan from ${attempts}
      ${before === undefined ? sql`` : sql`where rowid < ${before}`} order by rowid desc limit ${attemptsPerPage})`
    const plans = await db
      .select({ plan: sql<string>`plan`, image: sql<string | null>`plan->>'$.image.digest'` })
      .from(sql`${page} as page`)
      .where(
        sql`started_at >= ${since.getTime()} and not exists (select 1 from ${events}
          where ${events.attempt} = page.id and ${events.kind} = 'ready')`,
      )
      .groupBy(sql`plan`)
      .all()
    for (const { plan, image } of plans) {
      if (image !== null) wanted.images.add(image)
      for (const [digest] of plan.matchAll(/\bsha256:[0-9a-f]{64}\b/g)) wanted.all.add(digest)
    }
    const end = await db
      .select({ first: sql<number | null>`min(position)`, newest: sql<number | null>`max(started_at)` })
      .from(sql`${page} as page`)
      .get()
    before = end?.first != null && (end.newest ?? 0) >= since.getTime() ? end.first : undefined
  } while (before !== undefined)
  return wanted
}
