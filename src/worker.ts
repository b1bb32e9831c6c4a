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

/** What `wrangler.toml` binds. */
type Bindings = {
  DB: D1Binding
  ACTIVITY: D1Binding
  BLOBS: BlobBucket
  ASSETS: AssetsBinding
  /** Empty: the address under which a request came. */
  MUSTER_URL?: string
  MUSTER_CLUSTER?: string
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

  const serviceOf = (url: string, bindings: Bindings): Service => {
    const known = services.get(url)
    if (known) return known
    const made = createService(url, bindings)
    if (services.size >= addressesAtMost) services.clear()
    services.set(url, made)
    return made
  }

  return {
    async fetch(request: Request, bindings: Bindings, context: Context): Promise<Response> {
      const { app, journal } = serviceOf(bindings.MUSTER_URL || new URL(request.url).origin, bindings)
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

function createService(url: string, { DB, ACTIVITY, BLOBS, ASSETS, MUSTER_CLUSTER }: Bindings): Service {
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
    now: () => new Date(),
    log,
  })
  return { app, journal }
}

export default createWorker()
