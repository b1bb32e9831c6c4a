/** Reads a stream of chunks as if it were one run of bytes: so many now, so many skipped. */

/** A place in a stream. */
export type Cursor = {
  /** Bytes read and skipped so far. */
  position(): number
  /** The next `length` bytes, fewer at the end of the stream. They stay valid only until the next call. */
  read(length: number): Promise<Uint8Array>
  /** Passes over `length` bytes, giving them piece by piece to whoever looks; answers how many there were. */
  skip(length: number, look?: (piece: Uint8Array) => Promise<void> | undefined): Promise<number>
  /** Lets go of the stream. */
  close(): Promise<void>
}

/** A cursor at the start of `source`. Holds one chunk, and copies only what crosses from one chunk to the next. */
export function createCursor(source: AsyncIterable<Uint8Array>): Cursor {
  const chunks = source[Symbol.asyncIterator]()
  let chunk: Uint8Array = new Uint8Array(0)
  let at = 0
  let passed = 0

  /** Makes sure that the chunk has something left; false at the end of the stream. */
  async function fill(): Promise<boolean> {
    while (at === chunk.length) {
      const next = await chunks.next()
      if (next.done) return false
      chunk = next.value
      at = 0
    }
    return true
  }

  /** Up to `length` bytes of the present chunk. */
  function take(length: number): Uint8Array {
    const part = chunk.subarray(at, at + length)
    at += part.length
    passed += part.length
    return part
  }

  return {
    position: () => passed,
    async read(length) {
      if (chunk.length - at >= length) return take(length)
      const bytes = new Uint8Array(length)
      let filled = 0
      while (filled < length && (await fill())) {
        const part = take(length - filled)
        bytes.set(part, filled)
        filled += part.length
      }
      return bytes.subarray(0, filled)
    },
    async skip(length, look) {
      let left = length
      while (left > 0 && (at < chunk.length || (await fill()))) {
        const piece = take(left)
        left -= piece.length
        const looking = look?.(piece)
        if (looking) await looking
      }
      return length - left
    },
    async close() {
      await chunks.return?.()
    },
  }
}
