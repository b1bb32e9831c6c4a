import { once } from 'node:events'
import { mkdtemp, readdir, readlink, rm, truncate } from 'node:fs/promises'
import { Agent, request as ask, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type ServerType, serve } from '@hono/node-server'
import fc from 'fast-check'
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { secureHeaders } from 'hono/secure-headers'
import { afterEach, expect, test } from 'vitest'
import { type Digest, hexOf } from '../../src/blobs/digest.ts'
import { type FsBlobStore, fsBlobStore } from '../../src/blobs/fs.ts'
import { type HotBlobs, hotBlobs } from '../../src/blobs/hot.ts'
import { type Sent, withBlobSender } from '../../src/blobs/sender.ts'
import type { BlobStore } from '../../src/blobs/store.ts'
import { blobRoutes } from '../../src/routes/blobs.ts'
import { onError } from '../../src/routes/errors.ts'
import { bytesOf, digestOfBytes, streamOfBytes } from './bytes.ts'

const KiB = 1024
const MiB = 1024 * KiB

type Head = {
  root: string
  store: FsBlobStore
  hot: HotBlobs
  sent: Sent[]
  port: number
  url: (digest: Digest) => string
  put: (bytes: Uint8Array<ArrayBuffer>) => Promise<Digest>
}
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** A head node with files, the sender and, in front of the route, middleware that touches every response. */
async function head({ hot = hotBlobs(), over }: { hot?: HotBlobs; over?: BlobStore } = {}): Promise<Head> {
  const root = await mkdtemp(join(tmpdir(), 'muster-sender-'))
  const store = fsBlobStore(root)
  const sent: Sent[] = []
  const app = new Hono()
    .use(cors(), secureHeaders())
    .use(async (c, next) => {
      c.header('X-Before', 'yes')
      await next()
      c.header('X-After', 'yes')
      if (!c.req.query('teapot')) return
      c.res = undefined // or else its headers would be taken over
      c.res = new Response('no blob today', { status: 418 })
    })
    .route('/blobs', blobRoutes({ blobs: over ?? store }))
    .onError(onError({ log: () => {} }))
  const server: ServerType = serve({
    fetch: withBlobSender(app.fetch, { hot, onSent: (transfer) => sent.push(transfer) }),
    port: 0,
    hostname: '127.0.0.1',
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  closing.push(async () => {
    if ('closeAllConnections' in server) server.closeAllConnections()
    server.close()
    await rm(root, { recursive: true, force: true })
  })
  return {
    root,
    store,
    hot,
    sent,
    port,
    url: (digest) => `http://127.0.0.1:${port}/blobs/sha256/${hexOf(digest)}`,
    put: async (bytes) => (await store.add(streamOfBytes(bytes, 256 * KiB))).digest,
  }
}

const download = async (url: string, headers: Record<string, string> = {}) =>
  new Uint8Array(await (await fetch(url, { headers })).arrayBuffer())

/** The files below the head's root that this process has open. */
async function openFiles({ root }: Head): Promise<string[]> {
  const fds = await readdir('/proc/self/fd')
  const links = await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
  return links.filter((path) => path.startsWith(root))
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let round = 0; round < 1000; round++) {
    if (await holds()) return
    await wait(10)
  }
  throw new Error(`never came to pass: ${what}`)
}

/** Everything is given back: transfers told, files closed, no piece held. */
const allEnded = (node: Head, transfers: number) =>
  until(`${transfers} transfers ended and everything given back`, async () => {
    return node.sent.length >= transfers && node.hot.counts().held === 0 && (await openFiles(node)).length === 0
  })

/** A client that sends what it is told and reads only when it is told. */
async function client(port: number, ...lines: string[]): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').pause()
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  return socket
}

/** All that a paused client gets until the connection ends. */
async function rest(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = []
  socket.on('data', (piece) => pieces.push(piece)).resume()
  await once(socket, 'close')
  return Buffer.concat(pieces)
}

const bodyOf = (answer: Buffer) => new Uint8Array(answer.subarray(answer.indexOf('\r\n\r\n') + 4))

