/** A node's list of overlays, put together: which file is on top. */
import type { Digest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import type { OverlayManifest } from './manifest.ts'
import { type RenderMemory, renderMemory } from './memory.ts'
import { ancestors } from './path.ts'
import { type Contents, type RenderedFile, renderOverlay } from './render.ts'
import type { Names } from './template.ts'

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
 * Throws `TEMPLATE_INVALID` (see `renderOverlay`), `OVERLAY_INVALID` for a file below what another made no directory, and
 * what `Inputs` throw: then nothing is lost but time, because what cost much is remembered.
 */
export function renderOverlays(
  overlays: readonly LayeredOverlay[],
  view: Names,
  memory: RenderMemory = renderMemory(),
): RenderedFile[] {
  const files = new Map<string, RenderedFile>()
  for (const { name, layers } of overlays) {
    for (const [at, { manifest, contents, ...layer }] of layers.entries()) {
      const above = layers.slice(at + 1).map((one) => hiddenBy(one.manifest, memory))
      const entries =
        above.length === 0
          ? manifest.entries
          : manifest.entries.filter(({ path }) => !above.some((hidden) => hidden.has(path)))
      const version = layer.origin === 'site' ? layer.version : undefined
      for (const file of renderOverlay({ overlay: name, version, entries, contents }, view, memory))
        files.set(file.path, file)
    }
  }
  for (const file of files.values()) {
    for (const path of ancestors(file.path)) {
      const above = files.get(path)
      if (above && above.type !== 'directory')
        throw new AppError(
          'OVERLAY_INVALID',
          `overlay ${file.overlay}: ${file.path} lies below ${path}, which overlay ${above.overlay} ${above.type === 'removal' ? 'takes away' : `makes a ${above.type}`}`,
        )
    }
  }
  return [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

function hiddenBy(manifest: OverlayManifest, { hidden }: RenderMemory): ReadonlySet<string> {
  const known = hidden.get(manifest) ?? new Set(manifest.entries.map(({ path }) => path))
  hidden.set(manifest, known)
  return known
}
