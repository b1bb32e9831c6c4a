/** One spelling for every JSON value, so that equal values have equal digests (the idea of RFC 8785, for the values we have). */

/** JSON with object keys in code-unit order, no spaces, and no `undefined`. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  )
}
