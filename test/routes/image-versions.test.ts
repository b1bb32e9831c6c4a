import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createApp } from '../../src/app.ts'
import { createRootArchives } from '../../src/images/make-root.ts'
import { addVersion } from '../../src/registry/images.ts'
import { currentRevision } from '../../src/registry/revisions.ts'
import { addImage, type SendOptions, startOfTests, type TestApp, testApp, tester, versionOf } from '../harness.ts'
import { basics, tarOf } from '../images/small-image.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
})
afterEach(() => test.close())

const refused = async (method: string, path: string, options: SendOptions = {}) => {
  const response = await test.send(method, `/api/images/rocky9${path}`, options)
  return { status: response.status, ...(await response.json()) }
}
const call = (method: string, path: string, options: SendOptions = {}) =>
  test.call(method, `/api/images/rocky9${path}`, options)
const importSmall = () =>
  call('POST', '/versions?source=small.tar&message=first', {
    body: tarOf(basics),
    headers: { 'content-type': 'application/x-tar' },
  })
const numbers = async () => (await call('GET', '/versions')).map(({ number }: { number: number }) => number)

describe('/api/images/{name}/versions', () => {
  it('lists versions newest first, with their tags and what they are', async () => {
    await addImage(test, 'rocky9', '1')
    const { revision, version } = await addImage(test, 'rocky9', '2')
    await call('PUT', '/tags/tested', { body: { version: 1 } })
    await call('PUT', '/tags/old', { body: { version: 1 } })
    expect(await call('GET', '/versions')).toMatchObject([
      {
        image: 'rocky9',
        number: 2,
        digest: version.digest,
        current: true,
        tags: [],
        source: 'test',
        provenance: {},
        message: '',
        author: 'tester',
        revision,
        createdAt: startOfTests.toISOString(),
        summary: { segments: 1, compression: 'zstd' },
      },
      { number: 1, current: false, tags: ['old', 'tested'] },
    ])
  })

  it('shows a version with its whole manifest, by number, tag or digest', async () => {
    const made = await importSmall()
    await call('PUT', '/tags/tested', { body: { version: 1 } })
    const version = await call('GET', '/versions/1')
    expect(version).toMatchObject({ number: 1, source: 'small.tar', message: 'first', summary: made.summary })
    const { segments, ...rest } = version.manifest
    expect(segments).toHaveLength(made.summary.segments)
    expect(made.summary).toMatchObject(rest)
    for (const { digest, size } of [...segments, rest.index, ...rest.kernels])
      expect(await test.services.blobs.stat(digest)).toEqual({ digest, size })
    expect(await call('GET', '/versions/tested')).toEqual(version)
    expect(await call('GET', `/versions/${made.digest}`)).toEqual(version)
  })

  it.each(['2', 'nope', '007', 'sha256:ab', '%40', 'a%2Fb'])('has no version %s', async (version) => {
    await addImage(test, 'rocky9')
    expect(await refused('GET', `/versions/${version}`)).toMatchObject({ status: 404, code: 'IMAGE_UNKNOWN' })
  })

  it('says so when the manifest of a version is gone', async () => {
    await addImage(test, 'rocky9')
    expect(await refused('GET', '/versions/1')).toMatchObject({
      code: 'IMAGE_UNKNOWN',
      message: expect.stringContaining('is not in the blob store'),
    })
  })

  it('deletes what nobody needs, and says who needs the rest', async () => {
    await addImage(test, 'rocky9', '1')
    await addImage(test, 'rocky9', '2')
    await addImage(test, 'rocky9', '3')
    await call('PUT', '/tags/tested', { body: { version: 1 } })
    await test.call('PUT', '/api/nodes/n1', { body: { settings: { image: 'rocky9' } } })
    expect(await refused('DELETE', '/versions/1')).toMatchObject({
      status: 409,
      code: 'IMAGE_USED',
      message: expect.stringContaining('muster image untag rocky9 tested'),
    })
    expect(await refused('DELETE', '/versions/3')).toMatchObject({ message: expect.stringContaining('node n1') })
    const { revision } = await call('GET', '')
    const newest = await currentRevision(test.services.registry)
    const stale = { headers: { 'if-match': `"${revision - 1}"` } }
    expect(await refused('DELETE', '/versions/2', stale)).toMatchObject({ status: 412 })
    const tried = await call('DELETE', '/versions/2?dryRun=true')
    expect(tried).toMatchObject({ changes: [{ noun: 'image', name: 'rocky9@2', after: null }] })
    expect(await numbers()).toEqual([3, 2, 1])
    const response = await test.send('DELETE', '/api/images/rocky9/versions/2?message=old', {
      headers: { 'if-match': `"${revision}"` },
    })
    expect([response.status, response.headers.get('x-revision')]).toEqual([204, String(newest + 1)])
    expect(await numbers()).toEqual([3, 1])
    expect((await call('GET', '')).revision).toBe(newest + 1)
  })

  it('prunes', async () => {
    for (const text of ['1', '2', '3', '4']) await addImage(test, 'rocky9', text)
    await test.call('PUT', '/api/nodes/n1', { body: { settings: { image: 'rocky9@1' } } })
    const kept = [{ number: 1, users: 'node n1' }]
    const tried = await call('POST', '/prune?dryRun=true', { body: { keep: 2 } })
    expect(tried).toMatchObject({ deleted: [2], kept, changes: [{ name: 'rocky9@2' }] })
    expect(await numbers()).toEqual([4, 3, 2, 1])
    const done = await call('POST', '/prune', { body: { keep: 2 } })
    expect(done).toEqual({ revision: await currentRevision(test.services.registry), deleted: [2], kept })
    expect(await numbers()).toEqual([4, 3, 1])
    expect(await refused('POST', '/prune', { body: { keep: 0 } })).toMatchObject({ code: 'REQUEST_INVALID' })
  })
})

