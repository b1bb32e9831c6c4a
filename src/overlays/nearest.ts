/** The name that somebody probably meant. */

/** The known name closest to a misspelt one, if any is close: at most a third of its letters differ, or two. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const most = Math.max(2, Math.floor(name.length / 3))
  let best: { name: string; edits: number } | undefined
  for (const one of known) {
    if (Math.abs(one.length - name.length) > most) continue
    const edits = distance(name.toLowerCase(), one.toLowerCase())
    if (edits <= most && edits < one.length && (best === undefined || edits < best.edits)) best = { name: one, edits }
  }
  return best?.name
}

/** Edits of one letter that make one word of the other, two swapped neighbours being one edit (optimal string alignment). */
function distance(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, at) => at)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      let edits = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + same)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        edits = Math.min(edits, (before[j - 2] ?? 0) + 1)
      row.push(edits)
    }
    before = last
    last = row
  }
  return last[b.length] ?? 0
}
