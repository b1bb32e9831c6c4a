/** Scripts by what they are for, each rendered as rarely as can be. */
import type { Assets } from '../assets/assets.ts'
import { AppError } from '../errors.ts'
import type { OverlaySource } from '../overlays/store.ts'
import { inherit, type Member } from '../registry/inherit.ts'
import type { Json } from '../registry/settings.ts'
import type { Snapshot } from '../registry/snapshot.ts'
import { localDisk } from './defaults.ts'
import { legible } from './ipxe.ts'
import type { Loader } from './loaders.ts'
import { type BootPlan, planBoot, planRecord } from './plan.ts'
import type { FindRoot } from './root.ts'
import {
  againUrl,
  holes,
  plannedView,
  renderScript,
  type Script,
  type ScriptView,
  scriptPath,
  scriptTemplates,
} from './script.ts'

/** A script for nodes that boot the same. `plan` is absent for those that start from their own disk. */
export type NodeScript = { script: Script; plan?: Pick<BootPlan, 'image' | 'warnings'>; record: Json }

/** Makes scripts. */
export type Scripts = {
  /** The script of a known node. Throws as `planBoot` and `rootOf` do, `SCRIPT_UNSAFE` and `TEMPLATE_INVALID`. */
  ofNode(node: Member, snapshot: Snapshot, loader: Loader): Promise<NodeScript>
  /** The script that says why a known node cannot boot, and asks again. */
  unplanned(name: string, why: string, loader: Loader): Promise<Script>
  /** The script for a machine that nobody knows. */
  unknown(loader: Loader): Promise<Script>
  /** The script that every machine begins with. */
  first(): Promise<Script>
}

/** Scripts that are kept: as many as there are ways in which nodes boot. One takes less than 4 KiB. */
const mostKept = 4096

/** What of a node's own settings its script depends on; with the profiles it says which nodes share a script. */
const decisive = ['image', 'kernel', 'root', 'stages', 'init', 'script', 'onFailure', 'overlays', 'tags'] as const

/**
 * Scripts from templates in the assets. A node's script is rendered once per revision of the registry and version of the
 * assets for all nodes with the same profiles and the same {@link decisive} settings: mostly for all nodes of a profile.
 */
export function bootScripts(around: {
  assets: Assets
  overlays: Pick<OverlaySource, 'find'>
  rootOf: FindRoot
  cluster: string
  url: string
}): Scripts {
  const { assets, overlays, rootOf, cluster, url } = around
  const templateAt = scriptTemplates(assets)
  let kept = { stamp: '', scripts: new Map<string, Promise<NodeScript>>() }
  let fixed = { version: '', scripts: new Map<string, Promise<Script>>() }

  const render = async (loader: Loader, name: string, view: ScriptView): Promise<Script> => {
    const path = scriptPath(loader, name)
    const template = await templateAt(path)
    if (!template)
      throw new AppError('PLAN_IMPOSSIBLE', `there is no script ${name} for this loader: add boot-assets/${path}`, {
        field: 'script',
      })
    return renderScript(template, path, loader, view)
  }

  const common = (loader: Loader): ScriptView => ({
    cluster,
    head: { url },
    again: againUrl(loader, url),
    jitter: holes.jitter,
    mac: holes.mac,
  })

  const make = async (node: Member, snapshot: Snapshot, loader: Loader): Promise<NodeScript> => {
    const settings = inherit(node, snapshot.profiles)
    const tags = settings.tags ?? {}
    if (settings.script === localDisk) {
      const script = await render(loader, localDisk, { ...common(loader), node: { name: holes.node }, tags })
      return { script, record: { revision: snapshot.revision, script: localDisk } }
    }
    const plan = await planBoot({ node, snapshot, overlays })
    const root = await rootOf(plan.image)
    const script = await render(loader, plan.script, plannedView(plan, loader, { cluster, url, tags, root }))
    return { script, plan: { image: plan.image, warnings: plan.warnings }, record: planRecord(plan, root) }
  }

  /** A script that depends on nothing but the assets. */
  const constant = (loader: Loader, name: string): Promise<Script> => {
    const version = assets.version()
    if (fixed.version !== version) fixed = { version, scripts: new Map() }
    return remembered(fixed.scripts, `${loader} ${name}`, () => render(loader, name, common(loader)))
  }

  return {
    ofNode(node, snapshot, loader) {
      const stamp = `${snapshot.revision} ${assets.version()}`
      if (kept.stamp !== stamp) kept = { stamp, scripts: new Map() }
      const key = keyOf(node, loader)
      // What cannot be made is told with the name of the node that asked, not of the one that asked first.
      const others = kept.scripts.get(key)?.catch(() => make(node, snapshot, loader))
      return others ?? remembered(kept.scripts, key, () => make(node, snapshot, loader))
    },
    unplanned: (name, why, loader) =>
      render(loader, 'unplanned', {
        ...common(loader),
        node: { name },
        why: loader === 'ipxe' ? legible(why) : why.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' '),
      }),
    unknown: (loader) => constant(loader, 'unknown'),
    first: () => constant('ipxe', 'boot'),
  }
}

function keyOf({ profiles, settings }: Member, loader: Loader): string {
  const own: Partial<Record<string, unknown>> = {}
  for (const field of decisive) if (settings[field] !== undefined) own[field] = settings[field]
  return JSON.stringify([loader, profiles, own])
}

/** What is kept under a key, or made once for all who ask meanwhile. A failure is not kept; the oldest makes room. */
function remembered<T>(kept: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const known = kept.get(key)
  if (known) return known
  const making = make()
  kept.set(key, making)
  making.catch(() => kept.delete(key))
  const [oldest] = kept.keys()
  if (kept.size > mostKept && oldest !== undefined) kept.delete(oldest)
  return making
}
