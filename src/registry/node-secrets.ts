/** The secrets that one node gets: whose counts, which are made for it, and their texts. */
import { and, sql } from 'drizzle-orm'
import { AppError } from '../errors.ts'
import type { SecretKind } from '../overlays/manifest.ts'
import { generate } from '../secrets/generate.ts'
import { lineage, type Member } from './inherit.ts'
import { unknownNode } from './nodes.ts'
import { changes, nodes, type RegistryDatabase, secrets } from './schema.ts'
import type { SecretOwner } from './secret-names.ts'
import { contextOf, type SecretRow } from './secret-records.ts'
import { commentFor, keyOf, type SecretStore } from './secrets.ts'
import type { Snapshot } from './snapshot.ts'

/** A node's secrets by name, opened. Of a key pair NAME there is also `NAME_pub`. */
export type Secrets = ReadonlyMap<string, string>

/** Texts of secrets that many nodes have, which are kept open. */
const mostShared = 500
/** Owners whose changes are remembered by a stamp. */
const mostOwners = 50_000
/** Rows that are written by one statement: D1 takes 2 MB a parameter. */
const rowsAtOnce = 250

/**
 * A function that answers the secrets of a node. Those that its overlays declare and nobody has set are made, kept and
 * part of no revision. One query; for a node that secrets are made for, one more, and a write that many nodes share.
 * Throws `SECRET_LOCKED` for one that cannot be opened, `UNSUPPORTED` when there are some and no key, `NODE_UNKNOWN` when
 * the node is deleted meanwhile.
 */
export function secretsOf(
  store: SecretStore & { now: () => Date },
): (
  node: Member,
  snapshot: Pick<Snapshot, 'profiles'>,
  declared: Readonly<Record<string, SecretKind>>,
) => Promise<Secrets> {
  const { registry, now } = store
  const find = heldBy(registry)
  const write = rowWriter(registry)
  const shared = new Map<string, Promise<string>>()

  const open = (row: SecretRow): Promise<string> => {
    const key = keyOf(store)
    if (!key.lost && row.key !== key.id)
      throw new AppError(
        'SECRET_LOCKED',
        `secret ${contextOf(row)} is sealed with key ${row.key}, and ${key.from} has key ${key.id}: bring back the file that has the other, or set the secret again`,
      )
    return key.open(row.sealed, contextOf(row))
  }

  /** Secrets of the cluster and of profiles are opened once and not for every node. */
  const openShared = (row: SecretRow): Promise<string> => {
    if (row.owner.startsWith('node:')) return open(row)
    const known = shared.get(row.sealed)
    if (known) return known
    if (shared.size >= mostShared) shared.clear()
    const opening = open(row)
    shared.set(row.sealed, opening)
    opening.catch(() => shared.delete(row.sealed))
    return opening
  }

  async function make(node: string, wanted: readonly (readonly [name: string, kind: SecretKind])[]): Promise<void> {
    const key = keyOf(store)
    const owner: SecretOwner = `node:${node}`
    const rows = wanted.map(async ([name, kind]): Promise<SecretRow> => {
      const { text, public: half = null } = await generate(kind, commentFor(owner))
      const sealed = await key.seal(text, contextOf({ owner, name }))
      return { owner, name, generated: true, sealed, key: key.id, public: half, revision: 0, changedAt: now() }
    })
    await write(await Promise.all(rows))
  }

  return async (node, snapshot, declared) => {
    const owners = ownersOf(node, snapshot)
    let held = await find(owners)
    const missing = Object.entries(declared).filter(([name]) => !held.has(name))
    if (missing.length > 0) {
      await make(node.name, missing)
      // Whatever was there first counts: another request or process may have made it too.
      held = await find(owners)
      if (missing.some(([name]) => !held.has(name))) throw unknownNode(node.name)
    }
    const texts = await Promise.all([...held.values()].map(async (row) => [row, await openShared(row)] as const))
    return new Map(
      texts.flatMap(([{ name, public: half }, text]) => [
        [name, text] as const,
        ...(half === null ? [] : [[`${name}_pub`, half] as const]),
      ]),
    )
  }
}

