/** The HTTP contract of `/blobs/sha256/:hex`, through whatever serves it: the app, a socket, a Worker. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Digest, hexOf } from '../../src/blobs/digest.ts'
import { bytesOf, digestOfBytes } from '../blobs/bytes.ts'

/** A service under test: how to ask it, and how to give its store a blob. */
export type BlobService = {
  request(path: string, init?: RequestInit): Promise<Response>
  put(bytes: Uint8Array<ArrayBuffer>): Promise<Digest>
  close?(): Promise<void>
}

/** Runs the contract against the service that `create` makes. */
export function blobRouteSuite(name: string, create: () => Promise<BlobService>): void {
  describe(`${name}: /blobs/sha256/:hex`, () => {
    const bytes = bytesOf(300_000, 7)
    const digest = digestOfBytes(bytes)
    const path = `/blobs/sha256/${hexOf(digest)}`
    let service: BlobService
    beforeAll(async () => {
      service = await create()
      expect(await service.put(bytes)).toBe(digest)
    })
    afterAll(() => service.close?.())

    const get = (headers: Record<string, string> = {}) => service.request(path, { headers })
    const content = async (response: Response) => new Uint8Array(await response.arrayBuffer())
    const problem = async (response: Response) => ({ status: response.status, ...((await response.json()) as object) })

    test('answers with the whole blob and everything that a cache must know', async () => {
      const response = await get()
      expect(response.status).toBe(200)
      expect(Object.fromEntries(response.headers)).toMatchObject({
        etag: `"${digest}"`,
        'cache-control': 'public, max-age=31536000, immutable',
        'accept-ranges': 'bytes',
        'content-type': 'application/octet-stream',
        'content-length': '300000',
        'x-content-type-options': 'nosniff',
      })
      expect(digestOfBytes(await content(response))).toBe(digest)
    })

    test('never encodes, whatever the client accepts', async () => {
      const response = await get({ 'accept-encoding': 'gzip, br, zstd' })
      expect(response.headers.has('content-encoding')).toBe(false)
      expect(response.headers.get('content-length')).toBe('300000')
      expect(digestOfBytes(await content(response))).toBe(digest)
    })

    test('answers HEAD with the headers of GET and no body', async () => {
      const [head, whole] = [await service.request(path, { method: 'HEAD' }), await get()]
      const headersOf = ({ headers }: Response) =>
        Object.fromEntries([...headers].filter(([name]) => !['date', 'connection', 'keep-alive'].includes(name)))
      expect(head.status).toBe(200)
      expect(headersOf(head)).toEqual(headersOf(whole))
      expect((await content(head)).length).toBe(0)
      await content(whole)
    })

    test.each([
      ['from the start', 'bytes=0-99', 0, 100],
      ['in the middle', 'bytes=100000-250000', 100_000, 150_001],
      ['to the end', 'bytes=299999-', 299_999, 1],
      ['from the end', 'bytes=-1000', 299_000, 1000],
      ['of all', 'bytes=0-', 0, 300_000],
    ])('answers with a range %s', async (_, range, offset, length) => {
      const response = await get({ range })
      expect(response.status).toBe(206)
      expect(Object.fromEntries(response.headers)).toMatchObject({
        etag: `"${digest}"`,
        'content-range': `bytes ${offset}-${offset + length - 1}/300000`,
        'content-length': String(length),
      })
      expect(await content(response)).toEqual(bytes.slice(offset, offset + length))
    })

    test.each([
      ['several ranges', 'bytes=0-1,5-6'],
      ['another unit', 'lines=1-2'],
      ['nonsense', 'bytes=x'],
    ])('answers with the whole blob to %s', async (_, range) => {
      const response = await get({ range })
      expect([response.status, response.headers.get('content-range')]).toEqual([200, null])
      expect(digestOfBytes(await content(response))).toBe(digest)
    })

    test('says how long the blob is to who asks for what lies beyond it', async () => {
      const response = await get({ range: 'bytes=300000-' })
      expect(response.headers.get('content-range')).toBe('bytes */300000')
      expect(response.headers.get('cache-control') ?? '').not.toContain('immutable')
      expect(await problem(response)).toMatchObject({ status: 416, code: 'RANGE_INVALID' })
    })

    test('answers If-Range with the range or, when it is about another blob, with all', async () => {
      const same = await get({ range: 'bytes=0-9', 'if-range': `"${digest}"` })
      expect([same.status, (await content(same)).length]).toEqual([206, 10])
      const other = await get({ range: 'bytes=0-9', 'if-range': '"sha256:0"' })
      expect([other.status, (await content(other)).length]).toEqual([200, 300_000])
    })

    test('answers If-None-Match with 304 and no body to who has it', async () => {
      for (const method of ['GET', 'HEAD']) {
        const response = await service.request(path, { method, headers: { 'if-none-match': `"x", "${digest}"` } })
        expect(response.status).toBe(304)
        expect(response.headers.get('etag')).toBe(`"${digest}"`)
        expect(response.headers.get('cache-control')).toContain('immutable')
        expect((await content(response)).length).toBe(0)
      }
      expect(digestOfBytes(await content(await get({ 'if-none-match': '"x"' })))).toBe(digest)
    })

    test('answers with an empty blob', async () => {
      const empty = await service.put(new Uint8Array())
      const response = await service.request(`/blobs/sha256/${hexOf(empty)}`)
      expect([response.status, response.headers.get('content-length')]).toEqual([200, '0'])
      expect((await content(response)).length).toBe(0)
    })

    test('answers with one byte', async () => {
      const one = await service.put(new Uint8Array([42]))
      const response = await service.request(`/blobs/sha256/${hexOf(one)}`)
      expect([response.status, response.headers.get('content-length')]).toEqual([200, '1'])
      expect(await content(response)).toEqual(new Uint8Array([42]))
    })

    test.each(['GET', 'HEAD'])(
      'says to %s that it does not have a blob, and lets no cache keep that',
      async (method) => {
        const response = await service.request(`/blobs/sha256/${'0'.repeat(64)}`, { method })
        expect(response.status).toBe(404)
        expect(response.headers.get('cache-control') ?? '').not.toContain('immutable')
        if (method === 'GET') expect(await problem(response)).toMatchObject({ code: 'BLOB_UNKNOWN' })
        else await content(response)
      },
    )

    test.each([
      ['too short', 'abc'],
      ['too long', '0'.repeat(65)],
      ['in capitals', hexOf(digest).toUpperCase()],
      ['with its algorithm', digest],
      ['a path', `..%2f..%2fsha256%2f${hexOf(digest)}`],
      ['followed by a newline', `${hexOf(digest)}%0a`],
    ])('says of a name that is %s that there is no such blob', async (_, text) => {
      const response = await service.request(`/blobs/sha256/${text}`)
      expect(await problem(response)).toMatchObject({ status: 404 })
    })

    test('serves many at once', async () => {
      const answers = await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const response = await get(index % 2 ? { range: `bytes=${index * 1000}-` } : {})
          return [digestOfBytes(await content(response)), index] as const
        }),
      )
      for (const [found, index] of answers) {
        expect(found).toBe(digestOfBytes(index % 2 ? bytes.slice(index * 1000) : bytes))
      }
    })
  })
}
