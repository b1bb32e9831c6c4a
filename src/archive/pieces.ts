/** Bytes in pieces, so that large contents which many archives have are copied into none of them. */

/** Bytes, one piece after the other. `size` is the sum. */
export type Pieces = { size: number; pieces: Uint8Array<ArrayBuffer>[] }

/** Whether a part stays a piece of its own: copying this much costs more than writing a piece more to a socket. */
export const isOwnPiece = (part: Uint8Array): boolean => part.length >= 16 * 1024

/** The parts as pieces: small ones are copied together, large ones are the same objects. */
export function gathered(parts: readonly Uint8Array<ArrayBuffer>[]): Pieces {
  const pieces: Uint8Array<ArrayBuffer>[] = []
  let size = 0
  let small: Uint8Array<ArrayBuffer>[] = []
  const flush = () => {
    if (small.length > 0) pieces.push(joined(small))
    small = []
  }
  for (const part of parts) {
    size += part.length
    if (!isOwnPiece(part)) small.push(part)
    else {
      flush()
      pieces.push(part)
    }
  }
  flush()
  return { size, pieces }
}

/** The parts in one. */
export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size = 0
  for (const part of parts) size += part.length
  const whole = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
