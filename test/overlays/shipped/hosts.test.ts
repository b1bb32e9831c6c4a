import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { renderOverlays } from '../../../src/overlays/layers.ts'
import { renderMemory } from '../../../src/overlays/memory.ts'
import { buildView } from '../../../src/overlays/view.ts'
import { bonded, infiniband, inputOf, plain, shippedOverlay, textOf } from '../fixtures.ts'
import { anyNodes } from '../settings.ts'

describe('the hosts overlay', () => {
  it('has one line for each address, and nothing but addresses and names', async () => {
    const hosts = await shippedOverlay('hosts')
    fc.assert(
      fc.property(anyNodes, (nodes) => {
        const [first] = nodes
        if (!first) throw new Error('there is a node')
        const text = textOf(renderOverlays([hosts], buildView(inputOf(first, nodes)))[0])
        const lines = text.split('\n')
        const addresses = nodes.flatMap(({ settings }) =>
          Object.values(settings.netdevs ?? {})
            .flatMap(({ address, address6 }) => [address, address6])
            .filter(Boolean),
        )
        expect(lines).toHaveLength(4 + addresses.length + 1)
        expect(lines.pop()).toBe('')
        // hosts(5): an address, then names.
        for (const line of lines.slice(1)) expect(line).toMatch(/^[0-9a-f.:]+(?: [A-Za-z0-9._-]+)+$/)
      }),
    )
  })

  it('reads the settings of each node equally often however many nodes there are', async () => {
    const hosts = await shippedOverlay('hosts')
    const readsPerNode = (count: number) => {
      let reads = 0
      const nodes = Array.from({ length: count }, (_, at) => ({
        name: `n${at}`,
        get settings() {
          reads++
          return plain.settings
        },
      }))
      const text = textOf(renderOverlays([hosts], buildView(inputOf(plain, nodes)))[0])
      expect(text.split('\n')).toHaveLength(4 + count + 1)
      return reads / count
    }
    expect(readsPerNode(2000)).toBe(readsPerNode(100))
  })

  it('is rendered once for all nodes', async () => {
    const hosts = await shippedOverlay('hosts')
    const memory = renderMemory()
    const outputs = [plain, bonded, infiniband].map(
      (node) => renderOverlays([hosts], buildView(inputOf(node)), memory)[0],
    )
    expect(memory.renders).toBe(1)
    expect(new Set(outputs.map((file) => file?.type === 'file' && file.content)).size).toBe(1)
  })
})
