/** A file's bytes for an archive, whose header has told how many there are. */
import { type ByteString, readable } from '../archive/byte-string.ts'
import type { Contents } from './contents.ts'
import type { FileInode } from './tree.ts'

const blockSize = 2 ** 20

/**
 * All bytes of a file in blocks of 1 MiB, the last one smaller, in whatever chunks the contents come. Exactly as many as the
 * tree says, or it throws: with one more or less, every entry after it would be garbage.
 */
export async function* wholeFile(
  path: ByteString,
  file: FileInode,
  contents: Contents,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let read = 0
  let block: Uint8Array<ArrayBuffer> | undefined
  for await (const chunk of contents.read(file)) {
    const start = read
    read += chunk.length
    if (read > file.size) break
    for (let at = 0; at < chunk.length; ) {
      const within = (start + at) % blockSize
      const length = Math.min(blockSize, file.size - (start + at - within))
      const part = chunk.subarray(at, at + length - within)
      at += part.length
      if (part.length === length) {
        // Most chunks are whole blocks, which need no copy.
        yield part
        continue
      }
      block ??= new Uint8Array(length)
      block.set(part, within)
      if (within + part.length < length) continue
      yield block
      block = undefined
    }
  }
  if (read !== file.size) throw new Error(`${readable(path)} was read as ${read} bytes, not ${file.size}`)
}
