/**
 * The 512-byte header block of a tar entry: v7, ustar (POSIX.1-1988, pax(1) "ustar Interchange Format") and GNU
 * (GNU tar manual, "Basic Tar Format").
 */
import { type ByteString, byteString } from './byte-string.ts'
import { invalid } from './limits.ts'

/** Bytes of a block: headers and padded data come in these. */
export const blockSize = 512

/** What a header block says, before any extended header changes it. */
export type TarHeader = {
  path: ByteString
  /** Of links; else empty. */
  target: ByteString
  /** The type flag, one character; `0` for the NUL of old archives. */
  flag: string
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
  size: number
  /** Seconds since 1970; 0 for what is before that, or no number. */
  mtime: number
  /** The raw block, for what only some types have. */
  block: Uint8Array
}

/** Whether a block is all zeros: two of them end an archive. */
export const isZero = (block: Uint8Array): boolean => block.every((byte) => byte === 0)

/** Whether the block's checksum holds. Old tars summed signed bytes, so that counts too. */
export function hasChecksum(block: Uint8Array): boolean {
  let unsigned = 0
  let signed = 0
  for (let at = 0; at < blockSize; at++) {
    const byte = at >= 148 && at < 156 ? 0x20 : (block[at] ?? 0)
    unsigned += byte
    signed += byte < 0x80 ? byte : byte - 0x100
  }
  const stored = parseNumber(block.subarray(148, 156))
  return stored === unsigned || stored === signed
}

/** Reads a header block. `last` is the entry before it, to name when this is no header: `ARCHIVE_INVALID`. */
export function parseHeader(block: Uint8Array, last: ByteString): TarHeader {
  if (!hasChecksum(block)) throw invalid(last, 'what follows it is no tar header (its checksum is wrong)')
  const magic = byteString(block.subarray(257, 265))
  const name = text(block, 0, 100)
  // GNU headers ("ustar  ") keep other things where POSIX has the prefix.
  const prefix = magic.startsWith('ustar\0') ? text(block, 345, 155) : ''
  const path = prefix === '' ? name : `${prefix}/${name}`
  return {
    path,
    target: text(block, 157, 100),
    flag: block[156] === 0 ? '0' : String.fromCharCode(block[156] ?? 0),
    mode: field(block, 100, 8, path, 'mode') & 0o7777,
    uid: field(block, 108, 8, path, 'uid'),
    gid: field(block, 116, 8, path, 'gid'),
    size: field(block, 124, 12, path, 'size'),
    mtime: parseNumber(block.subarray(136, 148)) ?? 0,
    block,
  }
}

/** Major and minor number; only devices have them, in other entries of old tars the bytes mean nothing. */
export const parseDevice = (block: Uint8Array, path: ByteString): { major: number; minor: number } => ({
  major: field(block, 329, 8, path, 'device number'),
  minor: field(block, 337, 8, path, 'device number'),
})

/** A number field; throws `ARCHIVE_INVALID` with the entry's path and `what` when it holds none. */
export function field(block: Uint8Array, at: number, length: number, path: ByteString, what: string): number {
  const number = parseNumber(block.subarray(at, at + length))
  if (number === undefined) throw invalid(path, `its header has no ${what} that makes sense`)
  return number
}

/** Octal digits among blanks, or GNU base-256 when the first bit is set. Negative, unsafe or other: `undefined`. */
function parseNumber(bytes: Uint8Array): number | undefined {
  const first = bytes[0] ?? 0
  if (first >= 0x80) {
    // 0x80 starts a positive number, 0xff a negative one in two's complement.
    let number = first & 0x7f
    for (const byte of bytes.subarray(1)) number = number * 256 + byte
    return Number.isSafeInteger(number) ? number : undefined
  }
  let at = 0
  while (at < bytes.length && isBlank(bytes[at])) at++
  let number = 0
  for (; at < bytes.length && !isBlank(bytes[at]); at++) {
    const digit = (bytes[at] ?? 0) - 0x30
    if (digit < 0 || digit > 7) return undefined
    number = number * 8 + digit
  }
  // What comes after the closing blank is left over from other writers.
  return number
}

const isBlank = (byte: number | undefined): boolean => byte === 0x20 || byte === 0

/** The bytes up to the first NUL. */
function text(block: Uint8Array, at: number, length: number): ByteString {
  const bytes = block.subarray(at, at + length)
  const end = bytes.indexOf(0)
  return byteString(end < 0 ? bytes : bytes.subarray(0, end))
}
