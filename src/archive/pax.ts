/**
 * Extended header records (pax(1), "pax Extended Header"): `length key=value\n`, values being any bytes; and the extended
 * attributes that GNU tar, star and bsdtar keep in them.
 */
import { type ByteString, byteString } from './byte-string.ts'
import { invalid } from './limits.ts'

/** Records by key. Values point into the header that was read: copy what is kept. */
export type Records = Map<string, Uint8Array>

/** Key under which the repeated offset and size records of GNU sparse format 0.0 are gathered, in the form of 0.1. */
export const sparseMap = 'GNU.sparse.map'

/** Reads the records of one extended header; throws `ARCHIVE_INVALID` with the name of the entry before it. */
export function parseRecords(bytes: Uint8Array, last: ByteString): Records {
  const records: Records = new Map()
  const sparse: ByteString[] = []
  for (let at = 0; at < bytes.length; ) {
    const { key, value, end } = parseRecord(bytes, at, last)
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') sparse.push(byteString(value))
    else records.set(key, value)
    at = end
  }
  if (sparse.length > 0) records.set(sparseMap, new TextEncoder().encode(sparse.join(',')))
  return records
}

function parseRecord(bytes: Uint8Array, at: number, last: ByteString): { key: string; value: Uint8Array; end: number } {
  const digits = /^([1-9][0-9]{0,9}) /.exec(byteString(bytes.subarray(at, at + 11)))
  const end = at + Number(digits?.[1])
  const equals = bytes.indexOf(0x3d, at)
  const start = at + (digits?.[0].length ?? 0)
  if (!digits || end > bytes.length || bytes[end - 1] !== 0x0a || equals <= start || equals >= end)
    throw invalid(last, 'the extended header after it has a malformed record')
  return { key: byteString(bytes.subarray(start, equals)), value: bytes.subarray(equals + 1, end - 1), end }
}

/** A text record, `undefined` when it is absent or empty: an empty one takes back what was said before. */
export function textRecord(records: Records, key: string): ByteString | undefined {
  const value = records.get(key)
  return value === undefined || value.length === 0 ? undefined : byteString(value)
}

/** A record that is a decimal number, perhaps with a fraction; `ARCHIVE_INVALID` with the entry's path when it is not. */
export function numberRecord(records: Records, key: string, path: ByteString): number | undefined {
  const text = textRecord(records, key)
  if (text === undefined) return undefined
  const number = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(number)) throw invalid(path, `its extended header has no ${key} that makes sense`)
  return number
}

/** A time in whole seconds since 1970, `undefined` when the record is absent or no such time: times are worth no refusal. */
export function timeRecord(records: Records, key: string): number | undefined {
  const text = textRecord(records, key) ?? ''
  // Cut as text: a number has no room for nanoseconds, and rounds .999999999 up.
  const seconds = /^([0-9]{1,12})(?:\.[0-9]*)?$/.exec(text)?.[1]
  return seconds === undefined ? undefined : Number(seconds)
}

/** Extended attributes by name, `undefined` when there are none. Throws `ARCHIVE_INVALID` with the entry's path. */
export function xattrsOf(records: Records, path: ByteString): Map<ByteString, Uint8Array> | undefined {
  const found = new Map<ByteString, Uint8Array>()
  for (const [key, value] of records) {
    if (key.startsWith('LIBARCHIVE.xattr.')) found.set(percentDecoded(key.slice(17)), fromBase64(value, path))
    else if (key === 'RHT.security.selinux') found.set('security.selinux', value.slice())
  }
  // Last, because bsdtar writes both and this one is the value itself.
  for (const [key, value] of records)
    if (key.startsWith('SCHILY.xattr.')) found.set(percentDecoded(key.slice(13)), value.slice())
  for (const name of found.keys())
    if (name === '' || name.length > 255 || name.includes('\0'))
      throw invalid(path, 'it has an extended attribute whose name is empty, too long or has NUL')
  return found.size === 0 ? undefined : found
}

/** Writers escape `=` and `%`, bsdtar more. */
const percentDecoded = (name: ByteString): ByteString =>
  name.replace(/%([0-9a-fA-F]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))

function fromBase64(value: Uint8Array, path: ByteString): Uint8Array {
  try {
    return Uint8Array.from(atob(byteString(value)), (character) => character.charCodeAt(0))
  } catch (cause) {
    throw invalid(path, `an extended attribute of it is not base64: ${String(cause)}`)
  }
}
