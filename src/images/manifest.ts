/** What an image version consists of. The seam between import and boot: both know this shape and nothing else of each other. */
import type { Digest } from '../blobs/digest.ts'

/** A machine architecture, in the kernel's words (`uname -m`). */
export type Architecture = 'x86_64' | 'aarch64' | 'riscv64' | 'ppc64le' | 's390x'

/** A blob that an image refers to. `size` is in bytes. */
export type BlobReference = { digest: Digest; size: number }

/** A kernel that the image holds. */
export type Kernel = BlobReference & {
  /** As in `/lib/modules/VERSION`: `5.14.0-570.12.1.el9_6.x86_64`. */
  version: string
  /** Where it stood in the image: `/boot/vmlinuz-…`. */
  path: string
}

/** How the segments and the index of a version are compressed: zstd (RFC 8878) or gzip (RFC 1952). */
export type Compression = 'zstd' | 'gzip'

/**
 * A part of the root: one pax tar (POSIX.1-2001), compressed on its own. It can be unpacked alone: the directories above
 * its entries come first. Sizes are in bytes; `unpackedSize` is the tar's.
 */
export type Segment = BlobReference & { unpackedSize: number; entries: number }

/**
 * An immutable image version. It is a blob: its canonical JSON (`canonicalJson` in `registry/canonical.ts`), whose sha256 is
 * the version's identity. Nothing in it says where, when or by whom it was imported.
 */
export type ImageManifest = {
  /** The form of this document. Another number means something that this release cannot read. */
  schema: 1
  architecture: Architecture
  /** `ID` and `VERSION_ID` of the image's os-release(5), `PRETTY_NAME` for people. */
  os?: { id: string; version?: string; name: string }
  /** Newest first. */
  kernels: Kernel[]
  /** zstd when the image has the tool to unpack it on the node, else gzip. */
  compression: Compression
  /** In the order of the paths in them. */
  segments: Segment[]
  /** Every entry of the tree, for people and tools: see `images/image-index.ts`. Always zstd. */
  index: BlobReference & { unpackedSize: number }
  /** Number of names in the tree, the root included. */
  entries: number
  /** Bytes of all files, one with several names counted once. */
  unpackedSize: number
  /** What an admin should know before booting it: `kernel 6.1.0 (/boot/vmlinuz-6.1.0) has no modules under /lib/modules`. */
  warnings: string[]
}

/** A manifest as the registry keeps it: everything but the list of segments, which can be long. */
export type ImageSummary = Omit<ImageManifest, 'segments'> & {
  /** How many segments there are. */
  segments: number
  /** Bytes of all segments, compressed. */
  size: number
}

/** The summary of a manifest. */
export const summaryOf = ({ segments, ...rest }: ImageManifest): ImageSummary => ({
  ...rest,
  segments: segments.length,
  size: segments.reduce((sum, segment) => sum + segment.size, 0),
})

/** A root as one gzipped newc cpio, for the kernel to unpack (Documentation/driver-api/early-userspace/buffer-format.rst). */
export type CpioRoot = BlobReference & {
  /** Bytes of the cpio before compression: what it takes in RAM. */
  unpackedSize: number
  /** What a cpio cannot carry, for people. */
  warnings: string[]
}

/** Where a version came from, as far as it was told. All texts are what the importer's caller says. */
export type Provenance = {
  /** Digest of the source's own manifest (an OCI or Docker manifest), or of the archive. */
  sourceDigest?: string
  /** `linux/arm64`, when one of several was chosen. */
  platform?: string
  /** Labels of the OCI config. */
  labels?: Record<string, string>
  /** The checkout that the image was built from. */
  git?: { commit: string; dirty: boolean }
  /** Digest of the Containerfile that it was built from. */
  containerfile?: Digest
  /** The version whose tree it was made from, by `image shell` or `image exec`: `rocky9@3`. */
  base?: string
  /** Digests of the uncompressed layers (`diff_ids` of the OCI config), lowest first. */
  layers?: Digest[]
}
