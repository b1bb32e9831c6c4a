/** Takes the kernels out of an image and stores them as blobs, in the form that boot loaders take. Node only. */
import { readable } from '../archive/byte-string.ts'
import { uncompressed } from '../archive/gunzip.ts'
import type { ArchiveLimits } from '../archive/limits.ts'
import { headOf, streamOf } from '../archive/stream.ts'
import type { BlobStore, Descriptor } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import { architectureOfKernel } from './architecture.ts'
import { newestFirst } from './kernel-version.ts'
import { findKernelFiles, kernelHeadSize, kernelVersion, moduleVersions } from './kernels.ts'
import type { Architecture } from './manifest.ts'
import type { Spool } from './spool.ts'
import type { FileInode, Tree } from './tree.ts'

/** A kernel that is in the blob store. */
export type StoredKernel = {
  blob: Descriptor
  version: string
  /** Absolute path in the image. */
  path: string
  /** By its header, where it has one that tells. */
  architecture?: Architecture
}

/** No kernel is larger, also when it comes in gzip. */
const largestKernel = 512 * 2 ** 20
/** An installed kernel counts up to three times: in /boot, beside its modules, and as a link. */
const mostKernels = 100

/**
 * Stores every kernel of the tree, gunzipped where it comes so (arm64), newest first and debug kernels last. The same bytes
 * under the same version count once. Throws `IMAGE_UNBOOTABLE` when there is none, and `ARCHIVE_LIMIT` for too many or too
 * large ones.
 */
export async function storeKernels(
  tree: Tree,
  spool: Spool,
  blobs: BlobStore,
  limits: ArchiveLimits,
): Promise<StoredKernel[]> {
  const files = findKernelFiles(tree)
  const modules = moduleVersions(tree)
  const stored = new Map<FileInode, Descriptor>()
  const kernels = new Map<string, StoredKernel>()
  if (files.length > mostKernels)
    throw new AppError(
      'ARCHIVE_LIMIT',
      `the image has ${files.length} kernel files, ${readable(files[mostKernels]?.path ?? '')} among them (the limit is ${mostKernels})`,
    )
  for (const { path, file, name } of files) {
    const where = `/${readable(path)}`
    const open = () => bounded(uncompressed(spool.read(file), limits, where), where)
    const head = await headOf(open(), kernelHeadSize)
    const version = kernelVersion(name, modules, head)
    if (version === undefined) continue
    const blob = stored.get(file) ?? (await blobs.add(streamOf(open())))
    stored.set(file, blob)
    const architecture = architectureOfKernel(head)
    const key = `${version} ${blob.digest}`
    if (!kernels.has(key)) kernels.set(key, { blob, version, path: where, ...(architecture && { architecture }) })
  }
  if (kernels.size === 0)
    throw new AppError(
      'IMAGE_UNBOOTABLE',
      'no kernel under /boot or /lib/modules: install kernel-core (RHEL, Rocky, Fedora), linux-image-amd64 or -arm64 ' +
        '(Debian), linux-image-generic (Ubuntu) or kernel-default (SUSE) in the image',
    )
  return [...kernels.values()].sort(newestFirst)
}

async function* bounded(source: AsyncIterable<Uint8Array>, where: string): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > largestKernel)
      throw new AppError('ARCHIVE_LIMIT', `${where}: too large for a kernel (the limit is ${largestKernel})`)
    yield new Uint8Array(chunk)
  }
}
