import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { serve } from '@hono/node-server'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { currentRevision } from '../../src/registry/revisions.ts'
import { bytes } from '../archive/tar-writer.ts'
import { type SendOptions, type TestApp, testApp } from '../harness.ts'
import { basics, noise, streamOfBytes, tarOf } from '../images/small-image.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
})
afterEach(() => test.close())

const sha256 = (data: Uint8Array) => `sha256:${createHash('sha256').update(data).digest('hex')}`
const lower = tarOf(basics)
const upper = (text: string) => tarOf([{ name: 'etc/motd', data: bytes(text) }])
const archive = { 'content-type': 'application/octet-stream' }

const refused = async (method: string, path: string, options: SendOptions = {}) => {
  const response = await test.send(method, path, options)
  return { status: response.status, ...(await response.json()) }
}
const begin = async (name: string, body: object) => {
  const { id, needed } = await test.call('POST', `/api/images/${name}/imports`, { body: { whiteouts: 'oci', ...body } })
  return { path: `/api/images/${name}/imports/${id}`, needed, id }
}
const put = (path: string, position: number, body: unknown) =>
  test.send('PUT', `${path}/layers/${position}`, { body, headers: archive })

/** Begins, sends what is needed and finishes. */
async function importOf(
  name: string,
  tars: Uint8Array[],
  { finish = {}, query = '', ...body }: { finish?: object; query?: string; [field: string]: unknown } = {},
) {
  const { path, needed } = await begin(name, { layers: tars.map((tar) => ({ diffId: sha256(tar) })), ...body })
  for (const at of needed) expect((await put(path, at, tars[at])).status).toBe(204)
  const response = await test.send('POST', `${path}/finish${query}`, { body: { source: 'test', ...finish } })
  return { status: response.status, needed, path, response, ...(await response.json()) }
}

