/** BlobStore: immutable bytes under their own digest. The contract; each backend is a file beside this one. */
import type { Digest } from './digest.ts'

/** What is known of a blob without reading it. `size` is in bytes. */
export type Descriptor = { digest: Digest; size: number }

/** A blob in a list, and when it was last put or kept. */
export type Listed = Descriptor & { keptAt: Date }

/** Awaited after every few bytes that were read, and told how many: whoever gives it decides how fast that goes. */
export type Pace = (bytes: number) => Promise<void>

/** A part of a blob: `length` bytes from `offset`, both within the blob. */
export type Slice = { offset: number; length: number }

/** Bytes in motion. */
export type Bytes = ReadableStream<Uint8Array<ArrayBuffer>>

/**
 * Immutable bytes, kept under their own digest.
 *
 * Absence is `undefined`; any other failure throws: a broken backend is never "not found".
 */
export interface BlobStore {
  /** The blob's size, or `undefined` when the store does not have it. */
  stat(digest: Digest): Promise<Descriptor | undefined>
  /** The bytes, or a slice of them. Bounded memory: the stream reads as it is read. Cancel it to release it. */
  open(digest: Digest, slice?: Slice): Promise<Bytes | undefined>
  /**
   * Stores a blob whose digest and size are known. Putting what is there already is no error, and keeps it (see `keep`).
   * When the bytes are not the ones described it throws `DIGEST_MISMATCH` and keeps nothing. A reader sees the whole
   * blob or none of it, also while it is being put and after a crash at any moment.
   */
  put(blob: Descriptor, body: Bytes): Promise<void>
  /** Stores bytes whose digest only the end of the stream tells. As `put` for everything else. */
  add(body: Bytes): Promise<Descriptor>
  /**
   * Says that a blob is wanted: it counts as stored now, so that no collection takes it for old. Answers what `stat`
   * does. Whoever is about to refer to a blob that it has not put itself calls this first.
   */
  keep(digest: Digest): Promise<Descriptor | undefined>
  /**
   * Forgets a blob; with `before`, only one that was neither put nor kept since then. Answers whether it is gone by this
   * call. Deleting what is not there is no error.
   */
  delete(digest: Digest, before?: Date): Promise<boolean>
  /** Every blob, in the order of their digests, from the one after `after`. */
  list(after?: Digest): AsyncIterable<Listed>
  /** Reads a blob through. Answers whether its bytes are those of its name, or `undefined` when it is not there. */
  check(digest: Digest, pace?: Pace): Promise<boolean | undefined>
  /**
   * Takes a blob whose bytes are not those of its name out of service: it is absent from then on, and can be put anew.
   * Looks at the bytes itself, so that it never takes a good one. Answers whether it took it.
   */
  quarantine(digest: Digest): Promise<boolean>
  /** Removes what interrupted writers left before `before`, or ever, and says how many those were. */
  clearIncoming?(before?: Date): Promise<number>
  /** Path of the blob as a plain file on this machine. Only stores that keep such files have it. */
  file?(digest: Digest): string
}
