/** A script waits a little for an image that has to be prepared first, and then says so. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createApp } from '../../src/app.ts'
import { rootIfMade, rootInTime } from '../../src/boot/root.ts'
import { AppError } from '../../src/errors.ts'
import type { CpioRoot } from '../../src/images/manifest.ts'
import type { RootArchives } from '../../src/images/root-archives.ts'
import { imageRoot, testServices } from './fixtures.ts'

const image = {
  name: 'rocky9',
  version: 4,
  digest: `sha256:${'4'.repeat(64)}` as const,
  architecture: 'x86_64' as const,
}
const root = await imageRoot('rocky9')

/** Archives of which none is made yet, and what the one being made comes to. */
function making(archive: () => Promise<CpioRoot>, progress?: { bytes: number; total: number }) {
  let asked = 0
  const roots: RootArchives = {
    find: async () => undefined,
    make() {
      asked += 1
      return archive()
    },
    progress: () => progress,
  }
  return { roots, asked: () => asked }
}

describe('the root archive of a script', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('is the one that was made, and then none is', async () => {
    const { roots, asked } = making(async () => root)
    expect(await rootInTime({ ...roots, find: async () => root })(image)).toEqual(root)
    expect(asked()).toBe(0)
  })

  it('is made when there is none', async () => {
    const { roots } = making(async () => root)
    expect(await rootInTime(roots)(image)).toEqual(root)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('is waited for no longer than a boot loader is patient, and the script says how far it is', async () => {
    const { roots } = making(() => new Promise(() => {}), { bytes: 301, total: 1000 })
    const failure = rootInTime(roots)(image).catch((error: unknown) => error)
    await vi.advanceTimersByTimeAsync(5000)
    expect(await failure).toMatchObject({
      code: 'IMAGE_PREPARING',
      message:
        'rocky9@4 is being prepared for boots in a single stage, 30 % done: `muster image prepare rocky9@4` waits for it',
    })
  })

  it('fails as its making does', async () => {
    const { roots } = making(() => Promise.reject(new AppError('BLOB_CORRUPT', 'segment sha256:1 is damaged')))
    await expect(rootInTime(roots)(image)).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
  })

  it('is not made for those who only look', async () => {
    const { roots, asked } = making(async () => root)
    await expect(rootIfMade(roots)(image)).rejects.toMatchObject({
      code: 'IMAGE_PREPARING',
      message: 'rocky9@4 is not prepared yet for boots in a single stage: `muster image prepare rocky9@4` waits for it',
    })
    expect(asked()).toBe(0)
  })
})

describe('a machine whose image is not prepared', () => {
  const mac = '52:54:00:00:00:01'

  it.each([
    [new AppError('IMAGE_PREPARING', 'rocky9@1 is being prepared, 30 % done'), 'is being prepared, 30 % done'],
    [new AppError('BLOB_CORRUPT', 'segment sha256:1 is damaged'), 'segment sha256:1 is damaged'],
  ])('is told why it cannot boot now, and asks again: %s', async (error, said) => {
    const { roots } = making(() => Promise.reject(error))
    const test = await testServices(() => ({ roots }))
    await test.seedImage('rocky9')
    await test.seedNode('n001', mac, { image: 'rocky9' })
    const response = await createApp(test.services).request(`/boot/${mac}`)
    expect(response.status).toBe(200)
    const script = await response.text()
    expect(script).toContain('n001 cannot boot now')
    expect(script).toContain(said)
    expect(script).toContain('chain --timeout 60000 --replace --autofree http://10.0.0.1:9873/boot.ipxe')
    test.close()
  })

  it('gets its script as soon as the archive is there, without an edit of the registry', async () => {
    let made = false
    const roots: RootArchives = {
      find: async () => (made ? root : undefined),
      make: async () => {
        throw new AppError('IMAGE_PREPARING', 'not yet')
      },
      progress: () => undefined,
    }
    const test = await testServices(() => ({ roots }))
    await test.seedImage('rocky9')
    await test.seedNode('n001', mac, { image: 'rocky9' })
    const app = createApp(test.services)
    const script = async () => (await app.request(`/boot/${mac}`)).text()
    expect(await script()).toContain('not yet')
    made = true
    expect(await script()).toContain(root.digest.slice('sha256:'.length))
    test.close()
  })
})