test('sends the bytes that were asked for, of any size and from any memory', async () => {
  const memories = [hotBlobs(), hotBlobs({ slabSize: 64 * KiB, limit: 256 * KiB }), hotBlobs({ limit: 0 })]
  for (const hot of memories) {
    const node = await head({ hot })
    const blobs = await Promise.all(
      [1, 32 * KiB, 32 * KiB + 1, MiB, 3 * MiB + 17].map(async (size, seed) => {
        const bytes = bytesOf(size, seed + 1)
        return { bytes, url: node.url(await node.put(bytes)) }
      }),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...blobs),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async ({ bytes, url }, from, to) => {
          const first = Math.floor(from * (bytes.length - 1))
          const last = first + Math.floor(to * (bytes.length - 1 - first))
          const found = await download(url, { range: `bytes=${first}-${last}` })
          expect(digestOfBytes(found)).toBe(digestOfBytes(bytes.subarray(first, last + 1)))
        },
      ),
      { numRuns: 40, examples: blobs.map((blob) => [blob, 0, 1] as [typeof blob, number, number]) },
    )
    await allEnded(node, 40)
    expect(node.sent.every((transfer) => transfer.complete && transfer.sent === transfer.length)).toBe(true)
  }
})

test('sends the right bytes to a hundred clients at once, from memory that they share', async () => {
  const node = await head({ hot: hotBlobs({ slabSize: 256 * KiB, limit: 32 * MiB }) })
  const digests = await Promise.all([4 * MiB, 4 * MiB + 5].map((size, seed) => node.put(bytesOf(size, seed + 50))))
  const clients = Array.from({ length: 100 }, (_, index) => digests[index % 2]!)
  const got = await Promise.all(clients.map(async (digest) => digestOfBytes(await download(node.url(digest)))))
  expect(got).toEqual(clients)
  await allEnded(node, 100)
  expect(node.hot.counts().slabs).toBeLessThanOrEqual(16 + 17 + 2)
})

test('passes on the headers of the route and of the middleware round it', async () => {
  const node = await head()
  const response = await fetch(node.url(await node.put(bytesOf(100 * KiB))))
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'content-length': String(100 * KiB),
    'content-type': 'application/octet-stream',
    'access-control-allow-origin': '*',
    'x-before': 'yes',
    'x-after': 'yes',
    'x-frame-options': 'SAMEORIGIN',
  })
  expect(digestOfBytes(new Uint8Array(await response.arrayBuffer()))).toBe(digestOfBytes(bytesOf(100 * KiB)))
})

test('sends nothing when the middleware answers otherwise', async () => {
  const node = await head()
  const digest = await node.put(bytesOf(100 * KiB))
  const response = await fetch(`${node.url(digest)}?teapot=1`)
  expect([response.status, await response.text()]).toEqual([418, 'no blob today'])
  expect(node.sent).toEqual([])
})

test('tells the truth about a transfer that ended well', async () => {
  const node = await head()
  const digest = await node.put(bytesOf(2 * MiB))
  await download(node.url(digest), { range: 'bytes=1000-1999999' })
  await allEnded(node, 1)
  expect(node.sent).toEqual([
    {
      digest,
      address: '127.0.0.1',
      offset: 1000,
      length: 1_999_000,
      sent: 1_999_000,
      complete: true,
      status: 206,
      startedAt: expect.any(Date),
      ms: expect.any(Number),
    },
  ])
})

test('tells of no transfer when there was nothing to send', async () => {
  const node = await head()
  const digest = await node.put(bytesOf(MiB))
  expect((await fetch(node.url(digest), { method: 'HEAD' })).status).toBe(200)
  expect((await fetch(node.url(digest), { headers: { 'if-none-match': `"${digest}"` } })).status).toBe(304)
  expect((await fetch(node.url(digest), { headers: { range: `bytes=${MiB}-` } })).status).toBe(416)
  await download(node.url(digest))
  await allEnded(node, 1)
  expect(node.sent).toHaveLength(1)
})

test.each([
  ['alone', 1],
  ['that share memory', 30],
])('leaves no file, no memory and no doubt behind after clients %s that went away', async (_, atOnce) => {
  const node = await head({ hot: hotBlobs({ limit: 64 * MiB }) })
  const digest = await node.put(bytesOf(32 * MiB))
  for (let begun = 0; begun < 30; begun += atOnce) {
    const clients = await Promise.all(
      Array.from({ length: atOnce }, () => client(node.port, `GET /blobs/sha256/${hexOf(digest)} HTTP/1.1`, 'Host: h')),
    )
    await Promise.all(
      clients.map(async (socket, index) => {
        if (index % 3) await once(socket.resume(), 'data')
        socket.destroy()
      }),
    )
  }
  await allEnded(node, 30)
  expect(node.sent).toHaveLength(30)
  for (const transfer of node.sent) {
    expect(transfer).toMatchObject({ digest, status: 200, complete: false })
    expect(transfer.sent).toBeLessThan(32 * MiB)
  }
  expect(digestOfBytes(await download(node.url(digest)))).toBe(digest)
})

