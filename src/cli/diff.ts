/** What an edit would change, as text: things that change alike stand together under one header. Pure. */
import { compressNames } from './compress.ts'
import type { Part } from './io.ts'
import { isMap, valueText } from './table.ts'

/** One thing before and after an edit, as the API's dry run gives it; null where it does not exist. */
export type Change = { name: string; before: unknown; after: unknown }

/** One field that differs. */
type Difference = { field: string; before: unknown; after: unknown }

/** Lines of a diff: for each group of equal changes its names, then `  field: before → after`. */
export function diffLines(changes: readonly Change[]): Part[][] {
  const groups = new Map<string, { names: string[]; differences: Difference[]; note: string }>()
  for (const { name, before, after } of changes) {
    const differences = differencesOf(before, after)
    const note = before === null ? ' (new)' : after === null ? ' (deleted)' : ''
    // The texts of a deleted thing's fields are the same whoever had them, so one key serves for all cases.
    const key = JSON.stringify([note, differences.map(lineOf)])
    const group = groups.get(key)
    if (group) group.names.push(name)
    else groups.set(key, { names: [name], differences, note })
  }
  return [...groups.values()].flatMap(({ names, differences, note }) => [
    [{ text: compressNames(names), look: 'bold' }, note] satisfies Part[],
    ...differences.map(lineOf),
  ])
}

/** The leaves that differ, sorted as the fields are written: the new document's order first. */
function differencesOf(before: unknown, after: unknown): Difference[] {
  const [was, is] = [leavesOf(before), leavesOf(after)]
  return [...new Set([...is.keys(), ...was.keys()])]
    .map((field) => ({ field, before: was.get(field), after: is.get(field) }))
    .filter((found) => JSON.stringify(found.before) !== JSON.stringify(found.after))
}

function lineOf({ field, before, after }: Difference): Part[] {
  return [`  ${field}: `, { text: valueText(before), look: 'red' }, ' → ', { text: valueText(after), look: 'green' }]
}

/** Every value with its path; `settings.` is not said, and a resource is one value whatever it holds. */
function leavesOf(document: unknown): Map<string, unknown> {
  const leaves = new Map<string, unknown>()
  const visit = (value: unknown, path: readonly string[]) => {
    const whole = path.length === 2 && path[0] === 'resources'
    if (!isMap(value) || whole) leaves.set(path.join('.'), value)
    else for (const [key, child] of Object.entries(value)) visit(child, [...path, key])
  }
  if (!isMap(document)) return leaves
  const { settings, ...rest } = document
  if (!Array.isArray(rest.profiles) || rest.profiles.length > 0) visit(rest, [])
  if (settings !== undefined) visit(settings, [])
  return leaves
}
