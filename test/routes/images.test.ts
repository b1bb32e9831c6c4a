import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { addVersion } from '../../src/registry/images.ts'
import { currentRevision } from '../../src/registry/revisions.ts'
import {
  addImage,
  manifestOf,
  type SendOptions,
  startOfTests,
  type TestApp,
  testApp,
  tester,
  versionOf,
} from '../harness.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
})
afterEach(() => test.close())

const refused = async (method: string, path: string, options: SendOptions = {}) => {
  const response = await test.send(method, path, options)
  return { status: response.status, ...(await response.json()) }
}
const revisionNow = () => currentRevision(test.services.registry)

describe('/api/images', () => {
  it('lists images with what their current versions are, in pages', async () => {
    expect(await test.call('GET', '/api/images')).toEqual({ items: [], next: null })
    await addImage(test, 'a', '1')
    await addImage(test, 'b', '1')
    const { revision } = await addImage(test, 'b', '2')
    const { items, next } = await test.call('GET', '/api/images?limit=1&after=a')
    const { summary } = await versionOf('b', '2')
    expect(items).toEqual([
      {
        name: 'b',
        current: 2,
        newest: 2,
        versions: 2,
        tags: {},
        architecture: 'x86_64',
        os: 'Rocky Linux 9.6',
        kernel: '5.14.0-570.el9.x86_64',
        size: summary.size,
        unpackedSize: summary.unpackedSize,
        revision,
        changedAt: startOfTests.toISOString(),
      },
    ])
    expect(next).toBeNull()
    expect((await test.call('GET', '/api/images?limit=1')).next).toBe('a')
  })

  it('lists an image without a current version, too', async () => {
    await addImage(test, 'a')
    await test.send('DELETE', '/api/images/a/versions/1')
    expect((await test.call('GET', '/api/images')).items).toMatchObject([
      { name: 'a', current: null, versions: 0, architecture: null, os: null, kernel: null, size: null },
    ])
    expect(await test.call('GET', '/api/images/a')).toMatchObject({ current: null, newest: 1, version: null })
  })

  it('shows an image with its current version, and a 304 to whoever has it', async () => {
    const { version } = await addImage(test, 'rocky9', '1')
    await test.call('PUT', '/api/images/rocky9/tags/tested', { body: { version: 1 } })
    const response = await test.send('GET', '/api/images/rocky9')
    const image = await response.json()
    const { segments, ...manifest } = await manifestOf('1')
    expect(image).toMatchObject({ versions: 1, tags: { tested: 1 } })
    expect(image.version).toMatchObject({
      image: 'rocky9',
      number: 1,
      digest: version.digest,
      current: true,
      tags: ['tested'],
      provenance: {},
      summary: { ...manifest, segments: segments.length, size: segments[0]?.size },
    })
    const etag = response.headers.get('etag') ?? ''
    expect(etag).toBe(`"${image.revision}"`)
    expect((await test.send('GET', '/api/images/rocky9', { headers: { 'if-none-match': etag } })).status).toBe(304)
    expect(await refused('GET', '/api/images/x')).toMatchObject({ status: 404, code: 'IMAGE_UNKNOWN' })
    expect(await refused('GET', '/api/images/x/versions')).toMatchObject({ status: 404, code: 'IMAGE_UNKNOWN' })
  })

  it('goes back to an older version and forward again, by number or tag', async () => {
    await addImage(test, 'rocky9', '1')
    await addImage(test, 'rocky9', '2')
    const { revision } = await test.call('GET', '/api/images/rocky9')
    const patch = (current: unknown) => test.call('PATCH', '/api/images/rocky9', { body: { current } })
    expect(await patch(1)).toMatchObject({ current: 1, newest: 2 })
    expect((await test.call('GET', '/api/images/rocky9')).version.number).toBe(1)
    expect(
      await refused('PATCH', '/api/images/rocky9', { body: { current: 2 }, headers: { 'if-match': `"${revision}"` } }),
    ).toMatchObject({ status: 412 })
    await test.call('PUT', '/api/images/rocky9/tags/tested', { body: { version: 2 } })
    expect(await patch('tested')).toMatchObject({ current: 2 })
    expect(await patch('1')).toMatchObject({ current: 1 })
    expect(await refused('PATCH', '/api/images/rocky9', { body: { current: 3 } })).toMatchObject({
      code: 'IMAGE_UNKNOWN',
      message: expect.stringContaining('has no version 3'),
    })
    for (const current of [0, 1.5, '', null])
      expect(await refused('PATCH', '/api/images/rocky9', { body: { current } })).toMatchObject({
        code: 'REQUEST_INVALID',
      })
  })

  it('tells its history, also when it is gone', async () => {
    await addImage(test, 'rocky9', '1')
    await addImage(test, 'rocky9', '2')
    await test.call('PATCH', '/api/images/rocky9?message=bad+driver', { body: { current: 1 } })
    await test.send('DELETE', '/api/images/rocky9')
    const { items, next } = await test.call('GET', '/api/images/rocky9/history?limit=2')
    expect(items).toMatchObject([
      { changes: [{ name: 'rocky9', after: null }] },
      { message: 'bad driver', changes: [{ before: { current: 2 }, after: { current: 1 } }] },
    ])
    expect((await test.call('GET', `/api/images/rocky9/history?before=${next}`)).items).toHaveLength(2)
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

  it('is renamed, and nodes boot what they booted before', async () => {
    await addImage(test, 'rocky9', '1')
    await addImage(test, 'rocky9', '2')
    await test.call('PUT', '/api/profiles/p', { body: { settings: { image: 'rocky9@1' } } })
    const netdevs = { eth0: { mac: '52:54:00:00:00:01' } }
    await test.call('PUT', '/api/nodes/n1', { body: { profiles: ['p'], settings: { netdevs } } })
    const planned = async () => (await test.call('GET', '/api/boot/n1')).plan.image
    const before = await planned()
    const { revision } = await test.call('GET', '/api/images/rocky9')
    const headers = { 'if-match': `"${revision}"` }
    const body = { to: 'el9' }
    expect(await test.call('POST', '/api/images/rocky9/rename', { body, headers })).toMatchObject({
      name: 'el9',
      current: 2,
      nodes: 0,
      profiles: 1,
    })
    expect(await planned()).toEqual({ ...before, name: 'el9' })
    expect(await refused('POST', '/api/images/rocky9/rename', { body })).toMatchObject({ code: 'IMAGE_UNKNOWN' })
    await addImage(test, 'rocky9', '3')
    expect(await refused('POST', '/api/images/rocky9/rename', { body })).toMatchObject({ code: 'IMAGE_EXISTS' })
    expect(await refused('POST', '/api/images/rocky9/rename', { body: { to: 'a/b' } })).toMatchObject({ status: 400 })
    expect(await refused('POST', '/api/images/el9/rename', { body: { to: 'x' }, headers })).toMatchObject({
      status: 412,
    })
  })

  it('is copied, a version or all of them', async () => {
    await addImage(test, 'rocky9', '1')
    const { version } = await addImage(test, 'rocky9', '2')
    const copy = (body: unknown) => test.send('POST', '/api/images/rocky9/copy', { body })
    const response = await copy({ to: 'one', version: 1 })
    expect([response.status, await response.json()]).toMatchObject([201, { name: 'one', current: 1, newest: 1 }])
    expect(await (await copy({ to: 'all', history: true })).json()).toMatchObject({ current: 2, newest: 2 })
    expect(await test.call('GET', '/api/images/all/versions')).toMatchObject([
      { number: 2, digest: version.digest },
      { number: 1 },
    ])
    expect((await copy({ to: 'all' })).status).toBe(409)
    expect((await copy({ to: 'more', version: 1, history: true })).status).toBe(400)
    expect((await copy({ to: 'more', version: 'nope' })).status).toBe(404)
  })

  it('shows what an edit would change without doing it', async () => {
    await addImage(test, 'rocky9', '1')
    await addImage(test, 'rocky9', '2')
    const before = await revisionNow()
    const tries: [method: string, path: string, body?: unknown][] = [
      ['PATCH', '/api/images/rocky9', { current: 1 }],
      ['POST', '/api/images/rocky9/rename', { to: 'el9' }],
      ['POST', '/api/images/rocky9/copy', { to: 'el9' }],
      ['DELETE', '/api/images/rocky9'],
    ]
    for (const [method, path, body] of tries) {
      const response = await test.send(method, `${path}?dryRun=true`, body === undefined ? {} : { body })
      const { revision, changes } = await response.json()
      expect([response.status, revision, changes.length > 0]).toEqual([200, before, true])
    }
    expect(await revisionNow()).toBe(before)
  })

  it('is not edited by who may only read', async () => {
    await addVersion(test.services.registry, tester, await versionOf('rocky9'))
    for (const [method, path] of [
      ['PATCH', ''],
      ['POST', '/rename'],
      ['POST', '/copy'],
      ['DELETE', ''],
      ['DELETE', '/versions/1'],
      ['POST', '/prune'],
      ['PUT', '/tags/t'],
      ['DELETE', '/tags/t'],
      ['POST', '/versions/1/prepare'],
    ])
      expect(await refused(method ?? '', `/api/images/rocky9${path}`, { scope: 'read' })).toMatchObject({
        code: 'TOKEN_SCOPE',
      })
  })
})
