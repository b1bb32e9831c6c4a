/** Patterns of paths: `*` stands for any text within a component, `**` for any components. No pattern is slow. */

/** Whether a path matches a pattern; both absolute. */
export const matchesPattern = (pattern: string, path: string): boolean =>
  matches(
    pattern.split('/'),
    path.split('/'),
    (part) => part === '**',
    (part, component) => matches([...part], [...component], (char) => char === '*', Object.is),
  )

/** Whether a key is a pattern rather than a path. */
export const isPattern = (key: string): boolean => key.includes('*')

/**
 * Matching with one kind of wildcard, by going back to the last one only: the part before it is settled, because a
 * wildcard that could take less there could take the rest here (the usual greedy proof). Quadratic at most.
 */
function matches<P, T>(
  pattern: readonly P[],
  text: readonly T[],
  isWild: (part: P) => boolean,
  same: (part: P, item: T) => boolean,
): boolean {
  let [at, from] = [0, 0]
  let wild: { at: number; from: number } | undefined
  while (from < text.length) {
    const part = pattern[at]
    const item = text[from]
    if (part !== undefined && isWild(part)) {
      wild = { at, from }
      at++
    } else if (part !== undefined && item !== undefined && same(part, item)) {
      at++
      from++
    } else if (wild) {
      wild.from++
      at = wild.at + 1
      from = wild.from
    } else {
      return false
    }
  }
  return pattern.slice(at).every(isWild)
}
