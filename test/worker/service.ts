/** The Worker itself in Miniflare, bundled by wrangler as a deployment would be, with empty databases and bucket. */
import { fileURLToPath } from 'node:url'
import { createTestHarness } from 'wrangler'
import { d1Activity } from '../../src/activity/d1.ts'
import type { ActivityDatabase } from '../../src/activity/schema.ts'
import { type BlobBucket, r2BlobStore } from '../../src/blobs/r2.ts'
import type { BlobStore } from '../../src/blobs/store.ts'
import { type D1Binding, d1Registry } from '../../src/registry/d1.ts'
import type { RegistryDatabase } from '../../src/registry/schema.ts'

/** A Worker that answers, and its bindings as the functions of the app see them. */
export type WorkerService = {
  request(path: string, init?: RequestInit): Promise<Response>
  /** Where it answers, and so where it tells nodes that it is. */
  url: string
  registry: RegistryDatabase
  activity: ActivityDatabase
  blobs: BlobStore
  /** Runs what the cron trigger does. Answers how it ended: `ok`. */
  tick(): Promise<string>
  close(): Promise<void>
}

/** Starts it, with secrets as `wrangler secret put` would give them. */
export async function workerService(secrets: Record<string, string> = {}): Promise<WorkerService> {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const harness = createTestHarness({ root, workers: [{ configPath: './wrangler.toml', secrets }] })
  const { url } = await harness.listen()
  const worker = harness.getWorker<{ DB: D1Binding; ACTIVITY: D1Binding; BLOBS: BlobBucket }>()
  // Its parameter is typed by the names of bindings that are the `D1Database` of types which tests do not load.
  for (const name of ['DB', 'ACTIVITY']) await worker.applyD1Migrations(name as never)
  const { DB, ACTIVITY, BLOBS } = await worker.getEnv()
  return {
    request: async (path, init) => (await harness.fetch(path, init as never)) as unknown as Response,
    url: url.origin,
    registry: d1Registry(DB),
    activity: d1Activity(ACTIVITY),
    blobs: r2BlobStore(BLOBS),
    tick: async () => (await worker.scheduled({ cron: '* * * * *' })).outcome,
    close: () => harness.close(),
  }
}
