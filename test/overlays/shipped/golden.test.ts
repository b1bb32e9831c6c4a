import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { RenderedFile } from '../../../src/overlays/render.ts'
import { bootAssets, printed, textOf } from '../fixtures.ts'
import { filesOf, kinds } from './nodes.ts'

/** Overlays whose golden files are made by the networks' own tests. */
const elsewhere = [
  'NetworkManager',
  'systemd-networkd',
  'ifcfg',
  'ifupdown',
  'netplan',
  'wicked',
  'udev-names',
  'systemd-names',
]

const overlays = readdirSync(join(bootAssets, 'overlays')).filter((name) => !elsewhere.includes(name))

describe.each(overlays)('the shipped overlay %s', (overlay) => {
  it.each(kinds)('gives %s these files', async (_kind, node) => {
    const files = await filesOf([overlay], node)
    await expect(printed(files.map(shortened))).toMatchFileSnapshot(`../../golden/overlays/${overlay}/${node.name}.txt`)
  })
})

/** Scripts are the same for every node, and are read where they are; of netdevs the network overlays' golden files tell. */
function shortened(file: RenderedFile): RenderedFile {
  if (file.type !== 'file') return file
  if (file.mode === 0o755 || file.path.endsWith('.sh'))
    return { ...file, content: new TextEncoder().encode('(a script)\n') }
  if (file.path !== '/muster/debug.json') return file
  const { netdev, netdevs, primary, network, ...view } = JSON.parse(textOf(file))
  expect(netdevs).toContainEqual(primary)
  expect(Object.values(netdev)).toEqual(expect.arrayContaining(netdevs))
  expect(network).toBeDefined()
  return { ...file, content: new TextEncoder().encode(`${JSON.stringify(view, null, 2)}\n`) }
}
