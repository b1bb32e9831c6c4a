import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createApp } from '../../src/app.ts'
import { digestOf } from '../../src/blobs/digest.ts'
import { archive, bytes, member, pax, utf8 } from '../archive/tar-writer.ts'
import { addImage, type TestApp, testApp } from '../harness.ts'
import { basics } from '../images/small-image.ts'

let test: TestApp
/** The field of a header that says when. */
const mtime = (seconds: number) => ({ 136: bytes(`${seconds.toString(8)}\0`) })
/** Larger than what is sent or read at a time. */
const large = new Uint8Array(3 * 2 ** 20).map((_, at) => (at * 7) % 251)
const release = 'ID=rocky\nPRETTY_NAME="Rocky Linux"\n'
beforeAll(async () => {
  test = await testApp()
  const tar = archive(
    ...basics.map(member),
    member({ name: 'etc/', flag: '5', mode: 0o755, raw: mtime(1_700_000_000) }),
    member({ name: 'etc/os-release', flag: '2', link: '../usr/lib/os-release' }),
    member({ name: utf8('etc/ünïcode'), data: bytes('u') }),
    member({ name: 'etc/shadow', mode: 0o600, uid: 0, gid: 42, raw: mtime(1_600_000_000), data: bytes('root:*') }),
    member({ name: 'etc/dangling', flag: '2', link: '/nowhere' }),
    member({ name: 'etc/loop', flag: '2', link: 'loop' }),
    member({ name: 'etc/outside', flag: '2', link: '../../../../../usr/lib/os-release' }),
    member({ name: 'etc-a', data: bytes('sorts between etc and etc/') }),
    member({ name: 'usr/lib/os-release', data: bytes(release) }),
    member({ name: 'usr/bin/a', mode: 0o4755, data: bytes('same') }),
    member({ name: 'usr/bin/b', flag: '1', link: 'usr/bin/a' }),
    member({ name: 'opt/empty', data: bytes('') }),
    member({ name: 'opt/large', data: large }),
    pax([['SCHILY.xattr.user.color', 'red']]),
    member({ name: 'opt/marked', data: bytes('m') }),
    member({ name: 'run/pipe', flag: '6' }),
  )
  const made = await test.send('POST', '/api/images/rocky9/versions', {
    body: tar,
    headers: { 'content-type': 'application/x-tar' },
  })
  expect(made.status).toBe(201)
})
afterAll(() => test.close())

const list = async (query = '') => (await test.call('GET', `/api/images/rocky9/versions/1/files${query}`)).items
const paths = async (query = '') => (await list(query)).map((file: { path: string }) => file.path)
const refused = async (path: string) => {
  const response = await test.send('GET', `/api/images/rocky9/versions/1/${path}`)
  return { status: response.status, ...(await response.json()) }
}