test('holds no more memory than it may for readers that do not read, and still serves others', async () => {
  const node = await head({ hot: hotBlobs({ limit: 16 * MiB }) })
  const digests = await Promise.all(Array.from({ length: 4 }, (_, seed) => node.put(bytesOf(12 * MiB, seed + 1))))
  const stalled = await Promise.all(
    Array.from({ length: 60 }, (_, index) =>
      client(
        node.port,
        `GET /blobs/sha256/${hexOf(digests[index % 4]!)} HTTP/1.1`,
        'Host: h',
        `Range: bytes=${(index % 10) * 100_000}-`,
      ),
    ),
  )
  await until('all of the memory is in use', () => node.hot.counts().held >= 8)
  await wait(200)
  const { slabs, held } = node.hot.counts()
  expect(slabs).toBeLessThanOrEqual(16)
  expect(held).toBeLessThanOrEqual(16)
  for (const digest of digests) expect(digestOfBytes(await download(node.url(digest)))).toBe(digest)

  const late = await Promise.all(
    stalled.slice(0, 8).map((socket) => {
      const pieces: Buffer[] = []
      return new Promise<Uint8Array>((resolve) => {
        let wanted = Number.POSITIVE_INFINITY
        let got = 0
        socket.on('data', (piece) => {
          pieces.push(piece)
          got += piece.length
          const length = /content-length: (\d+)\r\n/i.exec(pieces[0]!.toString('latin1'))?.[1]
          if (length) wanted = Number(length) + pieces[0]!.indexOf('\r\n\r\n') + 4
          if (got >= wanted) resolve(bodyOf(Buffer.concat(pieces)))
        })
        socket.resume()
      })
    }),
  )
  late.forEach((bytes, index) => {
    const whole = bytesOf(12 * MiB, (index % 4) + 1)
    expect(digestOfBytes(bytes)).toBe(digestOfBytes(whole.subarray((index % 10) * 100_000)))
  })
  for (const socket of stalled) socket.destroy()
  await allEnded(node, 64)
})

test('answers HTTP/1.0 with a length, no chunks, and the end of the connection', async () => {
  const node = await head()
  const digest = await node.put(bytesOf(3 * MiB))
  const answer = await rest(await client(node.port, `GET /blobs/sha256/${hexOf(digest)} HTTP/1.0`))
  const headers = answer.subarray(0, answer.indexOf('\r\n\r\n')).toString()
  expect(headers).toMatch(/^HTTP\/1\.[01] 200 OK\r\n/)
  expect(headers).toMatch(/\r\ncontent-length: 3145728(\r\n|$)/i)
  expect(headers).not.toMatch(/transfer-encoding/i)
  expect(digestOfBytes(bodyOf(answer))).toBe(digest)
})

test('keeps a connection for the next request', async () => {
  const node = await head()
  const digest = await node.put(bytesOf(2 * MiB))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const sockets = new Set<Socket>()
  for (let round = 0; round < 5; round++) {
    const request = ask(node.url(digest), { agent }).end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    sockets.add(response.socket)
    const pieces = await response.toArray()
    expect(digestOfBytes(Buffer.concat(pieces))).toBe(digest)
  }
  agent.destroy()
  expect(sockets.size).toBe(1)
  await allEnded(node, 5)
})

test('answers pipelined requests in order, and lets go of those that nobody will read', async () => {
  const node = await head()
  const [first, second] = [bytesOf(2 * MiB, 1), bytesOf(40 * KiB, 2)]
  const digests = [await node.put(first), await node.put(second)]
  const lines = digests.flatMap((digest, index) => [
    `GET /blobs/sha256/${hexOf(digest)} HTTP/1.1`,
    'Host: h',
    index === 1 ? 'Connection: close' : 'X: y',
    ...(index === 0 ? [''] : []),
  ])
  const answer = await rest(await client(node.port, ...lines))
  const body = bodyOf(answer)
  expect(digestOfBytes(body.subarray(0, first.length))).toBe(digests[0])
  expect(digestOfBytes(bodyOf(Buffer.from(body.subarray(first.length))))).toBe(digests[1])
  await allEnded(node, 2)

  const large = await node.put(bytesOf(32 * MiB, 3))
  const three = Array.from({ length: 3 }, () => [`GET /blobs/sha256/${hexOf(large)} HTTP/1.1`, 'Host: h', '']).flat()
  const gone = await client(node.port, ...three.slice(0, -1))
  await until('the first bytes are on their way', () => node.hot.counts().held > 0)
  gone.destroy()
  await allEnded(node, 5)
  expect(node.sent.slice(2).every((transfer) => !transfer.complete)).toBe(true)
})

