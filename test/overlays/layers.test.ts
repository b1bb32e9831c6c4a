import { describe, expect, it } from 'vitest'
import type { LayeredOverlay } from '../../src/overlays/layers.ts'
import { renderOverlays } from '../../src/overlays/layers.ts'
import { overlayOf, textOf } from './fixtures.ts'

/** A shipped overlay with a site's version above it. */
async function shadowed(
  name: string,
  shipped: Record<string, string>,
  site: Record<string, string>,
): Promise<LayeredOverlay> {
  const [below, above] = [await overlayOf(name, shipped), await overlayOf(name, site)]
  const layers = above.layers.map((layer) => ({ ...layer, origin: 'site' as const, version: 4 }))
  return { ...below, layers: [...below.layers, ...layers] }
}

const summary = (overlays: LayeredOverlay[], view = {}) =>
  renderOverlays(overlays, view).map((file) => [file.path, textOf(file), file.overlay, file.version])

describe('the overlays of a node', () => {
  it('give the later one of two files with the same path', async () => {
    const first = await overlayOf('first', { 'files/both': '1', 'files/one': '1' })
    const second = await overlayOf('second', { 'files/both': '2', 'files/two': '2' })
    expect(summary([first, second])).toEqual([
      ['/both', '2', 'second', undefined],
      ['/one', '1', 'first', undefined],
      ['/two', '2', 'second', undefined],
    ])
    expect(summary([second, first])[0]).toEqual(['/both', '1', 'first', undefined])
  })

  it('have the site above the shipped overlay of the same name, file by file', async () => {
    const overlay = await shadowed(
      'o',
      { 'files/a': 'shipped', 'files/b': 'shipped' },
      { 'files/b': 'site', 'files/c': 'site' },
    )
    expect(summary([overlay])).toEqual([
      ['/a', 'shipped', 'o', undefined],
      ['/b', 'site', 'o', 4],
      ['/c', 'site', 'o', 4],
    ])
  })

  it('hide a shipped file also where the one of the site does not apply', async () => {
    const when = { 'overlay.yaml': 'files: { /a: { when: tags.gpu } }', 'files/a': 'site' }
    const overlay = await shadowed('o', { 'files/a': 'shipped' }, when)
    expect(summary([overlay])).toEqual([])
    expect(summary([overlay], { tags: { gpu: 'yes' } })).toEqual([['/a', 'site', 'o', 4]])
  })

  it('do not render what is hidden', async () => {
    const overlay = await shadowed('o', { 'files/a.mustache': '{{unknown}}' }, { 'files/a': 'site' })
    expect(summary([overlay])).toEqual([['/a', 'site', 'o', 4]])
  })

  it('are refused when one has a file below what another makes a file', async () => {
    const [first, second] = [
      await overlayOf('first', { 'files/a': '' }),
      await overlayOf('second', { 'files/a/b': '' }),
    ]
    expect(() => renderOverlays([first, second], {})).toThrow(
      expect.objectContaining({
        code: 'OVERLAY_INVALID',
        message: 'overlay second: /a/b lies below /a, which overlay first makes a file',
      }),
    )
  })

  it('give nothing when there are none', () => {
    expect(renderOverlays([], {})).toEqual([])
  })
})
