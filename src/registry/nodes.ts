/** Nodes: queries, and the one way to change them. */
import { asc, eq, gt, sql } from 'drizzle-orm'
import { AppError } from '../errors.ts'
import { sameJson } from './canonical.ts'
import { lineage } from './inherit.ts'
import { documentOf, type MemberInput, type StoredMember } from './members.ts'
import { checkFree, indexStatements, netdevRows } from './netdevs.ts'
import { profileMap } from './profiles.ts'
import { type Change, type Edit, type Editor, edit } from './revisions.ts'
import { netdevs, nodes, type RegistryDatabase } from './schema.ts'
import { withoutSecrets } from './secret-records.ts'
import { nodeNameSchema } from './settings.ts'

/** A node, or `undefined`. */
export async function findNode(db: RegistryDatabase, name: string): Promise<StoredMember | undefined> {
  return (await db.select().from(nodes).where(eq(nodes.name, name)).get()) ?? undefined
}

/** A node. Throws `NODE_UNKNOWN`. */
export async function getNode(db: RegistryDatabase, name: string): Promise<StoredMember> {
  const node = await findNode(db, name)
  if (!node) throw unknownNode(name)
  return node
}

/** The error for a node that is not there. */
export const unknownNode = (name: string): AppError => new AppError('NODE_UNKNOWN', `no node ${name}`)

/**
 * A function that finds the node that owns a MAC (lower case, colons), with one query by a unique index. The query is
 * prepared once, because drizzle's building of it costs more than SQLite's answer.
 */
export function nodeByMac(db: RegistryDatabase): (mac: string) => Promise<StoredMember | undefined> {
  const query = db
    .select({
      name: nodes.name,
      profiles: nodes.profiles,
      settings: nodes.settings,
      revision: nodes.revision,
      changedAt: nodes.changedAt,
    })
    .from(netdevs)
    .innerJoin(nodes, eq(nodes.name, netdevs.node))
    .where(eq(netdevs.mac, sql.placeholder('mac')))
    .prepare()
  return async (mac) => (await query.get({ mac })) ?? undefined
}

/** A function that finds a node by its name, with one prepared query: for what is asked all the time. */
export function nodeByName(db: RegistryDatabase): (name: string) => Promise<StoredMember | undefined> {
  const query = db
    .select()
    .from(nodes)
    .where(eq(nodes.name, sql.placeholder('name')))
    .prepare()
  return async (name) => (await query.get({ name })) ?? undefined
}

/** Nodes by name, from the one after `after`. */
export async function listNodes(
  db: RegistryDatabase,
  page: { after?: string; limit?: number } = {},
): Promise<StoredMember[]> {
  const query = db
    .select()
    .from(nodes)
    .where(page.after === undefined ? undefined : gt(nodes.name, page.after))
    .orderBy(asc(nodes.name))
  return page.limit === undefined ? query.all() : query.limit(page.limit).all()
}

/** Those of the named nodes that exist, by name; one query. */
export async function nodesNamed(db: RegistryDatabase, names: readonly string[]): Promise<Map<string, StoredMember>> {
  const rows = await db
    .select()
    .from(nodes)
    .where(sql`${nodes.name} in (select value from json_each(${JSON.stringify(names)}))`)
    .all()
  return new Map(rows.map((row) => [row.name, row]))
}

/**
 * What an edit makes of one node: the node as it shall be, `undefined` to delete it. `before` is `undefined` for a name
 * that is free. Throws to refuse the whole edit.
 */
export type NodeChange = (name: string, before: StoredMember | undefined) => MemberInput | undefined

/**
 * Changes nodes, all or none, as one revision. `names` is asked inside the edit, so that what a selector finds is what
 * gets changed; it is told the registry's revision, and may refuse the edit. Answers the nodes as they are afterwards.
 * Throws what `names` and `change` throw, `NAME_INVALID`, `MAC_TAKEN`, `ADDRESS_TAKEN`, `PROFILE_UNKNOWN`.
 */
export async function changeNodes(
  db: RegistryDatabase,
  editor: Editor,
  names: (current: number) => Promise<readonly string[]>,
  change: NodeChange,
): Promise<{ revision: number; changes: Change[]; result: StoredMember[] }> {
  return edit(db, editor, async (revision) => nodesEdit(db, editor, revision, await names(revision - 1), change))
}

/** What {@link changeNodes} commits, for edits that change something else as well. Throws as it does. */
export async function nodesEdit(
  db: RegistryDatabase,
  editor: Editor,
  revision: number,
  names: readonly string[],
  change: NodeChange,
): Promise<Edit<StoredMember[]>> {
  const wanted = [...new Set(names)]
  const [before, profiles] = await Promise.all([nodesNamed(db, wanted), profileMap(db)])
  const after = new Map<string, StoredMember>()
  const edited: Edit<StoredMember[]> = { changes: [], statements: [], result: [] }
  for (const name of wanted) {
    const old = before.get(name)
    const next = change(name, old)
    if (!old && !next) continue
    if (next && !old) checkName(name)
    if (next && old && sameJson(documentOf(next), documentOf(old))) {
      edited.result.push(old)
      continue
    }
    edited.changes.push({
      noun: 'node',
      name,
      before: old ? documentOf(old) : null,
      after: next ? documentOf(next) : null,
    })
    if (!next) continue
    lineage({ name, profiles: next.profiles }, profiles)
    const stored = { name, ...next, revision, changedAt: editor.at }
    after.set(name, stored)
    edited.result.push(stored)
  }
  const touched = edited.changes.map((made) => made.name)
  const rows = [...after.values()].flatMap((node) => netdevRows(node.name, node.settings))
  await checkFree(db, rows, touched)
  edited.statements.push(...statementsFor(db, [...after.values()], touched), ...indexStatements(db, rows, touched))
  const gone = touched.filter((name) => !after.has(name))
  const { changes, statements } = await withoutSecrets(
    db,
    gone.map((name) => `node:${name}` as const),
  )
  edited.changes.push(...changes)
  edited.statements.push(...statements)
  return edited
}

function checkName(name: string): void {
  const result = nodeNameSchema.safeParse(name)
  if (!result.success)
    throw new AppError('NAME_INVALID', `node name ${JSON.stringify(name)} ${result.error.issues[0]?.message}`, {
      field: 'name',
    })
}

/** Two statements for any number of nodes: deletes what went, writes what is. */
function statementsFor(db: RegistryDatabase, after: readonly StoredMember[], touched: readonly string[]) {
  const kept = new Set(after.map((node) => node.name))
  const gone = JSON.stringify(touched.filter((name) => !kept.has(name)))
  const rows = JSON.stringify(
    after.map((node) => ({
      ...node,
      profiles: JSON.stringify(node.profiles),
      settings: JSON.stringify(node.settings),
      changedAt: node.changedAt.getTime(),
    })),
  )
  return [
    db.delete(nodes).where(sql`${nodes.name} in (select value from json_each(${gone}))`),
    // `where true` keeps SQLite from reading "on conflict" as a join's "on".
    db
      .insert(nodes)
      .select(
        sql`select value->>'name', value->>'profiles', value->>'settings', value->>'revision', value->>'changedAt' from json_each(${rows}) where true`,
      )
      .onConflictDoUpdate({
        target: nodes.name,
        set: {
          profiles: sql`excluded.profiles`,
          settings: sql`excluded.settings`,
          revision: sql`excluded.revision`,
          changedAt: sql`excluded.changed_at`,
        },
      }),
  ]
}
