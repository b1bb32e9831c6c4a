/** Root archives: an imported version as one cpio, made when a node first needs it. The contract; `make-root.ts` fulfils it. */
import type { Digest } from '../blobs/digest.ts'
import type { CpioRoot } from './manifest.ts'

/** Root archives of versions, by the digest of their manifest. */
export interface RootArchives {
  /** The archive, when it was made. One indexed query, or none. */
  find(image: Digest): Promise<CpioRoot | undefined>
  /**
   * Makes the archive and keeps it, or answers the one that is there. Many that ask at once wait for one making. Throws
   * `IMAGE_UNKNOWN`, `BLOB_CORRUPT`, `IMAGE_UNBOOTABLE`, and `UNSUPPORTED` where there is no file system.
   */
  make(image: Digest): Promise<CpioRoot>
  /** How far the making is: bytes of the tree that are packed. `undefined` when none is under way. */
  progress(image: Digest): { bytes: number; total: number } | undefined
}
