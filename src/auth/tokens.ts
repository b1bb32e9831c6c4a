/** API tokens: 256 random bits, of which only the sha256 is kept. */
import { asc, eq, sql } from 'drizzle-orm'
import { digestOf, hex, hexOf } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import { type Editor, edit } from '../registry/revisions.ts'
import { type RegistryDatabase, type Scope, scopes, tokens } from '../registry/schema.ts'
import { nameSchema } from '../registry/settings.ts'

/** A token as it may be shown: everything but the token. */
export type TokenRecord = { name: string; scope: Scope; createdAt: Date; expiresAt: Date | null }

/** Whom a request comes from. */
export type Bearer = { name: string; scope: Scope }

/** True when a token of scope `has` may do what needs `needs`. */
export const includes = (has: Scope, needs: Scope): boolean => scopes.indexOf(has) >= scopes.indexOf(needs)

/** A fresh secret: `muster_` and 64 hex digits. The prefix lets secret scanners know it. */
export const newToken = (): string => `muster_${hex(crypto.getRandomValues(new Uint8Array(32)))}`

/** What is kept of a secret: the hex sha256 of its text. */
export const hashOf = async (token: string): Promise<string> => hexOf(await digestOf(new TextEncoder().encode(token)))

/**
 * Makes a token and answers it, the only time that it can be seen. With `replace` a token of that name is replaced (its
 * old secret stops working); without, `TOKEN_EXISTS`.
 */
export async function createToken(
  db: RegistryDatabase,
  wanted: { name: string; scope: Scope; expiresAt?: Date; replace?: boolean },
  editor: Editor,
): Promise<TokenRecord & { token: string; revision: number }> {
  const name = nameSchema.safeParse(wanted.name)
  if (!name.success)
    throw new AppError('NAME_INVALID', `token name ${JSON.stringify(wanted.name)} ${name.error.issues[0]?.message}`, {
      field: 'name',
    })
  const token = newToken()
  const hash = await hashOf(token)
  const record: TokenRecord = {
    name: wanted.name,
    scope: wanted.scope,
    createdAt: editor.at,
    expiresAt: wanted.expiresAt ?? null,
  }
  const { revision } = await edit(db, editor, async (revision) => {
    const before = await db.select().from(tokens).where(eq(tokens.name, wanted.name)).get()
    if (before && !wanted.replace) throw new AppError('TOKEN_EXISTS', `there is a token ${wanted.name} already`)
    const { name: _key, ...set } = { ...record, hash, revision }
    return {
      changes: [
        {
          noun: 'token' as const,
          name: wanted.name,
          before: before ? documentOf(before) : null,
          after: documentOf(record),
        },
      ],
      statements: [
        db
          .insert(tokens)
          .values({ ...record, hash, revision })
          .onConflictDoUpdate({ target: tokens.name, set }),
      ],
      result: undefined,
    }
  })
  return { ...record, token, revision }
}

/** Every token, by name, without secrets. */
export async function listTokens(db: RegistryDatabase): Promise<TokenRecord[]> {
  const rows = await db.select().from(tokens).orderBy(asc(tokens.name)).all()
  return rows.map(({ name, scope, createdAt, expiresAt }) => ({ name, scope, createdAt, expiresAt }))
}

/** Revokes a token at once. Throws `TOKEN_UNKNOWN`. */
export async function deleteToken(db: RegistryDatabase, name: string, editor: Editor): Promise<{ revision: number }> {
  return edit(db, editor, async () => {
    const before = await db.select().from(tokens).where(eq(tokens.name, name)).get()
    if (!before) throw new AppError('TOKEN_UNKNOWN', `no token ${name}`)
    return {
      changes: [{ noun: 'token' as const, name, before: documentOf(before), after: null }],
      statements: [db.delete(tokens).where(eq(tokens.name, name))],
      result: undefined,
    }
  })
}

/**
 * A function that tells whose a token is. It looks the token up by its hash, so that how long the look-up takes says
 * nothing about the token. Throws `TOKEN_INVALID` for one that is unknown or expired.
 */
export function tokenVerifier(db: RegistryDatabase, now: () => Date): (token: string) => Promise<Bearer> {
  const query = db
    .select()
    .from(tokens)
    .where(eq(tokens.hash, sql.placeholder('hash')))
    .prepare()
  return async (token) => {
    const row = await query.get({ hash: await hashOf(token) })
    if (!row) throw new AppError('TOKEN_INVALID', 'this token is not known: make one with `muster token create NAME`')
    if (row.expiresAt && row.expiresAt <= now())
      throw new AppError('TOKEN_INVALID', `token ${row.name} expired at ${row.expiresAt.toISOString()}`)
    return { name: row.name, scope: row.scope }
  }
}

const documentOf = (token: TokenRecord) => ({ scope: token.scope, expiresAt: token.expiresAt?.toISOString() ?? null })
