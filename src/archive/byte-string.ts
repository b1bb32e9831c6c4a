/**
 * Byte strings: text whose every character is one byte (U+0000 to U+00FF). File names are bytes and need not be UTF-8;
 * in this form they survive, serve as keys of a map, and compare as their bytes do.
 */

/** A string whose characters are bytes. Only {@link readable} makes text for people of it. */
export type ByteString = string

/** The bytes as a byte string. */
export function byteString(bytes: Uint8Array): ByteString {
  let text = ''
  // An argument list has a length limit; names rarely need a second turn.
  for (let at = 0; at < bytes.length; at += 8192)
    text += Reflect.apply(String.fromCharCode, undefined, bytes.subarray(at, at + 8192))
  return text
}

/** The bytes of a byte string. */
export function bytesOf(text: ByteString): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length)
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at)
  return bytes
}

/** For messages and manifests: UTF-8 where it is that, else `\xHH` for every byte that is not ASCII; one line; cut at `most`. */
export function readable(text: ByteString, most = 200): string {
  const bytes = bytesOf(text.slice(0, most))
  const decoded = decode(bytes) ?? text.slice(0, most).replace(/[\x80-\xff]/g, escapeByte)
  return decoded.replace(/[\x00-\x1f\x7f]/g, escapeByte) + (text.length > most ? '…' : '')
}

function decode(bytes: Uint8Array<ArrayBuffer>): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

const escapeByte = (character: string): string => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
