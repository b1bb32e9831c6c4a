/** What the client of a node's newest boot says, as part of answers about the node. */
import { z } from '@hono/zod-openapi'
import { readyTime, reportOfNode } from '../activity/reports.ts'
import type { Services } from '../services.ts'
import { time } from './schemas.ts'

const kibibytes = z.number().nullable().openapi({ description: 'KiB' })

/** Null for a node that never had a client. Everything is as the node says it. */
export const nodeClientSchema = z
  .object({
    attempt: z.string(),
    readyAt: time.nullable().openapi({ description: 'When its newest boot was ready' }),
    heardAt: time,
    heardSecondsAgo: z.int(),
    uptime: z.number().nullable().openapi({ description: 'Seconds since its kernel started, when it said so' }),
    memTotalKiB: kibibytes,
    memAvailableKiB: kibibytes,
    rootKind: z.string().nullable(),
    rootSizeKiB: kibibytes,
    rootUsedKiB: kibibytes,
    failure: z.string().nullable().openapi({ description: 'What its client could not do; null when all is well' }),
  })
  .openapi('NodeClient')

/** A function that answers what the client of a node says, or null: two queries by index. */
export function nodeClients({
  activity,
  journal,
  now,
}: Services): (node: string) => Promise<z.infer<typeof nodeClientSchema> | null> {
  const newest = reportOfNode(activity)
  const readyOf = readyTime(activity)
  return async (node) => {
    // What was told a moment ago is shown, too.
    await journal.flush().catch(() => undefined)
    const found = await newest(node)
    if (!found) return null
    const { attempt, seenAt, report } = found
    const readyAt = await readyOf(attempt)
    return {
      attempt,
      readyAt: readyAt?.toISOString() ?? null,
      heardAt: seenAt.toISOString(),
      heardSecondsAgo: Math.max(0, Math.round((now().getTime() - seenAt.getTime()) / 1000)),
      uptime: report.uptime ?? null,
      memTotalKiB: report.memTotalKiB ?? null,
      memAvailableKiB: report.memAvailableKiB ?? null,
      rootKind: report.rootKind ?? null,
      rootSizeKiB: report.rootSizeKiB ?? null,
      rootUsedKiB: report.rootUsedKiB ?? null,
      failure: report.failure ?? null,
    }
  }
}
