/**
 * Blobs in any unstorage driver: for small blobs, tests and odd places. Portable.
 *
 *     sha256:<first two digits>:<all 64 digits>        the bytes
 *     sha256:<first two digits>:<all 64 digits>.kept   when they were last put or kept: milliseconds since 1970
 *     sha256:<first two digits>:<all 64 digits>.size   their number, in decimal digits; written last, deleted first
 *
 * Drivers have no streams and most are not atomic, so a blob is held in memory, up to a limit; it exists once its size
 * is there; and what a driver gives back is checked against its digest before anyone sees a byte of it. Drivers also
 * return errors as values (fs) and drop writes without a word (read-only stores): both are turned into errors here.
 * Within one process no deletion overtakes a `keep`. Of several that share a storage, one can keep a blob in the instant
 * between the look and the deletion of another: a blob that is older than the grace of a collection, and unused until then.
 * `list` knows what the driver's `getKeys` knows: unstorage's S3 and R2 drivers stop at 1000 keys.
 */
import type { Storage } from 'unstorage'
import { AppError } from '../errors.ts'
import { type Digest, digestOf, hexOf, parseDigest } from './digest.ts'
import { gather, sliceWithin, streamOf } from './gather.ts'
import type { BlobStore, Descriptor, Listed } from './store.ts'

/** Settings of {@link unstorageBlobStore}. */
export type UnstorageBlobStoreOptions = {
  /** The largest blob that is taken, in bytes. Reading one needs as much memory. 64 MiB when not given. */
  limit?: number
}

