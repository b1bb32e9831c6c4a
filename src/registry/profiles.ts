/** Profiles: queries, and the one way to change them. */
import { asc, eq, gt, sql } from 'drizzle-orm'
import { AppError } from '../errors.ts'
import { sameJson } from './canonical.ts'
import { lineage } from './inherit.ts'
import { documentOf, type MemberInput, refuseNodeFields, type StoredMember } from './members.ts'
import { type Change, type Editor, edit } from './revisions.ts'
import { nodes, profiles, type RegistryDatabase } from './schema.ts'
import { withoutSecrets } from './secret-records.ts'
import { nameSchema } from './settings.ts'

/** A profile, or `undefined`. */
export async function findProfile(db: RegistryDatabase, name: string): Promise<StoredMember | undefined> {
  return (await db.select().from(profiles).where(eq(profiles.name, name)).get()) ?? undefined
}

/** A profile. Throws `PROFILE_UNKNOWN`. */
export async function getProfile(db: RegistryDatabase, name: string): Promise<StoredMember> {
  const profile = await findProfile(db, name)
  if (!profile) throw new AppError('PROFILE_UNKNOWN', `no profile ${name}`)
  return profile
}

/** Profiles by name, from the one after `after`. */
export async function listProfiles(
  db: RegistryDatabase,
  page: { after?: string; limit?: number } = {},
): Promise<StoredMember[]> {
  const query = db
    .select()
    .from(profiles)
    .where(page.after === undefined ? undefined : gt(profiles.name, page.after))
    .orderBy(asc(profiles.name))
  return page.limit === undefined ? query.all() : query.limit(page.limit).all()
}

/** Every profile by name: what inheritance needs. There are few of them. */
export async function profileMap(db: RegistryDatabase): Promise<Map<string, StoredMember>> {
  return new Map((await listProfiles(db)).map((profile) => [profile.name, profile]))
}

/** Who lists a profile, at most `limit` of each: nodes and other profiles. */
export async function usersOf(
  db: RegistryDatabase,
  name: string,
  limit = 10,
): Promise<{ nodes: string[]; profiles: string[] }> {
  const [usedByNodes, usedByProfiles] = await Promise.all([
    db
      .select({ name: nodes.name })
      .from(nodes)
      .where(sql`exists (select 1 from json_each(${nodes.profiles}) where value = ${name})`)
      .limit(limit)
      .all(),
    db
      .select({ name: profiles.name })
      .from(profiles)
      .where(sql`exists (select 1 from json_each(${profiles.profiles}) where value = ${name})`)
      .limit(limit)
      .all(),
  ])
  return { nodes: usedByNodes.map((row) => row.name), profiles: usedByProfiles.map((row) => row.name) }
}

/**
 * Changes one profile, as one revision. `change` gets the profile as it is (`undefined` for a free name) and answers it
 * as it shall be (`undefined` to delete it); it throws to refuse. Throws also `NAME_INVALID`, `PROFILE_UNKNOWN`,
 * `PROFILE_CYCLE`, `PROFILE_USED`, `SETTINGS_INVALID`.
 */
export async function changeProfile(
  db: RegistryDatabase,
  editor: Editor,
  name: string,
  change: (before: StoredMember | undefined) => MemberInput | undefined,
): Promise<{ revision: number; changes: Change[]; result: StoredMember | undefined }> {
  return edit(db, editor, async (revision) => {
    const all = await profileMap(db)
    const before = all.get(name)
    const next = change(before)
    const unchanged = before && next && sameJson(documentOf(next), documentOf(before))
    if (unchanged || (!before && !next)) return { changes: [], statements: [], result: before }
    const changes = [
      {
        noun: 'profile' as const,
        name,
        before: before ? documentOf(before) : null,
        after: next ? documentOf(next) : null,
      },
    ]
    if (!next) {
      await refuseWhenUsed(db, name)
      const without = await withoutSecrets(db, [`profile:${name}`])
      return {
        changes: [...changes, ...without.changes],
        statements: [db.delete(profiles).where(eq(profiles.name, name)), ...without.statements],
        result: undefined,
      }
    }
    if (!before) checkName(name)
    refuseNodeFields(next.settings)
    const stored = { name, ...next, revision, changedAt: editor.at }
    lineage(stored, new Map(all).set(name, stored))
    const { name: _key, ...set } = stored
    return {
      changes,
      statements: [db.insert(profiles).values(stored).onConflictDoUpdate({ target: profiles.name, set })],
      result: stored,
    }
  })
}

async function refuseWhenUsed(db: RegistryDatabase, name: string): Promise<void> {
  const users = await usersOf(db, name)
  const list = [...users.nodes.map((node) => `node ${node}`), ...users.profiles.map((profile) => `profile ${profile}`)]
  if (list.length === 0) return
  throw new AppError(
    'PROFILE_USED',
    `profile ${name} is used by ${list.join(', ')}: take it out of their profiles first`,
  )
}

function checkName(name: string): void {
  const result = nameSchema.safeParse(name)
  if (!result.success)
    throw new AppError('NAME_INVALID', `profile name ${JSON.stringify(name)} ${result.error.issues[0]?.message}`, {
      field: 'name',
    })
}
