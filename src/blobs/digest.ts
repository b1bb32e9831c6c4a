/** Digests: the names of blobs. Only sha256, written `sha256:` and 64 lower-case hex digits (OCI image spec, descriptor.md). */
import { AppError } from '../errors.ts'

/** The name of some bytes: `sha256:` and 64 lower-case hexadecimal digits. */
export type Digest = `sha256:${string}`

const grammar = /^sha256:[0-9a-f]{64}$/

/** Reads a digest; throws `DIGEST_INVALID` for anything else, so that a digest is safe to use as a path. */
export function parseDigest(text: string): Digest {
  if (!grammar.test(text)) throw new AppError('DIGEST_INVALID', `not a digest: ${JSON.stringify(text.slice(0, 100))}`)
  return text as Digest
}

/** The 64 hexadecimal digits alone. */
export const hexOf = (digest: Digest): string => digest.slice('sha256:'.length)

/** The digest of bytes that are in memory. Streams are hashed by whoever stores them. */
export async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<Digest> {
  return `sha256:${hex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)))}`
}

/** Bytes as lower-case hexadecimal digits. */
export const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
