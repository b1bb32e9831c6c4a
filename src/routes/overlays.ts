/** `/api/overlays`: the files that nodes get beside their image, shipped and pushed. */
import { createRoute, z } from '@hono/zod-openapi'
import { overlayArchives } from '../boot/archives.ts'
import { AppError } from '../errors.ts'
import type { LayeredOverlay } from '../overlays/layers.ts'
import { parseOverlay, type SourceFile } from '../overlays/parse.ts'
import { type OverlayListing, overlaySource, shippedFiles } from '../overlays/store.ts'
import { getNode } from '../registry/nodes.ts'
import {
  deleteOverlay,
  findOverlay,
  listOverlayVersions,
  type OverlayVersion,
  overlayFiles,
  pushOverlay,
} from '../registry/overlays.ts'
import { createSnapshots } from '../registry/snapshot.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { editorOf, editQuery } from './editor.ts'
import { etagOf, ifMatch } from './etag.ts'
import {
  entriesOf,
  entryBody,
  headOf,
  listedOverlaySchema,
  overlaySchema,
  overlayVersionBody,
  overlayVersionSchema,
  pushedSchema,
  renderedBody,
  renderedFileSchema,
  sourceFileBody,
  sourceFileOf,
  sourceFileSchema,
  versionQuery,
} from './overlay-schemas.ts'
import { json, jsonRequest, nameParam, refusals } from './schemas.ts'

/** What base64 makes of an overlay of the greatest size, and the rest of the document. */
const pushLimit = 32 * 1024 * 1024

const list = createRoute({
  method: 'get',
  path: '/',
  summary: 'List overlays, by name',
  responses: { 200: json(z.array(listedOverlaySchema), 'Every overlay') },
})

const read = createRoute({
  method: 'get',
  path: '/{name}',
  summary: 'Show an overlay and its entries',
  request: { params: nameParam, query: versionQuery },
  responses: { 200: json(overlaySchema, 'The overlay'), ...refusals('OVERLAY_UNKNOWN') },
})

const readFiles = createRoute({
  method: 'get',
  path: '/{name}/files',
  summary: "Get an overlay's directory, as it can be pushed again",
  description: "The site's version where there is one, else the shipped files. To the letter.",
  request: { params: nameParam, query: versionQuery },
  responses: { 200: json(z.array(sourceFileSchema), 'The files'), ...refusals('OVERLAY_UNKNOWN') },
})

const readVersions = createRoute({
  method: 'get',
  path: '/{name}/versions',
  summary: 'List the pushed versions of an overlay, newest first',
  request: { params: nameParam },
  responses: {
    200: json(z.array(overlayVersionSchema), 'The versions; none for an overlay that is only shipped'),
    ...refusals('OVERLAY_UNKNOWN'),
  },
})

const push = createRoute({
  method: 'put',
  path: '/{name}',
  summary: 'Push an overlay: its directory becomes a new version',
  description: 'The content of the current version again makes no new one. At most 32 MiB.',
  request: {
    params: nameParam,
    query: editQuery,
    body: jsonRequest(
      z.strictObject({ files: z.array(sourceFileSchema), message: editQuery.shape.message }).openapi('OverlayPush'),
      'Every file of the directory',
    ),
  },
  responses: {
    200: json(pushedSchema, 'The current version has this content already'),
    201: json(pushedSchema, 'The version, created'),
    ...refusals('NAME_INVALID', 'OVERLAY_INVALID', 'TEMPLATE_INVALID', 'BODY_TOO_LARGE', 'REVISION_CONFLICT'),
  },
})

const remove = createRoute({
  method: 'delete',
  path: '/{name}',
  summary: 'Delete a pushed overlay with its versions; a shipped one of that name comes into view again',
  request: { params: nameParam, query: editQuery },
  responses: {
    204: { description: 'It is gone' },
    ...refusals('OVERLAY_UNKNOWN', 'OVERLAY_USED', 'REVISION_CONFLICT'),
  },
})

const render = createRoute({
  method: 'get',
  path: '/{name}/render',
  summary: 'Render an overlay for a node, without booting it',
  request: {
    params: nameParam,
    query: z.object({
      node: z.string().openapi({ example: 'n001' }),
      path: z.string().optional().openapi({ description: 'Only this file', example: '/etc/hosts' }),
    }),
  },
  responses: {
    200: json(z.array(renderedFileSchema), 'The files as the node would get them from this overlay'),
    ...refusals(
      'OVERLAY_UNKNOWN',
      'NODE_UNKNOWN',
      'IMAGE_UNKNOWN',
      'PLAN_IMPOSSIBLE',
      'TEMPLATE_INVALID',
      'OVERLAY_INVALID',
    ),
  },
})

