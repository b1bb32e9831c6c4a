import { describe, expect, it } from 'vitest'
import { printed } from '../fixtures.ts'
import { filesOf, kinds, networkOverlays } from './nodes.ts'

describe.each(networkOverlays)('the overlay %s', (overlay) => {
  it.each(kinds)('gives %s these files', async (_kind, node) => {
    const files = await filesOf(overlay, node)
    // Scripts are the same for every node, and are read where they are.
    const shown = files.filter((file) => file.mode !== 0o755)
    await expect(printed(shown)).toMatchFileSnapshot(`../../golden/overlays/${overlay}/${node.name}.txt`)
  })
})
