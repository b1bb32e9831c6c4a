/** Collecting garbage, through the API: what goes, what stays, and why nothing goes when there is doubt. */
import { writeFile } from 'node:fs/promises'
import { sql } from 'drizzle-orm'
import { afterEach, describe, expect, test } from 'vitest'
import { blobsWanted } from '../../src/activity/blobs-wanted.ts'
import type { BlobStore } from '../../src/blobs/store.ts'
import { listRoots } from '../../src/registry/image-blobs.ts'
import { resolveImage } from '../../src/registry/images.ts'
import { imageLayers } from '../../src/registry/schema.ts'
import { bytesOf, describeBytes, digestOfBytes, streamOfBytes } from '../blobs/bytes.ts'
import { type CareApp, careApp, file } from './care.ts'
import { basics, tarOf } from './small-image.ts'

const apps: CareApp[] = []
const newApp = async (around?: Parameters<typeof careApp>[0]) => {
  const app = await careApp(around)
  apps.push(app)
  return app
}
afterEach(() => Promise.all(apps.splice(0).map((app) => app.close())))

const collect = (app: CareApp, how: { dryRun?: boolean; grace?: number } = {}) =>
  app.call('POST', '/api/blobs/collect', { body: how })
const small = 300_000
const [kernels, tools, data] = [file('opt/kernels', 1, small), file('opt/tools', 2, small), file('srv/data', 3, small)]

describe('a collection', () => {
  test('takes what a version alone had that was deleted, once it is old enough', async () => {
    const app = await newApp()
    await app.bring('rocky9', [kernels, tools])
    await app.bring('debian12', [kernels, data])
    const [gone, kept] = [await app.partsOf('debian12'), await app.partsOf('rocky9')]
    const own = gone.filter((digest) => !kept.includes(digest))
    expect(own.length).toBeGreaterThan(2)
    expect(gone.length).toBeGreaterThan(own.length)
    await app.call('DELETE', '/api/images/debian12')

    app.hoursLater(23)
    expect(await collect(app)).toMatchObject({ deleted: 0, bytes: 0, young: own.length })
    app.hoursLater(25)
    const sizes = await Promise.all(own.map(async (digest) => (await app.blobs.stat(digest))!.size))
    expect(await collect(app)).toEqual({
      kept: new Set(kept).size,
      young: 0,
      deleted: own.length,
      bytes: sizes.reduce((sum, size) => sum + size),
    })
    expect((await app.stored()).sort()).toEqual([...new Set(kept)].sort())
    await app.expectWhole('rocky9')
    expect(await collect(app)).toMatchObject({ deleted: 0 })
  })

  test('that is only tried names what would go, and leaves it', async () => {
    const app = await newApp()
    const { digest, size } = await app.blobs.add(streamOfBytes(bytesOf(1000)))
    app.hoursLater(25)
    const found = await collect(app, { dryRun: true })
    expect(found).toEqual({ kept: 0, young: 0, deleted: 1, bytes: size, garbage: [{ digest, size }] })
    expect(await app.stored()).toEqual([digest])
  })

  test('takes the grace that it is given, and none that is too short for an import', async () => {
    const app = await newApp()
    await app.blobs.add(streamOfBytes(bytesOf(1000)))
    app.hoursLater(2)
    expect(await collect(app, { grace: 3 * 3600 })).toMatchObject({ young: 1, deleted: 0 })
    const refused = await app.send('POST', '/api/blobs/collect', { body: { grace: 599 } })
    expect([refused.status, await refused.json()]).toMatchObject([400, { code: 'REQUEST_INVALID', field: 'grace' }])
    expect(await collect(app, { grace: 3600 })).toMatchObject({ young: 0, deleted: 1 })
  })

  test('needs a token that may edit', async () => {
    const app = await newApp()
    for (const path of ['/api/blobs/collect', '/api/blobs/verify'])
      expect((await app.send('POST', path, { scope: 'read', body: {} })).status).toBe(403)
  })

  test('spares what was used since', async () => {
    const app = await newApp()
    const blob = await app.blobs.add(streamOfBytes(bytesOf(1000)))
    app.hoursLater(0.5)
    await app.blobs.keep(blob.digest)
    expect(await collect(app, { grace: 600 })).toMatchObject({ deleted: 1 })
    await app.blobs.add(streamOfBytes(bytesOf(1000)))
    app.hoursLater(0.1)
    expect(await collect(app, { grace: 600 })).toMatchObject({ young: 1 })
  })

  test('clears what writers left long ago', async () => {
    const app = await newApp()
    const cleared: (Date | undefined)[] = []
    const clear = app.files.clearIncoming
    app.files.clearIncoming = (before) => {
      cleared.push(before)
      return clear(before)
    }
    app.hoursLater(48)
    await collect(app)
    expect(cleared).toEqual([new Date(app.services.now().getTime() - 86_400_000)])
  })
})

