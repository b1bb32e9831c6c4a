/** Importer: a root tree in, blobs and a manifest out. The contract; `import.ts` fulfils it where there is a file system. */
import type { Bytes } from '../blobs/store.ts'
import type { ImageManifest } from './manifest.ts'

/** Turns root trees into image versions. */
export interface Importer {
  /**
   * Reads a root tree as a tar stream (plain or gzip, told by its first bytes), stores its kernels and its root archive
   * in the blob store, and describes them. Nothing is extracted to a file system. Throws `ARCHIVE_INVALID`,
   * `ARCHIVE_LIMIT` or `IMAGE_UNBOOTABLE` with the entry's name; what was stored by then is unreferenced garbage.
   */
  importTar(body: Bytes): Promise<ImageManifest>
}
