/**
 * Header blobs of an rpm database in Berkeley DB's hash format (RHEL 8 and older: `Packages`; db-5.3: src/dbinc/db_page.h).
 * Every page is looked at in turn: to list what is there one need not know how keys are hashed.
 */
const hashMagic = 0x061561
const pageHeader = 26
const pageTypes = { unsorted: 2, overflow: 7, meta: 8, sorted: 13 }
const itemTypes = { here: 1, elsewhere: 3 }
/** rpm refuses larger headers. */
const largestItem = 256 * 2 ** 20

/** The blobs. Throws when it is no such database or is damaged. */
export function rpmBdbHeaders(database: Uint8Array): Uint8Array[] {
  const view = new DataView(database.buffer, database.byteOffset, database.length)
  if (database.length < 512) throw new Error('it is too short for a database')
  // Numbers are in the byte order of the machine that made it.
  const little = view.getUint32(12, true) === hashMagic
  if (!little && view.getUint32(12, false) !== hashMagic) throw new Error('it is no hash database')
  const pageSize = view.getUint32(20, little)
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0 || view.getUint8(25) !== pageTypes.meta)
    throw new Error('its first page is damaged')
  const pages = Math.floor(database.length / pageSize)

  /** What overflow pages hold, from one to the next. */
  function gathered(first: number, length: number): Uint8Array {
    if (length > largestItem || length > database.length) throw new Error('an item is too large')
    const item = new Uint8Array(length)
    let filled = 0
    for (let page = first; filled < length; page = view.getUint32(page * pageSize + 16, little)) {
      const start = page * pageSize
      if (page === 0 || page >= pages || view.getUint8(start + 25) !== pageTypes.overflow)
        throw new Error('an item leads to a page that is none of its own')
      const held = Math.min(view.getUint16(start + 22, little), pageSize - pageHeader, length - filled)
      if (held === 0) throw new Error('an item has an empty page')
      item.set(database.subarray(start + pageHeader, start + pageHeader + held), filled)
      filled += held
    }
    return item
  }

  const blobs: Uint8Array[] = []
  for (let page = 1; page < pages; page++) {
    const start = page * pageSize
    const type = view.getUint8(start + 25)
    if (type !== pageTypes.sorted && type !== pageTypes.unsorted) continue
    const items = view.getUint16(start + 20, little)
    if (pageHeader + items * 2 > pageSize) throw new Error('a page has more items than room')
    const offset = (item: number) => (item < 0 ? pageSize : view.getUint16(start + pageHeader + item * 2, little))
    // Keys and values take turns. Items grow from the end of the page, so each ends where the one before begins.
    for (let item = 1; item < items; item += 2) {
      const at = offset(item)
      if (at < pageHeader || at + 1 > pageSize) throw new Error('an item lies outside of its page')
      const kind = view.getUint8(start + at)
      if (kind === itemTypes.elsewhere) {
        if (at + 12 > pageSize) throw new Error('an item is cut off')
        blobs.push(gathered(view.getUint32(start + at + 4, little), view.getUint32(start + at + 8, little)))
      } else if (kind === itemTypes.here) {
        const bytes = database.subarray(start + at + 1, start + Math.max(at + 1, offset(item - 1)))
        // Under the key 0 rpm counts its packages: four bytes, no header.
        if (bytes.length > 8) blobs.push(bytes)
      }
    }
  }
  return blobs
}
