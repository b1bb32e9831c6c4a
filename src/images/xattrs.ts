/**
 * Extended attributes of an image, as text. A cpio cannot carry them, so they travel as one file in the root archive, which
 * the node's init hands to `setfattr -h --restore` with `/` as working directory.
 */
import { type ByteString, byteString, bytesOf, readable } from '../archive/byte-string.ts'
import type { Inode, Tree } from './tree.ts'

/** Where the file stands in the root archive. What an image has there itself is left out. */
export const xattrsPath = 'muster/xattrs'

/** The attributes of a tree in the format of getfattr(1) `--dump`, sorted; `undefined` when there are none. */
export function dumpXattrs(tree: Tree): Uint8Array<ArrayBuffer> | undefined {
  const blocks = carriers(tree).map(({ path, xattrs }) => {
    const lines = [...xattrs].sort(([one], [other]) => (one < other ? -1 : 1)).map(lineOf)
    return `# file: ${quoted(path || '.', /[\\\n\r]/g)}\n${lines.join('')}\n`
  })
  return blocks.length === 0 ? undefined : bytesOf(blocks.join(''))
}

/** What an admin should know: attributes that nothing in the image can restore. */
export function xattrWarnings(tree: Tree): string[] {
  const paths = carriers(tree).map(({ path }) => path)
  if (paths.length === 0 || tree.file('usr/bin/setfattr') || tree.file('bin/setfattr')) return []
  const names = paths.slice(0, 3).map((path) => readable(path || '.'))
  const files = `${paths.length} file${paths.length > 1 ? 's' : ''} (${names.join(', ')}${paths.length > 3 ? ' …' : ''})`
  return [`carries extended attributes on ${files} but no setfattr to restore them: add the package attr`]
}

/** The entries with attributes, a file with several names under the first. */
function carriers(tree: Tree): { path: ByteString; xattrs: Map<ByteString, Uint8Array> }[] {
  const seen = new Set<Inode>()
  const found: { path: ByteString; xattrs: Map<ByteString, Uint8Array> }[] = []
  for (const path of tree.paths) {
    const inode = tree.get(path)
    if (!inode?.xattrs || seen.has(inode)) continue
    seen.add(inode)
    found.push({ path, xattrs: inode.xattrs })
  }
  return found
}

const lineOf = ([name, value]: [ByteString, Uint8Array]): string =>
  `${quoted(name, /[\\=\n\r]/g)}=0s${btoa(byteString(value))}\n`

/** As `quote` of the attr package: what would end the line or the name becomes a backslash and three octal digits. */
const quoted = (text: ByteString, special: RegExp): string =>
  text.replace(special, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`)
