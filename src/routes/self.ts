/** `/self`: what a node tells about itself, by the ticket of its boot. */
import { z } from '@hono/zod-openapi'
import { Hono } from 'hono'
import { type Attempts, openAttempts } from '../boot/attempts.ts'
import { AppError } from '../errors.ts'
import type { Json } from '../registry/settings.ts'
import type { Services } from '../services.ts'
import { readAtMost } from './json-body.ts'

const detailAtMost = 4096
const bodyAtMost = detailAtMost + 1024
const depthAtMost = 8

const reportSchema = z.strictObject({
  kind: z.enum(['init', 'stage', 'failed', 'ready']),
  detail: z.record(z.string().max(64), z.json()).default({}),
})

/** Mounted at `/self`. Throws `TICKET_INVALID` before it looks at anything else. */
export const selfRoutes = (services: Services, { attempts = openAttempts(services) }: { attempts?: Attempts } = {}) =>
  new Hono().post('/events', async (c) => {
    const attempt = await attempts.redeem(ticketIn(c.req.header('authorization')))
    const body = c.req.raw.body ? await readAtMost(c.req.raw.body, bodyAtMost) : new Uint8Array()
    const { kind, detail } = readReport(new TextDecoder().decode(body))
    attempts.tell(attempt, kind, detail)
    return c.body(null, 204)
  })

const ticketIn = (header: string | undefined): string => /^bearer +([0-9a-f]+) *$/i.exec(header ?? '')?.[1] ?? ''

/** A report of a node. Throws `REQUEST_INVALID`. */
function readReport(text: string): { kind: 'init' | 'stage' | 'failed' | 'ready'; detail: Json } {
  const refuse = (fault: string, cause?: unknown): never => {
    throw new AppError('REQUEST_INVALID', `the report ${fault}`, { cause })
  }
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch (cause) {
    return refuse('is no JSON', cause)
  }
  if (depthOf(given) > depthAtMost + 1) return refuse(`has a detail nested more than ${depthAtMost} levels deep`)
  const report = reportSchema.safeParse(given)
  if (!report.success) {
    const [issue] = report.error.issues
    return refuse(`is wrong in ${issue?.path.join('.') || 'the body'}: ${issue?.message}`)
  }
  if (JSON.stringify(report.data.detail).length > detailAtMost)
    return refuse(`has a detail of more than ${detailAtMost} characters`)
  return report.data
}

/** Levels of brackets. The text was small, so the recursion is too. */
function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  let deepest = 0
  for (const inner of Object.values(value)) deepest = Math.max(deepest, depthOf(inner))
  return deepest + 1
}
