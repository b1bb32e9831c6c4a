/** Counts what is asked of SQLite. */
import Sqlite from 'better-sqlite3'
import { SQLiteSyncDialect } from 'drizzle-orm/sqlite-core'
import { vi } from 'vitest'
import type { RegistryDatabase } from '../../src/registry/schema.ts'

/** The statements that ran in batches or were prepared while `work` ran, as SQL. */
export async function statementsOf(db: RegistryDatabase, work: () => Promise<unknown>): Promise<string[]> {
  // drizzle keeps the driver's connection in `$client`; our own type of a database does not promise it.
  const client = (db as unknown as { $client: Sqlite.Database }).$client
  const told: string[] = []
  const { prepare } = client
  const { batch } = db
  const dialect = new SQLiteSyncDialect()
  client.prepare = ((text: string) => {
    told.push(text)
    return prepare.call(client, text)
  }) as typeof prepare
  const hooked = client.prepare
  // A batch prepares a statement only when it is new to it, so its statements are counted here.
  db.batch = async (statements) => {
    told.push(...statements.map((statement) => dialect.sqlToQuery(statement.getSQL()).sql))
    client.prepare = prepare
    try {
      await batch(statements)
    } finally {
      client.prepare = hooked
    }
  }
  try {
    await work()
  } finally {
    client.prepare = prepare
    db.batch = batch
  }
  return told
}

/** How many queries of any database `work` runs. */
export async function queriesOf(work: () => Promise<unknown>): Promise<number> {
  const statement = Object.getPrototypeOf(new Sqlite(':memory:').prepare('select 1')) as Sqlite.Statement
  const spies = (['get', 'all', 'run', 'iterate'] as const).map((method) => vi.spyOn(statement, method))
  await work()
  const count = spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0)
  for (const spy of spies) spy.mockRestore()
  return count
}
