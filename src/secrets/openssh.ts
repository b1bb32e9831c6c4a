/**
 * Key pairs as OpenSSH writes them: the private half as `openssh-key-v1` (PROTOCOL.key of OpenSSH), not encrypted, and the
 * public half as one line (sshd(8), AUTHORIZED_KEYS FILE FORMAT). Fields are those of RFC 4251 §5.
 */
import { fromBase64, toBase64 } from '../archive/base64.ts'
import { joined } from '../archive/pieces.ts'

/** A key pair as texts. */
export type KeyPair = {
  /** A whole file, newline at its end. */
  private: string
  /** `TYPE BASE64 COMMENT`, no newline. */
  public: string
}

/** What a key is made of: its type, and the fields of both halves after it, encoded. */
export type KeyFields = { type: string; public: Uint8Array[]; private: Uint8Array[] }

const first = '-----BEGIN OPENSSH PRIVATE KEY-----'
const last = '-----END OPENSSH PRIVATE KEY-----'
const magic = 'openssh-key-v1\0'
const lineLength = 70
/** The block size that the private part is padded to when it is not encrypted. */
const blockLength = 8

const encoder = new TextEncoder()

/** The texts of a key pair. `comment` is one line. */
export function writeKeyPair({ type, ...fields }: KeyFields, comment: string): KeyPair {
  const blob = join(string(type), ...fields.public)
  // Whoever decrypts such a file sees by two equal numbers that the passphrase was right.
  const check = crypto.getRandomValues(new Uint8Array(4))
  const secret = join(check, check, string(type), ...fields.private, string(comment))
  const padding = Uint8Array.from({ length: -secret.length & (blockLength - 1) }, (_, at) => at + 1)
  const none = string('none')
  const file = join(
    encoder.encode(magic),
    ...[none, none, string(''), uint32(1), bytes(blob), bytes(join(secret, padding))],
  )
  const lines = toBase64(file).match(new RegExp(`.{1,${lineLength}}`, 'g')) ?? []
  return {
    private: `${[first, ...lines, last].join('\n')}\n`,
    public: [type, toBase64(blob), comment].filter(Boolean).join(' '),
  }
}

/** The public half that a private key's file has in it, encrypted or not; `undefined` for any other text. */
export function publicLineOf(text: string): string | undefined {
  const [, body] =
    /^-----BEGIN OPENSSH PRIVATE KEY-----\n([A-Za-z0-9+/=\n]+)-----END OPENSSH PRIVATE KEY-----\s*$/.exec(
      text.replaceAll('\r\n', '\n'),
    ) ?? []
  try {
    const file = fromBase64((body ?? '').replaceAll('\n', ''))
    const decoder = new TextDecoder('utf-8', { fatal: true })
    if (decoder.decode(file.subarray(0, magic.length)) !== magic) return undefined
    let at = magic.length
    const field = (): Uint8Array => {
      const length = new DataView(file.buffer).getUint32(at)
      const content = file.subarray(at + 4, at + 4 + length)
      if (content.length !== length) throw new RangeError('cut off')
      at += 4 + length
      return content
    }
    // Cipher, key derivation, its options; then the number of keys.
    for (let passed = 0; passed < 3; passed++) field()
    at += 4
    const blob = field()
    const type = decoder.decode(blob.subarray(4, 4 + new DataView(blob.buffer, blob.byteOffset).getUint32(0)))
    return /^[a-z0-9@.-]{1,64}$/.test(type) ? `${type} ${toBase64(blob)}` : undefined
  } catch {
    // Base64 that is none, or fields that reach beyond the end: not such a file.
    return undefined
  }
}

/** `string` of bytes: their length and themselves. */
export const bytes = (content: Uint8Array): Uint8Array => join(uint32(content.length), content)

/** `string` of a text. */
export const string = (text: string): Uint8Array => bytes(encoder.encode(text))

/** `mpint` of a positive number, given big-endian: no zeros in front but the one that keeps it positive. */
export function mpint(number: Uint8Array): Uint8Array {
  const start = number.findIndex((byte) => byte !== 0)
  const digits = start < 0 ? new Uint8Array() : number.subarray(start)
  return bytes((digits[0] ?? 0) & 0x80 ? join(new Uint8Array(1), digits) : digits)
}

function uint32(value: number): Uint8Array {
  const content = new Uint8Array(4)
  new DataView(content.buffer).setUint32(0, value)
  return content
}

/** Bytes after one another. */
export const join = (...parts: Uint8Array[]): Uint8Array<ArrayBuffer> => joined(parts)
