/** Root archives that were made, by the digest of their image's manifest: a cache, and no part of any revision. */
import { eq, sql } from 'drizzle-orm'
import type { Digest } from '../blobs/digest.ts'
import type { CpioRoot } from '../images/manifest.ts'
import { type RegistryDatabase, rootArchives } from './schema.ts'

/** A function that finds the archive of an image. */
export function rootFinder(db: RegistryDatabase): (image: Digest) => Promise<CpioRoot | undefined> {
  const query = db
    .select()
    .from(rootArchives)
    .where(eq(rootArchives.image, sql.placeholder('image')))
    .prepare()
  return async (image) => (await query.get({ image }))?.root
}

/** Remembers the archive of an image, in place of an earlier one. Its blob is stored already. */
export async function keepRoot(db: RegistryDatabase, image: Digest, root: CpioRoot): Promise<void> {
  const set = { root: sql`excluded.root` }
  await db.batch([
    db.insert(rootArchives).values({ image, root }).onConflictDoUpdate({ target: rootArchives.image, set }),
  ])
}
