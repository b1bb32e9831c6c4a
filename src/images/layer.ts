/** A layer: the entries of one tar of an image, in the order of the archive, with their files' digests instead of their bytes. */

import type { TarEntry } from '../archive/tar.ts'
import type { Digest } from '../blobs/digest.ts'

/** One entry; of a file, what its content is. */
export type LayerEntry =
  | Exclude<TarEntry, { type: 'file' }>
  | (Omit<Extract<TarEntry, { type: 'file' }>, 'extents'> & { digest: Digest })

/**
 * How a layer says that something below it is gone: `oci` by names (`.wh.NAME`, `.wh..wh..opq`; OCI image-spec layer.md),
 * `overlayfs` by devices 0:0 and `trusted.overlay.opaque` (Documentation/filesystems/overlayfs.rst), `none` not at all: a
 * plain root tree, in which `.wh.` is a name like others.
 */
export type Whiteouts = 'oci' | 'overlayfs' | 'none'

/** A layer. */
export type Layer = { entries: LayerEntry[]; whiteouts: Whiteouts }
