/** Importer: layers in, blobs and a manifest out. The contract; `import.ts` fulfils it where there is a file system. */
import type { Digest } from '../blobs/digest.ts'
import type { Bytes } from '../blobs/store.ts'
import type { Whiteouts } from './layer.ts'
import type { ImageManifest } from './manifest.ts'
import type { HostUsers } from './sync-users.ts'

/** A layer that will be sent. What is given of it is checked. */
export type ExpectedLayer = {
  /** Digest of the bytes as they will be sent, compressed or not. */
  digest?: Digest
  /** Digest of the uncompressed tar (`diff_ids` of the OCI config). A layer of a known one need not be sent again. */
  diffId?: Digest
  /** Bytes as they will be sent, for the progress. */
  size?: number
}

/** What an import is begun with. */
export type ImportRequest = {
  /** Lowest first. One for a plain root tree. */
  layers: ExpectedLayer[]
  whiteouts: Whiteouts
  /** Manifest digest of the version that the layers are laid on; nothing when they make a whole root. */
  base?: Digest
  /** Manifest digests of versions whose segments are likely to be in the new one too, the likeliest first. */
  relatives?: Digest[]
  /** Users and groups that win over those of the image. `check` refuses when an id is another name's there; `write` settles it. */
  syncUsers?: { mode: 'check' | 'write'; host: HostUsers }
}

/** How far an import is. Bytes are counted as they were sent, then as they are read to be packed. */
export type ImportProgress = {
  phase: 'receiving' | 'packing' | 'done'
  bytes: number
  /** Unknown as long as a layer's size is. */
  total?: number
}

/** An import under way. Not kept across restarts; what it leaves then is garbage that `image gc` takes. */
export interface ImageImport {
  readonly id: string
  /**
   * Positions in `layers` of what must be sent, in order. At first the layers that nobody knows; a layer that is known by its
   * `diffId` joins them when `finish` finds that some of its bytes are in no version that is still there.
   */
  needed(): number[]
  /**
   * Takes a layer: a tar, plain, gzip or zstd, told by its first bytes. Throws `ARCHIVE_INVALID`, `ARCHIVE_LIMIT` or
   * `DIGEST_MISMATCH`; a layer that was refused can be sent again. Layers can come at the same time.
   */
  receive(position: number, body: Bytes): Promise<void>
  /**
   * Packs the tree. All blobs are stored when it answers, the manifest too; `rootWarnings` say what a boot in a single stage
   * will lack. Throws `IMPORT_INCOMPLETE` when `needed`
   * has layers, `ARCHIVE_INVALID`, `ARCHIVE_LIMIT`, `IMAGE_UNBOOTABLE` or `SYNCUSER_CONFLICT` (with one fault for each user or
   * group). Then the import can be finished again, or closed.
   */
  finish(): Promise<{ manifest: ImageManifest; digest: Digest; layers: Digest[]; rootWarnings: string[] }>
  progress(): ImportProgress
  /** Digests of blobs that it stored or relies on, which a collection must spare. */
  held(): Iterable<Digest>
  /** Gives its space back. A second time does nothing. */
  close(): Promise<void>
}

/** Turns layers into image versions. */
export interface Importer {
  /**
   * Begins an import. Throws `IMAGE_UNKNOWN` when `base` is no version whose manifest is in the store, and
   * `IMPORT_LIMIT` when too many are under way.
   */
  begin(request: ImportRequest): Promise<ImageImport>
  /** An import under way. Throws `IMPORT_UNKNOWN`; imports that nobody touched for an hour are closed. */
  find(id: string): ImageImport
  /** Imports under way. */
  running(): Iterable<ImageImport>
}
