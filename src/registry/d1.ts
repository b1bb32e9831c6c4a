/** The registry in Cloudflare D1. Its tables come from `wrangler d1 migrations apply`, never from the program. */
import { drizzle } from 'drizzle-orm/d1'
import { SQLiteAsyncDialect } from 'drizzle-orm/sqlite-core'
import { exclusiveQueue } from './exclusive.ts'
import { type Database, type RegistryDatabase, registrySchema } from './schema.ts'

/** The part of a D1 binding that is used (developers.cloudflare.com/d1/worker-api/d1-database). */
export type D1Binding = {
  prepare(sql: string): D1Statement
  batch(statements: D1Statement[]): Promise<unknown[]>
}

/** A statement of a D1 binding. */
export type D1Statement = { bind(...values: unknown[]): D1Statement }

/** The registry behind a D1 binding. */
export const d1Registry = (binding: D1Binding): RegistryDatabase => d1Database(binding, registrySchema)

/**
 * A drizzle database behind a D1 binding. `batch` is D1's own, one transaction; `exclusive` orders what this isolate
 * does and nothing else, so edits still have to be prepared to lose a race.
 */
export function d1Database<Schema extends Record<string, unknown>>(
  binding: D1Binding,
  schema: Schema,
): Database<Schema> {
  const dialect = new SQLiteAsyncDialect()
  let written = 0
  return Object.assign(drizzle(binding as Parameters<typeof drizzle>[0], { schema }), {
    // drizzle's own D1 batch cannot bind parameters of raw statements, so statements are rendered here.
    async batch(statements: Parameters<Database<Schema>['batch']>[0]) {
      if (statements.length === 0) return
      written += 1
      await binding.batch(
        statements.map((statement) => {
          const { sql, params } = dialect.sqlToQuery(statement.getSQL())
          return binding.prepare(sql).bind(...params)
        }),
      )
    },
    writes: () => written,
    // Any other isolate may have written a moment ago.
    trustMilliseconds: 0,
    exclusive: exclusiveQueue(),
  })
}
