/** What names and attributes take in memory, kept within the limits of an archive. */
import type { ByteString } from '../archive/byte-string.ts'
import { type ArchiveLimits, exceeded } from '../archive/limits.ts'

/** What is counted of an entry. */
type Weighed = { type: string; xattrs?: ReadonlyMap<ByteString, Uint8Array>; target?: ByteString }

/** How much was counted: entries, and bytes of names, link targets and attributes. */
export type IndexWeight = { entries: number; bytes: number }

/** A count that refuses to grow too large. */
export type IndexLimit = {
  /** Counts an entry; throws `ARCHIVE_LIMIT` with its path. */
  add(path: ByteString, entry: Weighed): void
  spent(): IndexWeight
}

/** A count that begins with what others spent. */
export function createIndexLimit(
  limits: Pick<ArchiveLimits, 'entries' | 'index'>,
  before: IndexWeight = { entries: 0, bytes: 0 },
): IndexLimit {
  let { entries, bytes } = before
  return {
    add(path, { xattrs, target = '' }) {
      entries += 1
      bytes += path.length + target.length
      for (const [name, value] of xattrs ?? []) bytes += name.length + value.length
      if (entries > limits.entries) throw exceeded(path, 'there are too many entries', limits.entries)
      if (bytes > limits.index) throw exceeded(path, 'names and attributes are too long with it', limits.index)
    },
    spent: () => ({ entries, bytes }),
  }
}
