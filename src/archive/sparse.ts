/** Sparse files: which stretches of a file the archive holds (GNU tar manual, "Storing Sparse Files"). The rest is zeros. */
import { type ByteString, byteString } from './byte-string.ts'
import type { Cursor } from './cursor.ts'
import { type ArchiveLimits, exceeded, invalid } from './limits.ts'
import { blockSize, field } from './tar-header.ts'

/** `length` bytes of a file at `at`, which the archive has at `offset`. */
export type Extent = { at: number; offset: number; length: number }

/** A stretch of a file that is stored, and where in the file it belongs. */
type Stretch = { at: number; length: number }

const notNumber = 'its sparse map has something that is no number'

/** The map of GNU type `S`: four pairs in the header, 21 more in each block after it. Leaves the cursor at the data. */
export async function readGnuMap(header: Uint8Array, cursor: Cursor, path: ByteString, limits: ArchiveLimits) {
  const size = field(header, 483, 12, path, 'sparse size')
  const map = pairs(header, 386, 4, path)
  let more = header[482] !== 0
  while (more) {
    if (map.length * 24 > limits.header) throw exceeded(path, 'sparse map is too long', limits.header)
    const block = await cursor.read(blockSize)
    if (block.length < blockSize) throw invalid(path, 'the archive is cut off in its sparse map')
    map.push(...pairs(block, 0, 21, path))
    more = block[504] !== 0
  }
  return { size, map }
}

/** The map of PAX format 1.0, at the head of the data: decimal numbers by line, padded. Leaves the cursor at the data. */
export async function readPaxMap(cursor: Cursor, stored: number, path: ByteString, limits: ArchiveLimits) {
  const numbers: number[] = []
  let text = ''
  let read = 0
  while (!isComplete(numbers)) {
    if (read >= limits.header) throw exceeded(path, 'sparse map is too long', limits.header)
    if (read + blockSize > stored) throw invalid(path, 'its sparse map is longer than its data')
    const block = await cursor.read(blockSize)
    if (block.length < blockSize) throw invalid(path, 'the archive is cut off in its sparse map')
    read += blockSize
    const lines = (text + byteString(block)).split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) if (!isComplete(numbers)) numbers.push(decimal(line, path))
    if (!isComplete(numbers) && text.length > 15) throw invalid(path, notNumber)
  }
  return { map: stretches(numbers.slice(1)), read }
}

/** The first number says how many pairs come. */
const isComplete = (numbers: number[]): boolean => numbers.length > 0 && numbers.length >= 1 + 2 * (numbers[0] ?? 0)

/** The map of PAX formats 0.0 and 0.1: `offset,size,offset,size…`. */
export const parsePaxMap = (text: ByteString, path: ByteString): Stretch[] =>
  stretches(text.split(',').map((part) => decimal(part, path)))

/** Places the stretches: they must rise, stay within `size`, and be exactly the `stored` bytes at `offset`. */
export function placed(
  map: Stretch[],
  file: { size: number; offset: number; stored: number; path: ByteString },
): Extent[] {
  const extents: Extent[] = []
  let end = 0
  let offset = file.offset
  for (const { at, length } of map) {
    if (at < end || at + length > file.size) throw invalid(file.path, 'its sparse map overlaps or passes its end')
    if (length > 0) extents.push({ at, offset, length })
    end = at + length
    offset += length
  }
  if (offset !== file.offset + file.stored) throw invalid(file.path, 'its sparse map does not add up to its data')
  return extents
}

/** Old maps end at the first pair whose size field is empty. */
function pairs(block: Uint8Array, start: number, count: number, path: ByteString): Stretch[] {
  const found: Stretch[] = []
  for (let at = start; at < start + count * 24 && block[at + 12] !== 0; at += 24)
    found.push({ at: field(block, at, 12, path, 'sparse map'), length: field(block, at + 12, 12, path, 'sparse map') })
  return found
}

function stretches(numbers: number[]): Stretch[] {
  const found: Stretch[] = []
  for (let at = 0; at + 1 < numbers.length; at += 2) found.push({ at: numbers[at] ?? 0, length: numbers[at + 1] ?? 0 })
  return found
}

function decimal(text: ByteString, path: ByteString): number {
  if (!/^[0-9]{1,15}$/.test(text)) throw invalid(path, notNumber)
  return Number(text)
}