test('answers 500, not a part, when the file has vanished', async () => {
  const node = await head()
  const digest = await node.put(bytesOf(2 * MiB))
  const stat = node.store.stat
  node.store.stat = async (wanted) => {
    const found = await stat(wanted)
    await rm(node.store.file(wanted), { force: true })
    return found
  }
  const response = await fetch(node.url(digest))
  expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([500, 'INTERNAL'])
  expect(response.headers.has('etag')).toBe(false)
  await allEnded(node, 1)
  expect(node.sent).toMatchObject([{ digest, status: 500, sent: 0, complete: false }])
})

test.each([
  ['alone', 1],
  ['together', 10],
])('breaks the connection of clients %s when the file has shrunk', async (_, atOnce) => {
  const node = await head()
  const digest = await node.put(bytesOf(6 * MiB))
  const stat = node.store.stat
  let shrunk = false
  node.store.stat = async (wanted) => {
    const found = await stat(wanted)
    if (!shrunk) await truncate(node.store.file(wanted), 4 * MiB)
    shrunk = true
    return found && { ...found, size: 6 * MiB }
  }
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      await expect(download(node.url(digest))).rejects.toThrow()
    }),
  )
  await allEnded(node, atOnce)
  for (const transfer of node.sent) expect(transfer).toMatchObject({ status: 200, complete: false })
  expect(Math.max(...node.sent.map((transfer) => transfer.sent))).toBeLessThanOrEqual(4 * MiB)
})

test('sends nothing more over a connection after a body that broke', async () => {
  const node = await head()
  const [broken, other] = [await node.put(bytesOf(6 * MiB, 1)), await node.put(bytesOf(1000, 2))]
  const stat = node.store.stat
  node.store.stat = async (wanted) => {
    if (wanted !== broken) return stat(wanted)
    await truncate(node.store.file(broken), 4 * MiB)
    return { digest: broken, size: 6 * MiB }
  }
  const request = (digest: Digest) => [`GET /blobs/sha256/${hexOf(digest)} HTTP/1.1`, 'Host: h']
  const answer = await rest(await client(node.port, ...request(broken), '', ...request(other)))
  expect(answer.toString('latin1').match(/HTTP\/1\.1 200 OK/g)).toHaveLength(1)
  expect(bodyOf(answer).length).toBeLessThanOrEqual(4 * MiB)
})

test.each([
  ['that breaks', (at: number) => (at >= MiB ? Promise.reject(new Error('bucket gone')) : undefined), 2 * MiB],
  ['that ends too soon', () => undefined, MiB],
])('breaks the connection when a store without files gives a stream %s', async (_, before, size) => {
  const bytes = bytesOf(2 * MiB)
  const digest = digestOfBytes(bytes)
  const node = await head({
    over: streaming(digest, bytes, () => streamOfBytes(bytes.slice(0, size), 64 * KiB, before)),
  })
  await expect(download(node.url(digest))).rejects.toThrow()
  await allEnded(node, 1)
  expect(node.sent).toMatchObject([{ digest, status: 200, sent: MiB, complete: false }])
})

test('cancels the stream of a store without files when the client goes away, also while it waits for bytes', async () => {
  const bytes = bytesOf(2 * MiB)
  const digest = digestOfBytes(bytes)
  let cancelled = 0
  const hanging = () =>
    new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => controller.enqueue(bytes.slice(0, 1000)),
      pull: () => new Promise(() => {}),
      cancel: () => {
        cancelled += 1
      },
    })
  const node = await head({ over: streaming(digest, bytes, hanging) })
  const socket = await client(node.port, `GET /blobs/sha256/${hexOf(digest)} HTTP/1.1`, 'Host: h')
  await once(socket.resume(), 'data')
  socket.destroy()
  await allEnded(node, 1)
  expect(cancelled).toBe(1)
  expect(node.sent).toMatchObject([{ sent: 1000, complete: false }])
  const response = await fetch(`${node.url(digest)}?teapot=1`)
  expect([response.status, await response.text()]).toEqual([418, 'no blob today'])
  expect(cancelled).toBe(2)
})

/** A store that has one blob and no files: what a bucket is. */
function streaming(digest: Digest, bytes: Uint8Array, open: () => ReadableStream<Uint8Array<ArrayBuffer>>): BlobStore {
  const unused = () => Promise.reject(new Error('not asked for here'))
  return {
    stat: async (wanted) => (wanted === digest ? { digest, size: bytes.length } : undefined),
    open: async () => open(),
    put: unused,
    add: unused,
    keep: unused,
    delete: unused,
    check: unused,
    quarantine: unused,
    async *list() {
      yield { digest, size: bytes.length, keptAt: new Date() }
    },
  }
}
