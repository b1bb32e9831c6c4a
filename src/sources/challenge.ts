/** What a server wants to see before it answers: the WWW-Authenticate header (RFC 9110 §11.3, §11.6.1). Pure. */

/** One way to log in that a server offers. */
export type Challenge = {
  /** Lower case: `bearer`, `basic`. */
  scheme: string
  /** By lower-case name. */
  params: ReadonlyMap<string, string>
}

const token = "[\\w!#$%&'*+.^`|~-]+"
const param = new RegExp(`(${token})[ \\t]*=[ \\t]*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))`, 'y')
/** A scheme, perhaps with the one value that some schemes have instead of parameters. */
const scheme = new RegExp(`(${token})(?=[ \\t,]|$)(?![ \\t]*=)(?:[ \\t]+[\\w.~+/-]+=*(?=[ \\t]*(?:,|$)))?`, 'y')
const gap = /[ \t,]*/y

/**
 * The challenges of a header, in its order; several headers can be joined with commas. Of a header that breaks the grammar,
 * those before the break.
 */
export function parseChallenges(header: string): Challenge[] {
  const found: { scheme: string; params: Map<string, string> }[] = []
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(header)
    if (match) at = pattern.lastIndex
    return match ?? undefined
  }
  for (;;) {
    take(gap)
    if (at >= header.length) return found
    const last = found.at(-1)
    const pair = last && take(param)
    if (pair) {
      const [, name = '', quoted, bare = ''] = pair
      const key = name.toLowerCase()
      // A parameter that is said twice would be one thing to us and another to the next reader.
      if (last.params.has(key)) return found.slice(0, -1)
      last.params.set(key, quoted === undefined ? bare : quoted.replace(/\\(.)/gs, '$1'))
      continue
    }
    const next = take(scheme)
    if (!next) return found
    found.push({ scheme: (next[1] ?? '').toLowerCase(), params: new Map() })
  }
}
