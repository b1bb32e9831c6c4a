/** Makes SSH key pairs by Web Crypto. */
import { fromBase64 } from '../archive/base64.ts'
import { bytes, join, type KeyFields, type KeyPair, mpint, string, writeKeyPair } from './openssh.ts'

/** The kinds of key pairs: Ed25519 (RFC 8709), ECDSA on nistp256 (RFC 5656) and RSA of 3072 bits (RFC 4253 §6.6). */
export type SshKeyKind = 'ssh-ed25519' | 'ssh-ecdsa' | 'ssh-rsa'

/** A new key pair. `comment` is one line: whose key it is. An RSA key takes tenths of a second of CPU, the others next to nothing. */
export async function createSshKey(kind: SshKeyKind, comment: string): Promise<KeyPair> {
  return writeKeyPair(fieldsOf(kind, await jwkOf(algorithms[kind])), comment)
}

const algorithms = {
  'ssh-ed25519': { name: 'Ed25519' },
  'ssh-ecdsa': { name: 'ECDSA', namedCurve: 'P-256' },
  'ssh-rsa': {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 3072,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  },
} satisfies Record<SshKeyKind, object>

async function jwkOf(algorithm: (typeof algorithms)[SshKeyKind]): Promise<JsonWebKey> {
  const pair = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  // Types know a pair only of algorithms that they can tell apart; all three make one.
  return crypto.subtle.exportKey('jwk', (pair as CryptoKeyPair).privateKey)
}

/** A key's fields in the order of PROTOCOL.key (and ssh-key.c of OpenSSH). JSON names are those of RFC 7518 §6 and RFC 8037. */
function fieldsOf(kind: SshKeyKind, jwk: JsonWebKey): KeyFields {
  const part = (name: keyof JsonWebKey): Uint8Array => fromBase64Url(String(jwk[name]))
  switch (kind) {
    case 'ssh-ed25519': {
      const point = part('x')
      return { type: kind, public: [bytes(point)], private: [bytes(point), bytes(join(part('d'), point))] }
    }
    case 'ssh-ecdsa': {
      // SEC 1 §2.3.3: 4 says that the point is not compressed.
      const point = bytes(join(Uint8Array.of(4), part('x'), part('y')))
      const both = [string('nistp256'), point]
      return { type: 'ecdsa-sha2-nistp256', public: both, private: [...both, mpint(part('d'))] }
    }
    case 'ssh-rsa': {
      const [n, e, d, qi, p, q] = (['n', 'e', 'd', 'qi', 'p', 'q'] as const).map((name) => mpint(part(name)))
      return { type: kind, public: given(e, n), private: given(n, e, d, qi, p, q) }
    }
  }
}

const given = (...parts: (Uint8Array | undefined)[]): Uint8Array[] => parts.filter((part) => part !== undefined)

/** Base64url (RFC 4648 §5) without padding, as JSON Web Keys have it. */
const fromBase64Url = (text: string): Uint8Array => fromBase64(text.replaceAll('-', '+').replaceAll('_', '/'))
