/** Counts what SQLite runs, queries that were prepared long ago included. */
import type Sqlite from 'better-sqlite3'

/** The texts of what ran in any database of this process while `work` ran, in order. */
export async function runsOf(db: object, work: () => Promise<unknown>): Promise<string[]> {
  const { $client: client } = db as { $client: Sqlite.Database }
  // Statements have no class that could be imported; all of them share one prototype.
  const prototype: Record<string, (this: Sqlite.Statement, ...args: unknown[]) => unknown> = Object.getPrototypeOf(
    client.prepare('select 1'),
  )
  const runs: string[] = []
  const originals = (['get', 'all', 'run'] as const).map((method) => [method, prototype[method]!] as const)
  for (const [method, original] of originals)
    prototype[method] = function (...args) {
      runs.push(this.source)
      return original.apply(this, args)
    }
  try {
    await work()
  } finally {
    for (const [method, original] of originals) prototype[method] = original
  }
  return runs
}
