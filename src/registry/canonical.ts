/** One spelling for every JSON value, so that equal values have equal digests (the idea of RFC 8785, for the values we have). */

/** JSON with object keys in code-unit order, no spaces, and no `undefined`. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  )
}

/** True when two JSON values are the same, in whatever order their keys come. Stops at the first difference. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false
    return a.every((item, index) => sameJson(item, b[index]))
  }
  const [ofA, ofB] = [new Map(presentEntries(a)), new Map(presentEntries(b))]
  return ofA.size === ofB.size && [...ofA].every(([key, value]) => ofB.has(key) && sameJson(value, ofB.get(key)))
}

/** What JSON keeps of an object: members that are `undefined` are not there. */
const presentEntries = (map: object): [string, unknown][] =>
  Object.entries(map).filter(([, value]) => value !== undefined)
