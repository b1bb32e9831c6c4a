/** Names of nodes, many in few characters: `n[001-010,200]`. Pure; the API's selectors read it back. */

/** A name cut at the last number of its first label. */
type Numbered = { name: string; before: string; digits: string; after: string }

/** Names sorted, each once, with runs of numbers in brackets: a selector that means exactly these names. */
export function compressNames(names: readonly string[]): string {
  const groups = new Map<string, Numbered[]>()
  const rest: string[] = []
  for (const name of new Set(names)) {
    const match = /^([^.]*?)([0-9]{1,15})([^0-9.]*(?:\..*)?)$/.exec(name)
    if (!match) {
      rest.push(name)
      continue
    }
    const [, before = '', digits = '', after = ''] = match
    const key = `${before}\n${after}`
    const group = groups.get(key)
    if (group) group.push({ name, before, digits, after })
    else groups.set(key, [{ name, before, digits, after }])
  }
  return [...rest, ...[...groups.values()].map(groupText)].sort().join(',')
}

function groupText(group: Numbered[]): string {
  const [first] = group
  if (!first || group.length === 1) return first?.name ?? ''
  const digits = group.map((member) => member.digits).sort(byNumber)
  return `${first.before}[${runs(digits).join(',')}]${first.after}`
}

/** Neighbours joined: 08, 09, 10 are `08-10`; the left end's width is everybody's least width. */
function runs(digits: readonly string[]): string[] {
  const found: { from: string; to: string }[] = []
  for (const next of digits) {
    const run = found.at(-1)
    const follows = run && String(Number(run.to) + 1).padStart(run.from.length, '0') === next
    if (follows) run.to = next
    else found.push({ from: next, to: next })
  }
  return found.map(({ from, to }) => (from === to ? from : `${from}-${to}`))
}

/** By number, and `9` before `09`. */
const byNumber = (a: string, b: string): number => Number(a) - Number(b) || a.length - b.length
