/** Which overlays of a node write a path, and which of them the node gets. */

import type { Assets } from '../assets/assets.ts'
import { directoryOf, getOverlayVersion } from '../overlays/directory.ts'
import type { LayeredOverlay, OverlayLayer } from '../overlays/layers.ts'
import { placesOf } from '../overlays/lint.ts'
import type { OverlayEntry } from '../overlays/manifest.ts'
import { matchesPattern } from '../overlays/pattern.ts'
import type { RenderedFile } from '../overlays/render.ts'
import { type OverlaySource, shippedFiles } from '../overlays/store.ts'
import type { StoredMember } from '../registry/members.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import type { Snapshot } from '../registry/snapshot.ts'
import type { OverlayArchives } from './archives.ts'
import type { BootPlan } from './plan.ts'
import type { OverlayList } from './plans.ts'

/**
 * One entry that speaks of the path. `wins`: it is what the node gets; `hidden`: something that comes later counts; `off`: it
 * makes nothing on this node. `why` says so for people. `source` and `modeFrom` are places in the overlay's directory.
 */
export type Writer = {
  list: OverlayList
  overlay: string
  /** Absent for a shipped one. */
  version?: number
  entry: OverlayEntry
  state: 'wins' | 'hidden' | 'off'
  why: string
  source: { path: string; line?: number }
  modeFrom?: { path: string; line?: number }
}

/** What is looked into. */
export type WriterSources = {
  registry: RegistryDatabase
  assets: Assets
  overlays: Pick<OverlaySource, 'find'>
  archives: Pick<OverlayArchives, 'filesOf'>
}

/** Every entry of the node's overlays that speaks of a path, in the order in which they apply. Throws as rendering does. */
export async function overlayWriters(
  sources: WriterSources,
  { node, plan, snapshot }: { node: StoredMember; plan: BootPlan; snapshot: Snapshot },
  path: string,
): Promise<Writer[]> {
  const writers: Writer[] = []
  for (const list of ['system', 'runtime'] as const) {
    for (const { name } of plan.overlays[list]) {
      const overlay = await sources.overlays.find(name)
      const candidates = overlay ? candidatesIn(overlay, path) : []
      if (!overlay || candidates.length === 0) continue
      const files = await sources.archives.filesOf(node, name, snapshot)
      for (const candidate of candidates)
        writers.push({ list, overlay: name, ...(await writerOf(sources, overlay, candidate, files, path)) })
    }
  }
  const last = writers.findLast(({ state }) => state === 'wins')
  return writers.map((writer) => {
    if (writer === last || writer.state !== 'wins') return writer
    return { ...writer, state: 'hidden', why: `${last?.overlay} comes later, in overlays.${last?.list}` }
  })
}

type Candidate = { layer: OverlayLayer; entry: OverlayEntry }

const candidatesIn = ({ layers }: LayeredOverlay, path: string): Candidate[] =>
  layers.flatMap((layer) =>
    layer.manifest.entries.filter((entry) => speaksOf(entry, path)).map((entry) => ({ layer, entry })),
  )

/** Whether an entry makes the path, might make it for some item, or takes it away with a directory above it. */
function speaksOf({ path: own, type, each }: OverlayEntry, path: string): boolean {
  if (own === path || (type === 'removal' && path.startsWith(`${own}/`))) return true
  return each !== undefined && matchesPattern(own.replace(/\{\{.*?\}\}/g, '*'), path)
}

async function writerOf(
  sources: WriterSources,
  { name, layers }: LayeredOverlay,
  { layer, entry }: Candidate,
  files: readonly RenderedFile[],
  path: string,
): Promise<Omit<Writer, 'list' | 'overlay'>> {
  const version = layer.origin === 'site' ? layer.version : undefined
  const directory =
    version === undefined
      ? await shippedFiles(sources.assets, name)
      : await directoryOf(sources.registry, await getOverlayVersion(sources.registry, name, version))
  const places = placesOf(name, directory)
  const mode = places.attributeOf(entry.path, 'mode')
  const common = {
    ...(version !== undefined && { version }),
    entry,
    source: places.fileOf(entry.path),
    ...(mode.path === 'overlay.yaml' && { modeFrom: mode }),
  }
  const above = layers
    .slice(layers.indexOf(layer) + 1)
    .find(({ manifest }) => manifest.entries.some((one) => one.path === entry.path))
  if (above?.origin === 'site')
    return { ...common, state: 'hidden', why: `the site's version ${above.version} has an entry of the same path` }
  const made = files.some(
    (file) => file.version === version && file.type === entry.type && (file.path === path || file.path === entry.path),
  )
  if (made)
    return {
      ...common,
      state: 'wins',
      why: entry.type === 'removal' ? 'it takes the path away' : 'nothing comes later',
    }
  if (entry.when !== undefined && entry.each === undefined)
    return { ...common, state: 'off', why: `its when, ${entry.when}, is not there on this node, or false or empty` }
  const asked = entry.when === undefined ? '' : ` for which ${entry.when} holds`
  return { ...common, state: 'off', why: `no item of ${entry.each} makes this name${asked}` }
}
