/** Head-node entry: config → services → a server. Called by `muster serve`; tests call it too. */
import { hash } from 'node:crypto'
import { chmod, mkdir, stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { getRequestListener } from '@hono/node-server'
import { createJournal, type Journal } from './activity/journal.ts'
import { createPresence, type Presence } from './activity/presence.ts'
import { openActivity } from './activity/sqlite.ts'
import { createApp } from './app.ts'
import { fsAssets } from './assets/fs.ts'
import type { Digest } from './blobs/digest.ts'
import { hotBlobs, withHotBlobs } from './blobs/hot.ts'
import { type Sent, withBlobSender } from './blobs/sender.ts'
import type { Config } from './config.ts'
import { AppError } from './errors.ts'
import { firstAddress } from './head/addresses.ts'
import { provideAdminToken } from './head/admin-token.ts'
import { openBlobs } from './head/blobs.ts'
import { drainable } from './head/drain.ts'
import { jittered } from './head/jitter.ts'
import { provideSecretKey } from './head/secret-key.ts'
import { templateFolder } from './head/template-folder.ts'
import { startTicker } from './head/ticker.ts'
import { collect } from './images/collect.ts'
import { createImporter } from './images/import.ts'
import { createRootArchives } from './images/make-root.ts'
import { openImage } from './images/open.ts'
import { openedImages } from './images/opened-images.ts'
import { readPackages } from './images/packages/read.ts'
import type { Log } from './log.ts'
import { openRegistry } from './registry/sqlite.ts'
import { stepRollouts } from './rollouts/run.ts'
import { plainAddress } from './routes/client-address.ts'

/** A service that runs. */
export type Head = {
  /** Where nodes reach it. */
  url: string
  port: number
  /** Stops: no new connections, running transfers have their time, what is known is written, files are closed. */
  close(): Promise<void>
}

/** What a head node is given besides its config. */
export type HeadOptions = {
  log: Log
  /** Milliseconds that running transfers have when the service stops. */
  grace?: number
  /** Milliseconds between two looks at rollouts. */
  rolloutPause?: number
  /** Seconds for which blobs that nobody refers to are spared at least: ten minutes; tests cannot wait so long. */
  leastGrace?: number
}

/** Addresses whose last boot is remembered. */
const presenceAtMost = 100_000

type Fetch = Parameters<typeof getRequestListener>[0]

/**
 * Starts the service. The port is taken first, so that a second start harms nothing; requests wait until all is open.
 * Throws an error whose message says what to do when the port or the data folder cannot be had.
 */
export async function startHead(
  config: Config,
  { log, grace = 30_000, leastGrace = 600, rolloutPause = 5000 }: HeadOptions,
): Promise<Head> {
  await makeDataFolder(config.data, log)
  const { promise: ready, resolve: serve } = Promise.withResolvers<Fetch>()
  const server = createServer(
    {
      // Longer than the pauses of nodes that fetch one thing after another.
      keepAliveTimeout: 20_000,
      headersTimeout: 30_000,
      // An image of many gigabytes may take hours to arrive. Headers have their own limit, and `keepAlive` lets the
      // kernel find out about clients that are gone.
      requestTimeout: 0,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
    },
    getRequestListener(async (request, env) => (await ready)(request, env)),
  )
  const drain = drainable(server)
  const port = await listen(server, config)
  const opened: (() => void | Promise<void>)[] = []
  try {
    const registry = openRegistry(join(config.data, 'registry.db'))
    opened.push(registry.close)
    const activity = openActivity(join(config.data, 'activity.db'))
    opened.push(activity.close)
    const journal = createJournal({
      database: activity.database,
      log,
      schedule: (flush) => void setTimeout(flush, 50).unref(),
    })
    opened.push(() => journal.flush())
    const hot = hotBlobs({ limit: config.hotBlobs })
    const blobs = withHotBlobs(await openBlobs(config, log), hot)
    const open = (digest: Digest) => openImage(blobs, digest)
    const services = {
      registry: registry.database,
      activity: activity.database,
      journal,
      presence: createPresence(presenceAtMost),
      blobs,
      assets: fsAssets([config.site, fileURLToPath(new URL('../boot-assets', import.meta.url))]),
      url: config.url ?? `http://${firstAddress(networkInterfaces())}:${port}`,
      cluster: config.cluster,
      now: () => new Date(),
      log,
      grace: { usual: config.collectGrace, least: leastGrace },
      importer: createImporter({ blobs, spool: join(config.data, 'spool'), registry: registry.database }),
      openImage: openedImages(open),
      digest: (data: Uint8Array | string): Digest => `sha256:${hash('sha256', data)}`,
      readPackages,
      secretKey: await provideSecretKey({ registry: registry.database, log }, config.secretKeyFile),
      privateTo: config.privateTo,
      headFile: templateFolder(config.files),
      roots: createRootArchives({ registry: registry.database, blobs, openImage: open }),
    }
    await provideAdminToken(services, config.tokenFile)
    if (config.collectEvery !== undefined)
      opened.push(
        startTicker({
          what: 'garbage is collected',
          milliseconds: jittered(config.collectEvery),
          work: async (signal) => {
            const { kept, young, deleted, bytes } = await collect(services, { grace: config.collectGrace, signal })
            log('info', 'garbage is collected', { kept, young, deleted, bytes })
          },
          log,
        }),
      )
    opened.push(
      startTicker({
        what: 'rollouts move on',
        milliseconds: rolloutPause,
        work: () => stepRollouts(services),
        log,
      }),
    )
    const app = createApp(services)
    serve(
      withBlobSender((request, env) => app.fetch(request, env), {
        hot,
        log,
        onSent: recordSent(services),
      }),
    )
    return {
      url: services.url,
      port,
      async close() {
        const cut = await drain(grace)
        if (cut > 0) log('warn', 'some transfers did not end in time and were cut', { cut, milliseconds: grace })
        await closeAll(opened, log)
      },
    }
  } catch (error) {
    server.close()
    server.closeAllConnections()
    await closeAll(opened, log)
    throw error
  }
}

/** Tells a download to the attempt that is being made at its address, if there is one. */
const recordSent =
  ({ journal, presence }: { journal: Journal; presence: Presence }) =>
  ({ address, startedAt, digest, offset, length, sent, complete, status, ms }: Sent): void => {
    const attempt = presence.attemptOf(plainAddress(address) ?? '')
    if (attempt === undefined) return
    const detail = { digest, offset, length, sent, complete, status, ms: Math.round(ms) }
    journal.record({ type: 'event', attempt, at: startedAt, kind: 'blob', detail })
  }

/** Settings in the registry are nobody else's business. A folder that was there keeps the mode that somebody gave it. */
async function makeDataFolder(folder: string, log: Log): Promise<void> {
  try {
    const made = await mkdir(folder, { recursive: true, mode: 0o700 })
    if (made !== undefined) await chmod(folder, 0o700)
    const { mode } = await stat(folder)
    if (mode & 0o007) log('warn', 'others can read the data folder: chmod 0700 would keep them out', { folder })
  } catch (error) {
    throw new AppError('INTERNAL', `cannot use ${folder} (${codeOf(error)}): set MUSTER_DATA to a folder to write in`, {
      cause: error,
    })
  }
}

function listen(server: Server, { host, port }: Config): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  server.once('error', (error) => {
    const reasons: Record<string, string> = {
      EADDRINUSE: `port ${port} is in use: stop what listens there, or set MUSTER_PORT`,
      EACCES: `port ${port} needs privileges: set MUSTER_PORT to one above 1023, or give CAP_NET_BIND_SERVICE`,
      EADDRNOTAVAIL: `this machine does not have the address ${host}: set MUSTER_HOST`,
      ENOTFOUND: `nobody knows the name ${host}: set MUSTER_HOST to an address of this machine`,
    }
    const reason = reasons[codeOf(error)] ?? `cannot listen on port ${port}: ${error.message}`
    reject(new AppError('INTERNAL', reason, { cause: error }))
  })
  server.listen({ port, ...(host === undefined ? {} : { host }), backlog: 4096 }, () => {
    const address = server.address()
    resolve(typeof address === 'object' && address ? address.port : port)
  })
  return promise
}

/** The last opened first. One that fails does not keep the others open. */
async function closeAll(opened: (() => void | Promise<void>)[], log: Log): Promise<void> {
  for (const close of opened.toReversed()) {
    try {
      await close()
    } catch (error) {
      log('error', 'something could not be closed', { error })
    }
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error)
