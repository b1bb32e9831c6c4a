/** What a node boots, from settings, images and overlays; and what it says when it cannot. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/blobs/digest.ts'
import { explainBoot } from '../../src/boot/explain.ts'
import { type BootPlan, planBoot } from '../../src/boot/plan.ts'
import { overlaySource } from '../../src/overlays/store.ts'
import { setCurrent } from '../../src/registry/images.ts'
import { getNode } from '../../src/registry/nodes.ts'
import { pushOverlay } from '../../src/registry/overlays.ts'
import type { Settings } from '../../src/registry/settings.ts'
import { createSnapshots } from '../../src/registry/snapshot.ts'
import { imageManifest, type TestServices, testServices } from './fixtures.ts'

let test: TestServices
beforeEach(async () => {
  test = await testServices()
  await test.seedImage('rocky9')
})
afterEach(() => test.close())

const mac = '52:54:00:00:00:01'
const editor = { author: 'test', at: new Date(0) }

const defaultOverlays = {
  system: ['base', 'client', 'hostname', 'systemd-networkd', 'NetworkManager', 'ssh-host-keys'],
  runtime: ['hosts', 'ssh-authorized-keys'],
}

const planOf = async (name: string): Promise<BootPlan> => {
  const { registry } = test.services
  const overlays = overlaySource(test.services)
  return planBoot({ node: await getNode(registry, name), snapshot: await createSnapshots(registry)(), overlays })
}
const planWith = async (settings: Settings, profiles: string[] = []): Promise<BootPlan> => {
  await test.seedNode('n001', mac, settings, profiles)
  return planOf('n001')
}

describe('a plan', () => {
  it('needs no more than an image', async () => {
    const manifest = await imageManifest('rocky9')
    const plan = await planWith({ image: 'rocky9' })
    expect(plan).toMatchObject({
      node: 'n001',
      revision: 2,
      image: { name: 'rocky9', version: 1, architecture: 'x86_64' },
      kernel: manifest.kernels[0],
      root: { mode: 'initramfs' },
      args: [],
      init: '/sbin/init',
      script: 'default',
      onFailure: 'retry',
      warnings: [],
    })
    expect(plan.root).not.toHaveProperty('limit')
    expect(plan.overlays.system.map(({ name }) => name)).toEqual(defaultOverlays.system)
    expect(plan.overlays.runtime.map(({ name }) => name)).toEqual(defaultOverlays.runtime)
  })

  it('says of a default that it is one, and of a setting whose it is', async () => {
    await test.seedProfile('all', { image: 'rocky9', onFailure: 'shell' })
    await test.seedNode('n001', mac, { onFailure: null, init: '/sbin/other' }, ['all'])
    const node = await getNode(test.services.registry, 'n001')
    const explained = explainBoot(node, (await createSnapshots(test.services.registry)()).profiles)
    expect(explained.filter(({ field }) => !field.startsWith('netdevs'))).toEqual([
      { field: 'image', value: 'rocky9', from: ['profile:all'], hidden: [] },
      { field: 'init', value: '/sbin/other', from: ['node:n001'], hidden: [] },
      { field: 'onFailure', value: 'retry', from: ['default'], hidden: [{ from: 'profile:all', value: 'shell' }] },
      { field: 'overlays.runtime', value: defaultOverlays.runtime, from: ['default'], hidden: [] },
      { field: 'overlays.system', value: defaultOverlays.system, from: ['default'], hidden: [] },
      { field: 'root.kind', value: 'initramfs', from: ['default'], hidden: [] },
      { field: 'runtimeInterval', value: 60, from: ['default'], hidden: [] },
      { field: 'script', value: 'default', from: ['default'], hidden: [] },
    ])
  })

  it('has the version of the image that is asked for, and the current one otherwise', async () => {
    await test.seedImage('rocky9', { entries: 1 })
    expect((await planWith({ image: 'rocky9' })).image.version).toBe(2)
    expect((await planWith({ image: 'rocky9@1' })).image.version).toBe(1)
    await setCurrent(test.services.registry, editor, 'rocky9', 1)
    expect((await planWith({ image: 'rocky9' })).image.version).toBe(1)
  })

  it('has the kernel that the version asked for means', async () => {
    expect((await planWith({ image: 'rocky9', kernel: { version: '5.14' } })).kernel.version).toBe('5.14.0-570.el9')
  })

  it('takes the first root kind of an order that this release boots, and says what it passed over', async () => {
    const plan = await planWith({ image: 'rocky9', root: { kind: ['disk', 'zram', 'tmpfs', 'initramfs'], size: '8G' } })
    expect(plan.root).toMatchObject({ mode: 'tmpfs', limit: '8G' })
    expect(plan.warnings).toEqual([
      'root.kind disk, zram was passed over for tmpfs: this release boots initramfs and tmpfs',
    ])
  })

  it('warns when the image has to bring its own /init, and passes on what the import warned of', async () => {
    await test.seedImage('old', { warnings: ['carries 3 file capabilities but no setfattr'] })
    expect((await planWith({ image: 'old', overlays: { system: ['hostname'] } })).warnings).toEqual([
      'the overlay base is not among the system overlays: the image must bring its own /init',
      'carries 3 file capabilities but no setfattr',
    ])
  })

  it('names the version of an overlay that the site has pushed', async () => {
    await pushOverlay(test.services.registry, editor, {
      name: 'slurm',
      manifest: { entries: [] },
      sources: [],
      contents: new Map(),
    })
    const plan = await planWith({ image: 'rocky9', overlays: { system: ['base'], runtime: ['slurm'] } })
    expect(plan.overlays.system[0]).toEqual({ name: 'base', digest: expect.stringMatching(/^sha256:/) })
    expect(plan.overlays.runtime[0]).toMatchObject({ name: 'slurm', version: 1 })
  })

  it('changes its overlay digest when the overlay changes, and not otherwise', async () => {
    const push = async (description: string) =>
      pushOverlay(test.services.registry, editor, {
        name: 'slurm',
        manifest: { description, entries: [] },
        sources: [],
        contents: new Map([[await digestOf(new Uint8Array()), new Uint8Array()]]),
      })
    const settings: Settings = { image: 'rocky9', overlays: { system: ['base', 'slurm'] } }
    await push('one')
    const [before, again] = [await planWith(settings), await planWith({ ...settings, description: 'x' })]
    await push('two')
    const after = await planOf('n001')
    expect(again.overlays).toEqual(before.overlays)
    expect(after.overlays.system[0]).toEqual(before.overlays.system[0])
    expect(after.overlays.system[1]?.digest).not.toBe(before.overlays.system[1]?.digest)
  })
})

describe('no plan', () => {
  it.each<[string, Settings, string, string]>([
    ['without an image', {}, 'PLAN_IMPOSSIBLE', 'n001 has no image: set one with `muster node set n001 --image NAME`'],
    ['with an image that is not there', { image: 'x' }, 'IMAGE_UNKNOWN', 'n001: no image x: import it'],
    ['with a version that is not there', { image: 'rocky9@7' }, 'IMAGE_UNKNOWN', 'n001: image rocky9 has no version 7'],
    [
      'with a kernel that is not there',
      { image: 'rocky9', kernel: { version: '7' } },
      'PLAN_IMPOSSIBLE',
      'n001: image rocky9@1 has no kernel 7: there is 6.12.0-55.el10',
    ],
    [
      'with root kinds of later releases',
      { image: 'rocky9', root: { kind: ['disk', 'zram'] } },
      'PLAN_IMPOSSIBLE',
      'n001 has root.kind disk, zram, and this release boots initramfs and tmpfs: add one of them',
    ],
    ['in two stages', { image: 'rocky9', stages: 2 }, 'PLAN_IMPOSSIBLE', 'n001 has stages: 2, and this release'],
    [
      'with an overlay of its own that is not there',
      { image: 'rocky9', overlays: { system: ['base', 'slrum'] } },
      'OVERLAY_UNKNOWN',
      'n001 has no overlay slrum, which stands in its own overlays.system',
    ],
  ])('is made %s, and the refusal says what to do', async (_, settings, code, message) => {
    await expect(planWith(settings)).rejects.toMatchObject({ code, message: expect.stringContaining(message) })
  })

  it('is made with an overlay of a profile that is not there', async () => {
    await test.seedProfile('gpu', { overlays: { runtime: ['cuda'] } })
    await expect(planWith({ image: 'rocky9' }, ['gpu'])).rejects.toMatchObject({
      code: 'OVERLAY_UNKNOWN',
      message: "n001 has no overlay cuda, which stands in profile gpu's overlays.runtime",
      field: 'overlays.runtime',
    })
  })

  it('is made when the registry cannot be read, and that is not told as something missing', async () => {
    await test.seedNode('n001', mac, { image: 'rocky9' })
    const { registry } = test.services
    const [node, snapshot] = [await getNode(registry, 'n001'), await createSnapshots(registry)()]
    const find = async () => {
      throw new Error('disk I/O error')
    }
    await expect(planBoot({ node, snapshot, overlays: { find } })).rejects.toThrow('disk I/O error')
  })
})
