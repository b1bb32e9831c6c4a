/** JSON that others wrote: read within limits, and field by field. Pure. Faults are `SOURCE_INVALID` and name the place. */
import { type Digest, parseDigest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'

/** Bytes of a manifest, an index or a config: what registries themselves accept (OCI distribution spec, "Pushing Manifests"). */
export const mostDocument = 4 * 2 ** 20
/** Brackets within brackets. The deepest that any of the formats needs is 5. */
const mostDepth = 32

/** A JSON object, its fields unknown. */
export type Fields = Readonly<Record<string, unknown>>

/** `SOURCE_INVALID`: the document and what is wrong with it. */
export const invalid = (what: string, fault: string): AppError => new AppError('SOURCE_INVALID', `${what}: ${fault}`)

/** Reads a document that is one JSON value. `what` names it in messages. */
export function parseJson(bytes: Uint8Array, what: string): unknown {
  if (bytes.length > mostDocument) throw invalid(what, `has ${bytes.length} bytes (the limit is ${mostDocument})`)
  if (depthOf(bytes) > mostDepth) throw invalid(what, `its JSON is nested deeper than ${mostDepth}`)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw invalid(what, 'is no JSON')
  }
}

/** The deepest nesting, counted before anything recursive looks at the text: brackets within strings do not count. */
function depthOf(bytes: Uint8Array): number {
  let [depth, deepest, quoted] = [0, 0, false]
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (quoted && byte === 0x5c) at++
    else if (byte === 0x22) quoted = !quoted
    else if (!quoted && (byte === 0x5b || byte === 0x7b)) deepest = Math.max(deepest, ++depth)
    else if (!quoted && (byte === 0x5d || byte === 0x7d)) depth--
  }
  return deepest
}

/** The value as an object. */
export function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(what, 'is no JSON object')
  return value as Fields
}

/** A list, empty when it is absent or null, as Go writes it. */
export function listAt(fields: Fields, key: string, what: string, most: number): unknown[] {
  const value = at(fields, key)
  if (value === undefined) return []
  if (!Array.isArray(value)) throw invalid(what, `${key} is no list`)
  if (value.length > most) throw invalid(what, `${key} has ${value.length} items (the limit is ${most})`)
  return value
}

/** A text, `undefined` when it is absent, null or empty, as Go writes it. */
export function textAt(fields: Fields, key: string, what: string): string | undefined {
  const value = at(fields, key)
  if (value === undefined || value === '') return undefined
  if (typeof value !== 'string') throw invalid(what, `${key} is no text`)
  return value
}

/** Texts by key, none when it is absent or null. */
export function textsAt(fields: Fields, key: string, what: string): Record<string, string> {
  const value = at(fields, key)
  if (value === undefined) return {}
  const found = Object.entries(fieldsOf(value, `${what}: ${key}`))
  return Object.fromEntries(
    found.map(([name, text]) => {
      if (typeof text !== 'string') throw invalid(what, `${key}: ${JSON.stringify(name)} is no text`)
      return [name, text]
    }),
  )
}

/** A size in bytes. */
export function sizeAt(fields: Fields, key: string, what: string): number {
  const value = at(fields, key)
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw invalid(what, `${key} is no size`)
  return value
}

/** A text that is a digest: safe to make a path or a URL of. */
export function digestFrom(value: unknown, what: string): Digest {
  try {
    return parseDigest(typeof value === 'string' ? value : '')
  } catch {
    throw invalid(what, 'is no sha256 digest')
  }
}

/** A field of the object itself, `undefined` for what is null. */
const at = (fields: Fields, key: string): unknown =>
  Object.hasOwn(fields, key) ? (fields[key] ?? undefined) : undefined
