import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { currentRevision } from '../../src/registry/revisions.ts'
import { bytes } from '../archive/tar-writer.ts'
import { addImage, manifestOf, type SendOptions, startOfTests, type TestApp, testApp } from '../harness.ts'
import { basics, streamOfBytes, tarOf } from '../images/small-image.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
})
afterEach(() => test.close())

const refused = async (method: string, path: string, options: SendOptions = {}) => {
  const response = await test.send(method, path, options)
  return { status: response.status, ...(await response.json()) }
}
const tar = (motd: string) => tarOf([...basics, { name: 'etc/motd', data: bytes(motd) }])
const upload = (name: string, body: unknown, query = '', type = 'application/x-tar') =>
  test.send('POST', `/api/images/${name}/versions${query}`, { body, headers: { 'content-type': type } })

describe('POST /api/images/{name}/versions', () => {
  it('imports a tar as it streams in, and makes the first version the current one', async () => {
    const response = await upload('rocky9', streamOfBytes(tar('one'), 1000), '?source=docker.io/rocky:9&message=first')
    expect(response.status).toBe(201)
    const made = await response.json()
    expect(made).toMatchObject({
      number: 1,
      created: true,
      manifest: { architecture: 'x86_64', root: { kind: 'cpio-gzip' } },
    })
    const { blobs } = test.services
    expect(await blobs.stat(made.manifest.root.digest)).toEqual({
      digest: made.manifest.root.digest,
      size: made.manifest.root.size,
    })
    expect(await test.call('GET', '/api/images/rocky9')).toMatchObject({
      current: 1,
      newest: 1,
      manifest: made.manifest,
    })
    expect(await test.call('GET', '/api/images/rocky9/versions')).toEqual([
      {
        number: 1,
        digest: made.digest,
        source: 'docker.io/rocky:9',
        author: 'the-edit',
        createdAt: startOfTests.toISOString(),
        manifest: made.manifest,
      },
    ])
    const revision = Number(response.headers.get('x-revision'))
    expect(await test.call('GET', `/api/revisions/${revision}`)).toMatchObject({ message: 'first' })
  })

  it('takes gzip, and bodies that do not say what they are', async () => {
    expect((await upload('a', new Uint8Array(gzipSync(tar('one'))), '', 'application/gzip')).status).toBe(201)
    expect((await upload('b', new Uint8Array(gzipSync(tar('one'))), '', 'application/octet-stream')).status).toBe(201)
    const response = await test.app.request('/api/images/c/versions', {
      method: 'POST',
      headers: { authorization: `Bearer ${test.tokens.edit}` },
      body: tar('one'),
    })
    expect(response.status).toBe(201)
  })

  it('makes no version of what is the newest already', async () => {
    await upload('rocky9', tar('one'))
    const before = await currentRevision(test.services.registry)
    const again = await upload('rocky9', tar('one'))
    expect([again.status, (await again.json()).created]).toEqual([200, false])
    expect(await currentRevision(test.services.registry)).toBe(before)
  })

  it('makes a new version the current one unless it is told not to', async () => {
    await upload('rocky9', tar('one'))
    await upload('rocky9', tar('two'), '?current=false')
    expect(await test.call('GET', '/api/images/rocky9')).toMatchObject({ current: 1, newest: 2 })
    await upload('rocky9', tar('three'))
    expect(await test.call('GET', '/api/images/rocky9')).toMatchObject({ current: 3, newest: 3 })
  })

  it('reads more than the limit of other bodies', async () => {
    const large = tarOf([...basics, { name: 'opt/large', data: new Uint8Array(3 * 1024 * 1024) }])
    expect((await upload('large', streamOfBytes(large))).status).toBe(201)
  })

  it.each([
    ['no tar', 'no tar at all'.repeat(100), 'application/x-tar', 400, 'ARCHIVE_INVALID'],
    ['a tar that ends early', tar('one').slice(0, 15_000), 'application/x-tar', 400, 'ARCHIVE_INVALID'],
    ['JSON', '{}', 'application/json', 400, 'REQUEST_INVALID'],
    ['a form', 'a=b', 'application/x-www-form-urlencoded', 400, 'REQUEST_INVALID'],
    ['an image without a kernel', tarOf(basics.slice(0, 2)), 'application/x-tar', 422, 'IMAGE_UNBOOTABLE'],
  ])('refuses %s and makes no image', async (_label, body, type, status, code) => {
    expect(await refused('POST', '/api/images/x/versions', { body, headers: { 'content-type': type } })).toMatchObject({
      status,
      code,
    })
    expect(await refused('GET', '/api/images/x')).toMatchObject({ code: 'IMAGE_UNKNOWN' })
  })

  it('refuses a name that is none before it reads anything', async () => {
    let read = 0
    const body = new ReadableStream({ pull: () => void read++ }, { highWaterMark: 0 })
    const headers = { 'content-type': 'application/x-tar' }
    expect(await refused('POST', '/api/images/-x/versions', { body, headers })).toMatchObject({ code: 'NAME_INVALID' })
    expect(read).toBe(0)
  })

  it('says so where images cannot be imported', async () => {
    const without = await testApp({ importer: null })
    try {
      const response = await without.send('POST', '/api/images/x/versions', {
        body: tar('one'),
        headers: { 'content-type': 'application/x-tar' },
      })
      expect([response.status, (await response.json()).code]).toEqual([501, 'UNSUPPORTED'])
    } finally {
      await without.close()
    }
  })
})