describe('GET /api/images/{name}/versions/{version}/files', () => {
  it('lists everything by path, or what is in one directory', async () => {
    const all = await paths()
    expect(all).toContain('/opt/large')
    expect(all).toEqual([...all].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
    expect(await paths('?recursive=false')).toEqual(
      ['bin', 'boot', 'etc', 'etc-a', 'lib', 'opt', 'run', 'sbin', 'usr'].map((name) => `/${name}`),
    )
    expect(await paths('?under=/etc')).toEqual([
      '/etc/dangling',
      '/etc/loop',
      '/etc/os-release',
      '/etc/outside',
      '/etc/shadow',
      '/etc/ünïcode',
    ])
    expect(await paths('?under=usr&recursive=false')).toEqual(['/usr/bin', '/usr/lib'])
    expect(await paths('?under=/usr//lib/.')).toEqual(['/usr/lib/os-release'])
  })

  it('says of an entry what a tar would', async () => {
    expect(await list('?under=/etc/shadow')).toEqual([
      {
        path: '/etc/shadow',
        type: 'file',
        mode: '0600',
        uid: 0,
        gid: 42,
        mtime: 1_600_000_000,
        size: 6,
        digest: await digestOf(bytes('root:*')),
        links: 1,
      },
    ])
    expect(await list('?under=/usr/bin')).toMatchObject([
      { path: '/usr/bin/a', mode: '4755', links: 2 },
      { path: '/usr/bin/b', mode: '4755', links: 2, digest: await digestOf(bytes('same')) },
    ])
    const [etc] = (await list('?recursive=false')).filter((file: { path: string }) => file.path === '/etc')
    expect(etc).toEqual({ path: '/etc', type: 'directory', mode: '0755', uid: 0, gid: 0, mtime: 1_700_000_000 })
    expect((await list('?under=/etc'))[2]).toMatchObject({ type: 'link', target: '../usr/lib/os-release' })
    expect(await list('?under=/opt/marked')).toMatchObject([{ xattrs: { 'user.color': btoa('red') } }])
    expect(await list('?under=/run')).toMatchObject([{ type: 'fifo' }])
  })

  it('comes in pages that are the whole together', async () => {
    const whole = await paths()
    for (const limit of [1, 3, 1000]) {
      const found: string[] = []
      let after: string | null = null
      do {
        const query: string = after === null ? '' : `&after=${encodeURIComponent(after)}`
        const page = await test.call('GET', `/api/images/rocky9/versions/1/files?limit=${limit}${query}`)
        found.push(...page.items.map((file: { path: string }) => file.path))
        after = page.next
      } while (after !== null)
      expect(found).toEqual(whole)
    }
    expect(await paths('?under=/usr&recursive=false&after=/usr/bin')).toEqual(['/usr/lib'])
    expect(await paths('?under=/etc-a&after=/etc-a')).toEqual([])
  })

  it('follows links to the place that is listed', async () => {
    expect(await paths('?under=/etc/os-release')).toEqual(['/usr/lib/os-release'])
    expect(await paths('?under=/usr/../etc/outside')).toEqual(['/usr/lib/os-release'])
  })

  it.each([
    ['/nothing', 'no /nothing in the image'],
    ['/etc/dangling', 'a symbolic link that leads nowhere'],
    ['/etc/loop', 'a symbolic link that leads nowhere'],
    ['/etc/shadow/x', 'no /etc/shadow/x'],
  ])('does not find %s', async (under, message) => {
    expect(await refused(`files?under=${under}`)).toMatchObject({
      status: 404,
      code: 'FILE_UNKNOWN',
      field: 'path',
      message: expect.stringContaining(message),
    })
  })
})

describe('GET /api/images/{name}/versions/{version}/file', () => {
  const get = (path: string, headers = {}) =>
    test.send('GET', `/api/images/rocky9/versions/1/file?path=${encodeURIComponent(path)}`, { headers })

  it.each([
    ['/etc/os-release', bytes(release)],
    ['/etc/outside', bytes(release)],
    ['opt/empty', bytes('')],
    ['/opt/large', large],
    ['/usr/bin/b', bytes('same')],
    ['/etc/ünïcode', bytes('u')],
  ])('sends %s as it is', async (path, content) => {
    const response = await get(path)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/octet-stream')
    expect(response.headers.get('content-length')).toBe(String(content.length))
    expect(Buffer.compare(Buffer.from(await response.arrayBuffer()), content)).toBe(0)
    const etag = response.headers.get('etag') ?? ''
    expect(etag).toBe(`"${await digestOf(content)}"`)
    expect((await get(path, { 'if-none-match': etag })).status).toBe(304)
  })

  it.each([
    ['/etc', 'a directory, not a file'],
    ['/', 'a directory, not a file'],
    ['/run/pipe', 'a fifo, not a file'],
    ['/etc/dangling', 'leads nowhere'],
    ['/nothing', 'no /nothing'],
  ])('says what %s is', async (path, message) => {
    expect(await refused(`file?path=${path}`)).toMatchObject({
      status: 404,
      code: 'FILE_UNKNOWN',
      message: expect.stringContaining(message),
    })
  })

  it('answers an error, not the beginning, of what it cannot read', async () => {
    const own = await testApp()
    const tar = archive(...[...basics, { name: 'etc/motd', data: bytes('hi') }].map(member))
    const headers = { 'content-type': 'application/x-tar' }
    await own.call('POST', '/api/images/x/versions', { body: tar, headers })
    const { manifest } = await own.call('GET', '/api/images/x/versions/1')
    for (const { digest } of manifest.segments) {
      const file = own.services.blobs.file?.(digest) ?? ''
      truncateSync(file, 10)
    }
    const response = await own.send('GET', '/api/images/x/versions/1/file?path=/etc/motd')
    expect({ status: response.status, ...(await response.json()) }).toMatchObject({
      status: 500,
      code: 'BLOB_CORRUPT',
      message: expect.stringContaining('muster image verify'),
    })
    await own.close()
  })
})

describe('GET /api/images/{name}/versions/{version}/export', () => {
  const exported = async () => {
    const response = await test.send('GET', '/api/images/rocky9/versions/1/export?format=tar')
    expect(response.headers.get('content-type')).toBe('application/x-tar')
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="rocky9-1.tar"')
    return new Uint8Array(await response.arrayBuffer())
  }

  it('is the same bytes each time, and imported again the same version', async () => {
    const tar = await exported()
    expect(await digestOf(await exported())).toBe(await digestOf(tar))
    const headers = { 'content-type': 'application/x-tar' }
    const again = await test.send('POST', '/api/images/rocky9/versions', { body: tar, headers })
    expect([again.status, (await again.json()).number]).toEqual([200, 1])
  })

  it('is what tar reads, in the order of the paths', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'muster-export-'))
    try {
      writeFileSync(join(folder, 'image.tar'), await exported())
      const tar = (...argv: string[]) => execFileSync('tar', ['-f', join(folder, 'image.tar'), ...argv]).toString()
      const names = tar('-t', '--quoting-style=literal').trim().split('\n')
      expect(names).toEqual(['./', ...(await list()).map(nameInTar)])
      expect(tar('-tv', '--numeric-owner', '--full-time', '--utc')).toMatch(
        /-rw------- 0\/42 +6 2020-09-13 12:26:40 etc\/shadow\n/,
      )
      expect(tar('-tv')).toMatch(/usr\/bin\/b link to usr\/bin\/a\n/)
      tar('-x', '-C', folder, '--no-same-owner')
      expect(readdirSync(join(folder, 'etc')).sort()).toContain('os-release')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  const nameInTar = ({ path, type }: { path: string; type: string }) =>
    path.slice(1) + (type === 'directory' ? '/' : '')
})

describe('what is in an image', () => {
  it('is read by any name of its version', async () => {
    const { digest } = await test.call('GET', '/api/images/rocky9/versions/1')
    await test.call('PUT', '/api/images/rocky9/tags/tested', { body: { version: 1 } })
    for (const version of ['tested', digest])
      expect((await test.call('GET', `/api/images/rocky9/versions/${version}/files?under=/etc-a`)).items).toHaveLength(
        1,
      )
  })

  it.each(['files', 'file?path=/x', 'export'])('needs a version that is there: %s', async (route) => {
    const response = await test.send('GET', `/api/images/rocky9/versions/9/${route}`)
    expect([response.status, (await response.json()).code]).toEqual([404, 'IMAGE_UNKNOWN'])
  })

  it('is not read where its index is gone', async () => {
    await addImage(test, 'hollow')
    const response = await test.send('GET', '/api/images/hollow/versions/1/files')
    expect([response.status, (await response.json()).code]).toEqual([404, 'IMAGE_UNKNOWN'])
  })

  it.each(['files', 'file?path=/x', 'export'])('is not read where there is no zstd: %s', async (route) => {
    const { openImage: _none, ...services } = test.services
    const response = await createApp(services).request(`/api/images/rocky9/versions/1/${route}`, {
      headers: { authorization: `Bearer ${test.tokens.read}` },
    })
    expect([response.status, (await response.json()).code]).toEqual([501, 'UNSUPPORTED'])
  })
})
