/**
 * Reads the header of an installed package out of an rpm database: two counts, an index, and the data that it points into,
 * all big-endian (rpm: docs/manual/format_header.md; tags in docs/manual/tags.md).
 */
import type { Package } from './package.ts'

const tags = { name: 1000, version: 1001, release: 1002, epoch: 1003, architecture: 1022 }
const types = { int32: 4, text: [6, 8, 9] }
const entrySize = 16
/** No package's header is larger (`headerMaxbytes` of rpm). */
const mostEntries = 65_536
const longestText = 4096

/** The package of a header blob. `undefined` for keys, which rpm keeps as packages. Throws when it is damaged. */
export function parseRpmHeader(blob: Uint8Array): Package | undefined {
  if (blob.length < 8) throw new Error('a header is too short')
  const view = new DataView(blob.buffer, blob.byteOffset, blob.length)
  const entries = view.getUint32(0)
  const data = 8 + entries * entrySize
  if (entries > mostEntries || data > blob.length) throw new Error('a header has more entries than bytes')

  function find(tag: number): { type: number; at: number } | undefined {
    for (let at = 8; at < data; at += entrySize)
      if (view.getUint32(at) === tag) return { type: view.getUint32(at + 4), at: data + view.getUint32(at + 8) }
    return undefined
  }
  function text(tag: number): string | undefined {
    const found = find(tag)
    if (!found || !types.text.includes(found.type)) return undefined
    const end = blob.indexOf(0, found.at)
    if (end === -1 || end - found.at > longestText) throw new Error('a header has a text without end')
    return new TextDecoder().decode(blob.subarray(found.at, end))
  }
  function number(tag: number): number | undefined {
    const found = find(tag)
    if (found?.type !== types.int32) return undefined
    if (found.at + 4 > blob.length) throw new Error('a header has a number beyond its end')
    return view.getUint32(found.at)
  }

  const name = text(tags.name)
  if (name === undefined) throw new Error('a header has no name')
  if (name === 'gpg-pubkey') return undefined
  const epoch = number(tags.epoch)
  const version = `${epoch ? `${epoch}:` : ''}${text(tags.version) ?? ''}-${text(tags.release) ?? ''}`
  return { name, version, architecture: text(tags.architecture) ?? '', manager: 'rpm' }
}
