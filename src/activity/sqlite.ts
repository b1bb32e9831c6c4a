/** The activity database in a SQLite file, for head nodes. */
import { fileURLToPath } from 'node:url'
import { type Opened, openSqlite } from '../registry/sqlite.ts'
import { type ActivityDatabase, activitySchema } from './schema.ts'

/** Opens the activity database. The last moments before a power loss may be missing from it; it never tears. */
export function openActivity(file: string): Opened<ActivityDatabase> {
  const migrations = fileURLToPath(new URL('../../db/activity', import.meta.url))
  return openSqlite(file, {
    noun: 'activity database',
    schema: activitySchema,
    migrations,
    synchronous: 'NORMAL',
    // The journal tries again soon, so nothing need wait.
    busyMilliseconds: 100,
  })
}
