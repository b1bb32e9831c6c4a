/**
 * Paths of a tree as text for requests and answers. Names are bytes: what is UTF-8 is told as that, in any other name each byte
 * beyond ASCII is told as `\xHH`. What would look like such a byte has its backslash told as `\x5c`, so that no two paths have
 * one text. Pure.
 */
import { type ByteString, byteString, bytesOf } from '../archive/byte-string.ts'
import type { Tree } from './tree.ts'

/** A path of a tree as text: `/etc/os-release`, `/` for the root. */
export const pathText = (path: ByteString): string => `/${bytesText(path)}`

/** Bytes as text, such as a symbolic link's target. */
export function bytesText(bytes: ByteString): string {
  const plain = bytes.replace(/\\(?=x(?:5c|[89a-f][0-9a-f]))/g, '\\x5c')
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytesOf(plain))
  } catch {
    return plain.replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`)
  }
}

/**
 * The path that a text means, slashes at its ends or in rows and `.` left out. A text that {@link pathText} made means the
 * path that it was made of; one that somebody typed may also be a name as it is.
 */
export function pathOf(tree: Tree, text: string): ByteString {
  const parts = byteString(new TextEncoder().encode(text))
    .split('/')
    .filter((part) => part !== '' && part !== '.')
  const path = parts.join('/')
  const told = path.replace(/\\x(5c|[89a-f][0-9a-f])/g, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
  return told === path || tree.get(told) || tree.resolve(told) !== undefined ? told : path
}
