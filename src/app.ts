/** The app: every mount and every guard on one screen. Entries (`head.ts`, `worker.ts`) give it its services. */
import { OpenAPIHono } from '@hono/zod-openapi'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { openAgents } from './boot/agents.ts'
import { overlayArchives } from './boot/archives.ts'
import { openAttempts } from './boot/attempts.ts'
import { givenTrees } from './boot/given-trees.ts'
import { overlaySource } from './overlays/store.ts'
import { newestRevision } from './registry/newest-revision.ts'
import { blobCareRoutes } from './routes/blob-care.ts'
import { blobRoutes } from './routes/blobs.ts'
import { bootRoutes } from './routes/boot.ts'
import { bootApiRoutes } from './routes/boot-api.ts'
import { discoveredRoutes } from './routes/discovered.ts'
import { docsRoutes } from './routes/docs.ts'
import { driftRoutes } from './routes/drift.ts'
import { onError, onMethodNotAllowed, onNotFound } from './routes/errors.ts'
import { guard } from './routes/guard.ts'
import { healthRoutes } from './routes/health.ts'
import { imageDiffRoutes } from './routes/image-diff.ts'
import { imageFileRoutes } from './routes/image-files.ts'
import { imagePrepareRoutes } from './routes/image-prepare.ts'
import { imageVersionRoutes } from './routes/image-versions.ts'
import { imageRoutes } from './routes/images.ts'
import { importRoutes } from './routes/imports.ts'
import { nodeFileRoutes } from './routes/node-files.ts'
import { nodeRoutes } from './routes/nodes.ts'
import { nodeBulkRoutes } from './routes/nodes-bulk.ts'
import { overlayEditRoutes } from './routes/overlay-edits.ts'
import { overlayLinter, overlayLintRoutes } from './routes/overlay-lint.ts'
import { overlayRenderRoutes } from './routes/overlay-render.ts'
import { overlayRoutes } from './routes/overlays.ts'
import { profileRoutes } from './routes/profiles.ts'
import { revisionRoutes } from './routes/revisions.ts'
import { rolloutRoutes } from './routes/rollouts.ts'
import { secretRoutes } from './routes/secrets.ts'
import { selfRoutes } from './routes/self.ts'
import { tokenRoutes } from './routes/tokens.ts'
import { whoamiRoutes } from './routes/whoami.ts'
import type { Services } from './services.ts'

/** Muster's HTTP surface over the given services. */
export function createApp(services: Services) {
  const app = new OpenAPIHono()
  app.onError(onError(services))
  app.notFound(onNotFound)

  // One for all, so that what a node was rendered is not rendered again for whoever looks at it.
  const overlays = overlaySource(services)
  const archives = overlayArchives({ ...services, overlays })
  const lint = overlayLinter(services, { overlays })

  // Admins, by bearer token: GET needs `read`, everything else `edit`, tokens `admin`.
  app.use('/api/*', guard(services), methodNotAllowed({ app, onMethodNotAllowed }))
  const api = app
    .route('/api/nodes', nodeRoutes(services))
    .route('/api/nodes', nodeBulkRoutes(services))
    .route('/api/nodes', nodeFileRoutes(services))
    .route('/api/drift', driftRoutes(services, { archives, overlays }))
    .route('/api/profiles', profileRoutes(services))
    .route('/api/images', importRoutes(services))
    .route('/api/images', imageRoutes(services))
    .route('/api/images', imageVersionRoutes(services))
    .route('/api/images', imagePrepareRoutes(services))
    .route('/api/images', imageFileRoutes(services))
    .route('/api/images', imageDiffRoutes(services))
    .route('/api/blobs', blobCareRoutes(services))
    .route('/api/rollouts', rolloutRoutes(services))
    .route('/api/overlays', overlayRenderRoutes(services, { overlays, archives }))
    .route('/api/overlays', overlayLintRoutes(services, { lint }))
    .route('/api/overlays', overlayRoutes(services, { overlays }))
    .route('/api/overlays', overlayEditRoutes(services, { lint }))
    .route('/api/boot', bootApiRoutes(services, { archives }))
    .route('/api/discovered', discoveredRoutes(services))
    .route('/api/revisions', revisionRoutes(services))
    .route('/api/secrets', secretRoutes(services))
    .route('/api/tokens', tokenRoutes(services))
    .route('/api/whoami', whoamiRoutes(services))
  app.route('/api', docsRoutes(app)) // anyone

  // Anyone: what a machine needs before it can say who it is, and what says nothing about nodes.
  const attempts = openAttempts(services)
  const given = givenTrees(services)
  app.route('/', bootRoutes(services, { attempts, archives, given }))
  app.route('/blobs', blobRoutes(services))
  app.route('/healthz', healthRoutes(services))

  // A node about itself, by the ticket of its boot or the token that it got for it.
  const newest = newestRevision(services.registry)
  const agents = openAgents(services, { attempts, newest })
  app.route('/self', selfRoutes(services, { agents, archives, given, newest }))
  return api
}

/** What the CLI's typed client is made from. */
export type App = ReturnType<typeof createApp>
