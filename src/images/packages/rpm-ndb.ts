/**
 * Header blobs of an rpm database in rpm's own format, as SUSE has it (`Packages.db`; rpm: lib/backend/ndb/rpmpkg.c): a header
 * of 32 bytes, slots of 16 bytes to the end of the slot pages, and blobs in blocks of 16 bytes. All little-endian.
 */
const magic = { header: 0x506d7052, slot: 0x746f6c53, blob: 0x53626c42 }
const pageSize = 4096
const blockSize = 16
const headerSize = 32

/** The blobs. Throws when it is no such database or is damaged. */
export function rpmNdbHeaders(database: Uint8Array): Uint8Array[] {
  const view = new DataView(database.buffer, database.byteOffset, database.length)
  if (database.length < headerSize || view.getUint32(0, true) !== magic.header) throw new Error('it is no ndb database')
  const end = view.getUint32(12, true) * pageSize
  if (end > database.length) throw new Error('its slots are cut off')
  const blobs: Uint8Array[] = []
  for (let slot = headerSize; slot + blockSize <= end; slot += blockSize) {
    if (view.getUint32(slot, true) !== magic.slot) throw new Error('a slot is damaged')
    const index = view.getUint32(slot + 4, true)
    if (index === 0) continue
    const at = view.getUint32(slot + 8, true) * blockSize
    if (at + blockSize > database.length) throw new Error('a slot points beyond the end')
    if (view.getUint32(at, true) !== magic.blob || view.getUint32(at + 4, true) !== index)
      throw new Error('a slot points to something else')
    const length = view.getUint32(at + 12, true)
    if (at + blockSize + length > database.length) throw new Error('a blob is cut off')
    blobs.push(database.subarray(at + blockSize, at + blockSize + length))
  }
  return blobs
}
