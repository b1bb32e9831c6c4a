/** Whether a node is still the node that it was: what tokens and tickets that were given to it depend on. */
import { sql } from 'drizzle-orm'
import { changes, nodes, type RegistryDatabase, revisions } from './schema.ts'

/**
 * A function that tells whether a node has been there all the time since: `false` for one that was deleted, also when one
 * of the same name was made afterwards. One prepared query by indexes.
 */
export function nodeStanding(db: RegistryDatabase): (node: string, since: Date) => Promise<boolean> {
  const query = db
    .select({ name: nodes.name })
    .from(nodes)
    .where(
      sql`${nodes.name} = ${sql.placeholder('node')} and not exists (
        select 1 from ${changes} join ${revisions} on ${revisions.id} = ${changes.revision}
        where ${changes.noun} = 'node' and ${changes.name} = ${sql.placeholder('node')} and ${changes.after} is null
          and ${revisions.at} >= ${sql.placeholder('since')})`,
    )
    .prepare()
  return async (node, since) => (await query.get({ node, since: since.getTime() })) !== undefined
}
