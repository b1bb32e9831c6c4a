/** Takes the kernels out of an image and stores them as blobs, in the form that boot loaders take. Node only. */
import { createHash } from 'node:crypto'
import { readable } from '../archive/byte-string.ts'
import type { ArchiveLimits } from '../archive/limits.ts'
import { streamOf } from '../archive/stream.ts'
import { uncompressed } from '../archive/uncompress.ts'
import type { Digest } from '../blobs/digest.ts'
import type { BlobStore, Descriptor } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import { architectureOfKernel } from './architecture.ts'
import type { Contents } from './contents.ts'
import { newestFirst } from './kernel-version.ts'
import { findKernelFiles, kernelHeadSize, kernelVersion, moduleVersions } from './kernels.ts'
import type { Architecture } from './manifest.ts'
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

/** A kernel's blob, and its first {@link kernelHeadSize} bytes. */
type KernelBlob = { blob: Descriptor; head: Uint8Array }

/** No kernel is larger, also when it comes in gzip. */
const largestKernel = 512 * 2 ** 20
/** An installed kernel counts up to three times: in /boot, beside its modules, and as a link. */
const mostKernels = 100

/**
 * Stores every kernel of the tree, uncompressed where it comes so (arm64), newest first and debug kernels last. The same
 * bytes under the same version count once. A kernel that the store has already is kept there and read from there. Throws
 * `IMAGE_UNBOOTABLE` when there is none, and `ARCHIVE_LIMIT` for too many or too large ones.
 */
export async function storeKernels(
  tree: Tree,
  contents: Contents,
  blobs: BlobStore,
  limits: ArchiveLimits,
): Promise<StoredKernel[]> {
  const files = findKernelFiles(tree)
  const modules = moduleVersions(tree)
  const stored = new Map<Digest, KernelBlob>()
  const kernels = new Map<string, StoredKernel>()
  if (files.length > mostKernels)
    throw new AppError(
      'ARCHIVE_LIMIT',
      `the image has ${files.length} kernel files, ${readable(files[mostKernels]?.path ?? '')} among them (the limit is ${mostKernels})`,
    )
  for (const { path, file, name } of files) {
    const where = `/${readable(path)}`
    const plain = (source: AsyncIterable<Uint8Array>) => bounded(uncompressed(source, limits, where), where)
    const kernel =
      stored.get(file.digest) ??
      (await findKernel(file, blobs, plain)) ??
      (await addKernel(file, contents, blobs, plain))
    stored.set(file.digest, kernel)
    const version = kernelVersion(name, modules, kernel.head)
    if (version === undefined) continue
    const architecture = architectureOfKernel(kernel.head)
    const key = `${version} ${kernel.blob.digest}`
    if (!kernels.has(key))
      kernels.set(key, { blob: kernel.blob, version, path: where, ...(architecture && { architecture }) })
  }
  if (kernels.size === 0)
    throw new AppError(
      'IMAGE_UNBOOTABLE',
      'no kernel under /boot or /lib/modules: install kernel-core (RHEL, Rocky, Fedora), linux-image-amd64 or -arm64 ' +
        '(Debian), linux-image-generic (Ubuntu) or kernel-default (SUSE) in the image',
    )
  return [...kernels.values()].sort(newestFirst)
}

type Plain = (source: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array<ArrayBuffer>>

/**
 * The blob that an earlier import made of the same file. A kernel that comes uncompressed is a blob under its file's own
 * digest; `undefined` for others, and when the store's bytes are not those.
 */
async function findKernel(file: FileInode, blobs: BlobStore, plain: Plain): Promise<KernelBlob | undefined> {
  const blob = await blobs.keep(file.digest)
  const body = blob && (await blobs.open(blob.digest))
  if (!body) return undefined
  const hash = createHash('sha256')
  const head = newHead()
  for await (const chunk of plain(body)) {
    hash.update(chunk)
    head.take(chunk)
  }
  return `sha256:${hash.digest('hex')}` === file.digest ? { blob, head: head.bytes() } : undefined
}

async function addKernel(file: FileInode, contents: Contents, blobs: BlobStore, plain: Plain): Promise<KernelBlob> {
  const head = newHead()
  async function* passing() {
    for await (const chunk of plain(contents.read(file))) {
      head.take(chunk)
      yield chunk
    }
  }
  const blob = await blobs.add(streamOf(passing()))
  return { blob, head: head.bytes() }
}

/** Keeps the first bytes of what passes. */
function newHead(): { take(chunk: Uint8Array): void; bytes(): Uint8Array } {
  const head = new Uint8Array(kernelHeadSize)
  let filled = 0
  return {
    take(chunk) {
      const part = chunk.subarray(0, kernelHeadSize - filled)
      head.set(part, filled)
      filled += part.length
    },
    bytes: () => head.subarray(0, filled),
  }
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
