/** Writes tar by hand, so that tests can say what no tar program would. */

/** One header block's fields; what is not given is what a small root-owned file would have. */
export type Member = {
  name: string
  flag?: string
  data?: Uint8Array
  link?: string
  mode?: number
  uid?: number
  gid?: number
  /** The size field, when it is to lie. */
  size?: number
  magic?: string
  prefix?: string
  /** Bytes to put over the header, by offset, before the checksum is made. */
  raw?: Record<number, Uint8Array>
  /** Added to the checksum, to break it. */
  checksumOff?: number
}

const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0) & 0xff)

/** Text as UTF-8 in the form that {@link Member} names take: one character a byte. */
export const utf8 = (text: string): string => String.fromCharCode(...new TextEncoder().encode(text))

/** Header, data and padding. */
export function member(given: Member): Uint8Array<ArrayBuffer> {
  const { name, flag = '0', data = new Uint8Array(0), link = '', mode = 0o644, uid = 0, gid = 0 } = given
  const out = new Uint8Array(512 + Math.ceil(data.length / 512) * 512)
  const put = (text: string, at: number) => out.set(latin1(text), at)
  const octal = (number: number, at: number, length: number) =>
    put(`${number.toString(8).padStart(length - 1, '0')}\0`, at)
  put(name.slice(0, 100), 0)
  octal(mode, 100, 8)
  octal(uid, 108, 8)
  octal(gid, 116, 8)
  octal(given.size ?? data.length, 124, 12)
  octal(0, 136, 12)
  put(flag, 156)
  put(link.slice(0, 100), 157)
  put(given.magic ?? 'ustar\x0000', 257)
  octal(0, 329, 8)
  octal(0, 337, 8)
  put(given.prefix ?? '', 345)
  for (const [at, bytes] of Object.entries(given.raw ?? {})) out.set(bytes, Number(at))
  out.fill(0x20, 148, 156)
  const sum = out.subarray(0, 512).reduce((total, byte) => total + byte, 0) + (given.checksumOff ?? 0)
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  out.set(data, 512)
  return out
}

/** A PAX extended header, local (`x`) or global (`g`). */
export function pax(records: [key: string, value: string | Uint8Array][], flag = 'x'): Uint8Array<ArrayBuffer> {
  const parts = records.map(([key, value]) => {
    const body = joined([latin1(` ${key}=`), typeof value === 'string' ? latin1(value) : value, latin1('\n')])
    let length = body.length + 1
    while (`${length}`.length + body.length !== length) length = `${length}`.length + body.length
    return joined([latin1(`${length}`), body])
  })
  return member({ name: 'PaxHeaders/0', flag, data: joined(parts) })
}

/** A whole archive: the parts, then two zero blocks. */
export const archive = (...parts: Uint8Array[]): Uint8Array<ArrayBuffer> => joined([...parts, new Uint8Array(1024)])

/** Bytes one after the other. */
export function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** A source of bytes in chunks of `size`, which counts what was taken of it. */
export function source(bytes: Uint8Array, size = 65_536): AsyncIterable<Uint8Array> & { taken: number } {
  return {
    taken: 0,
    async *[Symbol.asyncIterator]() {
      for (let at = 0; at < bytes.length; at += size) {
        const chunk = bytes.subarray(at, at + size)
        this.taken += chunk.length
        yield chunk
      }
    },
  }
}

/** Text as bytes. */
export const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)
