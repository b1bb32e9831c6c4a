/** BlobStore: immutable bytes under their own digest. The contract; each backend is a file beside this one. */
import type { Digest } from './digest.ts'

/** What is known of a blob without reading it. `size` is in bytes. */
export type Descriptor = { digest: Digest; size: number }

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
   * Stores a blob whose digest and size are known. Putting what is there already is no error.
   * When the bytes are not the ones described it throws `DIGEST_MISMATCH` and keeps nothing. A reader sees the whole
   * blob or none of it, also while it is being put and after a crash at any moment.
   */
  put(blob: Descriptor, body: Bytes): Promise<void>
  /** Stores bytes whose digest only the end of the stream tells. As `put` for everything else. */
  add(body: Bytes): Promise<Descriptor>
  /** Forgets a blob. Deleting what is not there is no error. */
  delete(digest: Digest): Promise<void>
  /** Every blob, in no particular order. */
  list(): AsyncIterable<Descriptor>
  /** Path of the blob as a plain file on this machine. Only stores that keep such files have it. */
  file?(digest: Digest): string
}
