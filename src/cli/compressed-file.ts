/** A stream written into a file, compressed as its name says. */
import { createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createGzip, createZstdCompress } from 'node:zlib'
import { usageError } from './session.ts'

/**
 * Writes the bytes to `to`, compressed as the ending of `name` says: `.gz` and `.tgz` by gzip, `.zst` and `.tzst` by zstd,
 * others not at all. Answers the file's size. Throws (exit 2), before anything is written, for an ending that means another
 * compression.
 */
export async function writeCompressed(bytes: AsyncIterable<Uint8Array>, name: string, to: string): Promise<number> {
  if (/\.(?:xz|bz2|lz4|zip)$/i.test(name))
    throw usageError(`${name.replace(/^.*\./, '.')} is not written: name the file .tar, .tar.gz or .tar.zst`)
  const file = createWriteStream(to, { highWaterMark: 1024 * 1024 })
  if (/\.t?gz$/i.test(name)) await pipeline(bytes, createGzip(), file)
  else if (/\.t?zst$/i.test(name)) await pipeline(bytes, createZstdCompress(), file)
  else await pipeline(bytes, file)
  return (await stat(to)).size
}
