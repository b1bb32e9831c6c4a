/**
 * Writes newc cpio archives, which the kernel unpacks as initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). The same entries give the same bytes: times are 0
 * unless told, the device is 0:0, inode numbers are a count.
 *
 * {@link packCpio} makes a whole archive in memory, {@link cpioPieces} the same in pieces; {@link cpioHeader}, {@link cpioPadding} and {@link cpioTrailer} are
 * the pieces for whoever streams.
 */
import { AppError } from '../errors.ts'
import { isOwnPiece, joined, type Pieces } from './pieces.ts'

/** One entry for {@link packCpio}. `path` is relative, without a slash at either end; `mode` is permission bits only. */
export type CpioEntry = { path: string; mode: number; uid: number; gid: number } & (
  | { type: 'file'; content: Uint8Array<ArrayBuffer> }
  | { type: 'link'; target: string }
  | { type: 'directory' }
)

/** What an entry's header says. Every number is unsigned and below 2³². */
export type CpioHeader = {
  /** The path's bytes, relative, without the closing NUL. */
  name: Uint8Array
  /** File type and permission bits, as in stat(2): see {@link fileType}. */
  mode: number
  /** Equal for the hard links of one file, else different. Only matters when `links` is 2 or more. */
  ino: number
  uid: number
  gid: number
  /** How many entries of this archive share `ino`. */
  links: number
  /** Bytes of data that follow. Of hard links only the first has any: init/initramfs.c opens later ones untruncated. */
  size: number
  /** Seconds since 1970, 0 when not given. Kernels with CONFIG_INITRAMFS_PRESERVE_MTIME keep it. */
  mtime?: number
  /** Device number, for devices. */
  major?: number
  minor?: number
}

/** The type bits of a mode (inode(7)). */
export const fileType = {
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  link: 0o120000,
} as const

/** PATH_MAX without the NUL. The kernel skips an entry with a longer name or link target in silence. */
const longestPath = 4095
const trailerName = 'TRAILER!!!'
const headerSize = 110
const encoder = new TextEncoder()

/**
 * A whole archive in memory: entries in the order given, then the trailer. For overlays and tickets; images stream.
 * Throws `ARCHIVE_INVALID` or `ARCHIVE_LIMIT` with the path of an entry that newc or the kernel cannot take.
 */
export const packCpio = (entries: readonly CpioEntry[]): Uint8Array<ArrayBuffer> => joined(cpioPieces(entries).pieces)

/** The same in pieces, of which the large ones are the entries' own contents. Throws as {@link packCpio}. */
export function cpioPieces(entries: readonly CpioEntry[]): Pieces {
  const parts = entries.map((entry) => ({ entry, name: encoder.encode(entry.path), data: dataOf(entry) }))
  let copied = frameSize(trailerName.length)
  for (const { name, data } of parts)
    copied += frameSize(name.length) + cpioPadding(data.length) + (isOwnPiece(data) ? 0 : data.length)
  // One array for all that is small: an archive has a few headers for each file, and most files of an overlay are small.
  const bytes = new Uint8Array(copied)
  const pieces: Uint8Array<ArrayBuffer>[] = []
  let size = copied
  let from = 0
  let at = 0
  for (const [index, { entry, name, data }] of parts.entries()) {
    const header = {
      name,
      mode: fileType[entry.type] | (entry.mode & 0o7777),
      ino: index + 1,
      uid: entry.uid,
      gid: entry.gid,
      links: entry.type === 'directory' ? 2 : 1,
      size: data.length,
    }
    checkHeader(header)
    putFrame(bytes, at, header)
    at += frameSize(name.length)
    if (isOwnPiece(data)) {
      pieces.push(bytes.subarray(from, at), data)
      size += data.length
      from = at
    } else {
      bytes.set(data, at)
      at += data.length
    }
    at += cpioPadding(data.length)
  }
  putFrame(bytes, at, trailer)
  pieces.push(bytes.subarray(from))
  return { size, pieces }
}

