/** Bytes from elsewhere, checked against their name while they pass. Node only. */
import { createHash } from 'node:crypto'
import type { Digest } from '../blobs/digest.ts'
import { invalid } from './json.ts'

/** The same bytes. Throws `SOURCE_INVALID` as soon as there are too many, or at the end when they are not those. */
export async function* verified(
  bytes: AsyncIterable<Uint8Array>,
  { digest, size }: { digest: Digest; size: number },
  what: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  let seen = 0
  for await (const chunk of bytes) {
    seen += chunk.length
    if (seen > size) throw invalid(what, `${digest} has more than the ${size} bytes that it should have`)
    hash.update(chunk)
    yield chunk
  }
  if (seen < size) throw invalid(what, `${digest} has ${seen} bytes and should have ${size}`)
  const actual = hash.digest('hex')
  if (`sha256:${actual}` !== digest) throw invalid(what, `its bytes are sha256:${actual} and should be ${digest}`)
}

/** All bytes, at most `most`. Throws `SOURCE_INVALID` when there are more. */
export async function collect(
  bytes: AsyncIterable<Uint8Array>,
  most: number,
  what: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of bytes) {
    size += chunk.length
    if (size > most) throw invalid(what, `is longer than ${most} bytes`)
    chunks.push(chunk)
  }
  const whole = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}

/** The same bytes; `told` gets their digest when they have all passed. */
export async function* hashed(
  bytes: AsyncIterable<Uint8Array>,
  told: (digest: Digest) => void,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  for await (const chunk of bytes) {
    hash.update(chunk)
    yield chunk
  }
  told(`sha256:${hash.digest('hex')}`)
}
