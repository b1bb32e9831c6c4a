/** What a node gets beside its image, rendered when it asks: trees of overlay files, and the archives that are made of them. */
import type { Pieces } from '../archive/pieces.ts'
import type { Digest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import type { LayeredOverlay } from '../overlays/layers.ts'
import { packOverlay } from '../overlays/pack.ts'
import type { RenderedFile } from '../overlays/render.ts'
import { type OverlaySource, overlaySource } from '../overlays/store.ts'
import { contentDigests, type OverlayTree, treeOf } from '../overlays/tree.ts'
import type { StoredMember } from '../registry/members.ts'
import { secretsStamp } from '../registry/node-secrets.ts'
import type { Snapshot } from '../registry/snapshot.ts'
import type { Services } from '../services.ts'
import { allNodes } from './all-nodes.ts'
import { lru } from './lru.ts'
import { type OverlayList, type Planned, sharedPlans } from './plans.ts'
import { overlayRenderer, type Reads } from './render-inputs.ts'
import { singleFlight } from './single-flight.ts'
import { templateFiles } from './template-files.ts'

/**
 * An archive as a node's kernel unpacks it: the public files of a tree, and its public list. It is named by the digest of that
 * list, which pins every byte, so that it need not be hashed.
 */
export type BootArchive = Pieces & { digest: Digest }

/** Digests of a list: of the whole one, and of the part that any machine may have. */
export type TreeDigests = { digest: Digest; public: Digest; private: boolean }

/**
 * Makes trees and archives. `snapshot` is the registry's, read before the node: what is remembered for a node that is older would
 * be taken for that of the snapshot. All of them throw as `planBoot` and `renderOverlays` do.
 */
export type OverlayArchives = {
  /** What a list comes to on a node. Costs nothing again until something changes that it was made of. */
  treeOf(node: StoredMember, list: OverlayList, snapshot: Snapshot): Promise<OverlayTree>
  /** The digests alone: contents are not kept for it. */
  digestOf(node: StoredMember, list: OverlayList, snapshot: Snapshot): Promise<TreeDigests>
  /** The digests, if they were asked for since the last edit: at once, and without the node's row. */
  knownDigest(node: string, list: OverlayList, snapshot: Snapshot): TreeDigests | undefined
  /** The public files and the public list (`/muster/overlays/LIST`) for the kernel. */
  bootArchive(node: StoredMember, list: OverlayList, snapshot: Snapshot): Promise<BootArchive & BootTree>
  /** The files that one overlay would give a node, whether it has it or not. */
  filesOf(node: StoredMember, overlay: string, snapshot: Snapshot): Promise<RenderedFile[]>
  /** How many templates were rendered: what was remembered is not counted. */
  renders(): number
  /** Bytes of trees and archives that are kept. */
  kept(): number
}

/** `withheld`: why private files are not in the tree, where secrets cannot be opened. The tree is then that of public files. */
export type BootTree = { tree: OverlayTree; withheld: string | undefined }

/** What archives are made from. */
export type ArchiveSources = Pick<
  Services,
  'registry' | 'assets' | 'cluster' | 'url' | 'now' | 'openImage' | 'headFile' | 'secretKey' | 'digest'
> & { overlays?: OverlaySource }

/** Bytes of trees that are kept, and as many of archives; the ones that were asked for longest ago go first. */
export const mostKept = 64 * 1024 * 1024
/** Trees whose digests are kept, some 300 bytes each: both lists of 100,000 nodes. */
const mostDigests = 200_000

/** What a tree was made of besides what `planned.stamps` covers, and what came out. */
type Made = TreeDigests &
  Reads & {
    revision: number
    stamp: number
    /** The stamp of the node's secrets before they were read. */
    secretsAt: number
    /** The last era in which it was still true. */
    era: number
  }

/** Trees and archives of a registry. */
export function overlayArchives(sources: ArchiveSources): OverlayArchives {
  const { registry, assets } = sources
  const overlays = sources.overlays ?? overlaySource(sources)
  const plans = sharedPlans({ assets, overlays })
  const nodes = allNodes(registry)
  const files = templateFiles(sources)
  const renderer = overlayRenderer(sources, { nodes, files })
  const secretsAt = secretsStamp(registry)
  const digest = contentDigests(sources.digest)
  const made = new Map<string, Made>()
  const trees = lru<OverlayTree>(mostKept, treeParts)
  const archives = lru<BootArchive>(mostKept, archiveParts)
  const onceTree = singleFlight<{ tree: OverlayTree; entry: Made }>()

  /** Renders a list, and remembers what it was made of. */
  const make = async (node: StoredMember, list: OverlayList, snapshot: Snapshot, planned: Planned) => {
    // What is asked first is never newer than what is rendered: at worst a tree is made once more.
    const secretsThen = planned.private ? await secretsAt(node, snapshot) : 0
    const { rendered, reads } = await renderer.render(node, planned, planned.layers[list], snapshot)
    const tree = await treeOf(rendered, digest)
    const entry: Made = {
      digest: tree.digest,
      public: tree.public.digest,
      private: tree.private,
      ...reads,
      revision: node.revision,
      stamp: planned.stamps[list],
      secretsAt: secretsThen,
      // Not of this moment: assets may have been edited since the plan was made.
      era: planned.era,
    }
    remember(`${list} ${node.name}`, entry)
    return { tree, entry }
  }

  const remember = (key: string, entry: Made) => {
    made.delete(key)
    made.set(key, entry)
    const oldest = made.keys().next()
    if (made.size > mostDigests && !oldest.done) made.delete(oldest.value)
  }

  /** Whether nothing has changed that a tree was made of. */
  const holds = async (entry: Made, node: StoredMember, stamp: number, snapshot: Snapshot): Promise<boolean> => {
    if (entry.revision !== node.revision || entry.stamp !== stamp) return false
    if (entry.nodes !== undefined && entry.nodes !== (await nodes.at(snapshot)).stamp) return false
    if (entry.secrets && entry.secretsAt !== (await secretsAt(node, snapshot))) return false
    return headFilesHold(entry)
  }

  const headFilesHold = async ({ headFiles }: Made): Promise<boolean> => {
    for (const [path, bytes] of headFiles ?? []) if ((await files.ofHead(path)) !== bytes) return false
    return true
  }

  /** What is known of a node's list if it still holds. */
  const current = async (node: StoredMember, list: OverlayList, snapshot: Snapshot) => {
    const planned = await plans.of(node, snapshot)
    const entry = made.get(`${list} ${node.name}`)
    if (!entry || !(await holds(entry, node, planned.stamps[list], snapshot))) return { planned }
    entry.era = planned.era
    return { planned, entry }
  }

  const makeOnce = (node: StoredMember, list: OverlayList, snapshot: Snapshot, planned: Planned) =>
    onceTree(`${planned.era} ${node.revision} ${list} ${node.name}`, () => make(node, list, snapshot, planned))

  // Where files come from is not in a digest, and `stamp` says it.
  const treeKey = ({ digest, public: open, stamp }: Made) => `${stamp} ${digest} ${open}`

  const getTree: OverlayArchives['treeOf'] = async (node, list, snapshot) => {
    const { planned, entry } = await current(node, list, snapshot)
    const known = entry && trees.get(treeKey(entry))
    if (known) return known
    const fresh = await makeOnce(node, list, snapshot, planned)
    const key = treeKey(fresh.entry)
    const same = trees.get(key)
    if (same) return same
    trees.set(key, fresh.tree)
    return fresh.tree
  }

  /** A boot needs no private file to begin, so a key that is lost keeps nobody from booting. */
  const bootTree = async (node: StoredMember, list: OverlayList, snapshot: Snapshot): Promise<BootTree> => {
    try {
      return { tree: await getTree(node, list, snapshot), withheld: undefined }
    } catch (error) {
      if (!(error instanceof AppError) || !['SECRET_LOCKED', 'UNSUPPORTED'].includes(error.code)) throw error
      const planned = await plans.of(node, snapshot)
      const { rendered } = await renderer.render(node, planned, planned.layers[list].map(withoutPrivate), snapshot)
      return { tree: await treeOf(rendered, digest), withheld: error.message }
    }
  }

  return {
    treeOf: getTree,
    async digestOf(node, list, snapshot) {
      const { planned, entry } = await current(node, list, snapshot)
      return entry ?? (await makeOnce(node, list, snapshot, planned)).entry
    },
    knownDigest(node, list, snapshot) {
      const entry = made.get(`${list} ${node}`)
      // A file of the head node changes without an edit.
      return entry && entry.era === plans.era(snapshot) && !entry.headFiles ? entry : undefined
    },
    async bootArchive(node, list, snapshot) {
      const { tree, withheld } = await bootTree(node, list, snapshot)
      const key = `${list} ${tree.public.digest}`
      const known = archives.get(key)
      if (known) return { ...known, tree, withheld }
      const packed = { ...packOverlay(publicFiles(tree, list)), digest: tree.public.digest }
      archives.set(key, packed)
      return { ...packed, tree, withheld }
    },
    async filesOf(node, name, snapshot) {
      const planned = await plans.of(node, snapshot)
      const overlay = await plans.overlay(name, snapshot)
      if (!overlay) throw new AppError('OVERLAY_UNKNOWN', `no overlay ${name}`)
      return (await renderer.render(node, planned, [overlay], snapshot)).rendered
    },
    renders: renderer.renders,
    kept: () => trees.weight() + archives.weight(),
  }
}

const withoutPrivate = ({ layers, ...overlay }: LayeredOverlay): LayeredOverlay => ({
  ...overlay,
  layers: layers.map((layer) => ({
    ...layer,
    manifest: { ...layer.manifest, entries: layer.manifest.entries.filter((entry) => entry.private !== true) },
  })),
})

/** Larger contents are weighed apart: those that several trees or archives have are one object, and count once. */
const largeContent = 4096

function* treeParts(tree: OverlayTree): Iterable<readonly [object, number]> {
  let weight = tree.list.length + 16 * tree.files.length + 500
  for (const file of tree.files) {
    if (file.type !== 'file') continue
    if (file.content.length < largeContent) weight += file.content.length + 100
    else yield [file.content, file.content.length]
  }
  yield [tree, weight]
}

function* archiveParts(archive: BootArchive): Iterable<readonly [object, number]> {
  yield [archive, 500]
  for (const piece of archive.pieces) yield [piece, piece.length + 100]
}

/** What a machine may have before it has proved which node it is, and the list of that. */
function publicFiles({ files, public: open }: OverlayTree, list: OverlayList): RenderedFile[] {
  const path = `/muster/overlays/${list}`
  const content = new TextEncoder().encode(open.list)
  return [
    ...files.filter((file) => file.private !== true && file.path !== path),
    { path, mode: 0o600, uid: 0, gid: 0, overlay: 'muster', type: 'file', content },
  ]
}