describe('/api/images', () => {
  it('lists images with their versions, in pages', async () => {
    expect(await test.call('GET', '/api/images')).toEqual({ items: [], next: null })
    await addImage(test, 'a', '1')
    await addImage(test, 'b', '1')
    await addImage(test, 'b', '2')
    const { items, next } = await test.call('GET', '/api/images?limit=1&after=a')
    expect(items).toMatchObject([{ name: 'b', current: 2, newest: 2, versions: 2 }])
    expect(next).toBeNull()
    expect((await test.call('GET', '/api/images?limit=1')).next).toBe('a')
  })

  it('shows an image with the manifest of its current version', async () => {
    await addImage(test, 'rocky9', '1')
    const response = await test.send('GET', '/api/images/rocky9')
    const image = await response.json()
    expect(image.manifest).toEqual(await manifestOf('1'))
    const etag = response.headers.get('etag') ?? ''
    expect((await test.send('GET', '/api/images/rocky9', { headers: { 'if-none-match': etag } })).status).toBe(304)
    expect(await refused('GET', '/api/images/x')).toMatchObject({ status: 404, code: 'IMAGE_UNKNOWN' })
    expect(await refused('GET', '/api/images/x/versions')).toMatchObject({ status: 404, code: 'IMAGE_UNKNOWN' })
  })

  it('goes back to an older version and forward again', async () => {
    await addImage(test, 'rocky9', '1')
    await addImage(test, 'rocky9', '2')
    const { revision } = await test.call('GET', '/api/images/rocky9')
    expect(await test.call('PATCH', '/api/images/rocky9', { body: { current: 1 } })).toMatchObject({
      current: 1,
      newest: 2,
    })
    expect((await test.call('GET', '/api/images/rocky9')).manifest).toEqual(await manifestOf('1'))
    expect(
      await refused('PATCH', '/api/images/rocky9', { body: { current: 2 }, headers: { 'if-match': `"${revision}"` } }),
    ).toMatchObject({ status: 412 })
    expect(await refused('PATCH', '/api/images/rocky9', { body: { current: 3 } })).toMatchObject({
      code: 'IMAGE_UNKNOWN',
      message: expect.stringContaining('has no version 3'),
    })
    expect(await refused('PATCH', '/api/images/rocky9', { body: { current: 0 } })).toMatchObject({
      code: 'REQUEST_INVALID',
    })
  })

  it('is not deleted while a node or a profile has it, with or without a version', async () => {
    await addImage(test, 'rocky9')
    await addImage(test, 'rocky')
    await test.call('PUT', '/api/nodes/n1', { body: { settings: { image: 'rocky9@1' } } })
    await test.call('PUT', '/api/profiles/p', { body: { settings: { image: 'rocky9' } } })
    expect(await refused('DELETE', '/api/images/rocky9')).toMatchObject({
      status: 409,
      code: 'IMAGE_USED',
      message: expect.stringMatching(/node n1, profile p/),
    })
    expect((await test.send('DELETE', '/api/images/rocky')).status).toBe(204)
    await test.call('DELETE', '/api/nodes/n1')
    await test.call('DELETE', '/api/profiles/p')
    expect((await test.send('DELETE', '/api/images/rocky9')).status).toBe(204)
    expect(await refused('DELETE', '/api/images/rocky9')).toMatchObject({ code: 'IMAGE_UNKNOWN' })
  })
})
