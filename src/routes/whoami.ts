/** `/api/whoami`: whose token this is, and where the registry stands. */
import { createRoute, z } from '@hono/zod-openapi'
import { currentRevision } from '../registry/revisions.ts'
import { scopes } from '../registry/schema.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { json } from './schemas.ts'

const read = createRoute({
  method: 'get',
  path: '/',
  summary: 'Show whose token this is',
  responses: {
    200: json(
      z.object({
        name: z.string(),
        scope: z.enum(scopes),
        revision: z.int().openapi({ description: "The registry's revision" }),
      }),
      'The token, and the registry',
    ),
  },
})

/** Mounted at `/api/whoami`. */
export const whoamiRoutes = ({ registry }: Pick<Services, 'registry'>) =>
  apiRoutes().openapi(read, async (c) => {
    const { name, scope } = c.get('bearer')
    return c.json({ name, scope, revision: await currentRevision(registry) }, 200)
  })
