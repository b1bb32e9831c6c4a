/** `/api/revisions`: who changed what, when and why. */
import { createRoute, z } from '@hono/zod-openapi'
import { getRevision, listRevisions } from '../registry/revisions.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { defaultLimit, pageOf, revisionPageQuery, wholeNumber } from './page.ts'
import {
  fullRevisionBody,
  fullRevisionSchema,
  json,
  refusals,
  revisionBody,
  revisionPage,
  revisionSchema,
} from './schemas.ts'

const list = createRoute({
  method: 'get',
  path: '/',
  summary: 'List revisions, newest first',
  request: { query: revisionPageQuery },
  responses: { 200: json(revisionPage(revisionSchema), 'A page of revisions') },
})

const read = createRoute({
  method: 'get',
  path: '/{id}',
  summary: 'Show a revision with everything that it changed',
  request: { params: z.object({ id: wholeNumber(1, Number.MAX_SAFE_INTEGER) }) },
  responses: { 200: json(fullRevisionSchema, 'The revision'), ...refusals('REVISION_UNKNOWN') },
})

/** Mounted at `/api/revisions`. */
export const revisionRoutes = ({ registry }: Pick<Services, 'registry'>) =>
  apiRoutes()
    .openapi(list, async (c) => {
      const { limit = defaultLimit, before } = c.req.valid('query')
      const found = await listRevisions(registry, { limit: limit + 1, ...(before !== undefined && { before }) })
      return c.json(
        pageOf(found.map(revisionBody), limit, (revision) => revision.id),
        200,
      )
    })
    .openapi(read, async (c) => c.json(fullRevisionBody(await getRevision(registry, c.req.valid('param').id)), 200))
