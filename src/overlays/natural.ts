/** The order in which people count: `n2` before `n10`. */

/** Compares by name, runs of digits by their value; `n1` and `n01` differ, so that the order is total. */
export function byName(a: { name: string }, b: { name: string }): number {
  if (a.name === b.name) return 0
  let at = 0
  while (a.name.charCodeAt(at) === b.name.charCodeAt(at)) at++
  // The names differ here; when that is inside a run of digits, the whole runs are compared.
  let from = at
  while (from > 0 && isDigit(a.name.charCodeAt(from - 1))) from--
  const [left, right] = [digitsAt(a.name, from), digitsAt(b.name, from)]
  if (left !== '' && right !== '') {
    const [x, y] = [left.replace(/^0+/, ''), right.replace(/^0+/, '')]
    if (x.length !== y.length) return x.length - y.length
    if (x !== y) return x < y ? -1 : 1
  }
  return a.name < b.name ? -1 : 1
}

const isDigit = (code: number): boolean => code >= 48 && code <= 57

function digitsAt(text: string, from: number): string {
  let end = from
  while (isDigit(text.charCodeAt(end))) end++
  return text.slice(from, end)
}
