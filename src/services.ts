/** What the app is given. The entries (`head.ts`, `worker.ts`) build it; a route takes the part that it needs. */

import type { Journal } from './activity/journal.ts'
import type { Presence } from './activity/presence.ts'
import type { ActivityDatabase } from './activity/schema.ts'
import type { Assets } from './assets/assets.ts'
import type { BlobStore } from './blobs/store.ts'
import type { Importer } from './images/importer.ts'
import type { Log } from './log.ts'
import type { RegistryDatabase } from './registry/schema.ts'

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
  /** Kernels and root archives, by digest. */
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
}
