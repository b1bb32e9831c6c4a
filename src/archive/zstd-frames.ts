/** The frames of a zstd stream (RFC 8878, 3.1), told apart by the sizes that they carry; nothing is decompressed here. */
import { AppError } from '../errors.ts'
import { createCursor } from './cursor.ts'

/** What is gathered before it is passed on, unless the frame ends. */
const chunkSize = 2 ** 18

/** Whether bytes begin as a zstd stream does, be it with a skippable frame. Five bytes tell. */
export const isZstd = (bytes: Uint8Array): boolean => isFrame(bytes) || isSkippable(bytes)

/** Magic number 0xFD2FB528, little-endian. */
const isFrame = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x28 && bytes[1] === 0xb5 && bytes[2] === 0x2f && bytes[3] === 0xfd

/** 0x184D2A50 to 0x184D2A5F, little-endian (3.1.2). */
const isSkippable = (bytes: Uint8Array): boolean =>
  ((bytes[0] ?? 0) & 0xf0) === 0x50 && bytes[1] === 0x2a && bytes[2] === 0x4d && bytes[3] === 0x18

/**
 * The stream without its skippable frames, in chunks of which none crosses the end of a frame: Node's decompressor drops
 * what follows a frame within a chunk, and begins another frame with the next. Throws `ARCHIVE_INVALID` for what is no
 * frame and when the source ends within one; `what` names it.
 */
export async function* zstdFrames(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  const cursor = createCursor(source)
  let parts: Uint8Array[] = []
  let gathered = 0
  const refusal = (fault: string) => new AppError('ARCHIVE_INVALID', `the zstd of ${what} ${fault}`)

  /** The next bytes, kept to be passed on. */
  async function take(length: number): Promise<Uint8Array> {
    const bytes = (await cursor.read(length)).slice()
    if (bytes.length < length) throw refusal('is cut off')
    parts.push(bytes)
    gathered += length
    return bytes
  }
  function chunk(): Uint8Array {
    const whole = new Uint8Array(gathered)
    let at = 0
    for (const part of parts) {
      whole.set(part, at)
      at += part.length
    }
    parts = []
    gathered = 0
    return whole
  }

  try {
    for (;;) {
      const magic = (await cursor.read(4)).slice()
      if (magic.length === 0) return
      if (isSkippable(magic)) {
        const size = littleEndian(await take(4))
        chunk()
        if ((await cursor.skip(size)) < size) throw refusal('is cut off')
        continue
      }
      if (!isFrame(magic)) throw refusal(magic.length < 4 ? 'is cut off' : 'is followed by something else')
      parts.push(magic)
      gathered += magic.length
      const [descriptor = 0] = await take(1)
      await take(headerRest(descriptor))
      for (let last = false; !last; ) {
        const block = littleEndian(await take(3))
        last = (block & 1) === 1
        // A block of type RLE stores one byte (3.1.1.2).
        await take(((block >> 1) & 3) === 1 ? 1 : block >> 3)
        if (gathered >= chunkSize && !last) yield chunk()
      }
      if (descriptor & 4) await take(4)
      yield chunk()
    }
  } finally {
    await cursor.close()
  }
}

/** Bytes of the frame header after its descriptor (3.1.1.1): window, dictionary and content size. */
function headerRest(descriptor: number): number {
  const isSingle = (descriptor >> 5) & 1
  const content = [isSingle, 2, 4, 8][descriptor >> 6] ?? 0
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0
  return 1 - isSingle + dictionary + content
}

const littleEndian = (bytes: Uint8Array): number => bytes.reduceRight((number, byte) => number * 256 + byte, 0)
