/** What differs between two texts, as a unified diff (POSIX diff -u, without the names of files). Pure. */

/** One line of a unified diff; `@` is the head of a hunk, `\` says that the line before it has no end. */
export type DiffLine = { sign: ' ' | '-' | '+' | '@' | '\\'; text: string }

type Step = { sign: ' ' | '-' | '+'; text: string }

/** Lines before and after a change that are shown. */
const context = 3
/** Most changed lines that are looked for; texts that differ in more are shown as one replaced by the other. */
const mostChanges = 1000

/** Lines of the diff; none for equal texts. */
export function textDiff(before: string, after: string): DiffLine[] {
  const [was, is] = [linesOf(before), linesOf(after)]
  let start = 0
  while (start < was.length && start < is.length && was[start] === is[start]) start++
  let end = 0
  while (end < was.length - start && end < is.length - start && was.at(-1 - end) === is.at(-1 - end)) end++
  const same = (lines: readonly string[]): Step[] => lines.map((text) => ({ sign: ' ', text }))
  const steps = [
    ...same(was.slice(0, start)),
    ...changed(was.slice(start, was.length - end), is.slice(start, is.length - end)),
    ...same(was.slice(was.length - end)),
  ]
  return hunks(steps)
}

/** Lines with their ends, so that a missing one at the end of a text is a difference. */
const linesOf = (text: string): string[] => text.match(/[^\n]*\n|[^\n]+$/g) ?? []

/** Eugene Myers, An O(ND) Difference Algorithm and Its Variations, 1986: the greedy search, and the way back through it. */
function changed(was: readonly string[], is: readonly string[]): Step[] {
  const most = Math.min(was.length + is.length, mostChanges)
  const furthest = new Map<number, number>([[1, 0]])
  const trace: Map<number, number>[] = []
  for (let changes = 0; changes <= most; changes++) {
    trace.push(new Map(furthest))
    for (let diagonal = -changes; diagonal <= changes; diagonal += 2) {
      let x = startOn(diagonal, changes, furthest)
      while (x < was.length && x - diagonal < is.length && was[x] === is[x - diagonal]) x++
      furthest.set(diagonal, x)
      if (x >= was.length && x - diagonal >= is.length) return stepsBack(was, is, trace)
    }
  }
  return [...was.map((text): Step => ({ sign: '-', text })), ...is.map((text): Step => ({ sign: '+', text }))]
}

/** Where a path with so many changes comes onto a diagonal: down from the one above, or across from the one below. */
function startOn(diagonal: number, changes: number, furthest: ReadonlyMap<number, number>): number {
  const [below, above] = [furthest.get(diagonal - 1) ?? -1, furthest.get(diagonal + 1) ?? -1]
  return diagonal === -changes || (diagonal !== changes && below < above) ? above : below + 1
}

function stepsBack(
  was: readonly string[],
  is: readonly string[],
  trace: readonly ReadonlyMap<number, number>[],
): Step[] {
  const steps: Step[] = []
  let [x, y] = [was.length, is.length]
  for (let changes = trace.length - 1; changes >= 0; changes--) {
    const diagonal = x - y
    const furthest = trace[changes] ?? new Map()
    const start = changes === 0 ? 0 : startOn(diagonal, changes, furthest)
    for (; x > start && y > start - diagonal; x--, y--) steps.push({ sign: ' ', text: was[x - 1] ?? '' })
    if (changes === 0) break
    const isInsertion =
      start === (furthest.get(diagonal + 1) ?? -1) &&
      (diagonal === -changes || (diagonal !== changes && (furthest.get(diagonal - 1) ?? -1) < start))
    if (isInsertion) steps.push({ sign: '+', text: is[--y] ?? '' })
    else steps.push({ sign: '-', text: was[--x] ?? '' })
  }
  return steps.reverse()
}

/** Changes with the lines around them; those that are close stand in one hunk. */
function hunks(steps: readonly Step[]): DiffLine[] {
  const lines: DiffLine[] = []
  const changes = steps.flatMap(({ sign }, at) => (sign === ' ' ? [] : [at]))
  let [from, wasLine, isLine, counted] = [0, 1, 1, 0]
  while (from < changes.length) {
    let to = from
    while (to + 1 < changes.length && (changes[to + 1] ?? 0) - (changes[to] ?? 0) <= 2 * context + 1) to++
    const first = Math.max(0, (changes[from] ?? 0) - context)
    const last = Math.min(steps.length, (changes[to] ?? 0) + context + 1)
    for (; counted < first; counted++) {
      wasLine++
      isLine++
    }
    const inside = steps.slice(first, last)
    const [was, is] = [count(inside, '+'), count(inside, '-')]
    lines.push({ sign: '@', text: `@@ -${range(wasLine, was)} +${range(isLine, is)} @@` })
    for (const { sign, text } of inside) {
      lines.push({ sign, text: text.replace(/\n$/, '') })
      if (!text.endsWith('\n')) lines.push({ sign: '\\', text: ' No newline at end of file' })
    }
    wasLine += was
    isLine += is
    counted = last
    from = to + 1
  }
  return lines
}

const count = (steps: readonly Step[], without: '+' | '-'): number =>
  steps.filter(({ sign }) => sign !== without).length

/** An empty range names the line before it; a single line has no count (POSIX diff, -u). */
const range = (start: number, lines: number): string =>
  lines === 0 ? `${start - 1},0` : lines === 1 ? String(start) : `${start},${lines}`
