/**
 * Writes tar: ustar headers (POSIX.1-1988, pax(1) "ustar Interchange Format"), with extended headers (POSIX.1-2001) for what
 * ustar has no room for. The same entries give the same bytes. GNU tar, bsdtar, busybox and Go shall read the same out of
 * it, which is why two things are not by the letter of POSIX:
 *
 * - Names that are not ASCII stand in the header as the bytes that they are, and when they are too long for it in GNU's
 *   entries `L` and `K`, never in a record: a record's text is UTF-8, GNU tar and bsdtar convert it to the charset of their
 *   locale, and bsdtar calls it an error where that has no such character (`LC_ALL=C`).
 * - Numbers beyond the octal digits of their field are told twice, in a record and in base 256 (GNU tar manual, "Basic Tar
 *   Format"): busybox reads names from records, but no numbers.
 *
 * An entry's data follows its header, then {@link paxPadding} zeros; {@link paxTrailer} ends the archive.
 */
import { type ByteString, byteString, bytesOf } from './byte-string.ts'
import { blockSize } from './tar-header.ts'

/** What a header says. Paths are as they shall stand in the archive; a directory's slash is added here. */
export type PaxEntry = {
  path: ByteString
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
  /** Whole seconds since 1970. */
  mtime: number
  /** Not written for a hard link, which has those of the entry that it names. */
  xattrs?: Map<ByteString, Uint8Array>
} & (
  | { type: 'file'; size: number }
  | { type: 'link'; target: ByteString }
  /** `target` is the path of an entry before it. */
  | { type: 'hardlink'; target: ByteString }
  | { type: 'character' | 'block'; major: number; minor: number }
  | { type: 'directory' }
  | { type: 'fifo' }
)

/** A record of an extended header. Its value can be any bytes. */
type PaxRecord = [key: ByteString, value: ByteString]

const flags = { file: '0', hardlink: '1', link: '2', character: '3', block: '4', directory: '5', fifo: '6' } as const

const longestName = 100
const longestPrefix = 155

/** The header of an entry and what must come before it: a multiple of 512 bytes. */
export function paxHeader(entry: PaxEntry): Uint8Array<ArrayBuffer> {
  const path = entry.type === 'directory' && !entry.path.endsWith('/') ? `${entry.path}/` : entry.path
  const target = 'target' in entry ? entry.target : ''
  const size = entry.type === 'file' ? entry.size : 0
  const { mode, uid, gid, mtime } = entry
  const split = splitPath(path)
  const longTarget = target.length > longestName
  const extensions = [
    ...(split || isAscii(path) ? [] : [extension('L', '././@LongLink', `${path}\0`)]),
    ...(!longTarget || isAscii(target) ? [] : [extension('K', '././@LongLink', `${target}\0`)]),
  ]
  const records: PaxRecord[] = [
    ...(split || !isAscii(path) ? [] : [['path', path] satisfies PaxRecord]),
    ...(longTarget && isAscii(target) ? [['linkpath', target] satisfies PaxRecord] : []),
    ...largeNumbers({ size, mtime }, 11),
    ...largeNumbers({ uid, gid }, 7),
    ...(entry.type === 'hardlink' ? [] : xattrRecords(entry.xattrs)),
  ]
  if (records.length > 0) extensions.push(extension('x', 'PaxHeaders', recordsText(records)))
  const block = header({
    ...(split ?? { name: path.slice(0, longestName), prefix: '' }),
    target: target.slice(0, longestName),
    flag: flags[entry.type],
    mode,
    uid,
    gid,
    size,
    mtime,
    ...('major' in entry && { major: entry.major, minor: entry.minor }),
  })
  return extensions.length === 0 ? block : joined([...extensions, block])
}

/** Zeros to write after `size` bytes of data. */
export const paxPadding = (size: number): number => (blockSize - (size % blockSize)) % blockSize

/** The end of an archive: two blocks of zeros. */
export const paxTrailer = (): Uint8Array<ArrayBuffer> => new Uint8Array(2 * blockSize)

