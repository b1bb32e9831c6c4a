/** `/api/images/{name}/versions/{version}/prepare`: the archive of a single-stage boot, made before a node waits for it. */
import { createRoute, z } from '@hono/zod-openapi'
import { resolveImage } from '../registry/images.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { digestText, versionText } from './image-schemas.ts'
import { json, nameParam, refusals } from './schemas.ts'

const versionParam = nameParam.extend({ version: versionText })

const rootSchema = z
  .object({
    digest: digestText,
    size: z.int().openapi({ description: 'Bytes' }),
    unpackedSize: z.int().openapi({ description: 'Bytes that it takes in RAM' }),
    warnings: z.array(z.string()).openapi({ description: 'What such an archive cannot carry' }),
  })
  .openapi('RootArchive')

const prepare = createRoute({
  method: 'post',
  path: '/{name}/versions/{version}/prepare',
  summary: 'Make the archive that nodes of a single-stage boot load, before one asks for it',
  description: 'Answers when it is made; what was made already is answered at once. GET tells how far it is.',
  request: { params: versionParam },
  responses: {
    200: json(rootSchema, 'The archive'),
    ...refusals('IMAGE_UNKNOWN', 'IMAGE_UNBOOTABLE', 'BLOB_CORRUPT', 'UNSUPPORTED'),
  },
})

const readPrepared = createRoute({
  method: 'get',
  path: '/{name}/versions/{version}/prepare',
  summary: 'Tell whether the archive for single-stage boots of a version is made',
  request: { params: versionParam },
  responses: {
    200: json(
      z.discriminatedUnion('state', [
        z.object({ state: z.literal('made'), root: rootSchema }),
        z.object({
          state: z.literal('preparing'),
          bytes: z.int().openapi({ description: 'Of the tree that are packed' }),
          total: z.int(),
        }),
        z.object({ state: z.literal('absent') }),
      ]),
      'The archive, or how far it is',
    ),
    ...refusals('IMAGE_UNKNOWN'),
  },
})

/** Mounted at `/api/images`. */
export const imagePrepareRoutes = ({ registry, roots }: Pick<Services, 'registry' | 'roots'>) =>
  apiRoutes()
    .openapi(prepare, async (c) => {
      const { name, version } = c.req.valid('param')
      const { digest } = await resolveImage(registry, `${name}@${version}`)
      return c.json(await roots.make(digest), 200)
    })
    .openapi(readPrepared, async (c) => {
      const { name, version } = c.req.valid('param')
      const { digest } = await resolveImage(registry, `${name}@${version}`)
      const root = await roots.find(digest)
      if (root) return c.json({ state: 'made' as const, root }, 200)
      const progress = roots.progress(digest)
      return progress
        ? c.json({ state: 'preparing' as const, ...progress }, 200)
        : c.json({ state: 'absent' as const }, 200)
    })
