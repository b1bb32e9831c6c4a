/**
 * A layer's entries as bytes, to be kept: JSON lines in zstd. Node only.
 *
 *     {"schema":1,"whiteouts":"oci","entries":51234}
 *     {"path":"usr/bin/ls","type":"file","mode":493,"uid":0,"gid":0,"mtime":1700000000,"acl":false,"size":9,"digest":"sha256:…"}
 *
 * An entry's line has its fields, in the order of the archive. Texts are byte strings, extended attributes are pairs of name
 * and base64, in the order that they have in the archive.
 */
import { byteString, bytesOf } from '../archive/byte-string.ts'
import { unzstd, zstd } from '../archive/zstd.ts'
import { AppError } from '../errors.ts'
import type { Layer, LayerEntry, Whiteouts } from './layer.ts'

/** The first line. */
type Head = { schema: 1; whiteouts: Whiteouts; entries: number }

/** The order of the fields: whoever made an entry, it gives the same bytes. */
const fields: (keyof Extract<LayerEntry, { type: 'file' }> | 'target' | 'major' | 'minor')[] = [
  'path',
  'type',
  'mode',
  'uid',
  'gid',
  'mtime',
  'xattrs',
  'acl',
  'size',
  'digest',
  'target',
  'major',
  'minor',
]

/** Entries that become text together: a few milliseconds of work. */
const batchSize = 1000
/** Characters of all lines: more than a layer within the limits of an archive has. */
const largestIndex = 2 ** 31

/** The layer as bytes, the same for the same layer. */
export async function packLayer({ whiteouts, entries }: Layer): Promise<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder()
  async function* lines() {
    const head: Head = { schema: 1, whiteouts, entries: entries.length }
    yield encoder.encode(`${JSON.stringify(head)}\n`)
    for (let at = 0; at < entries.length; at += batchSize)
      yield encoder.encode(
        entries
          .slice(at, at + batchSize)
          .map(lineOf)
          .join(''),
      )
  }
  const parts: Uint8Array<ArrayBuffer>[] = []
  for await (const part of zstd(lines())) parts.push(part)
  return new Uint8Array(await new Blob(parts).arrayBuffer())
}

/**
 * The layer of bytes. Throws `UNSUPPORTED` for the form of another release, and `BLOB_CORRUPT` for bytes that {@link packLayer}
 * did not make. Whoever keeps them checks their digest: fields are taken as they are.
 */
export async function unpackLayer(bytes: Uint8Array): Promise<Layer> {
  const entries: LayerEntry[] = []
  let head: Head | undefined
  try {
    for await (const line of linesIn(unzstd(only(bytes)))) {
      if (head) entries.push(entryOf(line))
      else head = headOf(line)
    }
  } catch (cause) {
    if (cause instanceof AppError) throw cause
    throw damaged('cannot be read', cause)
  }
  if (!head || entries.length !== head.entries) throw damaged('is cut off')
  return { whiteouts: head.whiteouts, entries }
}

function headOf(line: string): Head {
  const head: Head = JSON.parse(line)
  if (head.schema !== 1)
    throw new AppError('UNSUPPORTED', `the entries of a layer have form ${head.schema}, of another release of Muster`)
  return head
}

function lineOf(entry: LayerEntry): string {
  const { xattrs } = entry
  if (!xattrs) return `${JSON.stringify(entry, fields)}\n`
  const pairs = Array.from(xattrs, ([name, value]) => [name, btoa(byteString(value))])
  return `${JSON.stringify({ ...entry, xattrs: pairs }, fields)}\n`
}

function entryOf(line: string): LayerEntry {
  const entry: LayerEntry & { xattrs?: Iterable<[string, unknown]> } = JSON.parse(line)
  if (entry.xattrs)
    entry.xattrs = new Map(Array.from(entry.xattrs, ([name, value]) => [name, bytesOf(atob(String(value)))]))
  return entry
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  // In pieces, so that what comes of them is dealt with in pieces.
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}

async function* linesIn(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let rest = ''
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > largestIndex) throw damaged('is too large')
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (rest !== '') throw damaged('is cut off')
}

const damaged = (fault: string, cause?: unknown): AppError =>
  new AppError('BLOB_CORRUPT', `the list of a layer's entries ${fault}: see \`muster image verify\``, { cause })
