/** Takes the gzip off a stream, if there is one, within limits. Node only. */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { AppError } from '../errors.ts'
import type { ArchiveLimits } from './limits.ts'

const chunkSize = 2 ** 18

/** First bytes of what people compress archives with, besides gzip. */
const others: [string, number[]][] = [
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
  ['bzip2', [0x42, 0x5a, 0x68]],
]

/** Whether bytes begin as a gzip member does (RFC 1952, 2.3.1). */
const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b

/**
 * The stream as it is, or what its gzip holds. Throws `ARCHIVE_INVALID` when it is compressed otherwise, damaged or cut
 * off, and `ARCHIVE_LIMIT` when it grows more than `limits.ratio` times beyond `limits.ratioFree` bytes. The source is let
 * go of in every case. `what` names it in messages.
 */
export async function* uncompressed(
  source: AsyncIterable<Uint8Array>,
  limits: Pick<ArchiveLimits, 'ratio' | 'ratioFree'>,
  what = 'the archive',
): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]()
  try {
    const start = await firstBytes(chunks)
    const other = others.find(([, magic]) => magic.every((byte, at) => start[at] === byte))
    if (other)
      throw new AppError('ARCHIVE_INVALID', `${what} is compressed with ${other[0]}: only plain and gzip are read`)
    const whole = continued(start, chunks)
    yield* isGzip(start) ? inflated(whole, limits, what) : whole
  } finally {
    // Not awaited: a source that stalls would hold back the answer. What its end brings concerns nobody any more.
    chunks.return?.().catch(() => {})
  }
}

/** At least 6 bytes, as long as there are any. */
async function firstBytes(chunks: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let start: Uint8Array = new Uint8Array(0)
  while (start.length < 6) {
    const next = await chunks.next()
    if (next.done) break
    const longer = new Uint8Array(start.length + next.value.length)
    longer.set(start)
    longer.set(next.value, start.length)
    start = longer
  }
  return start
}

async function* continued(start: Uint8Array, chunks: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield start
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value
}

async function* inflated(
  source: AsyncIterable<Uint8Array>,
  limits: Pick<ArchiveLimits, 'ratio' | 'ratioFree'>,
  what: string,
): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip({ chunkSize })
  // A failure of the source becomes one of the stream, which is where it is heard.
  pipeline(Readable.from(source, { objectMode: false }), gunzip).catch(() => {})
  let size = 0
  try {
    for await (const chunk of gunzip) {
      size += chunk.length
      if (size > limits.ratioFree && size > limits.ratio * gunzip.bytesWritten)
        throw new AppError(
          'ARCHIVE_LIMIT',
          `the gzip of ${what} grows more than ${limits.ratio} times (${size} bytes from ${gunzip.bytesWritten})`,
        )
      yield chunk
    }
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && String(cause.code).startsWith('Z_'))) throw cause
    throw new AppError('ARCHIVE_INVALID', `the gzip of ${what} is damaged or cut off: ${cause.message}`, { cause })
  } finally {
    gunzip.destroy()
  }
}
