import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { createStorage } from 'unstorage'
import memory from 'unstorage/drivers/memory'
import { describe, expect, test } from 'vitest'
import { fsBlobStore } from '../../src/blobs/fs.ts'
import { withBlobSender } from '../../src/blobs/sender.ts'
import type { BlobStore } from '../../src/blobs/store.ts'
import { unstorageBlobStore } from '../../src/blobs/unstorage.ts'
import { blobRoutes } from '../../src/routes/blobs.ts'
import { onError } from '../../src/routes/errors.ts'
import { bytesOf, digestOfBytes, streamOfBytes } from '../blobs/bytes.ts'
import { blobRouteSuite } from './blobs.suite.ts'

const appOf = (blobs: BlobStore) =>
  new Hono().route('/blobs', blobRoutes({ blobs })).onError(onError({ log: () => {} }))

const put = (store: BlobStore) => async (bytes: Uint8Array<ArrayBuffer>) =>
  (await store.add(streamOfBytes(bytes))).digest

async function files() {
  const root = await mkdtemp(join(tmpdir(), 'muster-route-'))
  return { store: fsBlobStore(root), close: () => rm(root, { recursive: true }) }
}
const memoryStore = () => unstorageBlobStore(createStorage({ driver: memory() }))

/** The app over a socket, with the sender in play or without. */
async function listening(store: BlobStore, { sender }: { sender: boolean }, close?: () => Promise<void>) {
  const app = appOf(store)
  const server = serve({ fetch: sender ? withBlobSender(app.fetch) : app.fetch, port: 0, hostname: '127.0.0.1' })
  await once(server, 'listening')
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    request: (path: string, init?: RequestInit) => fetch(base + path, init),
    put: put(store),
    async close() {
      server.close()
      await close?.()
    },
  }
}

blobRouteSuite('the app over files', async () => {
  const { store, close } = await files()
  const app = appOf(store)
  return { request: async (path, init) => app.request(path, init), put: put(store), close }
})
blobRouteSuite('the app over unstorage', async () => {
  const store = memoryStore()
  const app = appOf(store)
  return { request: async (path, init) => app.request(path, init), put: put(store) }
})
blobRouteSuite('a socket over files', async () => {
  const { store, close } = await files()
  return listening(store, { sender: true }, close)
})
blobRouteSuite('a socket over unstorage', () => listening(memoryStore(), { sender: true }))
blobRouteSuite('a socket over files, without the sender', async () => {
  const { store, close } = await files()
  return listening(store, { sender: false }, close)
})

describe('the blob route', () => {
  const digits = digestOfBytes(bytesOf(10)).slice(7)
  const broken: BlobStore = {
    stat: () => Promise.reject(new Error('the disk is on fire')),
    open: () => Promise.reject(new Error('the disk is on fire')),
    put: () => Promise.reject(new Error('the disk is on fire')),
    add: () => Promise.reject(new Error('the disk is on fire')),
    keep: () => Promise.reject(new Error('the disk is on fire')),
    delete: () => Promise.reject(new Error('the disk is on fire')),
    check: () => Promise.reject(new Error('the disk is on fire')),
    quarantine: () => Promise.reject(new Error('the disk is on fire')),
    // biome-ignore lint/correctness/useYield: it has nothing to yield
    async *list() {
      throw new Error('the disk is on fire')
    },
  }

  test('does not take a broken store for an empty one, and keeps its reasons to itself', async () => {
    const response = await appOf(broken).request(`/blobs/sha256/${digits}`)
    expect(response.status).toBe(500)
    expect(await response.text()).not.toContain('fire')
  })

  test('does not ask the store for what is no digest', async () => {
    expect((await appOf(broken).request('/blobs/sha256/abc')).status).toBe(404)
  })

  test('says 404, without the headers of a blob, when one is deleted at the last moment', async () => {
    const digest = digestOfBytes(bytesOf(10))
    const app = appOf({ ...broken, stat: async () => ({ digest, size: 10 }), open: async () => undefined })
    const response = await app.request(`/blobs/sha256/${digits}`)
    expect([response.status, response.headers.get('etag')]).toEqual([404, null])
    expect(response.headers.get('cache-control')).toBe('no-store')
  })

  test('says nothing of ranges when a store that breaks was asked for one', async () => {
    const digest = digestOfBytes(bytesOf(10))
    const app = appOf({ ...broken, stat: async () => ({ digest, size: 10 }) })
    const response = await app.request(`/blobs/sha256/${digits}`, { headers: { range: 'bytes=0-1' } })
    expect([response.status, response.headers.get('content-range')]).toEqual([500, null])
  })
})