describe('while others work, a collection', () => {
  test('spares the base of an import, although its version is deleted, and the import ends well', async () => {
    const app = await newApp()
    await app.bring('rocky9', [kernels, tools])
    const begun = { layers: [{}], whiteouts: 'oci', base: 'rocky9@1' }
    const { id } = await app.call('POST', '/api/images/new/imports', { body: begun })
    await app.call('DELETE', '/api/images/rocky9')
    app.hoursLater(48)
    expect(await collect(app)).toMatchObject({ deleted: 0 })
    const headers = { 'content-type': 'application/octet-stream' }
    await app.call('PUT', `/api/images/new/imports/${id}/layers/0`, { body: tarOf([data]), headers })
    await app.call('POST', `/api/images/new/imports/${id}/finish`, { body: { source: 'test' } })
    await app.expectWhole('new')
  })

  test('takes nothing of an image that is imported again at this moment', async () => {
    let meanwhile = async () => {}
    const app = await newApp((files) => ({
      ...files,
      async *list(after) {
        await meanwhile() // everything is marked by now, and nothing is deleted yet
        yield* files.list(after)
      },
    }))
    await app.bring('rocky9', [kernels, tools])
    await app.call('DELETE', '/api/images/rocky9')
    await new Promise((resolve) => setTimeout(resolve, 5))
    const blobs = await app.stored()
    // Old in the eyes of the collection, and with a time of its own, so that what is put from now on is younger.
    app.hoursLater(24)
    meanwhile = async () => void (await app.bring('rocky9', [kernels, tools]))
    expect(await collect(app)).toMatchObject({ deleted: 0 })
    expect((await app.stored()).sort()).toEqual(expect.arrayContaining(blobs.sort()))
    await app.expectWhole('rocky9')
  })

  test.each([
    ['kept', (store: BlobStore) => store.keep(describeBytes(bytesOf(1000)).digest)],
    ['put', (store: BlobStore) => store.put(describeBytes(bytesOf(1000)), streamOfBytes(bytesOf(1000)))],
  ])('leaves a blob that is %s between the look at it and its deletion', async (_, use) => {
    const app = await newApp((files) => ({
      ...files,
      async delete(digest, before) {
        await use(files)
        return files.delete(digest, before)
      },
    }))
    await app.blobs.add(streamOfBytes(bytesOf(1000)))
    await new Promise((resolve) => setTimeout(resolve, 5))
    app.hoursLater(24)
    expect(await collect(app)).toMatchObject({ deleted: 0, young: 1 })
    expect(await app.blobs.check(describeBytes(bytesOf(1000)).digest)).toBe(true)
  })

  test('spares the whole version that a node is booting, also when nobody has it any more', async () => {
    const app = await newApp()
    await app.bring('rocky9', [kernels])
    await app.bring('debian12', [data])
    for (const image of ['rocky9', 'debian12']) await app.call('POST', `/api/images/${image}/versions/1/prepare`)
    const settings = { image: 'debian12', netdevs: { eth0: { mac: '52:54:00:12:34:56', primary: true } } }
    await app.call('PUT', '/api/nodes/n01', { body: { profiles: [], settings } })
    expect((await app.app.request('/boot/52:54:00:12:34:56')).status).toBe(200)
    const parts = await app.partsOf('debian12')
    const root = (await app.services.roots.find((await resolveImage(app.services.registry, 'debian12')).digest))!.digest
    await app.call('PATCH', '/api/nodes/n01', { body: { settings: { image: 'rocky9' } } })
    await app.call('DELETE', '/api/images/debian12')

    app.hoursLater(23)
    const grace = 600
    expect(await collect(app, { grace })).toMatchObject({ deleted: 0 })
    for (const digest of [...parts, root]) expect(await app.blobs.check(digest), digest).toBe(true)

    const [boot] = await app.call('GET', '/api/boot/n01/log')
    app.services.journal.record({ type: 'event', attempt: boot.id, at: new Date(), kind: 'ready', detail: {} })
    const left = await collect(app, { grace })
    expect(left.deleted).toBeGreaterThan(2)
    for (const digest of [root, ...parts.slice(0, 2)]) expect(await app.blobs.stat(digest)).toBeUndefined()
    await app.expectWhole('rocky9')
  })

  test('spares for boots what their plans name, for as long as a ticket is good', async () => {
    const app = await newApp()
    const at = new Date()
    const digests = Array.from({ length: 2500 }, (_, seed) => digestOfBytes(bytesOf(10, seed + 1)))
    for (const [index, digest] of digests.entries()) {
      const plan = { image: { digest }, kernel: { digest: digests[(index + 1) % digests.length]! } }
      const node = `n${Math.floor(index / 40)}`
      const time = new Date(at.getTime() - (digests.length - index) * 1000)
      app.services.journal.record({ type: 'attempt', id: `a${index}`, node, mac: 'aa:bb:cc:dd:ee:ff', at: time, plan })
    }
    app.services.journal.record({ type: 'event', attempt: 'a2400', at, kind: 'ready', detail: {} })
    await app.services.journal.flush()
    const wanted = await blobsWanted(app.services.activity, new Date(at.getTime() - 1200_000))
    const expected = digests.slice(1300).filter((_, index) => index + 1300 !== 2400)
    expect([...wanted.images].sort()).toEqual(expected.toSorted())
    expect(wanted.all).toContain(digests[0])
    expect(wanted.all.size).toBe(1201)
  })
})

