/** `/healthz`: for monitors. No token. */
import { Hono } from 'hono'
import { currentRevision } from '../registry/revisions.ts'
import type { Services } from '../services.ts'

/** Mounted at `/healthz`. 200 when the registry answers a query, 503 when it does not; why not is in the log alone. */
export const healthRoutes = ({ registry, log }: Pick<Services, 'registry' | 'log'>) =>
  new Hono().get('/', async (c) => {
    c.header('Cache-Control', 'no-store')
    try {
      await currentRevision(registry)
      return c.json({ ok: true }, 200)
    } catch (error) {
      log('error', 'the registry does not answer', { error: error instanceof Error ? error.message : String(error) })
      return c.json({ ok: false }, 503)
    }
  })
