/** Every node of the cluster, as far as templates see it: read once, and then only what edits have changed. */
import { networkSettings } from '../overlays/listed-nodes.ts'
import type { NamedSettings } from '../overlays/view.ts'
import { changedNodes } from '../registry/changes-after.ts'
import { inherit, type Member } from '../registry/inherit.ts'
import { listNodes, nodesNamed } from '../registry/nodes.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import type { Snapshot } from '../registry/snapshot.ts'

/** All nodes, and a text that is another one exactly when templates see something else in them. */
export type ListedNodes = { nodes: NamedSettings[]; stamp: string }

/** Answers all nodes. */
export type AllNodes = {
  /** At the revision of a snapshot or a newer one. */
  at(snapshot: Snapshot): Promise<ListedNodes>
  /** The same if anybody has asked for them before, else `undefined`. */
  ifAsked(snapshot: Snapshot): Promise<ListedNodes> | undefined
}

/** Above so many edited nodes the whole list is read again: one long query is cheaper than one with as many names. */
const mostNamed = 2000

type State = ListedNodes & { revision: number; byName: ReadonlyMap<string, NamedSettings> }

/** All nodes of a registry. */
export function allNodes(registry: RegistryDatabase): AllNodes {
  const changedAfter = changedNodes(registry)
  let kept: State | undefined
  let turn: Promise<State> | undefined
  let stamps = 0

  const update = async (snapshot: Snapshot): Promise<State> => {
    const before = kept
    const { revision } = snapshot
    if (before && before.revision >= revision) return before
    const byName = await changed(before, snapshot)
    kept =
      before && sameNodes(before.byName, byName)
        ? { ...before, revision }
        : { revision, byName, nodes: [...byName.values()], stamp: String(++stamps) }
    return kept
  }

  /** What was before, with what edits have changed since; everything anew when a profile was edited. */
  const changed = async (before: State | undefined, snapshot: Snapshot): Promise<State['byName']> => {
    const since = before && (await changedAfter(before.revision))
    if (!since || since.profiles || since.nodes.length > mostNamed)
      return new Map((await listNodes(registry)).map((node) => [node.name, seen(node, snapshot)]))
    if (since.nodes.length === 0) return before.byName
    const now = await nodesNamed(registry, since.nodes)
    const edited = since.nodes.map((name) => {
      const node = now.get(name)
      return { name, node: node && seen(node, snapshot) }
    })
    const others = edited.filter(({ name, node }) => !sameNode(before.byName.get(name), node))
    // Most edits are of what templates do not see of other nodes, and a copy of the map is half of what an edit costs.
    if (others.length === 0) return before.byName
    const byName = new Map(before.byName)
    for (const { name, node } of others) {
      if (node) byName.set(name, node)
      else byName.delete(name)
    }
    return byName
  }

  const at = (snapshot: Snapshot): Promise<ListedNodes> => {
    if (kept && kept.revision >= snapshot.revision) return Promise.resolve(kept)
    const before = turn?.catch(() => undefined) ?? Promise.resolve()
    turn = before.then(() => update(snapshot))
    return turn
  }

  return { at, ifAsked: (snapshot) => ((kept ?? turn) ? at(snapshot) : undefined) }
}

/** Templates see of other nodes what is made of these settings. They get no others, so that other edits change nothing. */
const seen = (node: Member, { profiles }: Snapshot): NamedSettings => ({
  name: node.name,
  settings: networkSettings(inherit(node, profiles)),
})

function sameNodes(before: ReadonlyMap<string, NamedSettings>, after: ReadonlyMap<string, NamedSettings>): boolean {
  if (before === after) return true
  if (before.size !== after.size) return false
  for (const [name, node] of after) {
    if (!sameNode(before.get(name), node)) return false
  }
  return true
}

/** Those that were not read anew are the same object. */
const sameNode = (before: NamedSettings | undefined, after: NamedSettings | undefined): boolean =>
  before === after ||
  (before !== undefined && after !== undefined && JSON.stringify(before.settings) === JSON.stringify(after.settings))
