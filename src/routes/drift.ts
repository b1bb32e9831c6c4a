/** `/api/drift`: what nodes run, as their clients reported it, against what they would get now. */
import { createRoute, z } from '@hono/zod-openapi'
import { driftStates, driftSubjects, pathsAtMost } from '../boot/drift.ts'
import { type DriftSources, fleetDrift, type NodeDrift } from '../boot/fleet-drift.ts'
import { sharedPlans } from '../boot/plans.ts'
import type { OverlaySource } from '../overlays/store.ts'
import { listNodes } from '../registry/nodes.ts'
import { selectNodes } from '../registry/select.ts'
import { createSnapshots } from '../registry/snapshot.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { defaultLimit, pageOf, pageQuery } from './page.ts'
import { json, namePage, refusals, selectParameter, time } from './schemas.ts'

const reasonSchema = z.object({
  what: z.enum(driftSubjects),
  has: z.string(),
  wants: z.string(),
  paths: z
    .array(z.string())
    .optional()
    .openapi({
      description: `Paths that differ, at most ${pathsAtMost}; absent when what the node has is not known any more`,
    }),
  morePaths: z.int().optional().openapi({ description: 'How many paths differ besides' }),
  overlays: z
    .array(z.string())
    .optional()
    .openapi({ description: 'Overlays whose source changed since the node booted' }),
  detail: z.string().optional(),
})

const driftSchema = z
  .object({
    node: z.string(),
    state: z.enum(driftStates).openapi({
      description:
        'runtime pending: its client brings it up to date by itself. unknown: no client of it ever said what it runs. unplannable: its settings cannot be met now',
    }),
    reasons: z.array(reasonSchema),
    refusal: z
      .object({ code: z.string(), message: z.string() })
      .nullable()
      .openapi({ description: 'Why it is unplannable' }),
    heardAt: time.nullable().openapi({ description: 'When its client was heard of last' }),
    heardSecondsAgo: z.int().nullable(),
    silent: z.boolean().openapi({ description: 'Nothing was heard of its client for several of its intervals' }),
  })
  .openapi('Drift')

const list = createRoute({
  method: 'get',
  path: '/',
  summary: 'List nodes with what they run against what they would get now, by name',
  description: 'From what their clients reported: nothing is asked of a node.',
  request: { query: pageQuery.extend({ select: selectParameter.optional() }) },
  responses: { 200: json(namePage(driftSchema), 'A page of nodes'), ...refusals('SELECTOR_INVALID') },
})

/** Mounted at `/api/drift`. */
export const driftRoutes = (
  services: Services,
  { archives, overlays }: Pick<DriftSources, 'archives'> & { overlays: OverlaySource },
) => {
  const { registry, assets, now } = services
  const plans = sharedPlans({ assets, overlays })
  const snapshots = createSnapshots(registry)
  return apiRoutes().openapi(list, async (c) => {
    const { select, after, limit = defaultLimit } = c.req.valid('query')
    // The snapshot is read first: a node that is read later is never older than it.
    const snapshot = await snapshots()
    const page = { limit: limit + 1, ...(after !== undefined && { after }) }
    const found = await (select === undefined ? listNodes(registry, page) : selectNodes(registry, select, page))
    const { items, next } = pageOf(found, limit, ({ name }) => name)
    const drifts = await fleetDrift({ ...services, archives, plans }, items, snapshot)
    return c.json({ items: drifts.map((drift) => driftBody(drift, now())), next }, 200)
  })
}

const driftBody = ({ heardAt, refusal, ...drift }: NodeDrift, now: Date) => ({
  ...drift,
  refusal: refusal ?? null,
  heardAt: heardAt?.toISOString() ?? null,
  heardSecondsAgo: heardAt ? Math.max(0, Math.round((now.getTime() - heardAt.getTime()) / 1000)) : null,
})
