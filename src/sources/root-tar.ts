/** A whole root tree as one tar: a file, or what comes out of a pipe. */
import type { Digest } from '../blobs/digest.ts'
import { type Compression, isReadable, readable } from './compression.ts'
import type { ImageSource, SourceOptions } from './source.ts'
import { hashed } from './verified.ts'

/** An image of one layer, which is the tar. Its digest is known when it was read to its end. */
export function rootTar(
  tar: {
    source: string
    compression: Compression
    size?: number
    bytes(): AsyncIterable<Uint8Array>
    close(): Promise<void>
  },
  options: SourceOptions,
): ImageSource {
  const { source, compression, size, close } = tar
  let digest: Digest | undefined
  const raw = () =>
    hashed(tar.bytes(), (found) => {
      digest = found
    })
  const known = isReadable(compression) && size !== undefined
  return {
    source,
    get sourceDigest() {
      return digest
    },
    whiteouts: 'none',
    layers: [{ ...(known && { size }), open: () => readable(raw(), compression, options) }],
    close,
  }
}
