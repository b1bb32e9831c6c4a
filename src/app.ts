/** The app: every mount and every guard on one screen. Entries (`head.ts`, `worker.ts`) give it its services. */
import { OpenAPIHono } from '@hono/zod-openapi'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { openAttempts } from './boot/attempts.ts'
import { blobCareRoutes } from './routes/blob-care.ts'
import { blobRoutes } from './routes/blobs.ts'
import { bootRoutes } from './routes/boot.ts'
import { bootApiRoutes } from './routes/boot-api.ts'
import { discoveredRoutes } from './routes/discovered.ts'
import { docsRoutes } from './routes/docs.ts'
import { onError, onMethodNotAllowed, onNotFound } from './routes/errors.ts'
import { guard } from './routes/guard.ts'
import { healthRoutes } from './routes/health.ts'
import { imageDiffRoutes } from './routes/image-diff.ts'
import { imageFileRoutes } from './routes/image-files.ts'
import { imagePrepareRoutes } from './routes/image-prepare.ts'
import { imageVersionRoutes } from './routes/image-versions.ts'
import { imageRoutes } from './routes/images.ts'
import { importRoutes } from './routes/imports.ts'
import { nodeRoutes } from './routes/nodes.ts'
import { nodeBulkRoutes } from './routes/nodes-bulk.ts'
import { overlayRoutes } from './routes/overlays.ts'
import { profileRoutes } from './routes/profiles.ts'
import { revisionRoutes } from './routes/revisions.ts'
import { rolloutRoutes } from './routes/rollouts.ts'
import { selfRoutes } from './routes/self.ts'
import { tokenRoutes } from './routes/tokens.ts'
import { whoamiRoutes } from './routes/whoami.ts'
import type { Services } from './services.ts'

/** Muster's HTTP surface over the given services. */
export function createApp(services: Services) {
  const app = new OpenAPIHono()
  app.onError(onError(services))
  app.notFound(onNotFound)

  // Admins, by bearer token: GET needs `read`, everything else `edit`, tokens `admin`.
  app.use('/api/*', guard(services), methodNotAllowed({ app, onMethodNotAllowed }))
  const api = app
    .route('/api/nodes', nodeRoutes(services))
    .route('/api/nodes', nodeBulkRoutes(services))
    .route('/api/profiles', profileRoutes(services))
    .route('/api/images', importRoutes(services))
    .route('/api/images', imageRoutes(services))
    .route('/api/images', imageVersionRoutes(services))
    .route('/api/images', imagePrepareRoutes(services))
    .route('/api/images', imageFileRoutes(services))
    .route('/api/images', imageDiffRoutes(services))
    .route('/api/blobs', blobCareRoutes(services))
    .route('/api/rollouts', rolloutRoutes(services))
    .route('/api/overlays', overlayRoutes(services))
    .route('/api/boot', bootApiRoutes(services))
    .route('/api/discovered', discoveredRoutes(services))
    .route('/api/revisions', revisionRoutes(services))
    .route('/api/tokens', tokenRoutes(services))
    .route('/api/whoami', whoamiRoutes(services))
  app.route('/api', docsRoutes(app)) // anyone

  // Anyone: what a machine needs before it can say who it is, and what says nothing about nodes.
  const attempts = openAttempts(services)
  app.route('/', bootRoutes(services, { attempts }))
  app.route('/blobs', blobRoutes(services))
  app.route('/healthz', healthRoutes(services))

  // A node about itself, by the ticket of its boot.
  app.route('/self', selfRoutes(services, { attempts }))
  return api
}

/** What the CLI's typed client is made from. */
export type App = ReturnType<typeof createApp>
