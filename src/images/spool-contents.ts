/** Where in a spool's files the bytes of an image's files are. One content is known once, however many files have it. */
import type { Extent } from '../archive/sparse.ts'
import type { Digest } from '../blobs/digest.ts'
import type { Contents } from './contents.ts'
import { createReadAhead, longestStretch } from './read-ahead.ts'
import type { SpoolFile } from './spool-file.ts'

/**
 * Where the files of a layer are in its uncompressed tar, in the order of their entries. Columns, because there can be hundreds
 * of thousands.
 */
export type StoredFiles = {
  digests: Digest[]
  offsets: number[]
  /** Of sparse files alone, by their number. */
  extents: Map<number, Extent[]>
}

/** Contents that become more. */
export type SpoolContents = Contents & {
  /** Adds the files of a layer whose tar is in `file`. */
  add(file: SpoolFile, stored: StoredFiles): void
}

const chunkSize = 2 ** 20

/** No contents yet. */
export function createSpoolContents(): SpoolContents {
  const files: SpoolFile[] = []
  const slots = new Map<Digest, number>()
  const fileOf: number[] = []
  const offsetOf: number[] = []
  /** Of sparse files alone. */
  const sparse = new Map<number, Extent[]>()
  const readAhead = createReadAhead<SpoolFile>()

  /** Fills a zeroed chunk with a file's bytes from `start` on; where nothing is stored it stays so. */
  async function fill(file: SpoolFile, chunk: Uint8Array, extents: readonly Extent[], start: number): Promise<void> {
    for (const extent of extents) {
      const from = Math.max(start, extent.at)
      const to = Math.min(start + chunk.length, extent.at + extent.length)
      if (from < to) await file.read(chunk.subarray(from - start, to - start), extent.offset + from - extent.at)
    }
  }

  function placeOf(digest: Digest): { file: SpoolFile; offset: number; holed: Extent[] | undefined } {
    const slot = slots.get(digest)
    const file = files[fileOf[slot ?? -1] ?? -1]
    if (slot === undefined || !file) throw new Error(`the spool has no ${digest}`)
    return { file, offset: offsetOf[slot] ?? 0, holed: sparse.get(slot) }
  }

  return {
    add(file, { digests, offsets, extents }) {
      const position = files.push(file) - 1
      for (const [number, digest] of digests.entries()) {
        if (slots.has(digest)) continue
        const slot = fileOf.push(position) - 1
        offsetOf.push(offsets[number] ?? 0)
        const holed = extents.get(number)
        if (holed) sparse.set(slot, holed)
        slots.set(digest, slot)
      }
    },
    has: (digest) => slots.has(digest),
    async *read({ digest, size }, length = size) {
      const { file, offset, holed } = placeOf(digest)
      const until = Math.min(size, length)
      if (!holed && until <= longestStretch) {
        if (until > 0) yield await readAhead(file, offset, until)
        return
      }
      const extents = holed ?? [{ at: 0, offset, length: size }]
      for (let start = 0; start < until; start += chunkSize) {
        const chunk = new Uint8Array(Math.min(chunkSize, until - start))
        await fill(file, chunk, extents, start)
        yield chunk
      }
    },
    async fill({ digest }, target) {
      if (target.length === 0) return
      const { file, offset, holed } = placeOf(digest)
      if (holed) await fill(file, target.fill(0), holed, 0)
      else if (target.length > longestStretch) await file.read(target, offset)
      else target.set(await readAhead(file, offset, target.length))
    },
  }
}
