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
  /**
   * Fills `target`, which is as long as the file, with its bytes. Throws as `read` does. Only contents have it that can do
   * without memory of their own; everybody else asks {@link fillFrom}.
   */
  fill?(content: Content, target: Uint8Array<ArrayBuffer>): Promise<void>
}

/** Fills `target`, which is as long as the file, with its bytes, in the cheapest way that the contents have. */
export async function fillFrom(contents: Contents, content: Content, target: Uint8Array<ArrayBuffer>): Promise<void> {
  if (contents.fill) return contents.fill(content, target)
  let at = 0
  for await (const chunk of contents.read(content)) {
    if (at + chunk.length > target.length) throw new Error(`${content.digest} has more than ${target.length} bytes`)
    target.set(chunk, at)
    at += chunk.length
  }
  if (at !== target.length) throw new Error(`${content.digest} has ${at} bytes, not ${target.length}`)
}
