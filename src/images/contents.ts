/** Contents: the bytes of an image's files, by their digest. The contract; a spool and an imported version fulfil it. */
import type { Digest } from '../blobs/digest.ts'

/** What a file's bytes are, wherever they are. `size` is in bytes. */
export type Content = { digest: Digest; size: number }

/** Files' bytes. */
export interface Contents {
  /** Whether {@link Contents.read} has it. */
  has(digest: Digest): boolean
  /**
   * A file's bytes, the first `length` of them or all, in chunks of at most 1 MiB that the reader may keep. Throws for what
   * is not there, and `BLOB_CORRUPT` for bytes of an imported version that are not the ones that were imported.
   */
  read(content: Content, length?: number): AsyncGenerator<Uint8Array<ArrayBuffer>>
}
