/** Base64 (RFC 4648 §4) of bytes, by what every runtime has. */
import { byteString, bytesOf } from './byte-string.ts'

/** Bytes as base64. */
export const toBase64 = (bytes: Uint8Array): string => btoa(byteString(bytes))

/** Base64 as bytes. Throws a `DOMException` for what is none. */
export const fromBase64 = (text: string): Uint8Array<ArrayBuffer> => bytesOf(atob(text))
