/**
 * Edits. Every change of the registry goes through `edit`, which gives it a number and writes down what it changed.
 *
 * D1 has no interactive transactions, so an edit reads, computes its statements, and commits them in one batch together
 * with the next revision's row. Two edits that read the same registry want the same row: the second one's batch fails
 * on its primary key and the edit is computed anew. Within one process edits take turns, so that this is rare.
 */
import { and, desc, eq, lt, sql } from 'drizzle-orm'
import { AppError } from '../errors.ts'
import type { Noun, RegistryDatabase, Statement } from './schema.ts'
import { changes as changeRows, revisions } from './schema.ts'
import type { Json } from './settings.ts'

/** Who edits, when, and why. With `dryRun` everything is checked and computed, and nothing is committed. */
export type Editor = { author: string; at: Date; message?: string | undefined; dryRun?: boolean }

/** What happened to one thing. `before` is null for what was made, `after` for what was deleted. */
export type Change = { noun: Noun; name: string; before: Json; after: Json }

/** What an edit wants committed. With no changes nothing is committed and there is no new revision. */
export type Edit<Result> = { changes: Change[]; statements: Statement[]; result: Result }

/** A revision with what it changed. */
export type Revision = { id: number; at: Date; author: string; message: string; changes: Change[] }

/** Other processes that may win the race for a revision before we call the registry busy. */
const attemptsAtMost = 20

/** The number of the newest revision; 0 for a registry that nobody has edited. One query. */
export async function currentRevision(db: RegistryDatabase): Promise<number> {
  const row = await db
    .select({ id: sql<number | null>`max(${revisions.id})` })
    .from(revisions)
    .get()
  return row?.id ?? 0
}

/**
 * Commits what `prepare` wants, all or nothing, as one revision. `prepare` gets the number that the revision will have,
 * must read everything that it decides on, and may run more than once. Answers the registry's revision afterwards and
 * what it changed. Throws `REGISTRY_BUSY` when others keep winning.
 */
export async function edit<Result>(
  db: RegistryDatabase,
  editor: Editor,
  prepare: (revision: number) => Promise<Edit<Result>>,
): Promise<{ revision: number; changes: Change[]; result: Result }> {
  return db.exclusive(async () => {
    for (let attempt = 0; attempt < attemptsAtMost; attempt++) {
      const base = await currentRevision(db)
      const wanted = await prepare(base + 1)
      const { changes, result } = wanted
      if (editor.dryRun || changes.length === 0) return { revision: base, changes, result }
      try {
        await db.batch([...recordOf(db, base + 1, editor, changes), ...wanted.statements])
        return { revision: base + 1, changes, result }
      } catch (error) {
        if (!isTaken(error, 'revisions.id')) throw error
      }
    }
    throw new AppError('REGISTRY_BUSY', 'other edits keep coming first: try again')
  })
}

/** True when a statement failed because the column's value is taken (SQLite's and D1's wording is the same). */
function isTaken(error: unknown, column: string): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause.message.includes(`UNIQUE constraint failed: ${column}`)) return true
  }
  return false
}

/** Revisions newest first, without what they changed. `before` continues an earlier page. */
export async function listRevisions(
  db: RegistryDatabase,
  page: { before?: number; limit: number },
): Promise<Omit<Revision, 'changes'>[]> {
  return db
    .select()
    .from(revisions)
    .where(page.before === undefined ? undefined : lt(revisions.id, page.before))
    .orderBy(desc(revisions.id))
    .limit(page.limit)
    .all()
}

/** Revisions that changed one thing, newest first, each with that change alone. */
export async function historyOf(
  db: RegistryDatabase,
  noun: Noun,
  name: string,
  page: { before?: number; limit: number },
): Promise<Revision[]> {
  const rows = await db
    .select()
    .from(changeRows)
    .innerJoin(revisions, eq(revisions.id, changeRows.revision))
    .where(
      and(
        eq(changeRows.noun, noun),
        eq(changeRows.name, name),
        page.before === undefined ? undefined : lt(changeRows.revision, page.before),
      ),
    )
    .orderBy(desc(changeRows.revision))
    .limit(page.limit)
    .all()
  return rows.map((row) => ({ ...row.revisions, changes: [changeOf(row.changes)] }))
}

/** One revision with everything that it changed. Throws `REVISION_UNKNOWN`. */
export async function getRevision(db: RegistryDatabase, id: number): Promise<Revision> {
  const row = await db.select().from(revisions).where(eq(revisions.id, id)).get()
  if (!row) throw new AppError('REVISION_UNKNOWN', `no revision ${id}`)
  const rows = await db
    .select()
    .from(changeRows)
    .where(eq(changeRows.revision, id))
    .orderBy(changeRows.noun, changeRows.name)
    .all()
  return { ...row, changes: rows.map(changeOf) }
}

const changeOf = (row: typeof changeRows.$inferSelect): Change => ({
  noun: row.noun,
  name: row.name,
  before: row.before,
  after: row.after,
})

/** However many things changed, two statements: the rows of a bulk edit travel as one JSON parameter. */
function recordOf(db: RegistryDatabase, id: number, editor: Editor, made: readonly Change[]): Statement[] {
  const rows = JSON.stringify(
    made.map((change) => ({ ...change, before: textOf(change.before), after: textOf(change.after) })),
  )
  return [
    db.insert(revisions).values({ id, at: editor.at, author: editor.author, message: editor.message ?? '' }),
    db
      .insert(changeRows)
      .select(
        sql`select ${id}, value->>'noun', value->>'name', value->>'before', value->>'after' from json_each(${rows})`,
      ),
  ]
}

const textOf = (value: Json): string | null => (value === null ? null : JSON.stringify(value))
