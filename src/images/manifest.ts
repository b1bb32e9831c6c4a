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

/** An immutable image version. Its digest is the sha256 of its canonical JSON (`canonicalJson` in `registry/canonical.ts`). */
export type ImageManifest = {
  architecture: Architecture
  /** `ID` and `VERSION_ID` of the image's os-release(5), `PRETTY_NAME` for people. */
  os?: { id: string; version?: string; name: string }
  /** Newest first. */
  kernels: Kernel[]
  /** The whole root file system. The one kind so far is what a single-stage boot needs. */
  root: CpioRoot
  /** Number of entries in the tree. */
  entries: number
  /** What an admin should know before booting it: `carries 3 file capabilities but no setfattr: add package attr`. */
  warnings: string[]
}

/** A root as one gzipped newc cpio, for the kernel to unpack (Documentation/driver-api/early-userspace/buffer-format.rst). */
export type CpioRoot = BlobReference & {
  kind: 'cpio-gzip'
  /** Bytes of the cpio before compression: what it takes in RAM. */
  unpackedSize: number
}
