/**
 * The registry in a SQLite file, for head nodes. `activity/sqlite.ts` opens the other database the same way.
 *
 * Edits are acknowledged when they are on disk: WAL with `synchronous=FULL` flushes the log at every commit
 * (sqlite.org/wal.html, sqlite.org/pragma.html#pragma_synchronous).
 */
import { closeSync, existsSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import Sqlite from 'better-sqlite3'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { migrate } from 'drizzle-orm/better-sqlite3/migrator'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { SQLiteSyncDialect } from 'drizzle-orm/sqlite-core'
import { AppError } from '../errors.ts'
import { exclusiveQueue } from './exclusive.ts'
import { type Database, type RegistryDatabase, registrySchema } from './schema.ts'

/** A database that is open. `close` waits for nothing: end the work first. */
export type Opened<Db> = { database: Db; close(): void }

/** How to open a database file. */
export type SqliteOptions<Schema> = {
  /** What people call it, for messages: `registry`. */
  noun: string
  schema: Schema
  /** Folder of drizzle-kit's migrations. */
  migrations: string
  /** `FULL`: a commit that was acknowledged survives power loss. `NORMAL`: the last ones may not, nothing tears. */
  synchronous: 'FULL' | 'NORMAL'
  /** How long a write waits, and everything else with it, while another process writes. */
  busyMilliseconds: number
}

/** Older ones can corrupt a WAL database when a checkpoint meets a writer (sqlite.org/wal.html, "The WAL-Reset Bug"). */
const oldestSqlite = [3, 51, 3] as const

/** Prepared statements that are kept for batches: there are some dozens. */
const statementsKept = 200

/** Opens the registry and brings its tables up to date. Throws as {@link openSqlite}. */
export function openRegistry(file: string): Opened<RegistryDatabase> {
  const migrations = fileURLToPath(new URL('../../db/registry', import.meta.url))
  return openSqlite(file, {
    noun: 'registry',
    schema: registrySchema,
    migrations,
    synchronous: 'FULL',
    busyMilliseconds: 5000,
  })
}

/**
 * Opens a database file, makes it when there is none, and runs the migrations that it lacks in one transaction. Throws
 * `REGISTRY_NEWER`, without having touched the file, when it has migrations that this program does not know, and
 * `INTERNAL` when it is damaged.
 */
export function openSqlite<Schema extends Record<string, unknown>>(
  file: string,
  options: SqliteOptions<Schema>,
): Opened<Database<Schema>> {
  // A clean stop removes the log; where there is one, the last stop was a crash.
  const crashed = existsSync(`${file}-wal`)
  refuseNewer(file, crashed, options)
  // SQLite would make it readable by all, and gives the log the mode of the file.
  closeSync(openSync(file, 'a', 0o600))
  const sqlite = new Sqlite(file)
  try {
    refuseOldSqlite(sqlite)
    sqlite.pragma(`busy_timeout = ${options.busyMilliseconds}`)
    // 64 MiB of pages in memory, in KiB when negative: the default 2 MiB reads the same pages over and over.
    sqlite.pragma('cache_size = -65536')
    sqlite.pragma('journal_mode = WAL')
    sqlite.pragma(`synchronous = ${options.synchronous}`)
    if (crashed) refuseDamaged(sqlite, file, options.noun)
    const typed = drizzle({ client: sqlite, schema: options.schema })
    migrateSafely(sqlite, () => migrate(typed, { migrationsFolder: options.migrations }), options.noun)
    const database = Object.assign(typed, {
      ...batchOn(sqlite),
      // One process owns the file; whoever else writes into it is seen soon enough.
      trustMilliseconds: 50,
      exclusive: exclusiveQueue(),
    })
    return {
      // drizzle types this driver's results as plain values and D1's as promises; `Database` promises promises. Every
      // caller awaits, and `await` takes a value as well as a promise; builders are thenable under both drivers.
      database: database as unknown as Database<Schema>,
      close: () => {
        sqlite.pragma('optimize')
        sqlite.close()
      },
    }
  } catch (error) {
    sqlite.close()
    throw error
  }
}

/**
 * Runs the statements in one IMMEDIATE transaction: it takes the write lock at once, so it never fails half-way for
 * want of it. Errors pass as better-sqlite3 throws them, with SQLite's code: `SQLITE_CONSTRAINT_UNIQUE`.
 */
function batchOn(sqlite: Sqlite.Database): Pick<Database<Record<string, unknown>>, 'batch' | 'writes'> {
  const dialect = new SQLiteSyncDialect()
  const prepared = new Map<string, Sqlite.Statement>()
  let written = 0
  const prepare = (text: string): Sqlite.Statement => {
    const statement = prepared.get(text) ?? sqlite.prepare(text)
    if (prepared.size >= statementsKept) prepared.clear()
    prepared.set(text, statement)
    return statement
  }
  const all: Sqlite.Transaction<(queries: { sql: string; params: unknown[] }[]) => void> = sqlite.transaction(
    (queries) => {
      for (const query of queries) prepare(query.sql).run(...query.params)
    },
  )
  return {
    async batch(statements) {
      written += 1
      all.immediate(statements.map((statement) => dialect.sqlToQuery(statement.getSQL())))
    },
    writes: () => written,
  }
}

function refuseOldSqlite(sqlite: Sqlite.Database): void {
  const version = String(sqlite.prepare('select sqlite_version()').pluck().get())
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  const [wantedMajor, wantedMinor, wantedPatch] = oldestSqlite
  const newEnough =
    major > wantedMajor ||
    (major === wantedMajor && (minor > wantedMinor || (minor === wantedMinor && patch >= wantedPatch)))
  if (newEnough) return
  throw new AppError('INTERNAL', `SQLite ${version} is too old, ${oldestSqlite.join('.')} is needed: run npm ci`)
}

/**
 * Only looks, so that a newer program finds its file as it left it. After a crash the connection is read-only, because
 * closing the last one that may write moves the log into the file; without a log, a read-only one would leave an empty
 * log behind.
 */
function refuseNewer<Schema>(file: string, crashed: boolean, { noun, migrations }: SqliteOptions<Schema>): void {
  if (!existsSync(file)) return
  const newestKnown = Math.max(...readMigrationFiles({ migrationsFolder: migrations }).map((one) => one.folderMillis))
  const sqlite = new Sqlite(file, { readonly: crashed, fileMustExist: true, timeout: 5000 })
  try {
    const migrated = sqlite.prepare("select 1 from sqlite_master where name = '__drizzle_migrations'").get()
    if (!migrated) return
    const newest = Number(sqlite.prepare('select max(created_at) from __drizzle_migrations').pluck().get() ?? 0)
    if (newest <= newestKnown) return
    const [theirs, ours] = [newest, newestKnown].map((time) => new Date(time).toISOString().slice(0, 10))
    throw new AppError(
      'REGISTRY_NEWER',
      `the ${noun} ${file} was written by a newer Muster (tables of ${theirs}, this program knows those of ${ours}): run that version`,
    )
  } finally {
    sqlite.close()
  }
}

function refuseDamaged(sqlite: Sqlite.Database, file: string, noun: string): void {
  const answer = sqlite.pragma('quick_check(1)', { simple: true })
  if (answer === 'ok') return
  throw new AppError('INTERNAL', `the ${noun} ${file} is damaged (${String(answer)}): restore it from a backup`)
}

/**
 * A migration that rebuilds a table drops the old one, which would delete rows that refer to it: SQLite says to switch
 * foreign keys off meanwhile, outside the transaction, and to check them afterwards (sqlite.org/lang_altertable.html).
 */
function migrateSafely(sqlite: Sqlite.Database, migrateNow: () => void, noun: string): void {
  const version = () => sqlite.pragma('schema_version', { simple: true })
  const before = version()
  sqlite.pragma('foreign_keys = OFF')
  migrateNow()
  if (version() !== before) {
    const broken = sqlite.pragma('foreign_key_check')
    if (Array.isArray(broken) && broken.length > 0) {
      throw new AppError('INTERNAL', `the ${noun} has ${broken.length} rows that refer to nothing: restore a backup`)
    }
  }
  sqlite.pragma('foreign_keys = ON')
}
