/** Overlay archives: what a node gets beside its image, rendered when it asks. */
import type { Assets } from '../assets/assets.ts'
import type { Digest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import { type LayeredOverlay, renderOverlays } from '../overlays/layers.ts'
import { packOverlay } from '../overlays/pack.ts'
import type { RenderedFile, RenderMemory } from '../overlays/render.ts'
import type { OverlaySource } from '../overlays/store.ts'
import { buildView, type NamedSettings, type View } from '../overlays/view.ts'
import { inherit, type Member } from '../registry/inherit.ts'
import { listNodes } from '../registry/nodes.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import type { Snapshot } from '../registry/snapshot.ts'
import { bootDefaults } from './defaults.ts'
import { type BootPlan, planBoot } from './plan.ts'

/** The two lists of overlays: applied at boot, and refreshed while the node is up. */
export type OverlayList = 'system' | 'runtime'

/** An archive as a node gets it. */
export type OverlayArchive = { bytes: Uint8Array<ArrayBuffer>; digest: Digest }

/** Makes archives. */
export type OverlayArchives = {
  /** The archive of a node at the registry's revision of `snapshot`. Throws as `planBoot` and `renderOverlays` do. */
  ofNode(node: Member, list: OverlayList, snapshot: Snapshot): Promise<OverlayArchive>
  /** The files that one overlay would give a node, whether it has it or not. Throws the same. */
  filesOf(node: Member, overlay: string, snapshot: Snapshot): Promise<RenderedFile[]>
}

/** Bytes of archives that are kept; the ones that were asked for longest ago go first. */
const mostKept = 64 * 1024 * 1024

/**
 * Archives of overlays. One is rendered once per node, revision of the registry and version of the assets, also when many
 * ask at once. The list of all nodes, which some templates read, is loaded once a revision, when the first one reads it.
 */
export function overlayArchives(around: {
  registry: RegistryDatabase
  assets: Assets
  overlays: OverlaySource
  cluster: string
  url: string
}): OverlayArchives {
  const { registry, assets, overlays, cluster, url } = around
  const kept = new Map<string, { archive: Promise<OverlayArchive>; size: number }>()
  let total = 0
  const templates: RenderMemory['templates'] = new Map()
  let lists = emptyLists(-1)

  const render = async (node: Member, snapshot: Snapshot, namesIn: (plan: BootPlan) => string[]) => {
    if (lists.revision !== snapshot.revision) lists = emptyLists(snapshot.revision)
    const mine = lists
    const plan = await planBoot({ node, snapshot, overlays })
    const layers = await Promise.all(namesIn(plan).map((name) => found(overlays, name)))
    const files = (nodes: () => NamedSettings[]) =>
      renderOverlays(layers, viewOf(node, plan, snapshot, { cluster, url, nodes }), { templates, shared: mine.shared })
    return renderWithNodes(files, mine, () => allNodes(registry, snapshot))
  }

  const make = async (node: Member, list: OverlayList, snapshot: Snapshot): Promise<OverlayArchive> =>
    packOverlay(await render(node, snapshot, (plan) => plan.overlays[list].map(({ name }) => name)))

  const drop = (key: string) => {
    total -= kept.get(key)?.size ?? 0
    kept.delete(key)
  }

  /** Counts an archive once it is there, and lets the ones go that were asked for longest ago. */
  const weigh = (key: string, { bytes }: OverlayArchive) => {
    const entry = kept.get(key)
    if (!entry) return
    entry.size = bytes.length
    total += entry.size
    for (const oldest of kept.keys()) {
      if (total <= mostKept) return
      drop(oldest)
    }
  }

  return {
    ofNode(node, list, snapshot) {
      const key = `${snapshot.revision} ${assets.version()} ${list} ${node.name}`
      const known = kept.get(key)
      const entry = known ?? { archive: make(node, list, snapshot), size: 0 }
      kept.delete(key)
      kept.set(key, entry)
      if (!known)
        entry.archive.then(
          (archive) => weigh(key, archive),
          () => drop(key),
        )
      return entry.archive
    },
    filesOf: (node, overlay, snapshot) => render(node, snapshot, () => [overlay]),
  }
}

/** What overlay templates see of a node with a plan. */
export function viewOf(
  node: Member,
  plan: BootPlan,
  snapshot: Snapshot,
  { cluster, url, nodes }: { cluster: string; url: string; nodes: () => NamedSettings[] },
): View {
  const settings = inherit(node, snapshot.profiles)
  return buildView({
    node: { name: node.name, settings },
    image: plan.image,
    kernel: plan.kernel,
    root: { kind: plan.root.mode, size: plan.root.limit },
    init: plan.init,
    onFailure: plan.onFailure,
    runtimeInterval: settings.runtimeInterval ?? bootDefaults.runtimeInterval,
    cluster,
    head: { url },
    nodes,
  })
}

/** What archives of one revision share: outputs that are the same for all nodes, and the nodes themselves. */
type Lists = { revision: number; shared: Map<string, Uint8Array<ArrayBuffer>>; nodes?: Promise<NamedSettings[]> }

const emptyLists = (revision: number): Lists => ({ revision, shared: new Map() })

/** Thrown by a view whose nodes were asked for before they were loaded. */
const nodesWanted = Symbol('nodes wanted')

/** Templates cannot wait, so a rendering that turns out to want all nodes is begun again once they are there. */
async function renderWithNodes<T>(
  render: (nodes: () => NamedSettings[]) => T,
  lists: Lists,
  load: () => Promise<NamedSettings[]>,
): Promise<T> {
  try {
    const loaded = await lists.nodes
    return render(() => {
      if (!loaded) throw nodesWanted
      return loaded
    })
  } catch (error) {
    if (error !== nodesWanted) throw error
  }
  const loading = lists.nodes ?? load()
  lists.nodes = loading
  loading.catch(() => delete lists.nodes)
  const nodes = await loading
  return render(() => nodes)
}

const allNodes = async (registry: RegistryDatabase, { profiles }: Snapshot): Promise<NamedSettings[]> =>
  (await listNodes(registry)).map((node) => ({ name: node.name, settings: inherit(node, profiles) }))

async function found(overlays: OverlaySource, name: string): Promise<LayeredOverlay> {
  const overlay = await overlays.find(name)
  if (!overlay) throw new AppError('OVERLAY_UNKNOWN', `no overlay ${name}`)
  return overlay
}