describe('an import by layers', () => {
  it('makes a version that says where it comes from', async () => {
    const made = await importOf('rocky9', [lower, upper('one')], {
      query: '?message=first',
      finish: {
        source: 'docker.io/rocky:9',
        provenance: {
          sourceDigest: sha256(bytes('manifest')),
          platform: 'linux/amd64',
          labels: { a: 'b' },
          git: { commit: 'abc', dirty: true },
        },
      },
    })
    expect(made).toMatchObject({ status: 201, needed: [0, 1], number: 1, created: true })
    expect(made.summary).toMatchObject({ architecture: 'x86_64', segments: 1, entries: 12 })
    expect(await test.call('GET', '/api/images/rocky9/versions/1')).toMatchObject({
      digest: made.digest,
      source: 'docker.io/rocky:9',
      message: 'first',
      author: 'the-edit',
      provenance: {
        platform: 'linux/amd64',
        labels: { a: 'b' },
        git: { commit: 'abc', dirty: true },
        layers: [sha256(lower), sha256(upper('one'))],
      },
    })
    const revision = Number(made.response.headers.get('x-revision'))
    expect(await test.call('GET', `/api/revisions/${revision}`)).toMatchObject({ message: 'first' })
    expect(await refused('GET', made.path)).toMatchObject({ status: 404, code: 'IMPORT_UNKNOWN' })
    expect(await test.call('GET', '/api/images/rocky9')).toMatchObject({ current: 1, newest: 1 })
  })

  it('takes plain, gzip and zstd, and checks what was said of them', async () => {
    const gzipped = gzipSync(lower)
    const packed = zstdCompressSync(upper('one'))
    const { path } = await begin('rocky9', {
      layers: [
        { digest: sha256(gzipped), diffId: sha256(lower), size: gzipped.length },
        { digest: sha256(packed), size: packed.length },
      ],
    })
    expect(await (await put(path, 0, upper('two'))).json()).toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(await test.call('GET', path)).toMatchObject({ phase: 'receiving', needed: [0, 1] })
    expect((await put(path, 0, streamOfBytes(gzipped))).status).toBe(204)
    expect(await test.call('GET', path)).toEqual({
      phase: 'receiving',
      bytes: gzipped.length,
      total: gzipped.length + packed.length,
      needed: [1],
    })
    expect(await refused('POST', `${path}/finish`, { body: { source: '' } })).toMatchObject({
      status: 409,
      code: 'IMPORT_INCOMPLETE',
      faults: [{ field: 'layers.1' }],
    })
    expect((await put(path, 1, packed)).status).toBe(204)
    expect((await test.send('POST', `${path}/finish`, { body: { source: '' } })).status).toBe(201)
  })

  it('asks only for what it does not know, and makes no version of what is there', async () => {
    const first = await importOf('rocky9', [lower, upper('one')])
    const second = await importOf('rocky9', [lower, upper('two')])
    expect(second).toMatchObject({ status: 201, needed: [1], number: 2 })
    const before = await currentRevision(test.services.registry)
    const again = await importOf('rocky9', [lower, upper('one')], { finish: { current: false } })
    expect(again).toMatchObject({ status: 200, needed: [], number: 1, created: false, digest: first.digest })
    expect(await currentRevision(test.services.registry)).toBe(before)
    expect(await test.call('GET', '/api/images/rocky9')).toMatchObject({ current: 2 })
    expect(await importOf('rocky9', [lower, upper('one')])).toMatchObject({ status: 200, needed: [], number: 1 })
    expect(await test.call('GET', '/api/images/rocky9')).toMatchObject({ current: 1, newest: 2 })
  })

  it('finds the files of a layer in versions of other images that share it', async () => {
    await importOf('rocky9', [lower, upper('one')])
    expect(await importOf('other', [lower, upper('two')])).toMatchObject({ status: 201, needed: [1], number: 1 })
  })

  it('asks for a layer again when its files are gone', async () => {
    await importOf('rocky9', [lower, upper('one')])
    await test.call('DELETE', '/api/images/rocky9')
    const { path, needed } = await begin('rocky9', { layers: [{ diffId: sha256(lower) }] })
    expect(needed).toEqual([])
    expect(await refused('POST', `${path}/finish`, { body: { source: '' } })).toMatchObject({
      status: 409,
      code: 'IMPORT_INCOMPLETE',
      faults: [{ field: 'layers.0', message: expect.stringContaining(sha256(lower)) }],
    })
    expect((await test.call('GET', path)).needed).toEqual([0])
    await put(path, 0, lower)
    expect((await test.send('POST', `${path}/finish`, { body: { source: '' } })).status).toBe(201)
  })

  it('lays layers on a version, and remembers which', async () => {
    await importOf('rocky9', [lower, upper('one')])
    const change = tarOf([
      { name: 'etc', flag: '5', mode: 0o755 },
      { name: 'etc/motd', flag: '3' },
    ])
    const made = await importOf('rocky9', [change], { base: 'rocky9', whiteouts: 'overlayfs', layers: [{}] })
    expect(made).toMatchObject({ status: 201, number: 2 })
    expect(made.summary.entries).toBe(11)
    expect(await test.call('GET', '/api/images/rocky9/versions/2')).toMatchObject({ provenance: { base: 'rocky9@1' } })
    expect(
      await refused('POST', '/api/images/rocky9/imports', {
        body: { layers: [{}], whiteouts: 'overlayfs', base: 'rocky9@7' },
      }),
    ).toMatchObject({ status: 404, code: 'IMAGE_UNKNOWN' })
  })

  it("puts the head node's users above the image's, or says what is in the way", async () => {
    const passwd = 'root:x:0:0:root:/root:/bin/sh\nmunge:x:900:900::/:/bin/false\n'
    const group = 'root:x:0:\nmunge:x:900:\n'
    const tar = tarOf([
      ...basics,
      { name: 'etc/passwd', data: bytes('root:x:0:0:root:/root:/bin/sh\nslurm:x:900:0::/:/bin/false\n') },
      { name: 'etc/group', data: bytes('root:x:0:\n') },
      { name: 'var/spool', uid: 900 },
    ])
    const syncUsers = { passwd, group }
    const refusal = await importOf('rocky9', [tar], { syncUsers: { mode: 'check', ...syncUsers } })
    expect(refusal).toMatchObject({ status: 409, code: 'SYNCUSER_CONFLICT', faults: [{ field: 'user slurm' }] })
    expect((await test.send('DELETE', refusal.path)).status).toBe(204)
    const made = await importOf('rocky9', [tar], { syncUsers: { mode: 'write', ...syncUsers } })
    expect(made.status).toBe(201)
    const file = await test.send('GET', '/api/images/rocky9/versions/1/file?path=/etc/passwd')
    expect(await file.text()).toMatch(/^root:.*\nmunge:x:900:.*\nslurm:x:999:0:.*\n$/)
  })

  it('belongs to its image, until it is given up', async () => {
    const { path, id } = await begin('rocky9', { layers: [{}] })
    for (const [method, end, body] of [
      ['GET', '', undefined],
      ['PUT', '/layers/0', lower],
      ['POST', '/finish', { source: '' }],
      ['DELETE', '', undefined],
    ] as const) {
      const options = body === lower ? { body, headers: archive } : { body }
      for (const other of [`/api/images/other/imports/${id}`, '/api/images/rocky9/imports/none'])
        expect(await refused(method, `${other}${end}`, options)).toMatchObject({ status: 404, code: 'IMPORT_UNKNOWN' })
    }
    expect((await test.send('DELETE', path)).status).toBe(204)
    expect(await refused('DELETE', path)).toMatchObject({ code: 'IMPORT_UNKNOWN' })
  })

  it('goes on after a client that broke off in the middle of a layer', async () => {
    const { path } = await begin('rocky9', { layers: [{}] })
    const server = serve({ fetch: test.app.fetch, port: 0, hostname: '127.0.0.1' })
    await once(server, 'listening')
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    await once(socket, 'connect')
    const head = [`PUT ${path}/layers/0 HTTP/1.1`, 'Host: x', `Authorization: Bearer ${test.tokens.edit}`]
    socket.write([...head, `Content-Length: ${lower.length}`, '', ''].join('\r\n'))
    socket.write(lower.subarray(0, 3000))
    await expect.poll(async () => (await test.call('GET', path)).bytes).toBe(3000)
    socket.destroy()
    expect((await put(path, 0, lower)).status).toBe(204)
    expect((await test.send('POST', `${path}/finish`, { body: { source: '' } })).status).toBe(201)
    server.close()
    expect(test.logged).toEqual([])
  })

  it.each<[string, object, string]>([
    ['no layers', { layers: [], whiteouts: 'oci' }, 'REQUEST_INVALID'],
    ['a digest that is none', { layers: [{ diffId: 'md5:x' }], whiteouts: 'oci' }, 'DIGEST_INVALID'],
    ['other whiteouts', { layers: [{}], whiteouts: 'aufs' }, 'REQUEST_INVALID'],
    ['what it does not know', { layers: [{}], whiteouts: 'oci', colour: 'red' }, 'REQUEST_INVALID'],
  ])('is not begun with %s', async (_, body, code) => {
    expect(await refused('POST', '/api/images/x/imports', { body })).toMatchObject({ status: 400, code })
    expect(await refused('POST', '/api/images/-x/imports', { body: { layers: [{}], whiteouts: 'oci' } })).toMatchObject(
      {
        code: 'NAME_INVALID',
      },
    )
    expect([...test.services.importer!.running()]).toEqual([])
  })

  it('needs the scope to edit', async () => {
    const response = await test.send('POST', '/api/images/x/imports', { scope: 'read', body: { layers: [{}] } })
    expect(response.status).toBe(403)
  })
})

