/** The archive in which a node fetches the contents that it lacks: flat, each named by the number of its line in the list. */

import { paxHeader, paxPadding, paxTrailer } from '../archive/pax-writer.ts'
import { gathered, type Pieces } from '../archive/pieces.ts'

/** What one line of a list names. */
export type LineContent = { line: number; content: Uint8Array<ArrayBuffer> }

const zeros = new Uint8Array(512)

/**
 * A plain ustar (POSIX.1-1988) with one regular file for each line, named `5`, mode 0600, owner 0:0: every tar of every
 * image can unpack it, and no name in it leads anywhere. Large contents are not copied: a storm of nodes that want
 * the same file holds it once.
 */
export const lineArchive = (lines: readonly LineContent[]): Pieces =>
  gathered([
    ...lines.flatMap(({ line, content }) => [
      paxHeader({ path: String(line), mode: 0o600, uid: 0, gid: 0, mtime: 0, type: 'file', size: content.length }),
      content,
      zeros.subarray(0, paxPadding(content.length)),
    ]),
    paxTrailer(),
  ])
