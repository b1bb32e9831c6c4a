import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestHarness, getPlatformProxy } from 'wrangler'
import { hexOf } from '../../src/blobs/digest.ts'
import { type BlobBucket, r2BlobStore } from '../../src/blobs/r2.ts'
import type { Descriptor } from '../../src/blobs/store.ts'
import { blobRouteSuite } from '../routes/blobs.suite.ts'
import { all, bytesOf, describeBytes, digestOfBytes, streamOfBytes } from './bytes.ts'
import { blobStoreSuite } from './suite.ts'

// wrangler writes beside its configuration, so that is put where it can be thrown away
const folder = await mkdtemp(join(tmpdir(), 'muster-r2-'))
const configPath = join(folder, 'wrangler.toml')
await writeFile(
  configPath,
  `name = "blobs-in-r2"
main = "${new URL('r2-worker.ts', import.meta.url).pathname}"
compatibility_date = "2026-10-01"
send_metrics = false

[[r2_buckets]]
binding = "BLOBS"
bucket_name = "blobs"
`,
)
afterAll(() => rm(folder, { recursive: true, force: true }))

const bucket = () => getPlatformProxy<{ BLOBS: BlobBucket }>({ configPath, persist: false })

blobStoreSuite('R2', async () => {
  const platform = await bucket()
  const { BLOBS } = platform.env
  return {
    store: r2BlobStore(BLOBS, { keptFor: 0 }),
    damage: async (digest, bytes) => {
      const httpMetadata = { contentType: 'text/plain', cacheControl: 'no-store' }
      await BLOBS.put(`blobs/sha256/${hexOf(digest)}`, bytes, { sha256: digestOfBytes(bytes).slice(7), httpMetadata })
    },
    close: () => platform.dispose(),
  }
})

describe('R2', () => {
  test('lists more blobs than one page has', async () => {
    const platform = await bucket()
    const store = r2BlobStore(platform.env.BLOBS)
    const blobs = Array.from({ length: 1005 }, (_, seed) => bytesOf(8, seed + 1))
    await platform.env.BLOBS.put('blobs/sha256/README', new Uint8Array(3), {
      sha256: digestOfBytes(new Uint8Array(3)).slice(7),
      httpMetadata: { contentType: 'text/plain', cacheControl: 'no-store' },
    })
    for (let at = 0; at < blobs.length; at += 50) {
      await Promise.all(blobs.slice(at, at + 50).map((bytes) => store.put(describeBytes(bytes), streamOfBytes(bytes))))
    }
    const listed = (await all(store.list())).map((blob) => blob.digest)
    expect(listed.sort()).toEqual(blobs.map(digestOfBytes).sort())
    await platform.dispose()
  })
})

describe('R2 inside a Worker', () => {
  const server = createTestHarness({ root: folder, workers: [{ configPath }] })
  beforeAll(async () => {
    await server.listen()
  })
  afterAll(() => server.close())
  const put = (path: string, body: Uint8Array<ArrayBuffer>) => server.fetch(path, { method: 'PUT', body })
  const get = (bytes: Uint8Array) => server.fetch(`/blobs/sha256/${digestOfBytes(bytes).slice(7)}`)

  test('streams a blob that is larger than what it would hold in memory', async () => {
    const bytes = bytesOf(20_000_000)
    const { digest, size } = describeBytes(bytes)
    expect((await put(`/put/${digest}/${size}`, bytes)).status).toBe(200)
    const found = await get(bytes)
    expect(found.headers.get('content-length')).toBe(String(size))
    expect(digestOfBytes(new Uint8Array(await found.arrayBuffer()))).toBe(digest)
  })

  test.each([
    ['of another digest', describeBytes(bytesOf(50_000, 2)).digest, 50_000],
    ['of another size than promised, more', describeBytes(bytesOf(50_000, 3)).digest, 49_999],
    ['of another size than promised, fewer', describeBytes(bytesOf(50_000, 3)).digest, 50_001],
  ])('keeps nothing of bytes %s', async (_, digest, size) => {
    const answer = await put(`/put/${digest}/${size}`, bytesOf(50_000, 3))
    expect([answer.status, await answer.json()]).toMatchObject([400, { code: 'DIGEST_MISMATCH' }])
    expect((await get(bytesOf(50_000, 3))).status).toBe(404)
    expect((await server.fetch(`/blobs/sha256/${digest.slice(7)}`)).status).toBe(404)
  })

  test('keeps nothing of a body that fails, and passes its error on', async () => {
    const { digest, size } = describeBytes(bytesOf(50_000, 4))
    const answer = await put(`/broken/${digest}/${size}`, new Uint8Array())
    expect([answer.status, await answer.json()]).toEqual([
      400,
      { code: 'REQUEST_INVALID', message: 'the sender went away' },
    ])
    expect((await get(bytesOf(50_000, 4))).status).toBe(404)
  })

  test('adds up to its limit and says so for more', async () => {
    const bytes = bytesOf(1_000_000, 5)
    expect(await (await put('/add', bytes)).json()).toEqual(describeBytes(bytes))
    const refusal = await put('/add', bytesOf(1_000_001, 5))
    expect([refusal.status, await refusal.json()]).toMatchObject([413, { code: 'BODY_TOO_LARGE' }])
  })
})

blobRouteSuite('a Worker over R2', async () => {
  const server = createTestHarness({ root: folder, workers: [{ configPath }] })
  await server.listen()
  return {
    // the harness has its own types for the same things
    request: async (path, init) => (await server.fetch(path, init as never)) as unknown as Response,
    async put(bytes) {
      const added = await server.fetch('/add', { method: 'PUT', body: bytes })
      return ((await added.json()) as Descriptor).digest
    },
    close: () => server.close(),
  }
})
