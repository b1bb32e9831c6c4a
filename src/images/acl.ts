/** POSIX ACLs as extended attributes: they name users and groups by id (linux: include/uapi/linux/posix_acl_xattr.h). */
import type { ByteString } from '../archive/byte-string.ts'

const attributes = ['system.posix_acl_access', 'system.posix_acl_default']
/** POSIX_ACL_XATTR_VERSION, at the start; entries of 8 bytes follow: tag, permissions, id. */
const version = 2
const tags = { user: 0x02, group: 0x08 }

/** The attributes with other ids in their ACLs; the same map when there is nothing to change. */
export function reownedAcls(
  xattrs: Map<ByteString, Uint8Array>,
  uids: ReadonlyMap<number, number>,
  gids: ReadonlyMap<number, number>,
): Map<ByteString, Uint8Array> {
  let changed: Map<ByteString, Uint8Array> | undefined
  for (const name of attributes) {
    const value = xattrs.get(name)
    const made = value && reowned(value, uids, gids)
    if (!made) continue
    changed ??= new Map(xattrs)
    changed.set(name, made)
  }
  return changed ?? xattrs
}

function reowned(
  value: Uint8Array,
  uids: ReadonlyMap<number, number>,
  gids: ReadonlyMap<number, number>,
): Uint8Array | undefined {
  const made = value.slice()
  const view = new DataView(made.buffer, made.byteOffset, made.length)
  if (made.length < 4 || view.getUint32(0, true) !== version) return undefined
  let changed = false
  for (let at = 4; at + 8 <= made.length; at += 8) {
    const tag = view.getUint16(at, true)
    const ids = tag === tags.user ? uids : tag === tags.group ? gids : undefined
    const to = ids?.get(view.getUint32(at + 4, true))
    if (to === undefined) continue
    view.setUint32(at + 4, to, true)
    changed = true
  }
  return changed ? made : undefined
}
