/** Verifying blobs, through the API: what is found, what is never served again, and how it is made good. */
import { truncate, writeFile } from 'node:fs/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Digest, hexOf } from '../../src/blobs/digest.ts'
import { readManifest } from '../../src/images/read-manifest.ts'
import type { Verification } from '../../src/images/verify.ts'
import { resolveImage } from '../../src/registry/images.ts'
import { imageLayers, rootArchives } from '../../src/registry/schema.ts'
import { all, bytesOf, describeBytes, read, streamOfBytes } from '../blobs/bytes.ts'
import { type CareApp, careApp, file } from './care.ts'
import { basics, tarOf } from './small-image.ts'

const apps: CareApp[] = []
const newApp = async (around?: Parameters<typeof careApp>[0]) => {
  const app = await careApp(around)
  apps.push(app)
  return app
}
afterEach(() => Promise.all(apps.splice(0).map((app) => app.close())))

const verify = (app: CareApp, how: object = {}): Promise<Verification> =>
  app.call('POST', '/api/blobs/verify', { body: how })
const served = async (app: CareApp, digest: Digest) => {
  const response = await app.app.request(`/blobs/sha256/${hexOf(digest)}`)
  await response.body?.cancel()
  return response.status
}
const small = 300_000
const [kernels, tools, data] = [file('opt/kernels', 1, small), file('opt/tools', 2, small), file('srv/data', 3, small)]

/** Blobs of the version, by what they are. */
async function parts(app: CareApp, reference: string) {
  const { digest } = await resolveImage(app.services.registry, reference)
  const manifest = (await readManifest(app.blobs, digest))!
  return {
    manifest: digest,
    index: manifest.index.digest,
    segment: manifest.segments[0]!.digest,
    kernel: manifest.kernels[0]!.digest,
  }
}

const damages = {
  'a flipped bit': async (app: CareApp, digest: Digest) => {
    const bytes = await read(await app.blobs.open(digest))
    const at = Math.floor(bytes.length / 2)
    await app.blobs.delete(digest)
    await writeFile(app.files.file(digest), bytes.with(at, bytes[at]! ^ 1))
  },
  'an end that is missing': async (app: CareApp, digest: Digest) => {
    const bytes = await read(await app.blobs.open(digest))
    await app.blobs.delete(digest)
    await writeFile(app.files.file(digest), bytes)
    await truncate(app.files.file(digest), bytes.length - 1)
  },
  'nothing in it': async (app: CareApp, digest: Digest) => {
    await app.blobs.delete(digest)
    await writeFile(app.files.file(digest), '')
  },
}

