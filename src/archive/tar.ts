/**
 * Reads tar: v7, ustar, PAX and GNU, with binary-safe extended attributes and sparse files, within limits. Ours because
 * packages pass PAX values through UTF-8, which breaks file capabilities. Nothing is extracted: an entry says where in the
 * archive its data is. What tar can say twice is read as GNU tar and Go do; what makes no sense is refused by name.
 */
import { type ByteString, readable } from './byte-string.ts'
import { type Cursor, createCursor } from './cursor.ts'
import { type ArchiveLimits, defaultLimits, exceeded, invalid } from './limits.ts'
import { numberRecord, parseRecords, type Records, sparseMap, textRecord, timeRecord, xattrsOf } from './pax.ts'
import { type Extent, parsePaxMap, placed, readGnuMap, readPaxMap } from './sparse.ts'
import { blockSize, hasChecksum, isZero, parseDevice, parseHeader, type TarHeader } from './tar-header.ts'

/** One entry. Its path is as the archive has it: neither normalised nor checked for `..`. */
export type TarEntry = {
  path: ByteString
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
  /** When its content last changed: whole seconds since 1970. */
  mtime: number
  xattrs?: Map<ByteString, Uint8Array>
  /** It carries POSIX ACLs in text form, which this reader leaves out. */
  acl: boolean
} & (
  | { type: 'file'; size: number; extents: Extent[] }
  | { type: 'link'; target: ByteString }
  | { type: 'hardlink'; target: ByteString }
  | { type: 'character' | 'block'; major: number; minor: number }
  | { type: 'directory' }
  | { type: 'fifo' }
  | { type: 'socket' }
)

/** What the extended headers in front of an entry say. */
type Extension = { records?: Records; path?: ByteString; target?: ByteString; bytes: number }

/** What a global header may say for the entries after it, of what we read. */
const globalKeys = ['path', 'linkpath', 'size', 'uid', 'gid']

/** Only these have data in the archive; POSIX lets other types carry a size that means nothing. */
const fileFlags = '07S'

