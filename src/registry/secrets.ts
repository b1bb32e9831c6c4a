/** The one way to change secrets. Their texts are sealed here; `node-secrets.ts` opens them. */
import { and, asc, eq } from 'drizzle-orm'
import { AppError } from '../errors.ts'
import type { SecretKind } from '../overlays/manifest.ts'
import { generate } from '../secrets/generate.ts'
import type { SecretKey } from '../secrets/key.ts'
import { publicLineOf } from '../secrets/openssh.ts'
import { findNode, unknownNode } from './nodes.ts'
import { getProfile } from './profiles.ts'
import { type Editor, edit } from './revisions.ts'
import { type RegistryDatabase, secrets } from './schema.ts'
import type { SecretOwner } from './secret-names.ts'
import { changeOf, contextOf, documentOf, recordOf, type SecretId, type SecretRecord, shown } from './secret-records.ts'

/** What secrets are kept and sealed with. */
export type SecretStore = { registry: RegistryDatabase; secretKey?: SecretKey }

/** Bytes of a secret at most, in UTF-8. */
export const secretAtMost = 65_536

/** The key of secrets. Throws `UNSUPPORTED` where none was given. */
export function keyOf({ secretKey }: Pick<SecretStore, 'secretKey'>): SecretKey {
  if (secretKey) return secretKey
  throw new AppError(
    'UNSUPPORTED',
    'secrets need a key here: give the Worker a secret MUSTER_SECRET_KEY of 64 hex digits',
  )
}

/**
 * Sets a secret, whether there was one or not. Of a private key in OpenSSH's format the public half is kept beside it.
 * Throws `SECRET_INVALID`, `NODE_UNKNOWN`, `PROFILE_UNKNOWN`; never tells the text.
 */
export async function setSecret(
  store: SecretStore,
  editor: Editor,
  secret: SecretId & { value: string },
): Promise<{ revision: number; result: SecretRecord }> {
  const { owner, name, value } = secret
  const fault = faultOf(value)
  if (fault) throw new AppError('SECRET_INVALID', `secret ${contextOf(secret)} ${fault}`, { field: 'value' })
  const half = publicLineOf(value)
  const line = half === undefined ? null : `${half} ${commentFor(owner)}`.trim()
  return keep(store, editor, { owner, name, text: value, public: line })
}

/** Makes a secret and sets it. Throws as {@link setSecret} does. */
export async function generateSecret(
  store: SecretStore,
  editor: Editor,
  { owner, name, kind }: SecretId & { kind: SecretKind },
): Promise<{ revision: number; result: SecretRecord }> {
  const made = await generate(kind, commentFor(owner))
  return keep(store, editor, { owner, name, text: made.text, public: made.public ?? null })
}

/** Whose key pair it is, as its comment says: `root@n001`; of a key that many have, only what they are. */
export const commentFor = (owner: SecretOwner): string =>
  owner.startsWith('node:') ? `root@${owner.slice('node:'.length)}` : owner

function faultOf(value: string): string | undefined {
  if (value === '') return 'is empty'
  if (new TextEncoder().encode(value).length > secretAtMost) return `is longer than ${secretAtMost} bytes`
  if (value.includes('\0')) return 'has a zero byte in it: give it as base64'
  return value.isWellFormed() ? undefined : 'is no text: give it as base64'
}

async function keep(
  store: SecretStore,
  editor: Editor,
  secret: SecretId & { text: string; public: string | null },
): Promise<{ revision: number; result: SecretRecord }> {
  const { registry: db } = store
  const key = keyOf(store)
  const { owner, name, public: half } = secret
  const sealed = await key.seal(secret.text, contextOf(secret))
  return edit(db, editor, async (revision) => {
    await checkOwner(db, owner)
    const before = await findSet(db, secret)
    const row = { owner, name, generated: false, sealed, key: key.id, public: half, revision, changedAt: editor.at }
    const set = { sealed, key: key.id, public: half, revision, changedAt: editor.at }
    const statement = db
      .insert(secrets)
      .values(row)
      .onConflictDoUpdate({ target: [secrets.owner, secrets.name, secrets.generated], set })
    return {
      changes: [changeOf(secret, before ? documentOf(before) : null, documentOf(row))],
      statements: [statement],
      result: recordOf(row),
    }
  })
}

/**
 * Deletes a secret; where none is set, the one that was generated, so that another is made when it is needed next. Throws
 * `SECRET_UNKNOWN`.
 */
export async function deleteSecret(
  db: RegistryDatabase,
  editor: Editor,
  secret: SecretId,
): Promise<{ revision: number }> {
  const { owner, name } = secret
  return edit(db, editor, async () => {
    const rows = await db
      .select(shown)
      .from(secrets)
      .where(and(eq(secrets.owner, owner), eq(secrets.name, name)))
      .orderBy(asc(secrets.generated))
      .all()
    const [row] = rows
    if (!row) throw new AppError('SECRET_UNKNOWN', `${owner} has no secret ${name}`)
    const which = and(eq(secrets.owner, owner), eq(secrets.name, name), eq(secrets.generated, row.generated))
    return {
      changes: [changeOf(secret, documentOf(row), null)],
      statements: [db.delete(secrets).where(which)],
      result: undefined,
    }
  })
}

async function checkOwner(db: RegistryDatabase, owner: SecretOwner): Promise<void> {
  const name = owner.slice(owner.indexOf(':') + 1)
  if (owner.startsWith('node:') && !(await findNode(db, name))) throw unknownNode(name)
  if (owner.startsWith('profile:')) await getProfile(db, name)
}

const findSet = async (db: RegistryDatabase, { owner, name }: SecretId) =>
  db
    .select(shown)
    .from(secrets)
    .where(and(eq(secrets.owner, owner), eq(secrets.name, name), eq(secrets.generated, false)))
    .get()
