/** Both kinds of database that we run on, empty: SQLite in a file, and D1 in Miniflare. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { drizzle } from 'drizzle-orm/d1'
import { migrate } from 'drizzle-orm/d1/migrator'
import { getPlatformProxy } from 'wrangler'
import { d1Activity } from '../src/activity/d1.ts'
import type { ActivityDatabase } from '../src/activity/schema.ts'
import { openActivity } from '../src/activity/sqlite.ts'
import { d1Registry } from '../src/registry/d1.ts'
import type { RegistryDatabase } from '../src/registry/schema.ts'
import { openRegistry } from '../src/registry/sqlite.ts'

/** Two open databases and the way to be rid of them. */
export type Databases = { registry: RegistryDatabase; activity: ActivityDatabase; close(): Promise<void> }

/** In files of a new directory. */
export async function sqliteDatabases(): Promise<Databases> {
  const folder = await mkdtemp(join(tmpdir(), 'muster-databases-'))
  const registry = openRegistry(join(folder, 'registry.db'))
  const activity = openActivity(join(folder, 'activity.db'))
  return {
    registry: registry.database,
    activity: activity.database,
    async close() {
      registry.close()
      activity.close()
      await rm(folder, { recursive: true })
    },
  }
}

/** In Miniflare, in memory, with the bindings of `wrangler.toml`. */
export async function d1Databases(): Promise<Databases> {
  const proxy = await getPlatformProxy<{ DB: D1; ACTIVITY: D1 }>({
    configPath: fileURLToPath(new URL('../wrangler.toml', import.meta.url)),
    persist: false,
  })
  await migrate(drizzle(proxy.env.DB), { migrationsFolder: 'db/registry' })
  await migrate(drizzle(proxy.env.ACTIVITY), { migrationsFolder: 'db/activity' })
  return {
    registry: d1Registry(proxy.env.DB),
    activity: d1Activity(proxy.env.ACTIVITY),
    close: () => proxy.dispose(),
  }
}

type D1 = Parameters<typeof drizzle>[0] & Parameters<typeof d1Registry>[0]

/** For `describe.each`: the contract is the same whichever it is. */
export const eachDatabase = [
  ['better-sqlite3', sqliteDatabases],
  ['D1', d1Databases],
] as const
