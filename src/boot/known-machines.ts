/** Machines that are a node's: found by MAC, with the script of that node. */
import type { Assets } from '../assets/assets.ts'
import { nodeByMac } from '../registry/nodes.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import { createSnapshots } from '../registry/snapshot.ts'
import type { Identity, Loader } from './loaders.ts'
import type { NodeScript, Scripts } from './scripts.ts'

/** A node, as far as its machine is concerned. `script` throws as `Scripts.ofNode` does. */
export type KnownMachine = { node: string; identity: Identity; script(): Promise<NodeScript> }

/** Machines that are kept at hand. What is kept of each is small, because scripts are shared. */
const mostKept = 100_000

/**
 * A function that finds a machine. It asks the registry for its revision, and for the node when it has not found that
 * machine at this revision before: one query or two, however many nodes there are.
 */
export function knownMachines({
  registry,
  assets,
  scripts,
}: {
  registry: RegistryDatabase
  assets: Assets
  scripts: Scripts
}): (mac: string, loader: Loader) => Promise<KnownMachine | undefined> {
  const findNode = nodeByMac(registry)
  const snapshots = createSnapshots(registry)
  // A Map keeps its keys in the order of insertion, so its first key is the oldest.
  const kept = new Map<string, { revision: number; assets: string; machine: KnownMachine }>()

  return async (mac, loader) => {
    // The revision is read first: a node that is read later is never older than it.
    const snapshot = await snapshots()
    const version = assets.version()
    const key = `${loader} ${mac}`
    const known = kept.get(key)
    if (known?.revision === snapshot.revision && known.assets === version) return known.machine
    kept.delete(key)
    const node = await findNode(mac)
    if (!node) return undefined
    const { uuid, serial } = node.settings
    const machine = { node: node.name, identity: { uuid, serial } }
    return {
      ...machine,
      async script() {
        const made = await scripts.ofNode(node, snapshot, loader)
        kept.set(key, {
          revision: snapshot.revision,
          assets: version,
          machine: { ...machine, script: async () => made },
        })
        const oldest = kept.keys().next()
        if (kept.size > mostKept && !oldest.done) kept.delete(oldest.value)
        return made
      },
    }
  }
}
