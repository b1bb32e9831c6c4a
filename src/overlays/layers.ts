/** A node's list of overlays, put together: which file is on top. */
import type { Digest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import type { OverlayManifest } from './manifest.ts'
import { ancestors } from './path.ts'
import { type Contents, type Names, type RenderedFile, type RenderMemory, renderOverlay } from './render.ts'

/** One origin of an overlay: the files that came with Muster, or a version that the site pushed. */
export type OverlayLayer = { manifest: OverlayManifest; contents: Contents } & (
  | { origin: 'shipped' }
  | { origin: 'site'; version: number }
)

/** An overlay with its layers, the shipped one below. The digest names what all layers say. */
export type LayeredOverlay = { name: string; layers: OverlayLayer[]; digest: Digest }

/**
 * The files of a node's overlays, by path. Of two overlays with the same path the later one's file counts; within an
 * overlay an entry of the site hides the shipped entry of the same path, also when its `when` keeps it from this node.
 * Throws `TEMPLATE_INVALID` (see `renderOverlay`), and `OVERLAY_INVALID` for a file below what another made no directory.
 */
export function renderOverlays(
  overlays: readonly LayeredOverlay[],
  view: Names,
  memory: RenderMemory = { templates: new Map() },
): RenderedFile[] {
  const files = new Map<string, RenderedFile>()
  for (const { name, layers } of overlays) {
    for (const [at, layer] of layers.entries()) {
      const hidden = new Set(layers.slice(at + 1).flatMap(({ manifest }) => manifest.entries.map(({ path }) => path)))
      const entries = layer.manifest.entries.filter(({ path }) => !hidden.has(path))
      for (const file of renderOverlay(name, { entries }, layer.contents, view, memory))
        files.set(file.path, layer.origin === 'site' ? { ...file, version: layer.version } : file)
    }
  }
  for (const file of files.values()) {
    for (const path of ancestors(file.path)) {
      const above = files.get(path)
      if (above && above.type !== 'directory')
        throw new AppError(
          'OVERLAY_INVALID',
          `overlay ${file.overlay}: ${file.path} lies below ${path}, which overlay ${above.overlay} makes a ${above.type}`,
        )
    }
  }
  return [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}
