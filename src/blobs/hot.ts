/**
 * Pieces of blobs in memory, shared by all who are sending them. Node only.
 *
 * In a storm hundreds of nodes ask for the same blobs. A piece that is wanted by one of them is read once and written
 * to every socket from the same memory; when it has been sent it stays, as long as the blob has several readers, until
 * other pieces need the room. The memory is a fixed number of slabs that are used again and again: a blob that has one
 * reader goes through two of them, which then never leave the processor's cache.
 */
import type { Digest } from './digest.ts'
import type { BlobStore, Descriptor } from './store.ts'

/** Reads `into.length` bytes of a blob from byte `position` on, all of them or it throws. */
export type Fill = (into: Uint8Array, position: number) => Promise<void>

/** A piece of a blob. Its memory stays as it is until every holder has called `release`, once. */
export type Piece = {
  /** Settles when the piece has been read, or could not be. */
  filled: Promise<void>
  /** The bytes of the blob from `start` up to and not including `end`, clipped to this piece. Once it is filled. */
  bytes(start: number, end: number): Uint8Array
  /** Lets go of the piece. Once `filled` has settled: the memory is used again at once. */
  release(): void
}

/** Pieces in memory. */
export interface HotBlobs {
  /** Counts a reader of a blob, until the function that it answers is called. */
  enter(digest: Digest): () => void
  /**
   * The piece of a blob in which `position` lies, read by `fill` unless it is there. `undefined` when all memory is in
   * use; with `early`, when half of it is: reading ahead must not starve others.
   */
  take(blob: Descriptor, position: number, fill: Fill, early?: boolean): Piece | undefined
  /** Byte position of the piece after the one in which `position` lies. */
  after(position: number): number
  /** Reads no piece of a blob from memory again that was read before: its bytes were not the ones that its name says. */
  forget(digest: Digest): void
  /** How many slabs there are, how many hold pieces for later, and how many are held at this moment. */
  counts(): { slabs: number; kept: number; held: number }
}

/** Settings of {@link hotBlobs}, in bytes. */
export type HotBlobsOptions = {
  /** All memory that pieces may use; 256 MiB when not given. Memory is taken when it is first needed. */
  limit?: number
  /** Memory of one piece; 1 MiB when not given. */
  slabSize?: number
}

/** The same store. What it takes out of service is not served from memory either. */
export const withHotBlobs = (blobs: BlobStore, hot: HotBlobs): BlobStore => ({
  ...blobs,
  async quarantine(digest) {
    const taken = await blobs.quarantine(digest)
    if (taken) hot.forget(digest)
    return taken
  },
})

type Slab = { memory: Uint8Array; key: string; length: number; holders: number; filled: Promise<void> }

/** Makes the memory for pieces. */
export function hotBlobs({ limit = 256 * 1024 * 1024, slabSize = 1024 * 1024 }: HotBlobsOptions = {}): HotBlobs {
  const capacity = Math.floor(limit / slabSize)
  const readers = new Map<Digest, number>()
  const slabs = new Map<string, Slab>() // by blob and piece; least recently used first
  const free: Uint8Array[] = [] // last in, first out: the memory that was used last is still in the processor's cache
  let made = 0
  let held = 0

  function memory(): Uint8Array | undefined {
    const known = free.pop()
    if (known) return known
    if (made < capacity) {
      made += 1
      return Buffer.allocUnsafeSlow(slabSize)
    }
    for (const slab of slabs.values()) {
      if (slab.holders > 0) continue
      slabs.delete(slab.key)
      return slab.memory
    }
    return undefined
  }

  function load(blob: Descriptor, key: string, start: number, fill: Fill): Slab | undefined {
    const room = memory()
    if (!room) return undefined
    const length = Math.min(slabSize, blob.size - start)
    const slab: Slab = { memory: room, key, length, holders: 0, filled: fill(room.subarray(0, length), start) }
    slabs.set(key, slab)
    // A piece that could not be read must not be found again; who holds it learns why from `filled`.
    slab.filled.catch(() => slabs.get(key) === slab && slabs.delete(key))
    return slab
  }

  function letGo(slab: Slab, digest: Digest): void {
    slab.holders -= 1
    if (slab.holders > 0) return
    held -= 1
    if (slabs.get(slab.key) === slab && (readers.get(digest) ?? 0) > 1) return
    if (slabs.get(slab.key) === slab) slabs.delete(slab.key)
    free.push(slab.memory)
  }

  return {
    enter(digest) {
      readers.set(digest, (readers.get(digest) ?? 0) + 1)
      return () => {
        const left = (readers.get(digest) ?? 0) - 1
        if (left > 0) readers.set(digest, left)
        else readers.delete(digest)
      }
    },

    take(blob, position, fill, early = false) {
      if (early && held * 2 >= capacity) return undefined
      const start = position - (position % slabSize)
      const key = `${blob.digest}/${start}`
      const slab = slabs.get(key) ?? load(blob, key, start, fill)
      if (!slab) return undefined
      slabs.delete(key)
      slabs.set(key, slab)
      if (slab.holders === 0) held += 1
      slab.holders += 1
      return {
        filled: slab.filled,
        bytes(from, to) {
          const end = Math.min(to, start + slabSize)
          if (end > start + slab.length) throw new Error(`${blob.digest} was shorter when it was first read`)
          return slab.memory.subarray(from - start, end - start)
        },
        release: () => letGo(slab, blob.digest),
      }
    },

    after: (position) => position - (position % slabSize) + slabSize,

    forget(digest) {
      for (const [key, slab] of slabs) {
        if (!key.startsWith(`${digest}/`)) continue
        slabs.delete(key)
        if (slab.holders === 0) free.push(slab.memory) // others give it back when they let go of it
      }
    },

    counts: () => ({ slabs: made, kept: [...slabs.values()].filter((slab) => slab.holders === 0).length, held }),
  }
}