/** Whose secrets a node can have, those first that hide the others. */
export const ownersOf = (node: Member, { profiles }: Pick<Snapshot, 'profiles'>): SecretOwner[] => [
  `node:${node.name}`,
  ...lineage(node, profiles)
    .toReversed()
    .map(({ name }): SecretOwner => `profile:${name}`),
  'cluster',
]

/** A function that finds the secrets that count, by name, among those of the owners. One prepared query by the primary key. */
export function heldBy(db: RegistryDatabase): (owners: readonly SecretOwner[]) => Promise<Map<string, SecretRow>> {
  const query = db
    .select()
    .from(secrets)
    .where(sql`${secrets.owner} in (select value from json_each(${sql.placeholder('owners')}))`)
    .prepare()
  return async (owners) => {
    const order: readonly string[] = owners
    // What was generated is hidden by all that was set.
    const rank = ({ owner, generated }: SecretRow) => (generated ? order.length : order.indexOf(owner))
    const rows = await query.all({ owners: JSON.stringify(owners) })
    const held = new Map<string, SecretRow>()
    for (const row of rows) {
      const other = held.get(row.name)
      if (!other || rank(row) < rank(other)) held.set(row.name, row)
    }
    return new Map([...held].sort(([a], [b]) => (a < b ? -1 : 1)))
  }
}

/**
 * A function that answers a number which changes whenever secrets of the node, its profiles or the cluster were set or
 * deleted. (What is generated never changes.) One query for each revision of the registry that came since, for all nodes
 * together. Numbers mean nothing to another process.
 */
export function secretsStamp(
  db: RegistryDatabase,
): (node: Member, snapshot: Pick<Snapshot, 'profiles' | 'revision'>) => Promise<number> {
  const query = db
    .select({ name: changes.name, revision: sql<number>`max(${changes.revision})` })
    .from(changes)
    // The plus keeps SQLite from the index by noun: there may be many secrets, and there are few new revisions.
    .where(and(sql`${changes.revision} > ${sql.placeholder('since')}`, sql`+${changes.noun} = 'secret'`))
    .groupBy(changes.name)
    .prepare()
  const changed = new Map<string, number>()
  let start: number | undefined
  let seen = 0
  return async (node, snapshot) => {
    if (start === undefined || changed.size > mostOwners) {
      changed.clear()
      start = seen = snapshot.revision
    }
    if (snapshot.revision > seen) {
      const rows = await query.all({ since: seen })
      for (const { name, revision } of rows) {
        const owner = name.slice(0, name.lastIndexOf('/'))
        changed.set(owner, Math.max(changed.get(owner) ?? 0, revision))
      }
      seen = Math.max(seen, snapshot.revision)
    }
    return Math.max(start, ...ownersOf(node, snapshot).map((owner) => changed.get(owner) ?? 0))
  }
}

/** A function that writes rows, those of many callers at once, unless they are there or their node is gone. */
function rowWriter(db: RegistryDatabase): (rows: readonly SecretRow[]) => Promise<void> {
  let waiting: SecretRow[] = []
  let writing: Promise<void> | undefined
  const writeAll = async () => {
    // Lets others join: in a storm of first boots a commit for each node would be most of the work.
    await new Promise((resolve) => setTimeout(resolve, 0))
    const rows = waiting
    waiting = []
    writing = undefined
    const pieces = Array.from({ length: Math.ceil(rows.length / rowsAtOnce) }, (_, at) =>
      rows.slice(at * rowsAtOnce, (at + 1) * rowsAtOnce),
    )
    await db.batch(
      pieces.map((piece) => {
        const json = JSON.stringify(piece.map((row) => ({ ...row, changedAt: row.changedAt.getTime() })))
        return sql`insert or ignore into ${secrets} (owner, name, generated, sealed, key, public, revision, changed_at)
          select value->>'owner', value->>'name', 1, value->>'sealed', value->>'key', value->>'public', 0, value->>'changedAt'
          from json_each(${json}) where exists (select 1 from ${nodes} where ${nodes.name} = substr(value->>'owner', ${'node:'.length + 1}))`
      }),
    )
  }
  return (rows) => {
    waiting.push(...rows)
    writing ??= writeAll()
    return writing
  }
}
