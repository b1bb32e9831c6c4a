/** Bytes in pieces as the body of an answer, whose `Content-Length` is their size. */
import type { Pieces } from '../archive/pieces.ts'
import { joined } from '../archive/pieces.ts'
import { streamOf } from '../archive/stream.ts'

/** Answers up to this size go out in one piece, which costs less than a stream. */
const wholeAtMost = 64 * 1024

/** One piece, or a stream of them: contents that many are sent at the same time are in memory once. */
export function piecesBody({
  size,
  pieces,
}: Pieces): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>> {
  return size > wholeAtMost ? streamOf(inTurn(pieces)) : joined(pieces)
}

async function* inTurn(pieces: readonly Uint8Array<ArrayBuffer>[]): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (const piece of pieces) if (piece.length > 0) yield piece
}