/**
 * The entries of a tar stream, in its order; each is given before its data is read, which then goes to `look` in pieces:
 * of a file its extents one after the other, of anything else nothing. Throws `ARCHIVE_INVALID` or `ARCHIVE_LIMIT` with the
 * name of the entry at fault, or of the last whole one. A stream without the end marker was cut off. Memory: one chunk of
 * the source and one extended header.
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits = defaultLimits,
  look?: (piece: Uint8Array) => Promise<void> | undefined,
): AsyncGenerator<TarEntry> {
  const cursor = createCursor(source)
  const skipPadding = async (stored: number): Promise<boolean> => {
    const padding = -stored & (blockSize - 1)
    return padding === 0 || (await cursor.skip(padding)) === padding
  }
  try {
    const global: Records = new Map()
    const spent = { entries: 0, holes: 0 }
    let extension: Extension = { bytes: 0 }
    let last: ByteString = 'the start of the archive'
    for (;;) {
      const block = await cursor.read(blockSize)
      if (block.length < blockSize) throw invalid(last, 'the archive is cut off after it')
      if (isZero(block)) {
        if (extension.bytes > 0) throw invalid(last, 'the archive ends after it with an extended header for nothing')
        return await readEnd(cursor, last, limits)
      }
      // The cursor's bytes change under the header when more is read.
      const header = parseHeader(block.slice(), last)
      if ('xgLKX'.includes(header.flag)) {
        extension = await readExtension(cursor, header, extension, global, last, limits)
        continue
      }
      const { entry, stored } = await readEntry(cursor, header, merged(global, extension), extension, limits)
      last = entry.path
      extension = { bytes: 0 }
      checkSpent(spent, entry, stored, cursor.position(), limits)
      if (header.flag !== 'V') yield entry
      if (
        (await cursor.skip(stored, entry.type === 'file' ? look : undefined)) < stored ||
        !(await skipPadding(stored))
      )
        throw invalid(last, 'the archive is cut off in its data')
    }
  } finally {
    await cursor.close()
  }
}

const merged = (global: Records, extension: Extension): Records =>
  global.size === 0 ? (extension.records ?? new Map()) : new Map([...global, ...(extension.records ?? [])])

async function readExtension(
  cursor: Cursor,
  header: TarHeader,
  before: Extension,
  global: Records,
  last: ByteString,
  limits: ArchiveLimits,
): Promise<Extension> {
  const bytes = before.bytes + header.size + blockSize
  if (bytes > limits.header) throw exceeded(last, 'the extended header after it is too long', limits.header)
  const padded = Math.ceil(header.size / blockSize) * blockSize
  const block = await cursor.read(padded)
  if (block.length < padded) throw invalid(last, 'the archive is cut off after it, in an extended header')
  const body = block.slice(0, header.size)
  if (header.flag === 'L') return { ...before, bytes, path: untilNul(body) }
  if (header.flag === 'K') return { ...before, bytes, target: untilNul(body) }
  const records = parseRecords(body, last)
  if (header.flag !== 'g') return { ...before, bytes, records }
  for (const [key, value] of records) {
    if (/^(SCHILY\.xattr|LIBARCHIVE\.xattr|RHT\.security|GNU\.sparse)\./.test(key))
      throw invalid(last, `a global header after it sets ${readable(key)}, which belongs to one entry`)
    if (globalKeys.includes(key)) global.set(key, value)
  }
  return { ...before, bytes }
}

/** The entry that a header and the extended headers before it describe, and how much data follows the cursor. */
async function readEntry(
  cursor: Cursor,
  header: TarHeader,
  records: Records,
  extension: Extension,
  limits: ArchiveLimits,
): Promise<{ entry: TarEntry; stored: number }> {
  const path = textRecord(records, 'GNU.sparse.name') ?? textRecord(records, 'path') ?? extension.path ?? header.path
  checkPath(path, limits)
  const xattrs = xattrsOf(records, path)
  const common = {
    path,
    mode: header.mode,
    uid: numberRecord(records, 'uid', path) ?? header.uid,
    gid: numberRecord(records, 'gid', path) ?? header.gid,
    mtime: timeRecord(records, 'mtime') ?? header.mtime,
    ...(xattrs && { xattrs }),
    acl: records.has('SCHILY.acl.access') || records.has('SCHILY.acl.default'),
  }
  if (Math.max(common.uid, common.gid) >= 0xffffffff) throw invalid(path, 'its owner is beyond 32 bits')
  if (textRecord(records, 'SCHILY.filetype') === 'socket') return { entry: { ...common, type: 'socket' }, stored: 0 }
  const { flag, block } = header
  if (fileFlags.includes(flag)) {
    const stored = numberRecord(records, 'size', path) ?? header.size
    // How archives from before POSIX say directory, and GNU tar still reads them.
    if (path.endsWith('/')) {
      if (stored > 0) throw invalid(path, 'it is a directory with data')
      return { entry: { ...common, type: 'directory' }, stored }
    }
    if (stored > limits.file) throw exceeded(path, `has ${stored} bytes`, limits.file)
    return readFile(cursor, common, { flag, block, records, stored }, limits)
  }
  if (flag === '1' || flag === '2') {
    const target = textRecord(records, 'linkpath') ?? extension.target ?? header.target
    if (target.length > limits.path) throw exceeded(path, `links to ${target.length} bytes`, limits.path)
    if (target === '' || target.includes('\0')) throw invalid(path, 'it links to nothing, or to a name with NUL')
    return { entry: { ...common, type: flag === '1' ? 'hardlink' : 'link', target }, stored: 0 }
  }
  if (flag === '3' || flag === '4')
    return { entry: { ...common, type: flag === '3' ? 'character' : 'block', ...parseDevice(block, path) }, stored: 0 }
  if (flag === '5') return { entry: { ...common, type: 'directory' }, stored: 0 }
  if (flag === '6') return { entry: { ...common, type: 'fifo' }, stored: 0 }
  // GNU incremental archives list a directory's names as its data; volume labels have none.
  if (flag === 'D' || flag === 'V') return { entry: { ...common, type: 'directory' }, stored: header.size }
  throw invalid(path, `its type ${JSON.stringify(flag)} is none that an image can hold`)
}