describe('in doubt', () => {
  test.each([
    ['is missing', async (app: CareApp) => (await manifestOf(app)).remove()],
    ['is damaged', async (app: CareApp) => (await manifestOf(app)).write('{}')],
    ['is of a form that nobody knows', async (app: CareApp) => (await manifestOf(app)).change()],
  ])('nothing goes: a manifest %s', async (_, spoil) => {
    const app = await newApp()
    await app.bring('rocky9', [kernels])
    await app.bring('debian12', [data])
    await app.blobs.add(streamOfBytes(bytesOf(1000)))
    await spoil(app)
    const before = await app.stored()
    app.hoursLater(1000)
    for (const dryRun of [true, false]) {
      const refused = await app.send('POST', '/api/blobs/collect', { body: { dryRun } })
      const { code, message } = await refused.json()
      expect([refused.status, code]).toEqual([500, 'BLOB_CORRUPT'])
      expect(message).toContain('rocky9@1')
      expect(message).not.toContain('debian12')
    }
    expect(await app.stored()).toEqual(before)
    await app.call('DELETE', '/api/images/rocky9')
    expect((await collect(app)).deleted).toBeGreaterThan(0)
    await app.expectWhole('debian12')
  })

  async function manifestOf(app: CareApp) {
    const { registry } = app.services
    const { digest } = await resolveImage(registry, 'rocky9')
    return {
      remove: () => app.blobs.delete(digest),
      async write(text: string) {
        await app.blobs.delete(digest)
        await writeFile(app.files.file(digest), text)
      },
      async change() {
        const bytes = new TextEncoder().encode('{"schema":2}')
        const other = await app.blobs.add(streamOfBytes(bytes))
        await registry.batch([sql`update image_versions set digest = ${other.digest} where digest = ${digest}`])
      },
    }
  }
})

describe('what can be made again', () => {
  test('goes with its image, row and blob, and stays with it', async () => {
    const app = await newApp()
    const { registry, roots } = app.services
    await app.bring('rocky9', [kernels])
    await app.bring('debian12', [data])
    const made = new Map<string, string>()
    for (const image of ['rocky9', 'debian12'])
      made.set(image, (await roots.make((await resolveImage(registry, image)).digest)).digest)
    await app.call('DELETE', '/api/images/debian12')
    app.hoursLater(48)
    await collect(app)
    expect((await listRoots(registry)).map(({ digest }) => digest)).toEqual([made.get('rocky9')])
    expect((await app.stored()).includes(made.get('rocky9') as never)).toBe(true)
    expect((await app.stored()).includes(made.get('debian12') as never)).toBe(false)
  })

  test('of layers stays as long as a version is made of them, and for the grace after that', async () => {
    const app = await newApp()
    const { registry } = app.services
    const tar = tarOf([...basics, kernels])
    const diffId = describeBytes(tar).digest
    const bring = async () => {
      const body = { layers: [{ diffId }], whiteouts: 'oci' }
      const { id, needed } = await app.call('POST', '/api/images/rocky9/imports', { body })
      const headers = { 'content-type': 'application/octet-stream' }
      for (const at of needed)
        await app.call('PUT', `/api/images/rocky9/imports/${id}/layers/${at}`, { body: tar, headers })
      await app.call('POST', `/api/images/rocky9/imports/${id}/finish`, { body: { source: 'test' } })
      return needed
    }
    const layers = () => registry.select().from(imageLayers).all()
    expect(await bring()).toEqual([0])
    const [{ index } = { index: diffId }] = await layers()
    app.hoursLater(1000)
    await collect(app)
    expect(await layers()).toHaveLength(1)
    expect(await app.blobs.check(index)).toBe(true)
    expect(await bring()).toEqual([])

    await app.call('DELETE', '/api/images/rocky9')
    expect(await collect(app, { dryRun: true })).toMatchObject({ deleted: expect.any(Number) })
    expect(await layers()).toHaveLength(1)
    await collect(app)
    expect(await layers()).toEqual([])
    expect(await app.stored()).toEqual([])
    expect(await bring()).toEqual([0])
  })
})
