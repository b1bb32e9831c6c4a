/** What a boot script costs, counted: queries and renderings, never seconds. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createApp } from '../../src/app.ts'
import type { Assets } from '../../src/assets/assets.ts'
import { changeNodes } from '../../src/registry/nodes.ts'
import { queriesOf } from '../registry/statements.ts'
import { shippedAssets, type TestServices, testServices } from './fixtures.ts'

const macOf = (at: number) =>
  `52:54:00:${[16, 8, 0].map((bits) => ((at >> bits) & 255).toString(16).padStart(2, '0')).join(':')}`
const nameOf = (at: number) => `n${String(at).padStart(6, '0')}`

let test: TestServices | undefined
afterEach(async () => {
  vi.restoreAllMocks()
  await test?.close()
})

/** The app with so many nodes of one profile. */
async function cluster(nodes: number, assets: Assets = shippedAssets()) {
  test = await testServices(() => ({ assets }))
  await test.seedImage('rocky9')
  await test.seedProfile('all', { image: 'rocky9', overlays: { system: ['base', 'hostname'] } })
  const names = Array.from({ length: nodes }, (_, at) => nameOf(at))
  await changeNodes(
    test.services.registry,
    { author: 'test', at: new Date(0) },
    async () => names,
    (name) => ({ profiles: ['all'], settings: { netdevs: { default: { mac: macOf(Number(name.slice(1))) } } } }),
  )
  const app = createApp(test.services)
  const script = async (at: number) => (await app.request(`/boot/${macOf(at)}?arch=x86_64`)).text()
  return { app, script, test }
}

describe('a boot script', () => {
  it.each([10, 10_000])(
    'takes at most two queries out of %d nodes, and at most one when the machine asks again',
    async (nodes) => {
      const { script } = await cluster(nodes)
      await script(0)
      for (const at of [1, nodes - 1]) {
        const ask = async () => expect(await script(at)).toContain(`${nameOf(at)} boots rocky9@1`)
        expect(await queriesOf(ask)).toBeLessThanOrEqual(2)
        expect(await queriesOf(ask)).toBeLessThanOrEqual(1)
      }
    },
  )

  it.each([10, 10_000])('for a machine that nobody knows takes at most two queries out of %d nodes', async (nodes) => {
    const { app } = await cluster(nodes)
    const ask = async () =>
      expect(await (await app.request('/boot/02:00:00:00:00:01')).text()).toContain('nobody knows')
    await ask()
    const queries = await queriesOf(ask)
    expect(queries).toBeGreaterThan(0)
    expect(queries).toBeLessThanOrEqual(2)
  })

  it('is made once for all nodes that boot the same, and once more after an edit of any of them', async () => {
    const { script, test } = await cluster(50)
    const made = vi.spyOn(await import('../../src/overlays/template.ts'), 'renderTemplate')
    for (let at = 0; at < 50; at++) expect(await script(at)).toContain(nameOf(at))
    expect(made).toHaveBeenCalledTimes(1)
    await test.seedNode(nameOf(7), macOf(7), { kernel: { args: ['debug'] } }, ['all'])
    for (let at = 0; at < 50; at++) expect((await script(at)).includes(' debug ')).toBe(at === 7)
    // One for the forty-nine, one for the node that is now different.
    expect(made).toHaveBeenCalledTimes(3)
  })

  it('is made anew when its template changes', async () => {
    const assets = shippedAssets()
    const read: string[] = []
    let edits = 0
    const edited: Assets = {
      ...assets,
      version: () => `${assets.version()} ${edits}`,
      text: async (path) => {
        const text = await assets.text(path)
        read.push(path)
        return edits > 0 && path === 'ipxe/default.ipxe' ? text?.replace('boots {{image', 'starts {{image') : text
      },
    }
    const { script } = await cluster(2, edited)
    for (const at of [0, 1, 0]) expect(await script(at)).toContain('boots rocky9@1')
    edits++
    for (const at of [0, 1, 0]) expect(await script(at)).toContain('starts rocky9@1')
    expect(read.filter((path) => path === 'ipxe/default.ipxe')).toHaveLength(2)
  })

  it('that cannot be made names the node that asked, also when many ask at once', async () => {
    const { script, test } = await cluster(3)
    await test.seedProfile('all', { image: 'gone' })
    const scripts = await Promise.all([0, 1, 2].map(script))
    for (const [at, text] of scripts.entries()) expect(text).toContain(`${nameOf(at)}: no image gone`)
  })
})

describe('an overlay archive', () => {
  it('is packed once however many ask at once, and again only when an edit changes it', async () => {
    const { app, script, test } = await cluster(3)
    const made = vi.spyOn(await import('../../src/overlays/pack.ts'), 'packOverlay')
    const attempt = /\/boot\/[0-9a-f:]+\/[0-9a-f]{32}/.exec(await script(0))?.[0]
    const fetchAll = () =>
      Promise.all(Array.from({ length: 20 }, async () => (await app.request(`${attempt}/system.cpio`)).arrayBuffer()))
    const sizes = (await fetchAll()).map((body) => body.byteLength)
    expect(new Set(sizes).size).toBe(1)
    expect(made).toHaveBeenCalledTimes(1)
    await test.seedProfile('other', {})
    await fetchAll()
    expect(made).toHaveBeenCalledTimes(1)
    await test.seedNode(nameOf(0), macOf(0), { onFailure: 'shell' }, ['all'])
    await fetchAll()
    expect(made).toHaveBeenCalledTimes(2)
  })

  it('loads the list of all nodes once, and only when a template reads it', async () => {
    const { app, script, test } = await cluster(200)
    const listed = vi.spyOn(await import('../../src/registry/nodes.ts'), 'listNodes')
    const fetchOf = async (at: number) => {
      const attempt = /\/boot\/[0-9a-f:]+\/[0-9a-f]{32}/.exec(await script(at))?.[0]
      expect((await app.request(`${attempt}/system.cpio`)).status).toBe(200)
    }
    await Promise.all([0, 1, 2].map(fetchOf))
    expect(listed).toHaveBeenCalledTimes(0)
    await test.seedProfile('all', { image: 'rocky9', overlays: { system: ['base', 'hosts'] } })
    await Promise.all([0, 1, 2].map(fetchOf))
    expect(listed).toHaveBeenCalledTimes(1)
  })
})
