/** Reads an imported version: its manifest, its tree, and the bytes of its files out of its segments. Node only. */
import type { ByteString } from '../archive/byte-string.ts'
import type { Digest } from '../blobs/digest.ts'
import type { BlobStore } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import { unpackIndex } from './image-index.ts'
import type { OpenedImage } from './opened-image.ts'
import { readBlob } from './read-blob.ts'
import { readManifest } from './read-manifest.ts'
import { segmentContents } from './segment-contents.ts'
import { treeOf } from './tree.ts'

/**
 * Opens a version: reads its manifest and its index, and none of its segments yet. Throws `IMAGE_UNKNOWN` when its manifest
 * or index is not in the store, `BLOB_CORRUPT` when one is damaged, `UNSUPPORTED` for the form of a newer release.
 */
export async function openImage(blobs: BlobStore, digest: Digest): Promise<OpenedImage> {
  const manifest = await readManifest(blobs, digest)
  if (!manifest) throw new AppError('IMAGE_UNKNOWN', `the manifest ${digest} is not in the blob store`)
  if (manifest.schema !== 1)
    throw new AppError('UNSUPPORTED', `the manifest ${digest} has form ${manifest.schema}, of a newer release`)
  const what = `the index of the image ${digest}`
  const bytes = await readBlob(blobs, manifest.index, what)
  if (!bytes)
    throw new AppError(
      'IMAGE_UNKNOWN',
      `the blob ${manifest.index.digest}, ${what}, is not in the blob store: import it again`,
    )
  const { keys, inodes, segments } = await unpackIndex(oneChunk(bytes))
  const tree = treeOf(inodes)
  const segmentOf = (path: ByteString): number | undefined => segments[indexOf(tree.paths, path)]
  return { digest, manifest, tree, segmentOf, keys, contents: segmentContents(blobs, manifest, tree, segmentOf) }
}

/** Where a text is among sorted ones; -1 when it is not. The index has its lines in the order of a tree's paths. */
function indexOf(sorted: readonly ByteString[], text: ByteString): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] ?? '') < text) low = middle + 1
    else high = middle
  }
  return sorted[low] === text ? low : -1
}

async function* oneChunk(bytes: Uint8Array<ArrayBuffer>): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  yield bytes
}
