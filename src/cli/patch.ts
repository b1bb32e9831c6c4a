/** Setting flags, in the order in which they were typed, become what the API wants. Pure. */
import { isMap } from './table.ts'

/** What an edit says: a merge patch (RFC 7396), and fields that shall hide what profiles say. */
export type Patch = { profiles?: string[]; settings: Record<string, unknown>; clear: string[] }

/** A patch in the making, and the netdev of which `--mac` and its like speak. */
export type Draft = Patch & { netdev: string; netdevs: string[] }

/** One flag as typed: what it does to the draft. */
export type Given = (draft: Draft) => void

/** The netdev that flags speak of until `--netdev` names another. */
const defaultNetdev = 'default'

/** The patch that the flags ask for, and the first netdev that they name. */
export function patchOf(given: readonly Given[]): { patch: Patch; netdev: string } {
  const draft: Draft = { settings: bare(), clear: [], netdev: defaultNetdev, netdevs: [] }
  for (const apply of given) apply(draft)
  const { profiles, settings, clear, netdevs } = draft
  return { patch: { ...(profiles && { profiles }), settings, clear }, netdev: netdevs[0] ?? defaultNetdev }
}

/** True when no flag was given, so that there is nothing to ask the API for. */
export const isEmpty = (patch: Patch): boolean =>
  patch.profiles === undefined && Object.keys(patch.settings).length === 0 && patch.clear.length === 0

/** Any JSON value. */
type Json = string | number | boolean | null | Json[] | { [key: string]: Json }

/** A patch as the API takes it: the body, and the query of what is to be cleared. */
export function wire({ profiles, settings, clear }: Patch) {
  return {
    // Values come from the command line and from JSON.parse, so they are JSON; what they mean, the API checks.
    json: { ...(profiles && { profiles }), settings: settings as { [key: string]: Json } },
    clear: clear.length > 0 ? { clear: clear.join(',') } : {},
  }
}

/** Settings for a thing that is not there yet: nothing to take away, and what is cleared says so itself. */
export function freshSettings(patch: Patch): Record<string, unknown> {
  const settings = withoutNulls(patch.settings)
  for (const path of patch.clear) setPath(settings, path.split('.'), null)
  return settings
}

function withoutNulls(map: Record<string, unknown>): Record<string, unknown> {
  const kept = bare()
  for (const [key, value] of Object.entries(map)) {
    if (value !== null) kept[key] = isMap(value) ? withoutNulls(value) : value
  }
  return kept
}

/** The merge patch that takes a thing's own values away: `null` at each path; `profiles` becomes an empty list. */
export function unsetPatch(fields: readonly string[]): Patch {
  return patchOf(
    fields.map((field): Given => {
      return (draft) => {
        if (field === 'profiles') draft.profiles = []
        else setPath(draft.settings, pathOf(field), null)
      }
    }),
  ).patch
}

/** `settings.kernel.args` and `kernel.args` are the same path. */
export function pathOf(field: string): string[] {
  const path = field.split('.')
  return path[0] === 'settings' ? path.slice(1) : path
}

/** Puts a value at a path, making maps on the way. Maps have no prototype, so a path can name nothing but data. */
export function setPath(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [key = '', ...rest] = path
  if (rest.length === 0) {
    target[key] = value
    return
  }
  const child = Object.hasOwn(target, key) ? target[key] : undefined
  const map = isMap(child) ? child : bare()
  target[key] = map
  setPath(map, rest, value)
}

/** Adds to a list at a path, for flags that may be repeated. */
export function addPath(target: Record<string, unknown>, path: readonly string[], items: readonly string[]): void {
  let value: unknown = target
  for (const key of path) value = isMap(value) ? value[key] : undefined
  setPath(target, path, [...(Array.isArray(value) ? value : []), ...items])
}

const bare = (): Record<string, unknown> => Object.create(null)
