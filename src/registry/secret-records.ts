/** Secrets as they may be shown: queries that never read what is sealed, and what revisions remember. */
import { and, asc, eq, ne, sql } from 'drizzle-orm'
import type { Change, Edit } from './revisions.ts'
import { type RegistryDatabase, type Statement, secrets } from './schema.ts'
import type { SecretOwner } from './secret-names.ts'
import type { Json } from './settings.ts'

/** A secret by owner and name. */
export type SecretId = { owner: SecretOwner; name: string }

/** A secret as it may be shown: everything but its text. */
export type SecretRecord = {
  owner: SecretOwner
  name: string
  /** Made because an overlay declared it, and part of no revision. */
  generated: boolean
  /** The public half of a key pair; null for anything else. */
  public: string | null
  revision: number
  changedAt: Date
}

/** A secret as it is stored. */
export type SecretRow = typeof secrets.$inferSelect

/** What seals are bound to, and what revisions call a secret. */
export const contextOf = ({ owner, name }: { owner: string; name: string }): string => `${owner}/${name}`

/** Secrets by owner and name, without their texts; `after` is what {@link secretPlace} answers for the last of a page. */
export async function listSecrets(
  db: RegistryDatabase,
  { owner, after, limit }: { owner?: SecretOwner; after?: string; limit: number },
): Promise<SecretRecord[]> {
  const [afterOwner = '', afterName = '', afterGenerated = ''] = after?.split('/') ?? []
  const rows = await db
    .select(shown)
    .from(secrets)
    .where(
      and(
        owner === undefined ? undefined : eq(secrets.owner, owner),
        after === undefined
          ? undefined
          : sql`(${secrets.owner}, ${secrets.name}, ${secrets.generated}) > (${afterOwner}, ${afterName}, ${Number(afterGenerated)})`,
      ),
    )
    .orderBy(asc(secrets.owner), asc(secrets.name), asc(secrets.generated))
    .limit(limit)
    .all()
  return rows.map(recordOf)
}

/** Where a secret stands in the list: `node:n1/munge/0`. */
export const secretPlace = ({ owner, name, generated }: SecretRecord): string => `${owner}/${name}/${Number(generated)}`

/** A row without what is sealed. */
export const recordOf = (row: Omit<SecretRow, 'sealed' | 'key'>): SecretRecord => ({
  // Only owners that were checked are ever stored.
  owner: row.owner as SecretOwner,
  name: row.name,
  generated: row.generated,
  public: row.public,
  revision: row.revision,
  changedAt: row.changedAt,
})

/** What an edit that deletes nodes or profiles commits besides, so that one of the same name begins without their secrets. */
export async function withoutSecrets(
  db: RegistryDatabase,
  owners: readonly SecretOwner[],
): Promise<Pick<Edit<unknown>, 'changes' | 'statements'>> {
  if (owners.length === 0) return { changes: [], statements: [] }
  const theirs = sql`${secrets.owner} in (select value from json_each(${JSON.stringify(owners)}))`
  const set = await db
    .select(shown)
    .from(secrets)
    .where(and(theirs, eq(secrets.generated, false)))
    .all()
  const statement: Statement = db.delete(secrets).where(theirs)
  return { changes: set.map((row) => changeOf(row, documentOf(row), null)), statements: [statement] }
}

/** True when any secret is stored, or any that another key sealed than the one with this id. */
export const hasSecrets = async (db: RegistryDatabase, other?: string): Promise<boolean> =>
  (await db
    .select({ name: secrets.name })
    .from(secrets)
    .where(other === undefined ? undefined : ne(secrets.key, other))
    .limit(1)
    .get()) !== undefined

/** A change of a secret, as a revision has it. */
export const changeOf = (secret: { owner: string; name: string }, before: Json, after: Json): Change => ({
  noun: 'secret',
  name: contextOf(secret),
  before,
  after,
})

/** What revisions remember of a secret: that it was set, when, and what everybody may know of it. */
export const documentOf = (row: { changedAt: Date; public: string | null; generated: boolean }): Json => ({
  setAt: row.changedAt.toISOString(),
  ...(row.public !== null && { public: row.public }),
  ...(row.generated && { generated: true }),
})

/** Every column but the sealed text, which no query that shows secrets reads. */
export const shown = {
  owner: secrets.owner,
  name: secrets.name,
  generated: secrets.generated,
  public: secrets.public,
  revision: secrets.revision,
  changedAt: secrets.changedAt,
}
