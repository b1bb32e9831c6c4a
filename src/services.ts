/** What the app is given. The entries (`head.ts`, `worker.ts`) build it; a route takes the part that it needs. */

import type { Journal } from './activity/journal.ts'
import type { Presence } from './activity/presence.ts'
import type { ActivityDatabase } from './activity/schema.ts'
import type { Assets } from './assets/assets.ts'
import type { Digest } from './blobs/digest.ts'
import type { BlobStore } from './blobs/store.ts'
import type { Importer } from './images/importer.ts'
import type { OpenedImage } from './images/opened-image.ts'
import type { Installed } from './images/packages/package.ts'
import type { RootArchives } from './images/root-archives.ts'
import type { Log } from './log.ts'
import type { RegistryDatabase } from './registry/schema.ts'
import type { SecretKey } from './secrets/key.ts'

/** What the app is given by its entry. */
export type Services = {
  /** Nodes, profiles, images, overlays, tokens and their history. */
  registry: RegistryDatabase
  /** Attempts, events and discovered machines: read here, written through `journal`. */
  activity: ActivityDatabase
  /** Takes what happened without making the request wait for it. */
  journal: Journal
  /** Which attempt is being made at an address: boot routes tell, and a download there is told with that attempt. */
  presence: Presence
  /** Manifests, segments, kernels and root archives, by digest. */
  blobs: BlobStore
  /** The files of `boot-assets/`, the site's own above the shipped ones. */
  assets: Assets
  /** Where nodes reach this service: scheme, host and port, no slash at the end. */
  url: string
  /** The cluster's name, for templates. */
  cluster: string
  /** The clock. */
  now: () => Date
  /** One line for the operator. Never a secret. */
  log: Log
  /** Imports images. Absent where there is no file system (Workers): the route then answers `UNSUPPORTED`. */
  importer?: Importer
  /** Opens an imported version. Absent where there is no zstd (Workers): routes then answer `UNSUPPORTED`. */
  openImage?: (digest: Digest) => Promise<OpenedImage>
  /** What rpm and dpkg have installed in an opened version. Absent where `openImage` is. */
  readPackages?: (image: OpenedImage) => Promise<Installed>
  /** The key of secrets. Absent where none was given (a Worker without one): what needs secrets then answers `UNSUPPORTED`. */
  secretKey?: SecretKey
  /**
   * To whom private files of overlays are given. `node`: to the node's own token or ticket when the request comes from a port
   * below 1024 (so from root) and, if the node has addresses, from one of them. `ticket`: to the token or ticket alone, for
   * networks where a proxy or NAT hides who asks.
   */
  privateTo: 'node' | 'ticket'
  /**
   * A file that templates may include, by its path in the folder that is set aside for that (no `..`); `undefined` when there is
   * none. Absent where there is no file system.
   */
  headFile?: (path: string) => Promise<Uint8Array<ArrayBuffer> | undefined>
  /**
   * The digest of bytes, or of a text as UTF-8, at once: for the many small files of overlays. 1 µs for 1 KiB by node:crypto,
   * where Web Crypto takes 10 to 60 µs of CPU to hand it to another thread. Absent where there is no node:crypto.
   */
  digest?: (data: Uint8Array | string) => Digest
  /** Images as one archive, for boots in a single stage. */
  roots: RootArchives
  /** Seconds for which blobs are spared that nobody refers to: unless said otherwise, and at least. A day and ten minutes when absent. */
  grace?: { usual: number; least: number }
}