describe('verifying', () => {
  test('finds nothing wrong with what is whole', async () => {
    const app = await newApp()
    await app.bring('rocky9', [kernels, tools])
    const sizes = (await all(app.blobs.list())).map(({ size }) => size)
    const bytes = sizes.reduce((sum, size) => sum + size)
    expect(await verify(app)).toEqual({ checked: sizes.length, bytes, bad: [] })
  })

  test('goes on where it stopped, and looks at every blob once', async () => {
    const looked: Digest[] = []
    const app = await newApp((files) => ({
      ...files,
      check(digest, pace) {
        looked.push(digest)
        return files.check(digest, pace)
      },
    }))
    await app.bring('rocky9', [kernels, tools, data])
    const lost = (await parts(app, 'rocky9')).segment
    await app.blobs.delete(lost)
    const found: Verification = { checked: 0, bytes: 0, bad: [] }
    let steps = 0
    for (let after: Digest | undefined; ; steps++) {
      const step = await verify(app, { bytes: 1, ...(after && { after }) })
      expect(step.checked).toBeLessThanOrEqual(1)
      found.checked += step.checked
      found.bad.push(...step.bad)
      after = step.next
      if (!after) break
    }
    expect(looked).toEqual([...(await app.stored()), lost].sort())
    expect(found.checked).toBe((await app.stored()).length)
    expect(found.bad).toMatchObject([{ digest: lost, fault: 'missing' }])
    expect(steps).toBeGreaterThan(4)
  })

  describe.each(['manifest', 'index', 'segment', 'kernel'] as const)('a %s', (part) => {
    test.each(Object.entries(damages))(
      'with %s is never served again, until it is imported anew',
      async (_, damage) => {
        const app = await newApp()
        await app.bring('rocky9', [kernels, tools])
        await app.call('POST', '/api/images/rocky9/copy', { body: { to: 'other' } })
        await app.bring('debian12', [data])
        const digest = (await parts(app, 'rocky9'))[part]
        const shared = Object.values(await parts(app, 'debian12')).includes(digest)
        expect(await served(app, digest)).toBe(200)
        await damage(app, digest)

        const { bad } = await verify(app)
        expect(bad).toEqual([
          {
            digest,
            fault: 'wrong',
            part,
            versions: [...(shared ? ['debian12@1'] : []), 'other@1', 'rocky9@1'],
            quarantined: true,
          },
        ])
        expect(await served(app, digest)).toBe(404)
        // From now on it is missing, which is told until it is there again.
        expect((await verify(app)).bad).toMatchObject([{ digest, fault: 'missing', part, quarantined: false }])

        expect(await app.bring('rocky9', [kernels, tools])).toBe(1)
        expect(await served(app, digest)).toBe(200)
        expect((await verify(app)).bad).toEqual([])
        await app.expectWhole('rocky9')
      },
    )

    test('that is missing is told with the versions that it hurts', async () => {
      const app = await newApp()
      await app.bring('rocky9', [kernels])
      const digest = (await parts(app, 'rocky9'))[part]
      await app.blobs.delete(digest)
      const fault = { digest, fault: 'missing', part, versions: ['rocky9@1'], quarantined: false }
      expect((await verify(app)).bad).toEqual([fault])
      expect((await verify(app, { image: 'rocky9@1' })).bad).toEqual([fault])
    })
  })

  test('of one version looks at nothing else', async () => {
    const app = await newApp()
    await app.bring('rocky9', [kernels, tools])
    await app.bring('debian12', [data])
    const [mine, others] = [await parts(app, 'rocky9'), await parts(app, 'debian12')]
    await damages['a flipped bit'](app, others.segment)
    const { checked, bad } = await verify(app, { image: 'rocky9' })
    expect([checked, bad]).toEqual([new Set(await app.partsOf('rocky9')).size, []])
    await damages['a flipped bit'](app, mine.segment)
    expect((await verify(app, { image: 'rocky9@1' })).bad).toMatchObject([{ digest: mine.segment }])
    const refused = await app.send('POST', '/api/blobs/verify', { body: { image: 'rocky9@7' } })
    expect([refused.status, (await refused.json()).code]).toEqual([404, 'IMAGE_UNKNOWN'])
  })

  test.each(['a flipped bit', 'being missing'] as const)(
    'drops a root archive for %s, and it is made again',
    async (how) => {
      const app = await newApp()
      const { registry, roots } = app.services
      await app.bring('rocky9', [kernels])
      const { digest: image } = await resolveImage(registry, 'rocky9')
      const { digest } = await roots.make(image)
      if (how === 'being missing') await app.blobs.delete(digest)
      else await damages[how](app, digest)
      expect((await verify(app, { image: 'rocky9' })).bad).toMatchObject([
        { digest, part: 'root archive', versions: ['rocky9@1'], quarantined: how !== 'being missing' },
      ])
      expect(await registry.select().from(rootArchives).all()).toEqual([])
      expect(await served(app, digest)).toBe(404)
      expect((await roots.make(image)).digest).toBe(digest)
      expect((await verify(app)).bad).toEqual([])
    },
  )

  test('forgets a layer whose entries are damaged, so that it is sent again', async () => {
    const app = await newApp()
    const tar = tarOf([...basics, kernels])
    const body = { layers: [{ diffId: describeBytes(tar).digest }], whiteouts: 'oci' }
    const { id } = await app.call('POST', '/api/images/rocky9/imports', { body })
    const headers = { 'content-type': 'application/octet-stream' }
    await app.call('PUT', `/api/images/rocky9/imports/${id}/layers/0`, { body: tar, headers })
    await app.call('POST', `/api/images/rocky9/imports/${id}/finish`, { body: { source: 'test' } })
    const rows = () => app.services.registry.select().from(imageLayers).all()
    const { index } = (await rows())[0]!
    await damages['a flipped bit'](app, index)
    expect((await verify(app)).bad).toEqual([
      { digest: index, fault: 'wrong', part: 'layer', versions: [], quarantined: true },
    ])
    expect(await rows()).toEqual([])
    expect((await app.call('POST', '/api/images/rocky9/imports', { body })).needed).toEqual([0])
  })

  test('takes away what is damaged and hurts nobody', async () => {
    const app = await newApp()
    const { digest } = await app.blobs.add(streamOfBytes(bytesOf(1000)))
    await damages['a flipped bit'](app, digest)
    expect((await verify(app)).bad).toEqual([
      { digest, fault: 'wrong', part: 'unused', versions: [], quarantined: true },
    ])
    expect(await verify(app)).toEqual({ checked: 0, bytes: 0, bad: [] })
  })

  test('does not miss what was deleted with its version meanwhile', async () => {
    let meanwhile = async () => {}
    const app = await newApp((files) => ({
      ...files,
      async *list(after) {
        await meanwhile()
        yield* files.list(after)
      },
    }))
    await app.bring('rocky9', [kernels])
    await app.bring('debian12', [data])
    const { segment } = await parts(app, 'rocky9')
    const lost = (await parts(app, 'debian12')).segment
    await app.blobs.delete(lost)
    meanwhile = async () => {
      await app.call('DELETE', '/api/images/rocky9')
      await app.blobs.delete(segment)
    }
    expect((await verify(app)).bad.map(({ digest }) => digest)).toEqual([lost])
  })

  test('reads no faster than it is told to', async () => {
    const app = await newApp()
    for (const seed of [1, 2, 3]) await app.blobs.add(streamOfBytes(bytesOf(2_000_000, seed)))
    vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] })
    try {
      const begun = performance.now()
      let done = false
      const verifying = verify(app, { rate: 1_000_000 }).finally(() => {
        done = true
      })
      while (!done) {
        await new Promise(setImmediate)
        if (vi.getTimerCount() > 0) vi.advanceTimersToNextTimer()
      }
      expect((await verifying).bytes).toBe(6_000_000)
      expect(performance.now() - begun).toBeGreaterThanOrEqual(6000)
      expect(performance.now() - begun).toBeLessThan(6100)
    } finally {
      vi.useRealTimers()
    }
  })

  test('lets others in between, again and again', async () => {
    const app = await newApp()
    await app.blobs.add(streamOfBytes(bytesOf(40_000_000), 1_000_000))
    let done = false
    let turns = 0
    const verifying = verify(app, { rate: 2 ** 36 }).finally(() => {
      done = true
    })
    while (!done) {
      await new Promise(setImmediate)
      turns += 1
    }
    expect((await verifying).checked).toBe(1)
    expect(turns).toBeGreaterThan(100)
  })
})
