/** What zlib gives, in the forms that we have. Node only. */
import { pipeline, type Transform } from 'node:stream'

/** Options of zlib for output of `size` bytes. There is room to spare, so that the end is seen in the same turn. */
export const inOneTurn = (size: number) => ({ chunkSize: size + 64, maxOutputLength: size })

/** The same bytes as what the type says: `slice` of a Buffer is no copy, and shows what its neighbour writes. */
export const plainBytes = ({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  new Uint8Array(buffer, byteOffset, length)

/**
 * What `transform` makes of a source. Leaving it ends both; a failure of either is thrown. Of the source, no more is read
 * than the transform's buffer takes.
 */
export async function* through(
  source: AsyncIterable<Uint8Array>,
  transform: Transform,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  // The failure is heard by whoever reads the transform, which is destroyed with it.
  pipeline(source, transform, () => {})
  for await (const chunk of transform) yield plainBytes(chunk)
}
