/** The real app for tests of routes: databases and blobs in a new directory, a clock that stands still, a log to look at. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createJournal } from '../src/activity/journal.ts'
import { createPresence } from '../src/activity/presence.ts'
import { openActivity } from '../src/activity/sqlite.ts'
import { type App, createApp } from '../src/app.ts'
import { fsAssets } from '../src/assets/fs.ts'
import { createToken } from '../src/auth/tokens.ts'
import { type Digest, digestOf } from '../src/blobs/digest.ts'
import { fsBlobStore } from '../src/blobs/fs.ts'
import { createImporter } from '../src/images/import.ts'
import { createRootArchives } from '../src/images/make-root.ts'
import { type ImageManifest, summaryOf } from '../src/images/manifest.ts'
import { openImage } from '../src/images/open.ts'
import { openedImages } from '../src/images/opened-images.ts'
import { readPackages } from '../src/images/packages/read.ts'
import { canonicalJson } from '../src/registry/canonical.ts'
import { addVersion, type NewVersion } from '../src/registry/images.ts'
import type { Editor } from '../src/registry/revisions.ts'
import { rootArchives, type Scope, scopes } from '../src/registry/schema.ts'
import { openRegistry } from '../src/registry/sqlite.ts'
import { createSecretKey } from '../src/secrets/seal.ts'
import type { Services } from '../src/services.ts'

/** A line of the log. */
export type LogLine = { level: string; message: string; facts: Record<string, unknown> | undefined }

/** The app, and what a test wants of it. */
export type TestApp = {
  app: App
  services: Services
  /** One token of each scope. */
  tokens: Record<Scope, string>
  /** Everything that was logged. */
  logged: LogLine[]
  /** Where the site's own assets would be. */
  site: string
  /** Moves the clock. */
  at(time: Date): void
  /** A request with the token of a scope; a body that is no text, bytes or stream is sent as JSON. */
  send(method: string, path: string, options?: SendOptions): Promise<Response>
  /** As `send`, for answers that are JSON: throws when the status is not a 2xx. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
  call(method: string, path: string, options?: SendOptions): Promise<any>
  close(): Promise<void>
}

/** What a request has besides its method and path. */
export type SendOptions = { scope?: Scope; body?: unknown; headers?: Record<string, string> }

/** When the clock stands: before anything in a test happens. */
export const startOfTests = new Date('2026-01-31T12:00:00.000Z')

/** Who edits where a test does it without a request. */
export const tester: Editor = { author: 'tester', at: startOfTests }

/** A new app with nothing in it but three tokens. `around` replaces services; an `importer` that is null is not there. */
export async function testApp({
  importer,
  ...around
}: Partial<Omit<Services, 'importer'>> & { importer?: null } = {}): Promise<TestApp> {
  const folder = await mkdtemp(join(tmpdir(), 'muster-app-'))
  const registry = openRegistry(join(folder, 'registry.db'))
  const activity = openActivity(join(folder, 'activity.db'))
  const logged: LogLine[] = []
  let clock = startOfTests
  const log: Services['log'] = (level, message, facts) => void logged.push({ level, message, facts })
  const blobs = around.blobs ?? fsBlobStore(join(folder, 'blobs'))
  const site = join(folder, 'site')
  const open = (digest: Digest) => openImage(blobs, digest)
  const services: Services = {
    registry: registry.database,
    activity: activity.database,
    journal: createJournal({ database: activity.database, log, schedule: () => {}, now: () => clock }),
    presence: createPresence(1000),
    blobs,
    assets: fsAssets([site, new URL('../boot-assets', import.meta.url).pathname]),
    url: 'http://10.0.0.1:8080',
    cluster: 'test',
    now: () => clock,
    log,
    secretKey: await createSecretKey(new Uint8Array(32).fill(7), 'the key of tests'),
    privateTo: 'node',
    openImage: openedImages(open),
    readPackages,
    roots: createRootArchives({ registry: registry.database, blobs, openImage: open }),
    ...(importer === null
      ? {}
      : { importer: createImporter({ blobs, spool: join(folder, 'spool'), registry: registry.database }) }),
    ...around,
  }
  const tokens = { read: '', edit: '', admin: '' }
  for (const scope of scopes)
    tokens[scope] = (await createToken(registry.database, { name: `the-${scope}`, scope }, tester)).token
  const app = createApp(services)

  const send: TestApp['send'] = async (method, path, { scope = 'edit', body, headers = {} } = {}) => {
    const raw =
      body === undefined || typeof body === 'string' || body instanceof ReadableStream || body instanceof Uint8Array
    return app.request(path, {
      method,
      headers: {
        authorization: `Bearer ${tokens[scope]}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: raw ? (body as BodyInit) : JSON.stringify(body), duplex: 'half' }),
    })
  }

  return {
    app,
    services,
    tokens,
    logged,
    site,
    at: (time) => {
      clock = time
    },
    send,
    async call(method, path, options) {
      const response = await send(method, path, options)
      const text = await response.text()
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
      return text === '' ? undefined : JSON.parse(text)
    },
    async close() {
      registry.close()
      activity.close()
      await rm(folder, { recursive: true })
    },
  }
}

/** A manifest whose blobs are not there: good for everything that does not fetch them. */
export async function manifestOf(text: string): Promise<ImageManifest> {
  const digest = await digestOf(new TextEncoder().encode(text))
  return {
    schema: 1,
    architecture: 'x86_64',
    os: { id: 'rocky', version: '9.6', name: 'Rocky Linux 9.6' },
    kernels: [
      { digest, size: 11_000_000, version: '5.14.0-570.el9.x86_64', path: '/boot/vmlinuz-5.14.0-570.el9.x86_64' },
    ],
    compression: 'zstd',
    segments: [{ digest, size: 400_000_000, unpackedSize: 1_250_000_000, entries: 40_000 }],
    index: { digest, size: 900_000, unpackedSize: 6_000_000 },
    entries: 40_000,
    unpackedSize: 1_200_000_000,
    warnings: [],
  }
}

/** A version with {@link manifestOf}'s manifest, to be added. */
export async function versionOf(image: string, text = image): Promise<NewVersion> {
  const manifest = await manifestOf(text)
  const digest = await digestOf(new TextEncoder().encode(canonicalJson(manifest)))
  return { image, digest, summary: summaryOf(manifest), source: 'test', provenance: {}, current: true }
}

/** Adds a version of an image, which becomes the current one. Its root archive counts as made, so that it boots in one stage. */
export async function addImage({ services: { registry } }: TestApp, image: string, text = image) {
  const { digest, summary, ...wanted } = await versionOf(image, text)
  const root = { ...summary.index, size: summary.size, unpackedSize: summary.unpackedSize, warnings: [] }
  await registry.batch([registry.insert(rootArchives).values({ image: digest, root }).onConflictDoNothing()])
  return addVersion(registry, tester, { ...wanted, digest, summary })
}
