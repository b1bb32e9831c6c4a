/** Plans and overlays, looked up once for all nodes that boot the same. */
import type { Assets } from '../assets/assets.ts'
import type { LayeredOverlay } from '../overlays/layers.ts'
import type { SecretKind } from '../overlays/manifest.ts'
import type { OverlaySource } from '../overlays/store.ts'
import { lineage, type Member } from '../registry/inherit.ts'
import type { StoredMember } from '../registry/members.ts'
import type { Snapshot } from '../registry/snapshot.ts'
import { type BootPlan, planBoot } from './plan.ts'

/** The two lists of overlays: applied at boot, and refreshed while the node is up. */
export type OverlayList = 'system' | 'runtime'

/** What nodes with the same profiles and the same decisive settings have in common. */
export type Planned = {
  /** The era (see {@link Plans}) that it is of. */
  era: number
  plan: Omit<BootPlan, 'node'>
  /** The overlays of a list, in order. */
  layers: Record<OverlayList, LayeredOverlay[]>
  /** Another number exactly when a list may come to something else for a node whose own row has not changed. */
  stamps: Record<OverlayList, number>
  /** Whether any file of any of the overlays is private. */
  private: boolean
}

/** Plans of one registry. */
export type Plans = {
  /** A number for a snapshot and the assets of this moment: another one when plans may be others. */
  era(snapshot: Snapshot): number
  /** Throws as `planBoot` does. */
  of(node: Member, snapshot: Snapshot): Promise<Planned>
  /** An overlay, or `undefined`; asked for once per era. */
  overlay(name: string, snapshot: Snapshot): Promise<LayeredOverlay | undefined>
}

/** Plans that are kept: as many as there are ways in which nodes boot. */
const mostKept = 4096
/** Texts of what lists were made of that are remembered; what is forgotten gets another number, and is rendered again. */
const mostStamps = 20_000

/** What of a node's own settings its plan depends on; with the profiles it says which nodes share one. */
const decisive = ['image', 'kernel', 'root', 'stages', 'init', 'script', 'onFailure', 'overlays'] as const

type Era = {
  number: number
  key: string
  plans: Map<string, Promise<Planned>>
  overlays: Map<string, Promise<LayeredOverlay | undefined>>
}

/** Plans that are made once for each kind of node, revision of the registry and version of the assets. */
export function sharedPlans({
  assets,
  overlays,
}: {
  assets: Pick<Assets, 'version'>
  overlays: Pick<OverlaySource, 'find'>
}): Plans {
  let era: Era = { number: 0, key: '', plans: new Map(), overlays: new Map() }
  const stamps = new Map<string, number>()
  let newestStamp = 0

  const eraOf = ({ revision }: Snapshot): Era => {
    const key = `${revision} ${assets.version()}`
    if (era.key !== key) era = { number: era.number + 1, key, plans: new Map(), overlays: new Map() }
    return era
  }

  const findIn =
    ({ overlays: known }: Era) =>
    (name: string): Promise<LayeredOverlay | undefined> => {
      const found = known.get(name) ?? overlays.find(name)
      known.set(name, found)
      // A failing database must not be remembered as an answer.
      found.catch(() => known.delete(name))
      return found
    }

  const stampOf = (text: string): number => {
    const known = stamps.get(text)
    if (known !== undefined) return known
    if (stamps.size >= mostStamps) stamps.clear()
    stamps.set(text, ++newestStamp)
    return newestStamp
  }

  const make = async (node: Member, snapshot: Snapshot, at: Era): Promise<Planned> => {
    const find = findIn(at)
    const plan = await planBoot({ node, snapshot, overlays: { find } })
    const layersOf = async (list: OverlayList) => {
      const found = await Promise.all(plan.overlays[list].map(({ name }) => find(name)))
      return found.filter((overlay) => overlay !== undefined)
    }
    const layers = { system: await layersOf('system'), runtime: await layersOf('runtime') }
    const above = lineage(node, snapshot.profiles).map(({ name }) => [name, revisionOf(snapshot, name)])
    const isPrivate = [...layers.system, ...layers.runtime].some(hasPrivate)
    const of = (list: OverlayList) =>
      stampOf(JSON.stringify([above, plan.image, plan.kernel.version, plan.root, plan.overlays[list], isPrivate]))
    const stamps = { system: of('system'), runtime: of('runtime') }
    return { era: at.number, plan, layers, stamps, private: isPrivate }
  }

  return {
    era: (snapshot) => eraOf(snapshot).number,
    of(node, snapshot) {
      const at = eraOf(snapshot)
      const key = keyOf(node)
      const known = at.plans.get(key)
      // What cannot be planned is told with the name of the node that asked, not of the one that asked first.
      if (known) return known.catch(() => make(node, snapshot, at))
      const making = make(node, snapshot, at)
      at.plans.set(key, making)
      making.catch(() => at.plans.delete(key))
      const [oldest] = at.plans.keys()
      if (at.plans.size > mostKept && oldest !== undefined) at.plans.delete(oldest)
      return making
    },
    overlay: (name, snapshot) => findIn(eraOf(snapshot))(name),
  }
}

/** Whether an overlay has a file that only its node may have. */
const hasPrivate = ({ layers }: LayeredOverlay): boolean =>
  layers.some(({ manifest }) => manifest.entries.some((entry) => entry.private === true))

/** Secrets that overlays declare, by name; of two with the same name the later one's kind counts. */
export const declaredSecrets = (overlays: readonly LayeredOverlay[]): Record<string, SecretKind> =>
  Object.assign({}, ...overlays.flatMap(({ layers }) => layers.map(({ manifest }) => manifest.secrets ?? {})))

const revisionOf = ({ profiles }: Snapshot, name: string): StoredMember['revision'] | undefined =>
  profiles.get(name)?.revision

function keyOf({ profiles, settings }: Member): string {
  const own: Partial<Record<string, unknown>> = {}
  for (const field of decisive) if (settings[field] !== undefined) own[field] = settings[field]
  return JSON.stringify([profiles, own])
}
