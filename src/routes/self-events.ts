/** `POST /self/events`: what a node tells of its boot and of what it runs. */
import { Hono } from 'hono'
import type { Entry } from '../activity/journal.ts'
import { createQuota } from '../boot/quota.ts'
import type { Services } from '../services.ts'
import type { CallerOf } from './caller.ts'
import { readAtMost } from './json-body.ts'
import { type ReportKind, readReport, reportBytesAtMost } from './node-report.ts'

/** Attempts whose quotas are remembered; a boot with more reports than is kept begins anew when it is forgotten. */
const most = 100_000
/**
 * What one boot may have kept: a node that tells in a loop fills no disk. A step takes up to 8 KiB for 90 days, so that a node
 * which does its worst comes to some 2 MB a day.
 */
const quotas = {
  step: { burst: 100, pause: 300_000, most },
  // Apart from the others, so that the end of a boot with many steps is not lost.
  ready: { burst: 5, pause: 3_600_000, most },
  /** The row of a client is written over each time. */
  report: { burst: 30, pause: 10_000, most },
}

/** Which reports tell how a node is. Steps of a boot are told before anybody runs it. */
const ofClients: readonly ReportKind[] = ['ready', 'applied', 'alive', 'failed']

/** Mounted at `/self`. Asks who it is before it looks at anything else. */
export function selfEventRoutes({ journal, now, log }: Services, { callerOf }: { callerOf: CallerOf }) {
  const quota = {
    step: createQuota(quotas.step),
    ready: createQuota(quotas.ready),
    report: createQuota(quotas.report),
    warning: createQuota({ burst: 1, pause: 86_400_000, most }),
  }

  return new Hono().post('/events', async (c) => {
    const { node, attempt } = await callerOf(c)
    const body = c.req.raw.body ? await readAtMost(c.req.raw.body, reportBytesAtMost) : new Uint8Array()
    const { kind, detail, report } = readReport(new TextDecoder().decode(body))
    const at = now()
    const entries: Entry[] = []
    if (kind !== 'alive') entries.push({ type: 'event', attempt, at, kind, detail })
    if (ofClients.includes(kind)) entries.push({ type: 'report', attempt, at, report })
    for (const entry of entries) {
      const limit = entry.type === 'report' ? quota.report : kind === 'ready' ? quota.ready : quota.step
      if (limit.take(attempt, at.getTime())) journal.record(entry)
      // It would do no good to tell the node: it would only tell that, too.
      else if (quota.warning.take(attempt, at.getTime()))
        log('warn', 'a node tells more than is kept, and the rest is dropped', { node, attempt })
    }
    return c.body(null, 204)
  })
}
