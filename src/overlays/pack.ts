/** Packs rendered files into the archive that a node unpacks. The same files give the same bytes. */
import { gzipSync } from 'fflate'
import { type CpioEntry, cpioPieces } from '../archive/cpio.ts'
import { joined, type Pieces } from '../archive/pieces.ts'
import { ancestors, directoryMode } from './path.ts'
import type { RenderedFile } from './render.ts'

/**
 * Archives up to this size go out as they are: compressing one for each node costs the head node more (50 ms of CPU a
 * megabyte) than it saves the network. The /etc/hosts of 10,000 nodes is below it.
 */
export const plainLimit = 1024 * 1024

/**
 * A newc cpio of the files and of the directories above them, each once, parents first; gzipped when it is larger than
 * {@link plainLimit}, else in pieces of which the large ones are the files' own contents. Its length is a multiple of 4:
 * older iPXE under UEFI lays initrds behind one another as they are, and the kernel takes what follows for a plain archive
 * only there; it skips zeros (init/initramfs.c, unpack_to_rootfs).
 */
export function packOverlay(files: readonly RenderedFile[]): Pieces {
  const plain = cpioPieces(cpioEntries(files))
  if (plain.size <= plainLimit) return plain
  const bytes = padded(gzipSync(joined(plain.pieces), { level: 6, mtime: 0 }))
  return { size: bytes.length, pieces: [bytes] }
}

/**
 * The entries of the archive: what was rendered, and the directories above it that nobody spoke of. An archive cannot take
 * anything away, so removals are not in it: the list says them (tree.ts).
 */
export function cpioEntries(files: readonly RenderedFile[]): CpioEntry[] {
  const entries = new Map<string, CpioEntry>()
  for (const file of files) {
    if (file.type === 'removal') continue
    for (const path of ancestors(file.path))
      if (!entries.has(path))
        entries.set(path, { path: path.slice(1), mode: directoryMode(path), uid: 0, gid: 0, type: 'directory' })
    entries.set(file.path, cpioEntry(file))
  }
  // A directory's path begins all paths below it, so that code-unit order has it first.
  return [...entries.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

function cpioEntry(file: Exclude<RenderedFile, { type: 'removal' }>): CpioEntry {
  const common = { path: file.path.slice(1), mode: file.mode, uid: file.uid, gid: file.gid }
  switch (file.type) {
    case 'file':
      return { ...common, type: 'file', content: file.content }
    case 'link':
      return { ...common, type: 'link', target: file.target }
    case 'directory':
      return { ...common, type: 'directory' }
  }
}

/** The bytes, and zeros up to a multiple of 4. */
function padded(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4)
  whole.set(bytes)
  return whole
}
