/** What a version changes, asked of the API and of the command line: packages, files, bytes to fetch. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bytes } from '../archive/tar-writer.ts'
import { muster } from '../cli/muster.ts'
import { type TestApp, testApp } from '../harness.ts'
import { basics, bzImage, tarOf } from '../images/small-image.ts'

let app: TestApp

/** Data that does not compress and is cut into segments of its own. */
const noise = (seed: number, size: number) => {
  const data = new Uint8Array(size)
  let state = seed
  for (let at = 0; at < size; at++) {
    // xorshift32
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    data[at] = state
  }
  return data
}

const status = (bash: string) =>
  bytes(`Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: ${bash}\n\n`)

const common = [
  ...basics,
  { name: 'usr/bin/large', mode: 0o755, data: noise(1, 900_000) },
  ...['a', 'b', 'c', 'd', 'e'].map((name, at) => ({ name: `usr/lib/${name}`, data: noise(at + 2, 900_000) })),
]
const versions = [
  [
    ...common,
    { name: 'var/lib/dpkg/status', data: status('5.2-1') },
    { name: 'etc/motd', data: bytes('hello\n') },
    { name: 'etc/gone', data: bytes('x') },
    { name: 'usr/bin/tool', mode: 0o755, data: bytes('1') },
  ],
  [
    ...common,
    { name: 'var/lib/dpkg/status', data: status('5.2-2') },
    { name: 'etc/motd', data: bytes('hello all\n'), uid: 5 },
    { name: 'opt/new/a/b', data: bytes('x') },
    { name: 'usr/bin/tool', mode: 0o4755, data: bytes('1') },
    { name: 'boot/vmlinuz-6.2.0-1-amd64', data: bzImage('6.2.0-1-amd64', 7) },
    { name: 'lib/modules/6.2.0-1-amd64', flag: '5', mode: 0o755 },
  ],
]

beforeAll(async () => {
  app = await testApp()
  for (const members of versions)
    await app.call('POST', '/api/images/rocky9/versions?source=test', {
      body: tarOf(members),
      headers: { 'content-type': 'application/x-tar' },
    })
})
afterAll(() => app.close())

describe('the difference of two versions', () => {
  it('tells packages, files and what is fetched', async () => {
    const diff = await app.call('GET', '/api/images/rocky9/versions/2/diff')
    expect(diff).toMatchObject({
      from: { image: 'rocky9', number: 1 },
      to: { image: 'rocky9', number: 2 },
      packages: [{ name: 'bash', before: ['5.2-1'], after: ['5.2-2'], change: 'upgraded' }],
      files: { added: 6, removed: 1, changed: 3, next: null },
      warnings: [],
    })
    // Four of six large files are in segments that both have; two share theirs with something that changed.
    expect(diff.transfer.totalBytes).toBeGreaterThan(6 * 900_000)
    expect(diff.transfer.bytes).toBeLessThan(2.1 * 900_000)
    expect(diff.transfer.kernelBytes).toBe(20_000)
  })

  it('can be asked for in pages, and from either side', async () => {
    const paths: string[] = []
    for (let after = ''; ; ) {
      const { files } = await app.call('GET', `/api/images/rocky9/versions/2/diff?limit=2${after}`)
      paths.push(...files.items.map(({ path }: { path: string }) => path))
      if (files.next === null) break
      after = `&after=${encodeURIComponent(files.next)}`
    }
    const back = await app.call('GET', '/api/images/rocky9/versions/1/diff?from=rocky9@2')
    expect(back.files.items.map(({ path }: { path: string }) => path)).toEqual(paths)
    expect(back.packages[0].change).toBe('downgraded')
  })

  it('is nothing between a version and itself', async () => {
    expect(await app.call('GET', '/api/images/rocky9/versions/2/diff?from=rocky9@2')).toMatchObject({
      packages: [],
      files: { added: 0, removed: 0, changed: 0, touched: 0, items: [] },
      transfer: { segments: 0, bytes: 0, kernelBytes: 0 },
    })
  })

  it('needs two versions', async () => {
    const first = await app.send('GET', '/api/images/rocky9/versions/1/diff')
    expect(await first.json()).toMatchObject({
      code: 'IMAGE_UNKNOWN',
      message: 'rocky9@1 is the oldest version of rocky9: say what to compare it with',
    })
    expect((await app.send('GET', '/api/images/rocky9/versions/2/diff?from=rocky9@9')).status).toBe(404)
  })
})

describe('muster image diff', () => {
  it('is for people', async () => {
    const { out, code } = await muster(app, ['image', 'diff', 'rocky9@1', '2'])
    expect(code).toBe(0)
    const sizes = out.replace(/fetches .* in ([0-9]+) segments/, 'fetches SOME of ALL in $1 segments')
    await expect(sizes).toMatchFileSnapshot('../golden/cli/image-diff.txt')
  })

  it('compares the current version with the one before when it is told only the image', async () => {
    const alone = await muster(app, ['image', 'diff', 'rocky9', '--packages'])
    expect(alone.out).toBe((await muster(app, ['image', 'diff', 'rocky9@1', 'rocky9@2', '--packages'])).out)
    expect(alone.out).toMatch(/^bash +amd64 +5\.2-1 +5\.2-2 +upgraded$/m)
  })

  it('compares the newest version with the current one when nodes do not get it yet', async () => {
    await app.call('PATCH', '/api/images/rocky9', { body: { current: 1 } })
    const newest = await muster(app, ['image', 'diff', 'rocky9', '--files'])
    expect(newest.out).toBe((await muster(app, ['image', 'diff', 'rocky9@1', '2', '--files'])).out)
    await app.call('PATCH', '/api/images/rocky9', { body: { current: 2 } })
  })

  it('tells a script whether they differ', async () => {
    expect(await muster(app, ['image', 'diff', 'rocky9@1', '2', '--exit-code', '--files'])).toMatchObject({
      code: 1,
      err: '',
    })
    expect((await muster(app, ['image', 'diff', 'rocky9@2', '2', '--exit-code'])).code).toBe(0)
    const { out } = await muster(app, ['image', 'diff', 'rocky9@1', '2', '--json'])
    expect(JSON.parse(out).files.items).toHaveLength(7)
  })
})
