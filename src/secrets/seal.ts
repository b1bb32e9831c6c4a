/** Seals secrets: AES-256-GCM (NIST SP 800-38D) by Web Crypto, with a fresh nonce each, bound to whose secret it is. */

import { fromBase64, toBase64 } from '../archive/base64.ts'
import { AppError } from '../errors.ts'
import type { SecretKey } from './key.ts'

/** Bytes of a nonce: what SP 800-38D §8.2 wants, and enough for 2^32 secrets of one key when they are random. */
const nonceLength = 12

const hexGrammar = /^[0-9a-f]{64}$/i

/** The 32 bytes that 64 hex digits say, with or without a newline after them; `undefined` for anything else. */
export function parseKey(text: string): Uint8Array<ArrayBuffer> | undefined {
  const digits = text.trim()
  if (!hexGrammar.test(digits)) return undefined
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

/** A key of 32 random bytes. `from` says in messages where they came from. */
export async function createSecretKey(bytes: Uint8Array<ArrayBuffer>, from: string): Promise<SecretKey> {
  const key = await crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt'])
  const id = await idOf(bytes)
  return {
    id,
    from,
    async seal(text, context) {
      const iv = crypto.getRandomValues(new Uint8Array(nonceLength))
      const sealed = await crypto.subtle.encrypt(gcm(iv, context), key, encoder.encode(text))
      return toBase64(new Uint8Array([...iv, ...new Uint8Array(sealed)]))
    },
    async open(sealed, context) {
      try {
        const bytes = fromBase64(sealed)
        const [iv, ciphertext] = [bytes.slice(0, nonceLength), bytes.slice(nonceLength)]
        return decoder.decode(await crypto.subtle.decrypt(gcm(iv, context), key, ciphertext))
      } catch (cause) {
        throw new AppError(
          'SECRET_LOCKED',
          `secret ${context} cannot be opened with the key ${id} of ${from}: bring back the key that it was sealed with, or set it again`,
          { cause },
        )
      }
    },
  }
}

/** Stands for a key that is gone: everything but secrets goes on, and secrets say what is missing. `why` names the way out. */
export function missingKey(from: string, why: string): SecretKey {
  const refuse = (context: string): never => {
    throw new AppError('SECRET_LOCKED', `secret ${context} is locked: ${why}`)
  }
  return {
    id: 'missing',
    from,
    lost: true,
    seal: async (_text, context) => refuse(context),
    open: async (_sealed, context) => refuse(context),
  }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

const gcm = (iv: Uint8Array<ArrayBuffer>, context: string) => ({
  name: 'AES-GCM',
  iv,
  additionalData: encoder.encode(context),
})

/** The key is 256 random bits, so a hash of it gives nothing away; the label keeps the hash from meaning anything else. */
async function idOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const label = encoder.encode('muster secret key id\n')
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array([...label, ...bytes])))
  return Array.from(digest.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
