/**
 * Imports an image: tar in, kernels and root archive out. Node only.
 *
 * The stream is parsed as it comes in and kept, uncompressed, in one temporary file without a name; everything else reads
 * from there. Nothing is unpacked. Memory: the index of the tree, and up to 3 blocks of 1 MiB on their way through gzip.
 */
import { uncompressed } from '../archive/gunzip.ts'
import { gzip } from '../archive/gzip.ts'
import { type ArchiveLimits, defaultLimits } from '../archive/limits.ts'
import { headOf, streamOf } from '../archive/stream.ts'
import { readTar } from '../archive/tar.ts'
import type { BlobStore } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import { findArchitecture, headSize } from './architecture.ts'
import type { Importer } from './importer.ts'
import { storeKernels } from './kernel-blobs.ts'
import { moduleVersions } from './kernels.ts'
import type { CpioRoot, ImageManifest, Kernel } from './manifest.ts'
import { longestOsRelease, osReleasePaths, parseOsRelease } from './os-release.ts'
import { rootArchive } from './root.ts'
import { openSpool, prepareSpool, type Spool } from './spool.ts'
import { createTree, type FileInode, type Tree } from './tree.ts'
import { dumpXattrs, xattrsPath, xattrWarnings } from './xattrs.ts'

/** Boot loaders hand an initrd's size to the kernel in 32 bits (Documentation/arch/x86/boot.rst, ramdisk_size). */
const largestRoot = 2 ** 32 - 1

/** Something of these must be there, or the kernel has nothing to start. */
const inits = ['init', 'sbin/init', 'bin/init', 'usr/lib/systemd/systemd', 'bin/sh']

/** What an importer is given. */
export type ImporterOptions = {
  /** Where kernels and root archives go. */
  blobs: BlobStore
  /** A folder of its own for temporary files, with room for the largest image, uncompressed. Made when absent. */
  spool: string
  /** Tighter or wider bounds than {@link defaultLimits}; `root` bounds the compressed root archive. */
  limits?: Partial<ArchiveLimits & { root: number }>
}

/** An importer. Clears what killed imports left in `spool`. */
export function createImporter({ blobs, spool: folder, limits: given }: ImporterOptions): Importer {
  const limits = { ...defaultLimits, root: largestRoot, ...given }
  prepareSpool(folder)
  return {
    async importTar(body) {
      const spool = await openSpool(folder)
      try {
        const builder = createTree(limits)
        for await (const entry of readTar(spool.keep(uncompressed(body, limits)), limits)) builder.add(entry)
        return await describe(builder.finish(), spool, blobs, limits)
      } finally {
        await spool.close()
      }
    },
  }
}

async function describe(
  tree: Tree,
  spool: Spool,
  blobs: BlobStore,
  limits: ArchiveLimits & { root: number },
): Promise<ImageManifest> {
  const stored = await storeKernels(tree, spool, blobs, limits)
  const { architecture, warnings } = await findArchitecture(tree, stored, (file) =>
    headOf(spool.read(file, headSize), headSize),
  )
  const os = await readOs(tree, spool)
  const kernels = stored.map(({ blob, path, version }) => ({ ...blob, version, path }))
  return {
    architecture,
    ...(os && { os }),
    kernels,
    root: await storeRoot(tree, spool, blobs, limits.root),
    entries: tree.paths.length,
    warnings: [...tree.warnings, ...warnings, ...xattrWarnings(tree), ...treeWarnings(tree, kernels)],
  }
}

async function storeRoot(tree: Tree, spool: Spool, blobs: BlobStore, largest: number): Promise<CpioRoot> {
  const xattrs = await keepXattrs(tree, spool)
  let unpackedSize = 0
  let packedSize = 0
  async function* counted() {
    for await (const chunk of rootArchive(tree, spool, xattrs)) {
      unpackedSize += chunk.length
      yield chunk
    }
  }
  async function* bounded() {
    for await (const chunk of gzip(counted())) {
      packedSize += chunk.length
      if (packedSize > largest)
        throw new AppError(
          'IMAGE_UNBOOTABLE',
          `the root archive has more than ${largest} bytes compressed, and no kernel unpacks that: make the image smaller`,
        )
      yield chunk
    }
  }
  const blob = await blobs.add(streamOf(bounded()))
  return { ...blob, kind: 'cpio-gzip', unpackedSize }
}

/** The attribute file, kept in the spool behind the archive, so that it is read as any other file. */
async function keepXattrs(tree: Tree, spool: Spool): Promise<FileInode | undefined> {
  const dump = dumpXattrs(tree)
  if (!dump) return undefined
  const extents = [{ at: 0, offset: await spool.append(dump), length: dump.length }]
  return { type: 'file', mode: 0o600, uid: 0, gid: 0, links: 1, size: dump.length, mtime: 0, extents }
}

async function readOs(tree: Tree, spool: Spool): Promise<ImageManifest['os']> {
  const file = osReleasePaths.map((path) => tree.file(path)).find((found) => found !== undefined)
  return (
    file && parseOsRelease(new TextDecoder().decode(await headOf(spool.read(file, longestOsRelease), longestOsRelease)))
  )
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
  if (tree.get(xattrsPath)) warnings.push(`left out ${xattrsPath}: that name is for what Muster writes`)
  return warnings
}
