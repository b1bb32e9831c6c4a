/** Workers entry: bindings → services → fetch. What it reaches by imports uses Web APIs only. */
import index from '../boot-assets/index.json' with { type: 'json' }
import { d1Activity } from './activity/d1.ts'
import { createJournal, type Journal } from './activity/journal.ts'
import { createPresence } from './activity/presence.ts'
import { createApp } from './app.ts'
import { type AssetsBinding, boundAssets } from './assets/worker.ts'
import { type BlobBucket, r2BlobStore } from './blobs/r2.ts'
import { foundRootArchives } from './images/found-roots.ts'
import type { Log } from './log.ts'
import { type D1Binding, d1Registry } from './registry/d1.ts'
import { stepRollouts } from './rollouts/run.ts'
import type { SecretKey } from './secrets/key.ts'
import { createSecretKey, missingKey, parseKey } from './secrets/seal.ts'

/** What `wrangler.toml` binds. */
type Bindings = {
  DB: D1Binding
  ACTIVITY: D1Binding
  BLOBS: BlobBucket
  ASSETS: AssetsBinding
  /** Empty: the address under which a request came. */
  MUSTER_URL?: string
  MUSTER_CLUSTER?: string
  /** As the head node's setting; a Worker cannot see a client's port, so `node` gives private files to nobody. */
  MUSTER_PRIVATE_TO?: string
  /** 64 hex digits: the key of secrets, itself a secret of the Worker (`wrangler secret put`). */
  MUSTER_SECRET_KEY?: string
}

/** The part of a request's context that is used: what `waitUntil` is given goes on when the client has gone. */
type Context = { waitUntil(work: Promise<unknown>): void }

/** The app of one address, and the journal that its requests write. */
type Service = { app: ReturnType<typeof createApp>; journal: Journal }

/** Addresses under which one isolate answers; more are answered too, from caches that start empty. */
const addressesAtMost = 16

const log: Log = (level, message, facts) => console[level](message, facts ?? {})

/** A handler with the caches of one isolate, which live as long as the isolate does. */
function createWorker() {
  const services = new Map<string, Service>()

  // Not the promise is kept: what one request began must not be waited for by another, which may outlive it.
  const serviceOf = async (url: string, bindings: Bindings): Promise<Service> => {
    const known = services.get(url)
    if (known) return known
    const made = await createService(url, bindings)
    if (services.size >= addressesAtMost) services.clear()
    services.set(url, made)
    return made
  }

  return {
    async fetch(request: Request, bindings: Bindings, context: Context): Promise<Response> {
      const { app, journal } = await serviceOf(bindings.MUSTER_URL || new URL(request.url).origin, bindings)
      const response = await app.fetch(request, bindings)
      // The node's next request may be answered by another isolate, which knows only what the database knows. A
      // journal that cannot be written has said so itself, and keeps nobody from booting.
      const written = journal.flush().catch(() => undefined)
      context.waitUntil(written)
      await written
      return response
    },

    /** Called by the cron trigger of `wrangler.toml`: rollouts move on. A failure fails the run, which Cloudflare shows. */
    async scheduled(_event: unknown, { DB, ACTIVITY }: Bindings): Promise<void> {
      const activity = d1Activity(ACTIVITY)
      const journal = createJournal({ database: activity, log, schedule: () => undefined })
      await stepRollouts({ registry: d1Registry(DB), activity, journal, now: () => new Date() })
    },
  }
}

async function createService(url: string, bindings: Bindings): Promise<Service> {
  const { DB, ACTIVITY, BLOBS, ASSETS, MUSTER_CLUSTER, MUSTER_PRIVATE_TO, MUSTER_SECRET_KEY } = bindings
  const activity = d1Activity(ACTIVITY)
  const registry = d1Registry(DB)
  // Nothing runs between requests, so every request ends with a flush of its own.
  const journal = createJournal({ database: activity, log, schedule: () => undefined })
  const app = createApp({
    registry,
    activity,
    journal,
    presence: createPresence(10_000),
    blobs: r2BlobStore(BLOBS),
    roots: foundRootArchives(registry),
    assets: boundAssets(ASSETS, index),
    url,
    cluster: MUSTER_CLUSTER || 'cluster',
    privateTo: MUSTER_PRIVATE_TO === 'ticket' ? 'ticket' : 'node',
    now: () => new Date(),
    log,
    ...(MUSTER_SECRET_KEY && { secretKey: await secretKeyOf(MUSTER_SECRET_KEY) }),
  })
  return { app, journal }
}

/** A binding that is no key locks secrets, which then say so; everything that needs none goes on. */
async function secretKeyOf(binding: string): Promise<SecretKey> {
  const bytes = parseKey(binding)
  if (bytes) return createSecretKey(bytes, 'MUSTER_SECRET_KEY')
  const why = 'the secret MUSTER_SECRET_KEY of the Worker must be 64 hex digits: openssl rand -hex 32 makes some'
  log('error', why)
  return missingKey('MUSTER_SECRET_KEY', why)
}

export default createWorker()
