/** What was changed after a revision: for those who keep something of many things, and want to read only what moved. */
import { and, gt, inArray, sql } from 'drizzle-orm'
import { changes, type RegistryDatabase } from './schema.ts'

/** Names of nodes that were made, edited or deleted, and whether any profile was. */
export type ChangedNodes = { nodes: string[]; profiles: boolean }

/**
 * A function that says what happened to nodes and profiles after a revision: one query, which reads the changes since then
 * and nothing else.
 */
export function changedNodes(db: RegistryDatabase): (after: number) => Promise<ChangedNodes> {
  const query = db
    .select({ noun: changes.noun, name: changes.name })
    .from(changes)
    .where(and(gt(changes.revision, sql.placeholder('after')), inArray(changes.noun, ['node', 'profile'])))
    .groupBy(changes.noun, changes.name)
    .prepare()
  return async (after) => {
    const rows = await query.all({ after })
    return {
      nodes: rows.flatMap(({ noun, name }) => (noun === 'node' ? [name] : [])),
      profiles: rows.some(({ noun }) => noun === 'profile'),
    }
  }
}
