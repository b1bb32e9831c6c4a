/** Where an image keeps its kernels, and which versions they are. */
import { type ByteString, byteString } from '../archive/byte-string.ts'
import { isBzImage } from './architecture.ts'
import type { FileInode, Tree } from './tree.ts'

/** A file that is a kernel by its place and name. */
export type KernelFile = {
  path: ByteString
  file: FileInode
  /** What its name says of its version: `linux` in Arch's `vmlinuz-linux`, empty when it says nothing. */
  name: string
}

/** How much of a kernel {@link kernelVersion} looks at: an x86 header points up to 64 KiB past itself. */
export const kernelHeadSize = 0x200 + 0x10000 + 256

/** Folders of modules; on most distributions the first leads to the second. */
const moduleFolders = ['lib/modules', 'usr/lib/modules']

/**
 * The kernels of an image, in the order in which they are preferred: `/boot/Image-*` (SUSE on arm64), `/boot/vmlinuz-*`,
 * `/lib/modules/VERSION/vmlinuz` and `.gz`, then the plain `/boot/vmlinuz` and `/vmlinuz`, which are mostly links to one of those.
 * Rescue kernels are left out: they are copies of others, with no modules of their own.
 */
export function findKernelFiles(tree: Tree): KernelFile[] {
  const boot = tree.names('boot')
  const named = (prefix: string) =>
    boot
      .filter((name) => name.startsWith(prefix))
      .map((name) => ({ path: `boot/${name}`, name: name.slice(prefix.length) }))
  const found = [...named('Image-'), ...named('vmlinuz-'), ...besideModules(tree), ...plain(tree)]
  return found.flatMap(({ path, name }) => {
    const file = tree.file(path)
    return file && file.size > 0 && !path.includes('-rescue') ? [{ path, file, name: name.replace(/\.gz$/, '') }] : []
  })
}

/** The versions that have modules, sorted. */
export const moduleVersions = (tree: Tree): string[] => [
  ...new Set(moduleFolders.flatMap((folder) => tree.names(folder))),
]

/**
 * A kernel's version: the one of the modules that go with it, if its name or its own header has that; else what its name
 * says, if that looks like a version; else what its header says. `undefined` when nothing does. `head` is the start of the
 * kernel, {@link kernelHeadSize} bytes.
 */
export function kernelVersion(name: string, modules: string[], head: Uint8Array): string | undefined {
  const written = headerVersion(head)
  const candidates = [name, written].filter((version) => version !== undefined && isVersion(version))
  return (
    candidates.find((version) => version !== undefined && modules.includes(version)) ??
    candidates.find((version) => version !== undefined && /^[0-9]/.test(version)) ??
    candidates[0]
  )
}

function besideModules(tree: Tree): { path: ByteString; name: string }[] {
  const folders = new Set(moduleFolders.map((folder) => tree.resolve(folder)))
  return [...folders].flatMap((folder) =>
    folder === undefined
      ? []
      : tree
          .names(folder)
          .flatMap((name) => ['vmlinuz', 'vmlinuz.gz'].map((file) => ({ path: `${folder}/${name}/${file}`, name }))),
  )
}

/** Plain names say nothing, but where they lead to may. */
function plain(tree: Tree): { path: ByteString; name: string }[] {
  return ['boot/vmlinuz', 'vmlinuz'].flatMap((path) => {
    const real = tree.resolve(path)
    if (real === undefined || real.includes('-rescue')) return []
    const [, name] = /(?:vmlinuz-|\/modules\/)([^/]+)(?:\/vmlinuz(?:\.gz)?)?$/.exec(real) ?? []
    return [{ path, name: name ?? '' }]
  })
}

/** The version in an x86 kernel: its first word (Documentation/arch/x86/boot.rst, kernel_version). */
function headerVersion(head: Uint8Array): string | undefined {
  if (!isBzImage(head)) return undefined
  const at = 0x200 + (head[0x20e] ?? 0) + (head[0x20f] ?? 0) * 256
  return /^[!-~]+/.exec(byteString(head.subarray(at, at + 128)))?.[0]
}

/** It becomes part of URLs, scripts and tables. */
const isVersion = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}$/.test(text)
