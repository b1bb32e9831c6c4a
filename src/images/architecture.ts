/** Which machine an image is for, told by the first bytes of its programs or its kernel. */
import { type ByteString, readable } from '../archive/byte-string.ts'
import { AppError } from '../errors.ts'
import type { Architecture } from './manifest.ts'
import type { FileInode, Tree } from './tree.ts'

/** How many bytes of a program {@link architectureOfProgram} looks at. */
export const headSize = 64

/** By `e_machine`, class (2 is 64 bits) and byte order (1 is little endian) of an ELF header: elf(5), System V gABI. */
const machines: Record<string, Architecture> = {
  '62 2 1': 'x86_64',
  '183 2 1': 'aarch64',
  '243 2 1': 'riscv64',
  '21 2 1': 'ppc64le',
  '22 2 2': 's390x',
}

/** Programs that an image lives by; when none of them is ELF, others are looked at. */
const likely = ['bin/sh', 'sbin/init', 'usr/lib/systemd/systemd', 'lib/systemd/systemd', 'bin/busybox', 'init']
const mostOthers = 500

/** An ELF file's machine, `unsupported` and its number when Muster has no name for it; `undefined` for what is no ELF. */
function architectureOfProgram(head: Uint8Array): Architecture | { unsupported: number } | undefined {
  if (head.length < 20 || head[0] !== 0x7f || head[1] !== 0x45 || head[2] !== 0x4c || head[3] !== 0x46) return undefined
  const order = head[5]
  const machine = new DataView(head.buffer, head.byteOffset, head.length).getUint16(18, order === 1)
  return machines[`${machine} ${head[4]} ${order}`] ?? { unsupported: machine }
}

/**
 * A kernel's machine by the magic in its header, `undefined` where there is none: arm64 and riscv `Image` at 0x38
 * (Documentation/arch/arm64/booting.rst, Documentation/arch/riscv/boot-image-header.rst). Kernels that are plain ELF count
 * as programs. For x86 see {@link isBzImage}.
 */
export function architectureOfKernel(head: Uint8Array): Architecture | undefined {
  if (isBzImage(head)) return 'x86_64'
  const magic = String.fromCharCode(...head.subarray(0x38, 0x3c))
  if (magic === 'ARM\x64') return 'aarch64'
  if (magic === 'RSC\x05') return 'riscv64'
  const program = architectureOfProgram(head)
  return typeof program === 'string' ? program : undefined
}

/** Whether the head of a file, 0x206 bytes or more, is an x86 kernel's (Documentation/arch/x86/boot.rst). */
export const isBzImage = (head: Uint8Array): boolean => String.fromCharCode(...head.subarray(0x202, 0x206)) === 'HdrS'

/**
 * An image's architecture: that of the first ELF program in it, else of its newest kernel that tells. `read` gives the first
 * {@link headSize} bytes of a file. Throws `IMAGE_UNBOOTABLE` when nothing tells, or it is none that Muster boots. Warns
 * about kernels that are for another machine.
 */
export async function findArchitecture(
  tree: Tree,
  kernels: { version: string; architecture?: Architecture }[],
  read: (file: FileInode) => Promise<Uint8Array>,
): Promise<{ architecture: Architecture; warnings: string[] }> {
  const architecture = (await ofPrograms(tree, read)) ?? kernels.find((kernel) => kernel.architecture)?.architecture
  if (!architecture)
    throw new AppError(
      'IMAGE_UNBOOTABLE',
      'nothing tells its architecture: no ELF program, no kernel with a known header',
    )
  const warnings = kernels
    .filter((kernel) => kernel.architecture && kernel.architecture !== architecture)
    .map((kernel) => `kernel ${kernel.version} is for ${kernel.architecture}, the programs are for ${architecture}`)
  return { architecture, warnings }
}

async function ofPrograms(
  tree: Tree,
  read: (file: FileInode) => Promise<Uint8Array>,
): Promise<Architecture | undefined> {
  for (const path of programs(tree)) {
    const file = tree.file(path)
    const found = file && architectureOfProgram(await read(file))
    if (typeof found === 'string') return found
    if (found)
      throw new AppError(
        'IMAGE_UNBOOTABLE',
        `${readable(path)} is for ELF machine ${found.unsupported}: Muster boots ${Object.values(machines).join(', ')}`,
      )
  }
  return undefined
}

/** Paths of files to ask for the architecture, the telling ones first. */
function* programs(tree: Tree): Generator<ByteString> {
  for (const path of likely) if (tree.file(path)) yield path
  let others = 0
  for (const path of tree.paths) {
    const inode = tree.get(path)
    if (inode?.type !== 'file' || (inode.mode & 0o111) === 0 || inode.size < headSize) continue
    others += 1
    if (others > mostOthers) return
    yield path
  }
}
