/**
 * What every boot needs of the registry besides the node itself, kept until the registry's revision moves: the profiles
 * and the image versions that were asked for. One query tells whether it moved, however many nodes there are, and in a storm
 * not even that is asked for every boot.
 */

import { sql } from 'drizzle-orm'
import { type ImageVersion, resolveImage } from './images.ts'
import type { StoredMember } from './members.ts'
import { profileMap } from './profiles.ts'
import { type RegistryDatabase, revisions } from './schema.ts'

/** The registry at one revision. */
export type Snapshot = {
  revision: number
  profiles: ReadonlyMap<string, StoredMember>
  /** The version that a reference means; asked for once per revision. Throws `IMAGE_UNKNOWN`. */
  image(reference: string): Promise<ImageVersion>
}

/** A function that answers the newest snapshot. */
export function createSnapshots(db: RegistryDatabase): () => Promise<Snapshot> {
  const newest = db
    .select({ id: sql<number | null>`max(${revisions.id})` })
    .from(revisions)
    .prepare()
  let kept: Snapshot | undefined
  let asked = { writes: -1, at: 0 }
  return async () => {
    // The count is read before the query: a write that comes between the two makes the next caller ask again.
    const now = { writes: db.writes(), at: performance.now() }
    if (kept && now.writes === asked.writes && now.at - asked.at < db.trustMilliseconds) return kept
    const revision = (await newest.get())?.id ?? 0
    if (kept?.revision === revision) {
      asked = now
      return kept
    }
    const images = new Map<string, Promise<ImageVersion>>()
    const fresh: Snapshot = {
      revision,
      profiles: await profileMap(db),
      image(reference) {
        const known = images.get(reference)
        if (known) return known
        const found = resolveImage(db, reference)
        images.set(reference, found)
        // A failing database must not be remembered as an answer.
        found.catch(() => images.delete(reference))
        return found
      },
    }
    kept = fresh
    asked = now
    return fresh
  }
}
