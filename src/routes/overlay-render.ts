/** `/api/overlays`: what one node gets of its overlays, and which of them it is from. */
import { createRoute, z } from '@hono/zod-openapi'
import type { OverlayArchives } from '../boot/archives.ts'
import { overlayWriters } from '../boot/overlay-writers.ts'
import { planBoot } from '../boot/plan.ts'
import { AppError } from '../errors.ts'
import type { OverlaySource } from '../overlays/store.ts'
import { parseList } from '../overlays/tree-list.ts'
import { getNode } from '../registry/nodes.ts'
import { createSnapshots } from '../registry/snapshot.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { overlayBodyLimit } from './overlay-schemas.ts'
import { foundInImage, whichSchema, writerBody } from './overlay-which.ts'
import { mergedFileSchema, renderedBody, renderedFileSchema } from './rendered-schemas.ts'
import { json, nameParam, refusals } from './schemas.ts'

const renderQuery = z.object({
  node: z.string().openapi({ example: 'n001' }),
  path: z.string().optional().openapi({ description: 'Only this file', example: '/etc/hosts' }),
})
const whatRefuses = [
  'NODE_UNKNOWN',
  'IMAGE_UNKNOWN',
  'PLAN_IMPOSSIBLE',
  'TEMPLATE_INVALID',
  'OVERLAY_INVALID',
  'OVERLAY_UNKNOWN',
  'SECRET_LOCKED',
  'UNSUPPORTED',
] as const

const renderNode = createRoute({
  method: 'get',
  path: '/render',
  summary: 'Render what a node gets: both lists, one on top of the other',
  description:
    'The runtime list counts where both have a path. Private files are named, and their content is not told.',
  request: { query: renderQuery },
  responses: { 200: json(z.array(mergedFileSchema), 'The files, by path'), ...refusals(...whatRefuses) },
})

const render = createRoute({
  method: 'get',
  path: '/{name}/render',
  summary: 'Render an overlay for a node, without booting it',
  request: { params: nameParam, query: renderQuery },
  responses: {
    200: json(z.array(renderedFileSchema), 'The files as the node would get them from this overlay'),
    ...refusals(...whatRefuses),
  },
})

const which = createRoute({
  method: 'get',
  path: '/which',
  summary: 'Say which overlays of a node write a path, and which of them counts',
  request: {
    query: z.object({
      node: z.string().openapi({ example: 'n001' }),
      path: z.string().startsWith('/', 'must be an absolute path').max(4095).openapi({ example: '/etc/hosts' }),
    }),
  },
  responses: {
    200: json(whichSchema, 'Who writes it, in the order in which overlays apply'),
    ...refusals(...whatRefuses),
  },
})

/** Mounted at `/api/overlays`, before what takes any name there. */
export const overlayRenderRoutes = (
  services: Services,
  { overlays, archives }: { overlays: OverlaySource; archives: OverlayArchives },
) => {
  const { registry, assets } = services
  const snapshots = createSnapshots(registry)

  const found = async (name: string) => {
    // The snapshot is read first: a node that is read later is never older than it.
    const snapshot = await snapshots()
    return { snapshot, node: await getNode(registry, name) }
  }

  // These routes stand before those that take overlays, whose bodies have to pass here too.
  return apiRoutes({ bodyLimit: overlayBodyLimit })
    .openapi(renderNode, async (c) => {
      const { node: name, path } = c.req.valid('query')
      const { node, snapshot } = await found(name)
      const merged = new Map<string, z.infer<typeof mergedFileSchema>>()
      for (const list of ['system', 'runtime'] as const) {
        const tree = await archives.treeOf(node, list, snapshot)
        const digests = new Map(parseList(tree.list).map((entry) => [entry.path, entry.digest]))
        for (const file of tree.files) {
          const digest = file.private ? undefined : digests.get(file.path)
          merged.set(file.path, {
            ...renderedBody(file),
            list,
            ...(digest !== undefined && { digest: `sha256:${digest}` }),
          })
        }
      }
      const files = [...merged.values()].filter((file) => path === undefined || file.path === path)
      return c.json(
        files.sort((a, b) => (a.path < b.path ? -1 : 1)),
        200,
      )
    })
    .openapi(which, async (c) => {
      const { node: name, path } = c.req.valid('query')
      const { node, snapshot } = await found(name)
      const plan = await planBoot({ node, snapshot, overlays })
      const writers = await overlayWriters({ registry, assets, overlays, archives }, { node, plan, snapshot }, path)
      const image = await foundInImage(services, plan.image, path)
      return c.json({ node: name, path, writers: writers.map(writerBody), image }, 200)
    })
    .openapi(render, async (c) => {
      const { name } = c.req.valid('param')
      const { node: nodeName, path } = c.req.valid('query')
      if (!(await overlays.find(name))) throw new AppError('OVERLAY_UNKNOWN', `no overlay ${name}`)
      const { node, snapshot } = await found(nodeName)
      const files = await archives.filesOf(node, name, snapshot)
      return c.json(files.filter((file) => path === undefined || file.path === path).map(renderedBody), 200)
    })
}