const tar = (motd: string) => tarOf([...basics, { name: 'etc/motd', data: bytes(motd) }])
const upload = (name: string, body: unknown, query = '', type = 'application/x-tar') =>
  test.send('POST', `/api/images/${name}/versions${query}`, { body, headers: { 'content-type': type } })

describe('POST /api/images/{name}/versions', () => {
  it('imports a tar as it streams in, and makes the first version the current one', async () => {
    const response = await upload('rocky9', streamOfBytes(tar('one'), 1000), '?source=docker.io/rocky:9&message=first')
    expect(response.status).toBe(201)
    const made = await response.json()
    expect(made).toMatchObject({ number: 1, created: true, summary: { architecture: 'x86_64', segments: 1 } })
    expect(await test.call('GET', '/api/images/rocky9')).toMatchObject({ current: 1, newest: 1 })
    expect(await test.call('GET', '/api/images/rocky9/versions')).toMatchObject([
      { number: 1, digest: made.digest, source: 'docker.io/rocky:9', author: 'the-edit', summary: made.summary },
    ])
    const revision = Number(response.headers.get('x-revision'))
    expect(await test.call('GET', `/api/revisions/${revision}`)).toMatchObject({ message: 'first' })
    expect([...test.services.importer!.running()]).toEqual([])
  })

  it('takes gzip and zstd, and bodies that do not say what they are', async () => {
    const packed = new Uint8Array(gzipSync(tar('one')))
    const digests = [
      await (await upload('a', packed, '', 'application/gzip')).json(),
      await (await upload('b', packed, '', 'application/octet-stream')).json(),
      await (await upload('c', new Uint8Array(zstdCompressSync(tar('one'))), '', 'application/zstd')).json(),
    ].map(({ digest }) => digest)
    expect(digests[0]).toMatch(/^sha256:/)
    expect(new Set(digests).size).toBe(1)
    const response = await test.app.request('/api/images/d/versions', {
      method: 'POST',
      headers: { authorization: `Bearer ${test.tokens.edit}` },
      body: tar('one'),
    })
    expect(response.status).toBe(201)
  })

  it('makes no version of what is there already', async () => {
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
    const large = tarOf([...basics, { name: 'opt/large', data: noise(20 * 1024 * 1024) }])
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
    expect([...test.services.importer!.running()]).toEqual([])
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
      for (const [path, options] of [
        ['/api/images/x/versions', { body: tar('one'), headers: { 'content-type': 'application/x-tar' } }],
        ['/api/images/x/imports', { body: { layers: [{}], whiteouts: 'oci' } }],
      ] as const) {
        const response = await without.send('POST', path, options)
        expect([response.status, (await response.json()).code]).toEqual([501, 'UNSUPPORTED'])
      }
    } finally {
      await without.close()
    }
  })
})
