/** Tables and settings as text for people. Pure. */
import { plain, widthOf } from './plain.ts'

/** Lines of a table: columns aligned by what a terminal shows, two spaces between, nothing cut, nothing wrapped. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cells = [head, ...rows].map((row) => row.map((cell) => plain(cell === '' ? '-' : cell)))
  const widths = head.map((_, column) => cells.reduce((most, row) => Math.max(most, widthOf(row[column] ?? '')), 0))
  return cells.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - widthOf(cell)))
      .join('  ')
      .trimEnd(),
  )
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