describe('/api/images/{name}/tags', () => {
  it('names a version, is moved, and is taken away', async () => {
    await addImage(test, 'rocky9', '1')
    const { version } = await addImage(test, 'rocky9', '2')
    expect(await call('PUT', '/tags/tested', { body: { version: 1 } })).toMatchObject({ tags: { tested: 1 } })
    const response = await test.send('PUT', '/api/images/rocky9/tags/tested', { body: { version: version.digest } })
    const image = await response.json()
    expect(image.tags).toEqual({ tested: 2 })
    expect(response.headers.get('etag')).toBe(`"${image.revision}"`)
    expect(await call('PUT', '/tags/tested?dryRun=true', { body: { version: 1 } })).toMatchObject({
      changes: [{ before: { tags: { tested: 2 } }, after: { tags: { tested: 1 } } }],
    })
    expect(await call('DELETE', '/tags/tested', { headers: { 'if-match': `"${image.revision}"` } })).toMatchObject({
      tags: {},
    })
    expect(await refused('DELETE', '/tags/tested')).toMatchObject({ status: 404, code: 'IMAGE_UNKNOWN' })
    expect(await refused('PUT', '/tags/7', { body: { version: 1 } })).toMatchObject({ code: 'NAME_INVALID' })
    expect(await refused('PUT', '/tags/x', { body: { version: 9 } })).toMatchObject({ code: 'IMAGE_UNKNOWN' })
    expect(
      await refused('PUT', '/tags/x', { body: { version: 1 }, headers: { 'if-match': `"${image.revision}"` } }),
    ).toMatchObject({ status: 412 })
  })

  it('is what a node may ask for', async () => {
    const { version } = await addImage(test, 'rocky9', '1')
    await addImage(test, 'rocky9', '2')
    const settings = { image: 'rocky9@tested', netdevs: { eth0: { mac: '52:54:00:00:00:01' } } }
    await call('PUT', '/tags/tested', { body: { version: 1 } })
    await test.call('PUT', '/api/nodes/n1', { body: { settings } })
    expect((await test.call('GET', '/api/boot/n1')).plan.image).toMatchObject({ version: 1, digest: version.digest })
    await call('PUT', '/tags/tested', { body: { version: 2 } })
    expect((await test.call('GET', '/api/boot/n1')).plan.image.version).toBe(2)
    expect((await test.call('GET', '/api/nodes?select=image:rocky9@tested')).items).toHaveLength(1)
    expect(await refused('DELETE', '/tags/tested')).toMatchObject({
      code: 'IMAGE_USED',
      message: expect.stringContaining('node n1'),
    })
  })
})

describe('/api/images/{name}/versions/{version}/prepare', () => {
  it('makes the archive once, and tells that it is made', async () => {
    await importSmall()
    expect(await call('GET', '/versions/1/prepare')).toEqual({ state: 'absent' })
    const root = await call('POST', '/versions/1/prepare')
    expect(await test.services.blobs.stat(root.digest)).toEqual({ digest: root.digest, size: root.size })
    expect(await call('GET', '/versions/1/prepare')).toEqual({ state: 'made', root })
    expect(await call('POST', '/versions/1/prepare')).toEqual(root)
  })

  it('tells how far it is', async () => {
    const { digest } = await importSmall()
    const { registry, blobs, openImage } = test.services
    const gate = Promise.withResolvers<void>()
    const gated: typeof openImage = async (image) => {
      const opened = await openImage!(image)
      await gate.promise
      return opened
    }
    const roots = createRootArchives({ registry, blobs, openImage: gated })
    const app = createApp({ ...test.services, roots })
    const path = '/api/images/rocky9/versions/1/prepare'
    const headers = { authorization: `Bearer ${test.tokens.edit}` }
    const making = roots.make(digest)
    expect(await (await app.request(path, { headers })).json()).toMatchObject({ state: 'preparing', bytes: 0 })
    gate.resolve()
    const root = await making
    expect(await (await app.request(path, { headers })).json()).toEqual({ state: 'made', root })
  })

  it('says so when there is nothing to make it of', async () => {
    await addVersion(test.services.registry, tester, await versionOf('rocky9'))
    expect(await refused('POST', '/versions/1/prepare')).toMatchObject({ code: 'IMAGE_UNKNOWN' })
    expect(await refused('POST', '/versions/2/prepare')).toMatchObject({ code: 'IMAGE_UNKNOWN' })
  })
})
