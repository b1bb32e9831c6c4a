/** Tables and settings as text for people. Pure. */
import { plain, widthOf } from './plain.ts'

/** A column of text that is long, and how wide its table may be. */
export type Wrap = { column: string; width: number | undefined }

/** A column narrower than this is not worth reading. */
const narrowest = 24

/**
 * Lines of a table: columns aligned by what a terminal shows, two spaces between, nothing cut, and nothing wrapped but the words of
 * the column that `wrap` names, where the table is wider than the terminal.
 */
export function table(head: readonly string[], rows: readonly (readonly string[])[], wrap?: Wrap): string[] {
  const cells = [head, ...rows].map((row) => row.map((cell) => plain(cell === '' ? '-' : cell)))
  return aligned(head, wrap ? cells.flatMap((row) => wrappedRow(row, wrapOf(head, cells, wrap))) : cells)
}

function aligned(head: readonly string[], cells: readonly (readonly string[])[]): string[] {
  const widths = head.map((_, column) => cells.reduce((most, row) => Math.max(most, widthOf(row[column] ?? '')), 0))
  return cells.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - widthOf(cell)))
      .join('  ')
      .trimEnd(),
  )
}

/** Which column, and how wide it may be. */
function wrapOf(head: readonly string[], cells: readonly (readonly string[])[], { column, width }: Wrap) {
  const at = head.indexOf(column)
  const others = head.reduce(
    (sum, _, one) => (one === at ? sum : sum + 2 + Math.max(...cells.map((row) => widthOf(row[one] ?? '')))),
    0,
  )
  return { at, room: width === undefined ? Number.POSITIVE_INFINITY : Math.max(narrowest, width - others) }
}

/** A row as one line or several, of which all but the first have that column alone. */
function wrappedRow(row: readonly string[], { at, room }: { at: number; room: number }): string[][] {
  const lines: string[] = []
  for (const word of (row[at] ?? '').split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || widthOf(last) + 1 + widthOf(word) > room) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines.map((line, index) => row.map((cell, one) => (one === at ? line : index === 0 ? cell : '')))
}

/** A value on one line: text as it is, lists in brackets, what is not there as `(none)`, a cleared field as such. */
export function valueText(value: unknown): string {
  if (value === undefined) return '(none)'
  if (value === null) return '(cleared)'
  if (typeof value === 'string') return value === '' ? '""' : value
  if (Array.isArray(value) && value.every((item) => typeof item !== 'object')) return `[${value.join(', ')}]`
  return JSON.stringify(value)
}

/** A document in YAML's manner, for reading: maps indented, short lists on one line. */
export function outline(document: unknown, indent = ''): string[] {
  if (!isMap(document)) return [`${indent}${valueText(document)}`]
  return Object.entries(document).flatMap(([key, value]) => {
    if (isMap(value) && Object.keys(value).length > 0) return [`${indent}${key}:`, ...outline(value, `${indent}  `)]
    if (Array.isArray(value) && value.some((item) => typeof item === 'object')) {
      return [`${indent}${key}:`, ...value.flatMap((item) => listItem(item, indent))]
    }
    return [`${indent}${key}: ${valueText(value)}`]
  })
}

function listItem(item: unknown, indent: string): string[] {
  const [first = '', ...rest] = outline(item, `${indent}    `)
  return [`${indent}  - ${first.slice(indent.length + 4)}`, ...rest]
}

/** True for what JSON calls an object. */
export const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Bytes for people: `512 B`, `1.5 kB`, `2.1 GB`, in powers of 1000 as disks and links are sold. */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`
}

/** An ISO 8601 time as the API gives it, to the second: `2026-10-01 12:00:00Z`. Anything else stays as it is. */
export const timeText = (time: string | null | undefined): string =>
  (time ?? '').replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/, '$1 $2Z')

/** Enough of a digest to tell two apart: `sha256:0123456789ab`. */
export const shortDigest = (digest: string): string => digest.slice(0, 'sha256:'.length + 12)
