/** Entries of layers as blobs, so that a layer that was imported once need not be sent again. Node only. */
import { type Digest, digestOf } from '../blobs/digest.ts'
import { gather } from '../blobs/gather.ts'
import type { BlobStore } from '../blobs/store.ts'
import type { Layer } from './layer.ts'
import { packLayer, unpackLayer } from './layer-index.ts'

/** No layer's entries take more, compressed. */
const largestIndex = 256 * 2 ** 20

/** Stores a layer's entries; answers their blob. */
export async function storeLayer(blobs: BlobStore, layer: Layer): Promise<Digest> {
  const bytes = await packLayer(layer)
  const digest = await digestOf(bytes)
  await blobs.put({ digest, size: bytes.length }, new Blob([bytes]).stream())
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
