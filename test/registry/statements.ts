/** Counts what is asked of SQLite. */
import type Sqlite from 'better-sqlite3'
import type { RegistryDatabase } from '../../src/registry/schema.ts'

/** The statements that were prepared while `work` ran, as SQL. */
export async function statementsOf(db: RegistryDatabase, work: () => Promise<unknown>): Promise<string[]> {
  // drizzle keeps the driver's connection in `$client`; our own type of a database does not promise it.
  const client = (db as unknown as { $client: Sqlite.Database }).$client
  const told: string[] = []
  const { prepare } = client
  client.prepare = ((text: string) => {
    told.push(text)
    return prepare.call(client, text)
  }) as typeof prepare
  try {
    await work()
  } finally {
    client.prepare = prepare
  }
  return told
}
