/**
 * What a node is, once its profiles have had their say. Pure; no database.
 *
 * Profiles apply in the order in which they are listed, each after its own parents; the node comes last. A scalar
 * replaces; a list appends, and `~x` takes x out again; a map merges key by key; `null` clears what was inherited.
 * Two things are replaced whole although they look like lists or maps: `root.kind` (an order to try) and each value
 * under `resources` (any JSON, which only its reader understands). A map with nothing in it says nothing, and goes.
 */
import { AppError } from '../errors.ts'
import type { Effective, Json, Settings } from './settings.ts'

/** A node or a profile, as far as inheritance is concerned. */
export type Member = { name: string; profiles: string[]; settings: Settings }

/** Where a setting came from: `profile:gpu` or `node:n001`. */
export type Origin = `profile:${string}` | `node:${string}`

/** One setting that holds, or that was cleared (`value` null), and what it hid. Lists name all who added to them. */
export type Explanation = {
  /** Dotted path: `kernel.args`, `netdevs.eth0.address`. */
  field: string
  value: Json
  from: Origin[]
  hidden: { from: Origin; value: Json }[]
}

/** The profiles above a node, farthest first, each one once. Throws `PROFILE_UNKNOWN` or `PROFILE_CYCLE`. */
export function lineage(node: Pick<Member, 'name' | 'profiles'>, profiles: ReadonlyMap<string, Member>): Member[] {
  const found = new Set<Member>()
  const climb = (member: Pick<Member, 'name' | 'profiles'>, below: readonly string[]) => {
    for (const parent of member.profiles) {
      if (below.includes(parent))
        throw new AppError('PROFILE_CYCLE', `profiles inherit in a circle: ${[...below, parent].join(' -> ')}`)
      const profile = profiles.get(parent)
      if (!profile)
        throw new AppError('PROFILE_UNKNOWN', `${member.name} lists profile ${parent}, which does not exist`, {
          field: 'profiles',
        })
      if (found.has(profile)) continue
      climb(profile, [...below, parent])
      found.add(profile)
    }
  }
  climb(node, [])
  return [...found]
}

/** The settings that hold for a node. Throws as {@link lineage} does. */
export function inherit(node: Member, profiles: ReadonlyMap<string, Member>): Effective {
  let settings: unknown = {}
  for (const member of lineage(node, profiles)) settings = merge(settings, member.settings, [])
  return (merge(settings, node.settings, []) ?? {}) as Effective
}

/** Every setting that holds for a node, with its origins and what it hid, sorted by field. Throws as {@link lineage} does. */
export function explain(node: Member, profiles: ReadonlyMap<string, Member>): Explanation[] {
  const found = new Map<string, Explanation>()
  for (const member of lineage(node, profiles)) note(found, `profile:${member.name}`, member.settings)
  note(found, `node:${node.name}`, node.settings)
  return [...found.values()].sort((a, b) => (a.field < b.field ? -1 : 1))
}

function merge(below: unknown, above: unknown, path: readonly string[]): unknown {
  if (above === undefined) return below
  if (above === null) return undefined
  if (Array.isArray(above) && !isWhole(path)) return append(Array.isArray(below) ? below : [], above)
  if (!isMap(above) || isWhole(path)) return above
  const merged: Record<string, unknown> = isMap(below) ? { ...below } : {}
  for (const [key, value] of Object.entries(above)) {
    const result = merge(merged[key], value, [...path, key])
    if (result === undefined) delete merged[key]
    else merged[key] = result
  }
  return Object.keys(merged).length === 0 ? undefined : merged
}

/** `root.kind` and the values of `resources` are taken whole. */
const isWhole = (path: readonly string[]): boolean =>
  (path.length === 2 && path[0] === 'resources') || (path.length === 2 && path[0] === 'root' && path[1] === 'kind')

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function append(below: readonly unknown[], above: readonly unknown[]): unknown[] {
  let list = [...below]
  for (const item of above) {
    if (typeof item === 'string' && item.startsWith('~')) list = list.filter((other) => other !== item.slice(1))
    else list.push(item)
  }
  return list
}

function note(found: Map<string, Explanation>, from: Origin, settings: Settings): void {
  for (const [path, value] of leaves(settings, [])) {
    const field = path.join('.')
    if (value === null) {
      clear(found, from, field)
      continue
    }
    const below = found.get(field)
    if (Array.isArray(value) && !isWhole(path)) {
      const list = append(Array.isArray(below?.value) ? below.value : [], value) as Json[]
      found.set(field, {
        field,
        value: list,
        from: [...(below?.value == null ? [] : below.from), from],
        hidden: below?.value === null ? past(below) : (below?.hidden ?? []),
      })
    } else {
      found.set(field, { field, value, from: [from], hidden: below ? past(below) : [] })
    }
    // A value below a map that was cleared for nothing: the map is not clear any more.
    for (let end = path.length - 1; end > 0; end--) found.delete(path.slice(0, end).join('.'))
  }
}

/** Clears a field, or everything that is known below it: each is told with what it was. */
function clear(found: Map<string, Explanation>, from: Origin, field: string): void {
  const cleared = [...found.values()].filter((other) => other.field === field || other.field.startsWith(`${field}.`))
  for (const other of cleared)
    found.set(other.field, { field: other.field, value: null, from: [from], hidden: past(other) })
  if (cleared.length === 0) found.set(field, { field, value: null, from: [from], hidden: [] })
}

/** What an explanation says of the past once something else takes its place. */
const past = (below: Explanation): Explanation['hidden'] => [
  ...below.hidden,
  ...(below.value === null ? [] : below.from.map((from) => ({ from, value: below.value }))),
]

function* leaves(value: unknown, path: readonly string[]): Generator<[readonly string[], Json]> {
  if (value === undefined) return
  if (!isMap(value) || isWhole(path)) yield [path, value as Json]
  else for (const [key, child] of Object.entries(value)) yield* leaves(child, [...path, key])
}
