/** Reads newc cpio, as the kernel does (Documentation/driver-api/early-userspace/buffer-format.rst). */
import { gunzipSync } from 'node:zlib'

/** An entry of an archive. `mode` has the type bits. */
export type CpioFile = { mode: number; uid: number; gid: number; content: Uint8Array }

/** The entries of an archive, by path; gzip is taken off. Throws when it is no archive. */
export function cpioFiles(archive: Uint8Array): Map<string, CpioFile> {
  const bytes = archive[0] === 0x1f ? new Uint8Array(gunzipSync(archive)) : archive
  const text = (from: number, length: number) => new TextDecoder().decode(bytes.subarray(from, from + length))
  const files = new Map<string, CpioFile>()
  for (let at = 0; ; ) {
    if (text(at, 6) !== '070701') throw new Error(`no cpio header at ${at}`)
    const field = (index: number) => Number.parseInt(text(at + 6 + index * 8, 8), 16)
    const [size, nameSize] = [field(6), field(11)]
    const name = text(at + 110, nameSize - 1)
    if (name === 'TRAILER!!!') return files
    const start = (at + 110 + nameSize + 3) & ~3
    const content = bytes.subarray(start, start + size)
    files.set(name, { mode: field(1), uid: field(2), gid: field(3), content })
    at = (start + size + 3) & ~3
  }
}
