/** Entries of layers as blobs, so that a layer that was imported once need not be sent again. Node only. */
import { type Digest, digestOf } from '../blobs/digest.ts'
import { gather, streamOf } from '../blobs/gather.ts'
import type { BlobStore } from '../blobs/store.ts'
import type { Layer } from './layer.ts'
import { unpackLayer } from './layer-index.ts'

/** No layer's entries take more, compressed. */
const largestIndex = 256 * 2 ** 20

/** Stores a layer's entries, packed; answers their blob. */
export async function storeLayer(blobs: BlobStore, packed: Uint8Array<ArrayBuffer>): Promise<Digest> {
  const digest = await digestOf(packed)
  await blobs.put({ digest, size: packed.length }, streamOf(packed, { offset: 0, length: packed.length }))
  return digest
}

/** A layer that was stored. `undefined` when the blob is gone or is not what was stored: the layer itself can make it again. */
export async function readLayer(blobs: BlobStore, digest: Digest): Promise<Layer | undefined> {
  const found = await blobs.keep(digest)
  if (!found || found.size > largestIndex) return undefined
  const body = await blobs.open(digest)
  if (!body) return undefined
  const bytes = await gather(body, largestIndex)
  return (await digestOf(bytes)) === digest ? unpackLayer(bytes) : undefined
}