async function readFile(
  cursor: Cursor,
  common: Pick<TarEntry, 'path' | 'mode' | 'uid' | 'gid' | 'mtime' | 'acl'>,
  { flag, block, records, stored }: { flag: string; block: Uint8Array; records: Records; stored: number },
  limits: ArchiveLimits,
): Promise<{ entry: TarEntry; stored: number }> {
  const { path } = common
  if (flag === 'S') {
    const { size, map } = await readGnuMap(block, cursor, path, limits)
    const extents = placed(map, { size, offset: cursor.position(), stored, path })
    return { entry: { ...common, type: 'file', size, extents }, stored }
  }
  const real = numberRecord(records, 'GNU.sparse.realsize', path) ?? numberRecord(records, 'GNU.sparse.size', path)
  if (real === undefined) {
    const extents = stored === 0 ? [] : [{ at: 0, offset: cursor.position(), length: stored }]
    return { entry: { ...common, type: 'file', size: stored, extents }, stored }
  }
  const text = textRecord(records, sparseMap)
  const { map, read } =
    text === undefined ? await readPaxMap(cursor, stored, path, limits) : { map: parsePaxMap(text, path), read: 0 }
  const left = stored - read
  const extents = placed(map, { size: real, offset: cursor.position(), stored: left, path })
  return { entry: { ...common, type: 'file', size: real, extents }, stored: left }
}

function checkPath(path: ByteString, limits: ArchiveLimits): void {
  if (path === '') throw invalid('(no name)', 'an entry has no name')
  if (path.includes('\0')) throw invalid(path, 'its name has NUL')
  if (path.length > limits.path) throw exceeded(path, `its name has ${path.length} bytes`, limits.path)
  for (const part of path.split('/'))
    if (part.length > limits.component)
      throw exceeded(path, `a part of its name has ${part.length} bytes`, limits.component)
}

function checkSpent(
  spent: { entries: number; holes: number },
  entry: TarEntry,
  stored: number,
  position: number,
  limits: ArchiveLimits,
): void {
  spent.entries += 1
  if (spent.entries > limits.entries) throw exceeded(entry.path, 'there are too many entries', limits.entries)
  if (position + stored > limits.total) throw exceeded(entry.path, 'the archive grows too large with it', limits.total)
  if (entry.type !== 'file') return
  if (entry.size > limits.file) throw exceeded(entry.path, `has ${entry.size} bytes`, limits.file)
  spent.holes += entry.size - entry.extents.reduce((sum, extent) => sum + extent.length, 0)
  if (spent.holes > limits.holes) throw exceeded(entry.path, 'sparse files have too many zeros with it', limits.holes)
}

/**
 * What follows the first zero block: a second one, then padding, whose bytes POSIX leaves open. Entries must not hide
 * there: that happens when two archives are joined, and every tool would lose the second in silence.
 */
async function readEnd(cursor: Cursor, last: ByteString, limits: ArchiveLimits): Promise<void> {
  for (let count = 1; ; count++) {
    const block = await cursor.read(blockSize)
    if (block.length < blockSize) return
    if (cursor.position() > limits.total) throw exceeded(last, 'the archive goes on after it', limits.total)
    if (isZero(block)) continue
    if (count === 1) throw invalid(last, 'a lone zero block follows it')
    if (hasChecksum(block)) throw invalid(last, 'another archive follows the one that ends with it: import them apart')
  }
}

function untilNul(bytes: Uint8Array): ByteString {
  const end = bytes.indexOf(0)
  let text = ''
  for (const byte of end < 0 ? bytes : bytes.subarray(0, end)) text += String.fromCharCode(byte)
  return text
}
