/**
 * Compresses to gzip (RFC 1952) on all cores. Node only.
 *
 * One member, because the kernel stops at the end of the first ("junk at the end of compressed archive"): blocks are
 * deflated apart, each with the 32 KiB before it as dictionary, and end on a byte, so they join to one deflate stream, as
 * pigz does it. The bytes depend on the input alone, not on how many blocks are in the works.
 */
import { promisify } from 'node:util'
import { constants, crc32, deflateRaw } from 'node:zlib'

/** Input of one deflate job. Part of the format of our blobs: another size gives other bytes. */
const blockSize = 2 ** 20
const windowSize = 2 ** 15
/** No flags, no time, no name, system unknown. */
const header = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255)
/** A deflate block without content that others follow (RFC 1951, 3.2.4). */
const emptyBlock = [0x00, 0x00, 0x00, 0xff, 0xff]
/** A last deflate block without content (RFC 1951, 3.2.6). */
const lastBlock = [0x03, 0x00]

const deflated = promisify(deflateRaw)

/**
 * The gzip of a stream, at level 6. Its length is a multiple of four: older iPXE under UEFI lays initrds behind one another
 * as they are, and the kernel sees an uncompressed cpio only where that is so (`this_header & 3` in init/initramfs.c).
 * Holds `jobs` blocks of 1 MiB and what became of them, no more. Three by default: libuv's pool has 4 threads, and files
 * are read and written on them too.
 */
export async function* gzip(source: AsyncIterable<Uint8Array>, jobs = 3): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let packed = header.length
  yield header.slice()
  const running: Promise<Uint8Array<ArrayBuffer>>[] = []
  let checksum = 0
  let size = 0
  let before: Uint8Array | undefined
  for await (const block of blocksOf(source)) {
    checksum = crc32(block, checksum)
    size += block.length
    const job = deflate(block, before)
    // Whoever awaits it hears of a failure; nobody does when the reader has left.
    job.catch(() => {})
    running.push(job)
    before = block
    const oldest = running.length >= jobs ? running.shift() : undefined
    if (!oldest) continue
    const done = await oldest
    packed += done.length
    yield done
  }
  for (const job of running) {
    const done = await job
    packed += done.length
    yield done
  }
  yield trailer(packed, checksum, size)
}

/** The source in blocks of one size, the last one smaller. */
async function* blocksOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let block = new Uint8Array(blockSize)
  let filled = 0
  for await (const chunk of source)
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + blockSize - filled)
      block.set(part, filled)
      at += part.length
      filled += part.length
      if (filled < blockSize) continue
      yield block
      block = new Uint8Array(blockSize)
      filled = 0
    }
  if (filled > 0) yield block.subarray(0, filled)
}

/** The output buffer holds all of a block that does not shrink, so that a job is one trip to the pool. */
const deflate = (block: Uint8Array, before: Uint8Array | undefined): Promise<Uint8Array<ArrayBuffer>> =>
  deflated(block, {
    level: 6,
    chunkSize: blockSize + 4096,
    finishFlush: constants.Z_SYNC_FLUSH,
    ...(before && { dictionary: before.subarray(-windowSize) }),
  })

/** The end of the deflate stream and the trailer. An empty block of five bytes moves the end by one, modulo four. */
function trailer(packed: number, checksum: number, size: number): Uint8Array<ArrayBuffer> {
  const missing = (4 - ((packed + lastBlock.length + 8) % 4)) % 4
  const end = [...Array<number[]>(missing).fill(emptyBlock).flat(), ...lastBlock]
  const bytes = new Uint8Array(end.length + 8)
  bytes.set(end)
  const view = new DataView(bytes.buffer, end.length)
  view.setUint32(0, checksum, true)
  view.setUint32(4, size % 2 ** 32, true)
  return bytes
}
