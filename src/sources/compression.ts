/** How a file is compressed, told by its first bytes, and what it holds. */
import { defaultLimits } from '../archive/limits.ts'
import { compressionOf as readableCompression, uncompressed } from '../archive/uncompress.ts'
import { type Program, through } from './program.ts'
import type { SourceOptions } from './source.ts'

/** Ways to compress that are known here. */
export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2'

/** How something is compressed that begins with these bytes: six are enough. */
export function compressionOf(head: Uint8Array): Compression {
  const magic = String.fromCharCode(...head.subarray(0, 6))
  if (magic === '\xfd7zXZ\0') return 'xz'
  if (magic.startsWith('BZh')) return 'bzip2'
  return readableCompression(head) ?? 'none'
}

/** Programs for what the service does not read itself. */
const programs: Partial<Record<Compression, Program>> = {
  xz: {
    name: 'xz',
    args: ['--decompress', '--stdout', '--threads=0'],
    missing: 'it is compressed with xz, and there is no xz here to read it: install xz (Debian: xz-utils)',
  },
  bzip2: {
    name: 'bzip2',
    args: ['--decompress', '--stdout'],
    missing: 'it is compressed with bzip2, and there is no bzip2 here to read it: install bzip2',
  },
}

/** The bytes in a form that the service reads: as they are, or through the program that they need. */
export function readable(
  bytes: AsyncIterable<Uint8Array>,
  compression: Compression,
  options: Pick<SourceOptions, 'env' | 'signal' | 'complain'>,
): AsyncIterable<Uint8Array> {
  const program = programs[compression]
  return program ? through(program, bytes, options) : bytes
}

/** The bytes without any compression. Throws `ARCHIVE_INVALID` or `ARCHIVE_LIMIT` when that does not work. */
export const unpacked = (
  bytes: AsyncIterable<Uint8Array>,
  compression: Compression,
  options: Pick<SourceOptions, 'env' | 'signal' | 'complain'>,
): AsyncIterable<Uint8Array> => uncompressed(readable(bytes, compression, options), defaultLimits)

/** Whether the service reads it as it is. */
export const isReadable = (compression: Compression): boolean => programs[compression] === undefined
