/**
 * What every boot needs of the registry besides the node itself, kept until the registry's revision moves: the profiles
 * and the image versions that were asked for. One query tells whether it moved, however many nodes there are.
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
  return async () => {
    const revision = (await newest.get())?.id ?? 0
    if (kept?.revision === revision) return kept
    const images = new Map<string, Promise<ImageVersion>>()
    const fresh: Snapshot = {
      revision,
      profiles: await profileMap(db),
      image(reference) {
        const known = images.get(reference)
        if (known) return known
        const asked = resolveImage(db, reference)
        images.set(reference, asked)
        // A failing database must not be remembered as an answer.
        asked.catch(() => images.delete(reference))
        return asked
      },
    }
    kept = fresh
    return fresh
  }
}
