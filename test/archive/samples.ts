/** Bytes for tests of compression. */
import { joined } from './tar-writer.ts'

/** All of a source. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return joined(parts)
}

/** Some megabytes that compress as programs do, with repetitions across the borders of blocks. */
export const sample = (size: number): Uint8Array<ArrayBuffer> => {
  const out = new Uint8Array(size)
  let state = 12345
  for (let at = 0; at < size; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    out[at] = at % 5000 < 2500 ? (at >> 3) & 0x7f : (state >>> 16) & 0xff
  }
  return out
}