const isAscii = (text: ByteString): boolean => /^[\x00-\x7f]*$/.test(text)

/** Name and prefix, between which a reader puts a slash; `undefined` when the path fits no such pair. */
function splitPath(path: ByteString): { name: ByteString; prefix: ByteString } | undefined {
  if (path.length <= longestName) return { name: path, prefix: '' }
  // The last slash of a directory does not count: the name must not be empty.
  const slash = path.lastIndexOf('/', Math.min(longestPrefix, path.length - 2))
  if (slash < 1 || path.length - slash - 1 > longestName) return undefined
  return { name: path.slice(slash + 1), prefix: path.slice(0, slash) }
}

/** Records of the numbers that have more than `digits` octal digits. */
const largeNumbers = (numbers: Record<string, number>, digits: number): PaxRecord[] =>
  Object.entries(numbers).flatMap(([key, number]) => (number < 8 ** digits ? [] : [[key, `${number}`]]))

/** As GNU tar and star keep them; `=` would end the key. */
const xattrRecords = (xattrs: Map<ByteString, Uint8Array> = new Map()): PaxRecord[] =>
  Array.from(xattrs, ([name, value]) => [
    `SCHILY.xattr.${name.replace(/[=%]/g, (character) => (character === '=' ? '%3D' : '%25'))}`,
    byteString(value),
  ])

/** Records in the order of their keys: `length key=value\n`, where the length counts its own digits. */
function recordsText(records: PaxRecord[]): ByteString {
  return records
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`
      let length = rest.length + 1
      while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length
      return `${length}${rest}`
    })
    .join('')
}

/** An entry that says something about the next. Its own fields mean nothing and are the same for all. */
function extension(flag: 'x' | 'L' | 'K', name: string, body: ByteString): Uint8Array<ArrayBuffer> {
  const block = header({ name, prefix: '', target: '', flag, mode: 0o644, uid: 0, gid: 0, size: body.length, mtime: 0 })
  return joined([block, bytesOf(body), new Uint8Array(paxPadding(body.length))])
}

type HeaderFields = {
  name: ByteString
  prefix: ByteString
  target: ByteString
  flag: string
  mode: number
  uid: number
  gid: number
  size: number
  mtime: number
  major?: number
  minor?: number
}

/** One header block. The names of owner and group stay empty, so that every reader goes by the numbers. */
function header(fields: HeaderFields): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(blockSize)
  putText(block, 0, fields.name)
  putNumber(block, 100, 8, fields.mode & 0o7777)
  putNumber(block, 108, 8, fields.uid)
  putNumber(block, 116, 8, fields.gid)
  putNumber(block, 124, 12, fields.size)
  putNumber(block, 136, 12, fields.mtime)
  block.fill(0x20, 148, 156)
  putText(block, 156, fields.flag)
  putText(block, 157, fields.target)
  putText(block, 257, 'ustar\x0000')
  putNumber(block, 329, 8, fields.major ?? 0)
  putNumber(block, 337, 8, fields.minor ?? 0)
  putText(block, 345, fields.prefix)
  let sum = 0
  for (const byte of block) sum += byte
  // Six digits, a NUL, and one of the blanks that it was counted with.
  putText(block, 148, `${sum.toString(8).padStart(6, '0')}\0`)
  return block
}

function putText(block: Uint8Array, at: number, text: ByteString): void {
  for (let index = 0; index < text.length; index++) block[at + index] = text.charCodeAt(index)
}

/** Octal digits and a NUL; where they do not suffice base 256, which the first bit tells. */
function putNumber(block: Uint8Array, at: number, length: number, number: number): void {
  if (number < 8 ** (length - 1)) {
    putText(block, at, number.toString(8).padStart(length - 1, '0'))
    return
  }
  let rest = number
  for (let index = at + length - 1; index > at; index--) {
    block[index] = rest % 256
    rest = Math.floor(rest / 256)
  }
  block[at] = 0x80
}

function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
