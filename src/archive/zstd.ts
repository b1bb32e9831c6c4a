/** zstd (RFC 8878) at level 3, the same bytes for the same input. Node only: browsers and Workers have none. */
import { promisify } from 'node:util'
import { constants, createZstdCompress, createZstdDecompress, zstdCompress, zstdDecompress } from 'node:zlib'
import { inOneTurn, plainBytes, through } from './through.ts'

const chunkSize = 2 ** 18

/** No checksum: our frames have a sha256. More workers than none break Node's stream (ERR_STREAM_PUSH_AFTER_EOF). */
const params = { [constants.ZSTD_c_compressionLevel]: 3 }

const compressed = promisify(zstdCompress)
const decompressed = promisify(zstdDecompress)

/** Bytes as one frame that tells their size, made on the thread pool. What shrinks to a half, as most does, is one trip. */
export async function zstdWhole(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const { length } = bytes
  const chunkSize = Math.ceil(length / 2) + 1024
  return plainBytes(await compressed(bytes, { params, pledgedSrcSize: length, chunkSize }))
}

/** What zstd holds, on the thread pool. `size` is how much that is; more is an error, as is what no zstd has written. */
export const unzstdWhole = async (bytes: Uint8Array, size: number): Promise<Uint8Array<ArrayBuffer>> =>
  plainBytes(await decompressed(bytes, inOneTurn(size)))

/**
 * A stream as one frame, which tells `size` when it is known. The same chunks give the same bytes; of the same bytes in
 * other chunks zstd does not promise it. Bounded memory.
 */
export const zstd = (source: AsyncIterable<Uint8Array>, size?: number): AsyncGenerator<Uint8Array<ArrayBuffer>> =>
  through(source, createZstdCompress({ params, chunkSize, ...(size !== undefined && { pledgedSrcSize: size }) }))

/** What the zstd of a stream holds. A frame that is damaged or cut off throws what zlib throws (a code that starts with `Z`). */
export const unzstd = (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array<ArrayBuffer>> =>
  through(source, createZstdDecompress({ chunkSize }))
