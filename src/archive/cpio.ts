/**
 * Writes newc cpio archives, which the kernel unpacks as initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). The same entries give the same bytes: times are 0
 * unless told, the device is 0:0, inode numbers are a count.
 *
 * {@link packCpio} makes a whole archive in memory; {@link cpioHeader}, {@link cpioPadding} and {@link cpioTrailer} are
 * the pieces for whoever streams.
 */
import { AppError } from '../errors.ts'

/** One entry for {@link packCpio}. `path` is relative, without a slash at either end; `mode` is permission bits only. */
export type CpioEntry = { path: string; mode: number; uid: number; gid: number } & (
  | { type: 'file'; content: Uint8Array }
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
export function packCpio(entries: CpioEntry[]): Uint8Array<ArrayBuffer> {
  const parts: { header: Uint8Array; data: Uint8Array }[] = []
  let total = 0
  for (const [index, entry] of entries.entries()) {
    const data = dataOf(entry)
    const header = cpioHeader({
      name: encoder.encode(entry.path),
      mode: fileType[entry.type] | (entry.mode & 0o7777),
      ino: index + 1,
      uid: entry.uid,
      gid: entry.gid,
      links: entry.type === 'directory' ? 2 : 1,
      size: data.length,
    })
    parts.push({ header, data })
    total += header.length + data.length + cpioPadding(data.length)
  }
  const trailer = cpioTrailer()
  const archive = new Uint8Array(total + trailer.length)
  let at = 0
  for (const { header, data } of parts) {
    archive.set(header, at)
    archive.set(data, at + header.length)
    at += header.length + data.length + cpioPadding(data.length)
  }
  archive.set(trailer, at)
  return archive
}

/**
 * Header, name and padding of one entry; its data comes next, then {@link cpioPadding} zeros. Throws `ARCHIVE_LIMIT` for
 * data of 4 GiB or more, an owner that has no 32 bits or a name beyond PATH_MAX, `ARCHIVE_INVALID` for a name that would
 * not arrive as it is.
 */
export function cpioHeader(header: CpioHeader): Uint8Array<ArrayBuffer> {
  const { name } = header
  checkName(name)
  if (header.size > 0xffffffff) throw refusal('ARCHIVE_LIMIT', name, 'has 4 GiB or more, which newc cpio cannot hold')
  if ((header.mode & 0o170000) === fileType.link && header.size > longestPath)
    throw refusal('ARCHIVE_LIMIT', name, `links to more than ${longestPath} bytes, which the kernel does not take`)
  // Both are written as 8 hex digits; anything else would shift the fields that follow.
  if (!fits(header.uid) || !fits(header.gid))
    throw refusal('ARCHIVE_LIMIT', name, `has owner ${header.uid}:${header.gid}, beyond 32 bits`)
  return frame(header)
}

/** Zeros to write after `size` bytes of data, so that the next header starts on a multiple of 4. */
export const cpioPadding = (size: number): number => -size & 3

/** The end of an archive. It also makes the kernel forget inode numbers, so archives can follow one another. */
export const cpioTrailer = (): Uint8Array<ArrayBuffer> =>
  frame({ name: encoder.encode(trailerName), mode: 0, ino: 0, uid: 0, gid: 0, links: 1, size: 0 })

/** Magic, thirteen numbers of 8 hex digits, the name and its NUL, zeros up to a multiple of 4. */
function frame({
  name,
  mode,
  ino,
  uid,
  gid,
  links,
  size,
  mtime = 0,
  major = 0,
  minor = 0,
}: CpioHeader): Uint8Array<ArrayBuffer> {
  const numbers = [ino, mode, uid, gid, links, mtime, size, 0, 0, major, minor, name.length + 1, 0]
  let text = '070701'
  for (const number of numbers) text += number.toString(16).padStart(8, '0')
  const length = headerSize + name.length + 1
  const bytes = new Uint8Array(length + cpioPadding(length))
  encoder.encodeInto(text, bytes)
  bytes.set(name, headerSize)
  return bytes
}

function dataOf(entry: CpioEntry): Uint8Array {
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
