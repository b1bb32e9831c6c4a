/** Header blobs of an rpm database in SQLite (rpm ≥ 4.16: `rpmdb.sqlite`). Node only. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'

const mostPackages = 100_000

/**
 * The blobs. What was written last may still be in the write-ahead log beside the database, so both are put into a folder of
 * their own for SQLite to read. Throws when it is no such database.
 */
export function rpmSqliteHeaders(database: Uint8Array, log?: Uint8Array): Uint8Array[] {
  const folder = mkdtempSync(join(tmpdir(), 'muster-rpmdb-'))
  try {
    const file = join(folder, 'rpmdb.sqlite')
    writeFileSync(file, database, { mode: 0o600 })
    if (log && log.length > 0) writeFileSync(`${file}-wal`, log, { mode: 0o600 })
    const opened = new Database(file)
    try {
      opened.pragma('trusted_schema = off')
      opened.pragma('cell_size_check = on')
      // The database is the image's: a view of that name could compute for ever.
      const kind = opened.prepare("select type, sql from sqlite_master where name = 'Packages'").get() as
        | { type: string; sql: string }
        | undefined
      if (kind?.type !== 'table' || /^create\s+virtual/i.test(kind.sql)) throw new Error('it has no table Packages')
      const rows = opened.prepare('select blob from Packages limit ?').all(mostPackages) as { blob: unknown }[]
      return rows.flatMap(({ blob }) => (blob instanceof Uint8Array ? [blob] : []))
    } finally {
      opened.close()
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