/** Keeps blobs as items of an unstorage `storage`. Throws `BODY_TOO_LARGE` for what exceeds the limit. */
export function unstorageBlobStore(
  storage: Pick<Storage, 'getItemRaw' | 'setItemRaw' | 'removeItem' | 'getKeys'>,
  { limit = 64 * 1024 * 1024 }: UnstorageBlobStoreOptions = {},
): BlobStore {
  const changes = new Map<Digest, Promise<unknown>>()

  async function item(key: string): Promise<Uint8Array | undefined> {
    return bytesOf(await storage.getItemRaw(key), key)
  }

  async function sizeOf(digest: Digest): Promise<number | undefined> {
    const text = await item(sizeKeyOf(digest))
    if (!text) return undefined
    const size = new TextDecoder().decode(text)
    if (!/^\d{1,15}$/.test(size)) throw new Error(`the size that the storage has of ${digest} is not a number`)
    return Number(size)
  }

  /** The bytes, when they are there and are the right ones. */
  async function intact(digest: Digest): Promise<Uint8Array | undefined> {
    const bytes = await item(keyOf(digest))
    return bytes && (await digestOf(new Uint8Array(bytes))) === digest ? bytes : undefined
  }

  /** Changes of one blob follow one another, so that no writer truncates what another has just finished. */
  async function alone<Result>(digest: Digest, change: () => Promise<Result>): Promise<Result> {
    const mine = (changes.get(digest) ?? Promise.resolve()).then(change, change)
    changes.set(digest, mine)
    try {
      return await mine
    } finally {
      if (changes.get(digest) === mine) changes.delete(digest)
    }
  }

  const markKept = async (digest: Digest): Promise<void> => {
    const time = String(Date.now())
    await storage.setItemRaw(keptKeyOf(digest), new TextEncoder().encode(time))
    if (new TextDecoder().decode(await item(keptKeyOf(digest))) !== time)
      throw new Error(`the storage did not keep ${digest}: is it read-only?`)
  }

  /** When it was kept. What is torn or was written a moment ago counts as now, which harms nothing. */
  async function keptAtOf(digest: Digest): Promise<Date> {
    const text = new TextDecoder().decode(await item(keptKeyOf(digest)))
    return /^\d{13,15}$/.test(text) ? new Date(Number(text)) : new Date()
  }

  const store = (digest: Digest, bytes: Uint8Array<ArrayBuffer>): Promise<void> =>
    alone(digest, async () => {
      if ((await sizeOf(digest)) === bytes.length && (await intact(digest))) return markKept(digest)
      await storage.setItemRaw(keyOf(digest), bytes)
      if (!(await intact(digest))) throw new Error(`the storage did not keep ${digest}: is it read-only?`)
      await markKept(digest)
      await storage.setItemRaw(sizeKeyOf(digest), new TextEncoder().encode(String(bytes.length)))
      if ((await sizeOf(digest)) !== bytes.length) throw new Error(`the storage did not keep the size of ${digest}`)
    })

  async function remove(digest: Digest): Promise<void> {
    for (const key of [sizeKeyOf(digest), keyOf(digest), keptKeyOf(digest)]) {
      await storage.removeItem(key)
      if (await item(key)) throw new Error(`the storage did not remove ${digest}: is it read-only?`)
    }
  }

  /** As `check` of the contract: all of it or nothing, so that a size that is missing hides bytes that are there. */
  async function check(digest: Digest): Promise<boolean | undefined> {
    const size = await sizeOf(digest)
    return size === undefined ? undefined : (await intact(digest))?.length === size
  }

  return {
    async stat(digest) {
      const size = await sizeOf(digest)
      return size === undefined ? undefined : { digest, size }
    },

    async open(digest, slice) {
      const size = await sizeOf(digest)
      if (size === undefined) return undefined
      const within = sliceWithin(size, slice)
      const bytes = await intact(digest)
      if (bytes) return streamOf(bytes, within)
      if ((await sizeOf(digest)) === undefined) return undefined // deleted in between
      throw new Error(`the storage gave back other bytes than ${digest}`)
    },

    async put(blob, body) {
      const bytes = await gather(body, limit)
      const digest = await digestOf(bytes)
      if (digest !== blob.digest || bytes.length !== blob.size) throw mismatch(blob, { digest, size: bytes.length })
      await store(digest, bytes)
    },

    async add(body) {
      const bytes = await gather(body, limit)
      const digest = await digestOf(bytes)
      await store(digest, bytes)
      return { digest, size: bytes.length }
    },

    keep: (digest) =>
      alone(digest, async () => {
        const size = await sizeOf(digest)
        if (size === undefined) return undefined
        await markKept(digest)
        return { digest, size }
      }),

    delete: (digest, before) =>
      alone(digest, async () => {
        const there = (await sizeOf(digest)) !== undefined
        if (before && (!there || (await keptAtOf(digest)) >= before)) return false
        await remove(digest)
        return there
      }),

    async *list(after) {
      const blobs = (await storage.getKeys('sha256'))
        .map((key) => /^sha256:([0-9a-f]{2}):(\1[0-9a-f]{62})\.size$/.exec(key)?.[2])
        .flatMap((digits) => (digits === undefined ? [] : [parseDigest(`sha256:${digits}`)]))
        .sort()
      for (const digest of blobs) {
        if (after !== undefined && digest <= after) continue
        const size = await sizeOf(digest)
        if (size !== undefined) yield { digest, size, keptAt: await keptAtOf(digest) } satisfies Listed
      }
    },

    async check(digest, pace) {
      const found = await check(digest)
      if (found !== undefined) await pace?.((await sizeOf(digest)) ?? 0)
      return found
    },

    quarantine: (digest) =>
      alone(digest, async () => {
        if ((await check(digest)) !== false) return false
        await remove(digest)
        return true
      }),
  }
}

const keyOf = (digest: Digest): string => `sha256:${hexOf(digest).slice(0, 2)}:${hexOf(digest)}`
const sizeKeyOf = (digest: Digest): string => `${keyOf(digest)}.size`
const keptKeyOf = (digest: Digest): string => `${keyOf(digest)}.kept`

/** What a driver answered, as bytes. Drivers answer with errors, too: those are thrown. */
function bytesOf(value: unknown, key: string): Uint8Array | undefined {
  if (value === null || value === undefined) return undefined
  if (value instanceof Uint8Array) return value
  if (value instanceof ArrayBuffer) return new Uint8Array(value)
  if (value instanceof Error) throw value
  throw new Error(`the storage answered ${key} with a ${typeof value}, not with bytes`)
}

const mismatch = (promised: Descriptor, got: Descriptor): AppError =>
  new AppError(
    'DIGEST_MISMATCH',
    `expected ${promised.size} bytes of ${promised.digest}, got ${got.size} bytes of ${got.digest}`,
  )
