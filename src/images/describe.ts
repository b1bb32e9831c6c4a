/** What an image says of itself: machine, distribution, kernels, and what an admin should know before booting it. Node only. */
import type { ArchiveLimits } from '../archive/limits.ts'
import { headOf } from '../archive/stream.ts'
import type { BlobStore } from '../blobs/store.ts'
import { findArchitecture, headSize } from './architecture.ts'
import type { Contents } from './contents.ts'
import { storeKernels } from './kernel-blobs.ts'
import { moduleVersions } from './kernels.ts'
import type { Compression, ImageManifest, Kernel } from './manifest.ts'
import { longestOsRelease, osReleasePaths, parseOsRelease } from './os-release.ts'
import type { FileInode, Inode, Tree } from './tree.ts'

/** The part of a manifest that is told by what is in the files. */
export type Description = Pick<ImageManifest, 'architecture' | 'os' | 'kernels' | 'warnings'>

/** Something of these must be there, or the kernel has nothing to start. */
const inits = ['init', 'sbin/init', 'bin/init', 'usr/lib/systemd/systemd', 'bin/sh']

/** Where the tool stands that unpacks zstd. Whether a busybox has it, no file tells. */
const zstdTools = ['usr/bin/zstd', 'bin/zstd', 'usr/local/bin/zstd']

/** How the segments of a tree are compressed: with what its own tools unpack on the node. */
export const compressionOf = (tree: Tree): Compression => (zstdTools.some((path) => tree.file(path)) ? 'zstd' : 'gzip')

/** Describes a tree and stores its kernels. Throws `IMAGE_UNBOOTABLE` and `ARCHIVE_LIMIT`. */
export async function describe(
  tree: Tree,
  contents: Contents,
  blobs: BlobStore,
  limits: ArchiveLimits,
): Promise<Description> {
  const stored = await storeKernels(tree, contents, blobs, limits)
  const { architecture, warnings } = await findArchitecture(tree, stored, (file) =>
    headOf(contents.read(file, headSize), headSize),
  )
  const os = await readOs(tree, contents)
  const kernels = stored.map(({ blob, path, version }) => ({ ...blob, version, path }))
  return {
    architecture,
    ...(os && { os }),
    kernels,
    warnings: [...tree.warnings, ...warnings, ...treeWarnings(tree, kernels)],
  }
}

/** Entries between two steps: a millisecond or so. */
const stride = 4096

/** Bytes of all files of a tree, one with several names counted once. In steps. */
export function* bytesIn(tree: Tree): Generator<undefined, number, undefined> {
  const counted = new Set<Inode>()
  let size = 0
  for (const [at, path] of tree.paths.entries()) {
    const inode = tree.get(path)
    if (inode?.type === 'file' && !counted.has(inode)) size += inode.size
    if (inode && inode.links > 1) counted.add(inode)
    if (at % stride === stride - 1) yield
  }
  return size
}

async function readOs(tree: Tree, contents: Contents): Promise<ImageManifest['os']> {
  const file: FileInode | undefined = osReleasePaths.map((path) => tree.file(path)).find((found) => found !== undefined)
  if (!file) return undefined
  return parseOsRelease(new TextDecoder().decode(await headOf(contents.read(file, longestOsRelease), longestOsRelease)))
}

function treeWarnings(tree: Tree, kernels: Kernel[]): string[] {
  const warnings: string[] = []
  const modules = moduleVersions(tree)
  for (const { version, path } of kernels)
    if (!modules.includes(version)) warnings.push(`kernel ${version} (${path}) has no modules under /lib/modules`)
  if (!inits.some((path) => tree.file(path)))
    warnings.push('has neither an init (/init, /sbin/init, systemd) nor /bin/sh: nothing would start')
  const mode = tree.get('')?.mode ?? 0
  if ((mode & 0o005) !== 0o005)
    warnings.push(`its root directory has mode ${mode.toString(8)}: only root could enter it`)
  return warnings
}
