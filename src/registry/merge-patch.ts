/** JSON merge patch (RFC 7396): what `PATCH` bodies mean. */

/** The target with the patch applied: maps merge, `null` removes the member, everything else replaces. Pure. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  // A Map, because assigning to a key `__proto__` of an object would not make a member.
  const result = new Map(isObject(target) ? Object.entries(target) : [])
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key)
    else result.set(key, mergePatch(result.get(key), value))
  }
  return Object.fromEntries(result)
}

/** The target with `null` at each dotted path, which hides what profiles say there. Maps on the way are made. Pure. */
export function clearPaths(target: Record<string, unknown>, paths: readonly string[]): Record<string, unknown> {
  return paths.reduce<Record<string, unknown>>((whole, path) => setNull(whole, path.split('.')), target)
}

function setNull(target: Record<string, unknown>, [key, ...rest]: string[]): Record<string, unknown> {
  if (key === undefined) return target
  const child = Object.hasOwn(target, key) ? target[key] : undefined
  return { ...target, [key]: rest.length === 0 ? null : setNull(isObject(child) ? child : {}, rest) }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
