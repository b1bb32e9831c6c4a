/** An imported version as one tar: what `podman import` or another Muster takes. The same version gives the same bytes. */
import type { ByteString } from '../archive/byte-string.ts'
import { paxHeader, paxPadding, paxTrailer } from '../archive/pax-writer.ts'
import type { OpenedImage } from './opened-image.ts'
import { pathText } from './path-text.ts'
import type { Inode } from './tree.ts'

/** Small pieces are put together to chunks of about so many bytes. */
const chunkSize = 64 * 1024

/**
 * The whole tree in the order of its paths, the root as `./`. The first name of a file has its bytes, the others are hard
 * links to it. Throws `BLOB_CORRUPT`.
 */
export async function* exportTar({ tree, contents }: Pick<OpenedImage, 'tree' | 'contents'>): Bytes {
  const firstNames = new Map<Inode, ByteString>()
  for (const path of tree.paths) {
    const inode = tree.get(path)
    if (!inode) throw new Error(`the tree lists ${pathText(path)} and does not have it`)
    const { mode, uid, gid, mtime, xattrs } = inode
    const entry = { path: path === '' ? './' : path, mode, uid, gid, mtime, ...(xattrs && { xattrs }) }
    const target = firstNames.get(inode)
    if (target !== undefined) {
      yield paxHeader({ ...entry, type: 'hardlink', target })
      continue
    }
    if (inode.links > 1) firstNames.set(inode, path)
    yield paxHeader(inode.type === 'directory' ? { ...entry, type: 'directory' } : { ...inode, ...entry })
    if (inode.type !== 'file') continue
    yield* contents.read(inode)
    yield new Uint8Array(paxPadding(inode.size))
  }
  yield paxTrailer()
}

/** The same bytes in chunks of some size: a header alone is too little to send. */
export async function* inChunks(pieces: Bytes): Bytes {
  let waiting: Uint8Array<ArrayBuffer>[] = []
  let size = 0
  for await (const piece of pieces) {
    if (piece.length === 0) continue
    waiting.push(piece)
    size += piece.length
    if (size < chunkSize) continue
    yield joined(waiting, size)
    waiting = []
    size = 0
  }
  if (size > 0) yield joined(waiting, size)
}

type Bytes = AsyncGenerator<Uint8Array<ArrayBuffer>>

function joined(pieces: readonly Uint8Array<ArrayBuffer>[], size: number): Uint8Array<ArrayBuffer> {
  const [only] = pieces
  if (pieces.length === 1 && only) return only
  const whole = new Uint8Array(size)
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
