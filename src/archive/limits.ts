/** What a foreign archive may cost. Each limit is refused with `ARCHIVE_LIMIT`, the entry's name and the limit. */
import { AppError } from '../errors.ts'
import { type ByteString, readable } from './byte-string.ts'

/** Bounds on an archive that others made. All sizes are in bytes. */
export type ArchiveLimits = {
  /** Entries, and the directories that are made for them. */
  entries: number
  /** One path or link target. */
  path: number
  /** One part of a path, between slashes. */
  component: number
  /** Extended headers (PAX records, long names, sparse maps) in front of one entry. */
  header: number
  /** Names, link targets and extended attributes of all entries, which are held in memory. */
  index: number
  /** One file. */
  file: number
  /** Zeros that sparse files stand for without storing them, altogether. */
  holes: number
  /** The whole archive, uncompressed. */
  total: number
  /** Bytes out per byte in of compressed input, once `ratioFree` bytes came out. */
  ratio: number
  ratioFree: number
}

const mebi = 2 ** 20
const gibi = 2 ** 30

/** Wide enough for any image that boots. PATH_MAX and NAME_MAX are the kernel’s. Holes cost CPU: zeros are hashed, too. */
export const defaultLimits: ArchiveLimits = {
  entries: 2_000_000,
  path: 4095,
  component: 255,
  header: mebi,
  index: 128 * mebi,
  file: 64 * gibi,
  holes: 8 * gibi,
  total: 64 * gibi,
  ratio: 200,
  ratioFree: 64 * mebi,
}

/** `ARCHIVE_INVALID`: the entry and what is wrong with it. */
export const invalid = (path: ByteString, fault: string): AppError =>
  new AppError('ARCHIVE_INVALID', `${readable(path)}: ${fault}`)

/** `ARCHIVE_LIMIT`: the entry, what there is too much of, and how much there may be. */
export const exceeded = (path: ByteString, what: string, most: number): AppError =>
  new AppError('ARCHIVE_LIMIT', `${readable(path)}: ${what} (the limit is ${most})`)
