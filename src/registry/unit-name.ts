/** Names of systemd's mount and swap units, and of the devices that they are about. */

const encoder = new TextEncoder()

/** Longest file name that Linux takes, in bytes (NAME_MAX). systemd takes names of the same length (UNIT_NAME_MAX, with the NUL). */
const longestUnit = 255

/**
 * The name of the unit of a path: `/scratch/local` is `scratch-local.mount`. systemd.unit(5), "String Escaping for Inclusion in
 * Unit Names": slashes become dashes, letters, digits, `:`, `_` and `.` (not the first) stay, other bytes become `\xNN`.
 */
export function unitName(path: string, type: 'mount' | 'swap'): string {
  const inner = path.split('/').filter(Boolean).join('/')
  if (inner === '') return `-.${type}`
  let name = ''
  for (const byte of encoder.encode(inner)) {
    const char = String.fromCharCode(byte)
    if (char === '/') name += '-'
    else if (/[A-Za-z0-9:_]/.test(char) || (char === '.' && name !== '')) name += char
    else name += `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return `${name}.${type}`
}

/** Whether the unit of a mount point or of a device has a name that can be a file's. */
export const hasUnitName = (path: string): boolean => unitName(path, 'mount').length <= longestUnit

/** The device that `LABEL=…` and the like name: systemd's fstab generator takes the same links. Paths stay what they are. */
export function deviceOf(spec: string): string {
  const [, kind = '', value = ''] = /^(LABEL|UUID|PARTUUID|PARTLABEL)="?([^"]*)"?$/.exec(spec) ?? []
  if (kind === '') return spec
  return `/dev/disk/by-${kind.toLowerCase()}/${kind.endsWith('UUID') ? value.toLowerCase() : encoded(value)}`
}

/** As udev writes labels in names of links (src/shared/device-nodes.c, encode_devnode_name). */
const encoded = (label: string): string =>
  label.replace(
    /[^A-Za-z0-9#+\-.:=@_\u0080-\u{10ffff}]/gu,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
