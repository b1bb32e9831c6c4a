/**
 * What every boot needs of the registry besides the node itself, kept until the registry's revision moves: the profiles
 * and the image versions that were asked for. One query tells whether it moved, however many nodes there are, and in a storm
 * not even that is asked for every boot.
 */

import { type ImageVersion, resolveImage } from './images.ts'
import type { StoredMember } from './members.ts'
import { newestRevision } from './newest-revision.ts'
import { profileMap } from './profiles.ts'
import type { RegistryDatabase } from './schema.ts'

/** The registry at one revision. */
export type Snapshot = {
  revision: number
  profiles: ReadonlyMap<string, StoredMember>
  /** The version that a reference means; asked for once per revision. Throws `IMAGE_UNKNOWN`. */
  image(reference: string): Promise<ImageVersion>
}

/** A function that answers the newest snapshot. `newest` may be shared with others who ask in the same request. */
export function createSnapshots(
  db: RegistryDatabase,
  newest: () => Promise<number> = newestRevision(db),
): () => Promise<Snapshot> {
  let kept: Snapshot | undefined
  return async () => {
    const revision = await newest()
    if (kept?.revision === revision) return kept
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
    return fresh
  }
}