/**
 * Header, name and padding of one entry; its data comes next, then {@link cpioPadding} zeros. Throws `ARCHIVE_LIMIT` for
 * data of 4 GiB or more, an owner that has no 32 bits or a name beyond PATH_MAX, `ARCHIVE_INVALID` for a name that would
 * not arrive as it is.
 */
export function cpioHeader(header: CpioHeader): Uint8Array<ArrayBuffer> {
  checkHeader(header)
  return frame(header)
}

function checkHeader(header: CpioHeader): void {
  const { name } = header
  checkName(name)
  if (header.size > 0xffffffff) throw refusal('ARCHIVE_LIMIT', name, 'has 4 GiB or more, which newc cpio cannot hold')
  if ((header.mode & 0o170000) === fileType.link && header.size > longestPath)
    throw refusal('ARCHIVE_LIMIT', name, `links to more than ${longestPath} bytes, which the kernel does not take`)
  // Both are written as 8 hex digits; anything else would shift the fields that follow.
  if (!fits(header.uid) || !fits(header.gid))
    throw refusal('ARCHIVE_LIMIT', name, `has owner ${header.uid}:${header.gid}, beyond 32 bits`)
}

/** Zeros to write after `size` bytes of data, so that the next header starts on a multiple of 4. */
export const cpioPadding = (size: number): number => -size & 3

const trailer: CpioHeader = { name: encoder.encode(trailerName), mode: 0, ino: 0, uid: 0, gid: 0, links: 1, size: 0 }

/** The end of an archive. It also makes the kernel forget inode numbers, so archives can follow one another. */
export const cpioTrailer = (): Uint8Array<ArrayBuffer> => frame(trailer)

function frame(header: CpioHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(frameSize(header.name.length))
  putFrame(bytes, 0, header)
  return bytes
}

/** Bytes of a header with a name of so many bytes, its NUL, and zeros up to a multiple of 4. */
const frameSize = (nameLength: number): number => headerSize + nameLength + 1 + cpioPadding(headerSize + nameLength + 1)

/** Magic, thirteen numbers of 8 hex digits and the name, over zeros. */
function putFrame(bytes: Uint8Array, start: number, header: CpioHeader): void {
  const { name, mode, ino, uid, gid, links, size, mtime = 0, major = 0, minor = 0 } = header
  bytes.set(magic, start)
  let at = start + magic.length
  for (const number of [ino, mode, uid, gid, links, mtime, size, 0, 0, major, minor, name.length + 1, 0]) {
    // Without making a text of it: a boot archive has hundreds of numbers.
    for (let shift = 28; shift >= 0; shift -= 4) bytes[at++] = hexDigits[(number >>> shift) & 15] ?? 0
  }
  bytes.set(name, at)
}

const magic = encoder.encode('070701')
const hexDigits = encoder.encode('0123456789abcdef')

function dataOf(entry: CpioEntry): Uint8Array<ArrayBuffer> {
  if (entry.type === 'file') return entry.content
  return entry.type === 'link' ? encoder.encode(entry.target) : new Uint8Array(0)
}

function checkName(name: Uint8Array): void {
  if (name.length > longestPath) throw refusal('ARCHIVE_LIMIT', name, `has a name beyond ${longestPath} bytes`)
  if (name.length === 0) throw new AppError('ARCHIVE_INVALID', 'an entry has no name')
  if (name.includes(0)) throw refusal('ARCHIVE_INVALID', name, 'has NUL in its name')
  // The kernel would take the entry for the end of the archive.
  if (name.length === trailerName.length && new TextDecoder().decode(name) === trailerName)
    throw refusal('ARCHIVE_INVALID', name, 'has the name that ends a cpio archive')
}

const fits = (number: number): boolean => Number.isInteger(number) && number >= 0 && number <= 0xffffffff

const refusal = (code: 'ARCHIVE_INVALID' | 'ARCHIVE_LIMIT', name: Uint8Array, fault: string): AppError =>
  new AppError(code, `${new TextDecoder().decode(name.subarray(0, 200))} ${fault}`)
