/** Takes the compression off a stream, if there is one, within limits. Node only. */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGunzip, createZstdDecompress } from 'node:zlib'
import { AppError } from '../errors.ts'
import type { ArchiveLimits } from './limits.ts'
import { isZstd, zstdFrames } from './zstd-frames.ts'

const chunkSize = 2 ** 18
/** log2 of the largest zstd window: 128 MiB, what `zstd -d` takes unasked. It is held in memory. */
const windowLog = 27

/** First bytes of what is not read here. */
const others: [name: string, magic: number[], hint: string][] = [
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], 'uncompress it with `xz -d` first'],
  ['bzip2', [0x42, 0x5a, 0x68], 'uncompress it with `bzip2 -d` first'],
  ['lzip', [0x4c, 0x5a, 0x49, 0x50], 'uncompress it with `lzip -d` first'],
  ['lz4', [0x04, 0x22, 0x4d, 0x18], 'uncompress it with `lz4 -d` first'],
]

/** How a stream is compressed, by its first six bytes; `undefined` when it is plain, or in a way that is not read here. */
export function compressionOf(start: Uint8Array): 'gzip' | 'zstd' | undefined {
  // RFC 1952, 2.3.1.
  if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip'
  return isZstd(start) ? 'zstd' : undefined
}

/**
 * The stream as it is, or what its gzip or zstd holds: all members or frames of it. Throws `ARCHIVE_INVALID` when it is
 * compressed otherwise, damaged or cut off, and `ARCHIVE_LIMIT` when it grows more than `limits.ratio` times beyond
 * `limits.ratioFree` bytes or needs too much memory. The source is let go of in every case. `what` names it in messages.
 */
export async function* uncompressed(
  source: AsyncIterable<Uint8Array>,
  limits: Pick<ArchiveLimits, 'ratio' | 'ratioFree'>,
  what = 'the archive',
): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]()
  try {
    const start = await firstBytes(chunks)
    for (const [name, magic, hint] of others)
      if (magic.every((byte, at) => start[at] === byte))
        throw new AppError('ARCHIVE_INVALID', `${what} is compressed with ${name}: ${hint}, or use gzip or zstd`)
    const whole = continued(start, chunks)
    const compression = compressionOf(start)
    yield* compression ? inflated(whole, compression, limits, what) : whole
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
  compression: 'gzip' | 'zstd',
  limits: Pick<ArchiveLimits, 'ratio' | 'ratioFree'>,
  what: string,
): AsyncGenerator<Uint8Array> {
  const isGzip = compression === 'gzip'
  const inflater = isGzip
    ? createGunzip({ chunkSize })
    : createZstdDecompress({ chunkSize, params: { [constants.ZSTD_d_windowLogMax]: windowLog } })
  const input = isGzip ? source : zstdFrames(source, what)
  // A failure of the source becomes one of the stream, which is where it is heard.
  pipeline(Readable.from(input, { objectMode: false }), inflater).catch(() => {})
  let size = 0
  try {
    for await (const chunk of inflater) {
      size += chunk.length
      if (size > limits.ratioFree && size > limits.ratio * inflater.bytesWritten)
        throw new AppError(
          'ARCHIVE_LIMIT',
          `the ${compression} of ${what} grows more than ${limits.ratio} times (${size} bytes from ${inflater.bytesWritten})`,
        )
      yield chunk
    }
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause)) throw cause
    if (cause.code === 'ZSTD_error_frameParameter_windowTooLarge')
      throw new AppError(
        'ARCHIVE_LIMIT',
        `the zstd of ${what} needs more than ${2 ** windowLog} bytes of memory: compress it with a smaller window`,
      )
    if (!/^(?:Z_|ZSTD_)/.test(String(cause.code))) throw cause
    throw new AppError('ARCHIVE_INVALID', `the ${compression} of ${what} is damaged or cut off: ${cause.message}`, {
      cause,
    })
  } finally {
    inflater.destroy()
  }
}
