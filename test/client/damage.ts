/** Answers that are changed on their way to a node. */

/** The same answer with other bytes, and with the length of these unless it is said otherwise. */
export async function damaged(
  answer: Response,
  change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>,
  length?: number,
) {
  const bytes = change(new Uint8Array(await answer.arrayBuffer()))
  const headers = new Headers(answer.headers)
  headers.set('content-length', String(length ?? bytes.length))
  return new Response(bytes, { status: answer.status, headers })
}

/** Changes one bit of the byte at a place. */
export const flipped = (at: (bytes: Uint8Array) => number) => (bytes: Uint8Array) =>
  bytes.map((byte, index) => (index === at(bytes) ? byte ^ 1 : byte))
