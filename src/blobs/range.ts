/** Which part of a blob a request asks for: conditional requests and ranges (RFC 9110 §13 and §14). Pure. */
import type { Slice } from './store.ts'

/** The parts of a request that decide. Header values as they came, or absent. */
export type Conditions = {
  method: string
  ifNoneMatch?: string | undefined
  ifRange?: string | undefined
  range?: string | undefined
}

/** The answer: all of it (200), a part (206), nothing since the client has it (304), or no such part (416). */
export type Selection = { status: 200 | 206; slice: Slice } | { status: 304 } | { status: 416 }

/** Decides in the order of RFC 9110 §13.2.2. `etag` is a strong one, with its quotes; `size` is in bytes. */
export function select({ method, ifNoneMatch, ifRange, range }: Conditions, etag: string, size: number): Selection {
  if (ifNoneMatch !== undefined && matchesAny(ifNoneMatch, etag)) return { status: 304 }
  const whole = { status: 200, slice: { offset: 0, length: size } } as const
  // Ranges are defined for GET alone (§14.2). A date in If-Range never holds: blobs have no Last-Modified (§13.1.5).
  if (method !== 'GET' || range === undefined || (ifRange !== undefined && ifRange.trim() !== etag)) return whole
  const slice = parseRange(range, size)
  if (slice === 'unsatisfiable') return { status: 416 }
  return slice ? { status: 206, slice } : whole
}

/**
 * Reads a `Range` header against a blob of `size` bytes. Answers `undefined` for what is to be ignored, as a server
 * may do with any of it (§14.2): other units, several ranges, nonsense, and a suffix of an empty blob.
 */
export function parseRange(header: string, size: number): Slice | 'unsatisfiable' | undefined {
  const set = /^\s*bytes=(.*)$/i.exec(header)?.[1]
  const specs = set
    ?.split(',')
    .map((spec) => spec.trim())
    .filter((spec) => spec !== '') // empty elements: §5.6.1.2
  if (specs?.length !== 1) return undefined
  const [, first = '', last = ''] = /^(\d*)-(\d*)$/.exec(specs[0] ?? '') ?? []
  if (first === '') return last === '' ? undefined : suffix(Number(last), size)
  const offset = Number(first)
  if (last !== '' && Number(last) < offset) return undefined
  if (offset >= size) return 'unsatisfiable'
  const end = last === '' ? size : Math.min(Number(last) + 1, size)
  return { offset, length: end - offset }
}

/** The last `count` bytes, or all of them when there are fewer (§14.1.2). */
function suffix(count: number, size: number): Slice | 'unsatisfiable' | undefined {
  if (count === 0) return 'unsatisfiable'
  if (size === 0) return undefined
  const length = Math.min(count, size)
  return { offset: size - length, length }
}

/** Whether an `If-None-Match` header names the entity tag; `*` names any, and `W/` makes no difference (§13.1.2). */
function matchesAny(header: string, etag: string): boolean {
  if (header.trim() === '*') return true
  return header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)
}
