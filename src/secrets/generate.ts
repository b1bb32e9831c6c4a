/** Makes the secrets that nobody has to think up. */

import { toBase64 } from '../archive/base64.ts'
import type { SecretKind } from '../overlays/manifest.ts'
import { createSshKey } from './ssh-key.ts'

/** A secret's text, and the half of it that is none. */
export type Generated = { text: string; public: string | undefined }

/** Bytes of a random secret: 256 bits, as long as munge wants a key to be at least (munge(1), mungekey(8)). */
const randomLength = 32

/** A new secret. `comment` is one line that key pairs carry. */
export async function generate(kind: SecretKind, comment: string): Promise<Generated> {
  if (kind === 'random')
    return { text: toBase64(crypto.getRandomValues(new Uint8Array(randomLength))), public: undefined }
  const pair = await createSshKey(kind, comment)
  return { text: pair.private, public: pair.public }
}