/** Mounted at `/api/overlays`. */
export const overlayRoutes = (services: Services) => {
  const { registry, assets } = services
  const overlays = overlaySource(services)
  const archives = overlayArchives({ ...services, overlays })
  const snapshots = createSnapshots(registry)

  const getOverlay = async (name: string): Promise<LayeredOverlay> => {
    const overlay = await overlays.find(name)
    if (!overlay) throw unknownOverlay(name)
    return overlay
  }

  /** A shipped overlay that an admin has edited badly must not hide the others: its fault is its description. */
  const listed = async ({ name, site }: OverlayListing): Promise<z.infer<typeof listedOverlaySchema>> => {
    try {
      const overlay = await getOverlay(name)
      return { ...headOf(overlay), files: entriesOf(overlay).length }
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      return {
        name,
        origin: site ? 'both' : 'shipped',
        version: site?.version ?? null,
        description: error.message,
        files: 0,
      }
    }
  }

  const getVersion = async (name: string, number: number): Promise<OverlayVersion> => {
    const version = (await listOverlayVersions(registry, name)).find((one) => one.number === number)
    if (!version) throw new AppError('OVERLAY_UNKNOWN', `overlay ${name} has no version ${number}`)
    return version
  }

  const directoryOf = async (version: OverlayVersion): Promise<SourceFile[]> => {
    const digests = version.sources.flatMap((file) => ('digest' in file ? [file.digest] : []))
    const contents = await overlayFiles(registry, digests)
    return version.sources.map(({ path, executable, ...file }) => {
      if ('link' in file) return { path, executable, content: new Uint8Array(), link: file.link }
      const content = contents.get(file.digest)
      if (!content) throw new Error(`${path} of overlay ${version.overlay}: its content ${file.digest} is gone`)
      return { path, executable, content }
    })
  }

  return apiRoutes({ bodyLimit: pushLimit })
    .openapi(list, async (c) => {
      const items = await Promise.all((await overlays.list()).map(listed))
      return c.json(items, 200)
    })
    .openapi(read, async (c) => {
      const { name } = c.req.valid('param')
      const { version: number } = c.req.valid('query')
      if (number !== undefined) {
        const version = await getVersion(name, number)
        const { manifest, ...rest } = version
        const head = { name, origin: 'site' as const, version: number, description: manifest.description ?? null }
        const entries = manifest.entries.map(entryBody)
        const { number: _number, ...made } = overlayVersionBody({ ...rest, manifest })
        return c.json({ ...head, ...made, entries }, 200)
      }
      const [overlay, row] = await Promise.all([getOverlay(name), findOverlay(registry, name)])
      const head = headOf(overlay)
      const entries = entriesOf(overlay).map(entryBody)
      if (!row) return c.json({ ...head, digest: overlay.digest, entries }, 200)
      const { message, author, createdAt } = overlayVersionBody(await getVersion(name, row.current))
      // Changes of shipped files change the overlay too, so its digest belongs into no If-Match: the row's revision does.
      c.header('ETag', etagOf(row.revision))
      return c.json({ ...head, digest: overlay.digest, entries, message, author, createdAt }, 200)
    })
    .openapi(readFiles, async (c) => {
      const { name } = c.req.valid('param')
      const number = c.req.valid('query').version ?? (await findOverlay(registry, name))?.current
      const files =
        number === undefined ? await shippedFiles(assets, name) : await directoryOf(await getVersion(name, number))
      if (files.length === 0 && number === undefined) throw unknownOverlay(name)
      return c.json(files.map(sourceFileBody), 200)
    })
    .openapi(readVersions, async (c) => {
      const { name } = c.req.valid('param')
      const versions = await listOverlayVersions(registry, name)
      if (versions.length === 0) await getOverlay(name)
      return c.json(versions.map(overlayVersionBody), 200)
    })
    .openapi(push, async (c) => {
      const { name } = c.req.valid('param')
      const { files, message } = c.req.valid('json')
      const editor = editorOf(c, services)
      const { manifest, sources, contents } = await parseOverlay(name, files.map(sourceFileOf))
      const { revision, version, created } = await pushOverlay(
        registry,
        { ...editor, message: message ?? editor.message },
        { name, manifest, sources, contents, expected: ifMatch(c) },
      )
      c.header('X-Revision', String(revision))
      c.header('ETag', etagOf(version.revision))
      const pushed = { name, version: version.number, digest: version.digest, created }
      return created ? c.json(pushed, 201) : c.json(pushed, 200)
    })
    .openapi(remove, async (c) => {
      const { name } = c.req.valid('param')
      const shadows = (await shippedFiles(assets, name)).length > 0
      const { revision } = await deleteOverlay(registry, editorOf(c, services), name, { shadows, expected: ifMatch(c) })
      c.header('X-Revision', String(revision))
      return c.body(null, 204)
    })
    .openapi(render, async (c) => {
      const { name } = c.req.valid('param')
      const { node, path } = c.req.valid('query')
      await getOverlay(name)
      const files = await archives.filesOf(await getNode(registry, node), name, await snapshots())
      return c.json(files.filter((file) => path === undefined || file.path === path).map(renderedBody), 200)
    })
}

const unknownOverlay = (name: string): AppError => new AppError('OVERLAY_UNKNOWN', `no overlay ${name}`)
