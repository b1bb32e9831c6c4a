/** Where what a node boots comes from: profiles, the node itself, and what holds when nobody says anything. */
import { type Explanation, explain, type Member } from '../registry/inherit.ts'
import type { Json } from '../registry/settings.ts'
import { bootDefaults } from './defaults.ts'

/** An explanation whose value may be a default of Muster's own. */
export type BootExplanation = Omit<Explanation, 'from'> & { from: (Explanation['from'][number] | 'default')[] }

const defaults: { field: string; value: Json }[] = [
  { field: 'init', value: bootDefaults.init },
  { field: 'onFailure', value: bootDefaults.onFailure },
  { field: 'overlays.runtime', value: [...bootDefaults.overlays.runtime] },
  { field: 'overlays.system', value: [...bootDefaults.overlays.system] },
  { field: 'root.kind', value: bootDefaults.root.kind },
  { field: 'runtimeInterval', value: bootDefaults.runtimeInterval },
  { field: 'script', value: bootDefaults.script },
]

/** As `explain`, with the defaults that hold as from `default`. Throws `PROFILE_UNKNOWN` or `PROFILE_CYCLE`. */
export function explainBoot(node: Member, profiles: ReadonlyMap<string, Member>): BootExplanation[] {
  const said: BootExplanation[] = explain(node, profiles)
  const holding = new Set(said.filter(({ value }) => value !== null).map(({ field }) => field))
  const added = defaults
    .filter(({ field }) => !holding.has(field))
    .map(({ field, value }): BootExplanation => {
      const cleared = said.find((one) => one.field === field)
      return { field, value, from: ['default'], hidden: cleared?.hidden ?? [] }
    })
  const fields = new Set(added.map(({ field }) => field))
  return [...said.filter(({ field }) => !fields.has(field)), ...added].sort((a, b) => (a.field < b.field ? -1 : 1))
}
