/** Reads newc cpio for tests, written from the format's description alone and strict about every number in it. */

/** One entry as the archive has it. */
export type CpioMember = {
  name: string
  ino: number
  mode: number
  uid: number
  gid: number
  links: number
  mtime: number
  major: number
  minor: number
  data: Uint8Array
}

/** All entries before the trailer; throws when anything is not as the format wants it. */
export function readCpio(archive: Uint8Array): CpioMember[] {
  const members: CpioMember[] = []
  for (let at = 0; ; ) {
    const text = String.fromCharCode(...archive.subarray(at, at + 110))
    if (!/^070701[0-9a-f]{104}$/.test(text)) throw new Error(`no header at ${at}: ${text}`)
    const number = (index: number) => Number.parseInt(text.slice(6 + index * 8, 14 + index * 8), 16)
    const nameEnd = at + 110 + number(11)
    const name = String.fromCharCode(...archive.subarray(at + 110, nameEnd - 1))
    if (archive[nameEnd - 1] !== 0) throw new Error(`${name} has no NUL`)
    if (number(7) !== 0 || number(8) !== 0 || number(12) !== 0) throw new Error(`${name} has a device or a checksum`)
    const start = zeros(archive, nameEnd)
    const data = archive.slice(start, start + number(6))
    at = zeros(archive, start + number(6))
    if (name === 'TRAILER!!!') {
      if (at !== archive.length) throw new Error(`${archive.length - at} bytes follow the trailer`)
      return members
    }
    members.push({
      name,
      ino: number(0),
      mode: number(1),
      uid: number(2),
      gid: number(3),
      links: number(4),
      mtime: number(5),
      major: number(9),
      minor: number(10),
      data,
    })
  }
}

/** The next multiple of 4; what is in between must be zeros. */
function zeros(archive: Uint8Array, at: number): number {
  const end = Math.ceil(at / 4) * 4
  if (archive.subarray(at, end).some((byte) => byte !== 0)) throw new Error(`padding at ${at} is not zero`)
  return end
}
