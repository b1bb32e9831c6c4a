/** `/api/overlays`: the files that nodes get beside their image, shipped and pushed. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { includes } from '../auth/tokens.ts'
import { bootDefaults } from '../boot/defaults.ts'
import { AppError } from '../errors.ts'
import { getOverlayVersion, overlayDirectory } from '../overlays/directory.ts'
import type { LayeredOverlay } from '../overlays/layers.ts'
import type { OverlayListing, OverlaySource } from '../overlays/store.ts'
import {
  currentOverlayVersions,
  findOverlay,
  listOverlayVersions,
  overlayUseCounts,
  overlayUsers,
} from '../registry/overlays.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { etagOf } from './etag.ts'
import type { ApiEnv } from './guard.ts'
import {
  directoryFileSchema,
  directoryQuery,
  entriesOf,
  entryBody,
  headOf,
  listedOverlaySchema,
  overlayBodyLimit,
  overlaySchema,
  overlayVersionBody,
  overlayVersionSchema,
  secretsIn,
  sourceFileBody,
  versionQuery,
} from './overlay-schemas.ts'
import { json, nameParam, refusals } from './schemas.ts'

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
  description:
    "The site's version where there is one, else the shipped files. To the letter, so that one with files that are themselves secrets needs a token that may edit.",
  request: { params: nameParam, query: directoryQuery },
  responses: { 200: json(z.array(directoryFileSchema), 'The files'), ...refusals('OVERLAY_UNKNOWN', 'TOKEN_SCOPE') },
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

/** Nodes that an overlay names as its users. */
const usersTold = 100

/** Mounted at `/api/overlays`. */
export const overlayRoutes = (services: Services, { overlays }: { overlays: OverlaySource }) => {
  const { registry } = services

  const getOverlay = async (name: string): Promise<LayeredOverlay> => {
    const overlay = await overlays.find(name)
    if (!overlay) throw new AppError('OVERLAY_UNKNOWN', `no overlay ${name}`)
    return overlay
  }

  /** A shipped overlay that an admin has edited badly must not hide the others: its fault is its description. */
  const listed = async ({ name, site }: OverlayListing) => {
    try {
      const overlay = await getOverlay(name)
      return { ...headOf(overlay), files: entriesOf(overlay).length, digest: overlay.digest }
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      const origin = site ? ('both' as const) : ('shipped' as const)
      return { name, origin, version: site?.version ?? null, description: error.message, files: 0, digest: null }
    }
  }

  const usedBy = async (name: string) => ({
    byDefault: [...bootDefaults.overlays.system, ...bootDefaults.overlays.runtime].some((one) => one === name),
    ...(await overlayUsers(registry, name, usersTold)),
  })

  return apiRoutes({ bodyLimit: overlayBodyLimit })
    .openapi(list, async (c) => {
      const [listings, counts, versions] = await Promise.all([
        overlays.list(),
        overlayUseCounts(registry),
        currentOverlayVersions(registry),
      ])
      const gits = new Map(versions.map(({ overlay, git }) => [overlay, git]))
      const items = await Promise.all(
        listings.map(async (listing) => ({
          ...(await listed(listing)),
          git: gits.get(listing.name) ?? null,
          ...(counts.get(listing.name) ?? { profiles: 0, nodes: 0 }),
        })),
      )
      return c.json(items, 200)
    })
    .openapi(read, async (c) => {
      const { name } = c.req.valid('param')
      const { version: number } = c.req.valid('query')
      if (number !== undefined) {
        const version = await getOverlayVersion(registry, name, number)
        const { manifest } = version
        const head = { name, origin: 'site' as const, version: number, description: manifest.description ?? null }
        const entries = manifest.entries.map(entryBody)
        const { number: _number, ...made } = overlayVersionBody(version)
        return c.json({ ...head, ...made, entries, secrets: manifest.secrets ?? {}, usedBy: await usedBy(name) }, 200)
      }
      const [overlay, row, users] = await Promise.all([getOverlay(name), findOverlay(registry, name), usedBy(name)])
      const common = { entries: entriesOf(overlay).map(entryBody), secrets: secretsIn(overlay), usedBy: users }
      const head = { ...headOf(overlay), digest: overlay.digest, ...common }
      if (!row) return c.json(head, 200)
      const version = await getOverlayVersion(registry, name, row.current)
      const { message, author, createdAt, git } = overlayVersionBody(version)
      // Changes of shipped files change the overlay too, so its digest belongs into no If-Match: the row's revision does.
      c.header('ETag', etagOf(row.revision))
      return c.json({ ...head, message, author, createdAt, git }, 200)
    })
    .openapi(readFiles, async (c) => {
      const { name } = c.req.valid('param')
      const { files, private: secret } = await overlayDirectory(services, name, c.req.valid('query').version)
      checkPrivate(c, secret)
      return c.json(
        files.map((file) => ({
          ...sourceFileBody(file),
          ...(secret.includes(file.path) && { private: true as const }),
        })),
        200,
      )
    })
    .openapi(readVersions, async (c) => {
      const { name } = c.req.valid('param')
      const versions = await listOverlayVersions(registry, name)
      if (versions.length === 0) await getOverlay(name)
      return c.json(versions.map(overlayVersionBody), 200)
    })
}

/** Files that are secrets themselves are shown to those who could have pushed them. Throws `TOKEN_SCOPE`. */
function checkPrivate(c: Context<ApiEnv>, [secret]: readonly string[]): void {
  const bearer = c.get('bearer')
  if (secret === undefined || includes(bearer.scope, 'edit')) return
  throw new AppError(
    'TOKEN_SCOPE',
    `token ${bearer.name} may ${bearer.scope}, and ${secret} is private: this needs edit`,
  )
}
