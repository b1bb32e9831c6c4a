/** What every blob store does. A backend's own test calls this and adds what only it can do. */
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Digest } from '../../src/blobs/digest.ts'
import type { BlobStore, Descriptor } from '../../src/blobs/store.ts'
import { all, bytesOf, describeBytes, digestOfBytes, read, streamOfBytes } from './bytes.ts'

/** A store that is new and empty, the end of it, and a way to change the bytes of a blob behind its back. */
export type StoreUnderTest = {
  store: BlobStore
  damage: (digest: Digest, bytes: Uint8Array<ArrayBuffer>) => Promise<void>
  close?: () => Promise<void>
}

/** Runs the contract of `BlobStore` against the store that `create` makes. */
export function blobStoreSuite(name: string, create: () => Promise<StoreUnderTest>): void {
  describe(`${name}: the contract of a blob store`, () => {
    let under: StoreUnderTest
    let store: BlobStore
    let seed = 100
    beforeAll(async () => {
      under = await create()
      store = under.store
    })
    afterAll(() => under.close?.())

    const fresh = (size: number) => bytesOf(size, seed++)
    const kept = async (bytes: Uint8Array<ArrayBuffer>) => {
      const blob = describeBytes(bytes)
      await store.put(blob, streamOfBytes(bytes))
      return blob
    }
    const listed = () => all(store.list())
    const keptAt = async ({ digest }: Descriptor) => (await listed()).find((blob) => blob.digest === digest)!.keptAt
    const later = (time: Date) => new Date(time.getTime() + 1)
    const expectAbsent = async ({ digest }: Pick<Descriptor, 'digest'>) => {
      expect(await store.stat(digest)).toBeUndefined()
      expect(await store.open(digest)).toBeUndefined()
      expect((await listed()).map((blob) => blob.digest)).not.toContain(digest)
    }

    test('lists nothing when it is new', async () => {
      expect(await listed()).toEqual([])
    })

    test.each([
      ['an empty blob', 0],
      ['one byte', 1],
      ['exactly one piece', 65_536],
      ['many pieces', 3_000_001],
    ])('gives back %s as it was put', async (_, size) => {
      const bytes = fresh(size)
      const blob = await kept(bytes)
      expect(await store.stat(blob.digest)).toEqual(blob)
      expect(digestOfBytes(await read(await store.open(blob.digest)))).toBe(blob.digest)
      expect(await listed()).toContainEqual({ ...blob, keptAt: expect.any(Date) })
    })

    test('names what is added by its digest', async () => {
      const bytes = fresh(200_003)
      expect(await store.add(streamOfBytes(bytes))).toEqual(describeBytes(bytes))
      expect(await read(await store.open(describeBytes(bytes).digest))).toEqual(bytes)
    })

    test('names an empty stream that is added', async () => {
      expect(await store.add(streamOfBytes(new Uint8Array()))).toEqual(describeBytes(new Uint8Array()))
    })

    test('gives the slices that are asked for', async () => {
      const bytes = fresh(300_000)
      const { digest } = await kept(bytes)
      for (const [offset, length] of [
        [0, 10],
        [0, 300_000],
        [123_456, 100_000],
        [299_999, 1],
        [290_000, 10_000],
        [5, 0],
        [300_000, 0],
      ] as const) {
        const slice = await read(await store.open(digest, { offset, length }))
        expect(slice, `${length} bytes at ${offset}`).toEqual(bytes.slice(offset, offset + length))
      }
    })

    test.each([
      ['beyond the end', { offset: 990, length: 11 }],
      ['before the start', { offset: -1, length: 1 }],
      ['of negative length', { offset: 5, length: -1 }],
    ])('refuses a slice %s', async (_, slice) => {
      const { digest } = await kept(fresh(1000))
      await expect(store.open(digest, slice)).rejects.toMatchObject({ code: 'RANGE_INVALID' })
    })

    test('says that it does not have what was never put', async () => {
      await expectAbsent(describeBytes(fresh(50)))
      expect(await store.open(describeBytes(fresh(50)).digest, { offset: 0, length: 1 })).toBeUndefined()
    })

    test('keeps nothing of bytes that do not match their digest', async () => {
      const promised = describeBytes(fresh(70_000))
      const others = fresh(70_000)
      await expect(store.put(promised, streamOfBytes(others))).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
      await expectAbsent(promised)
      await expectAbsent(describeBytes(others))
    })

    test.each([
      ['more', 1],
      ['fewer', -1],
    ])('keeps nothing when there are %s bytes than promised', async (_, excess) => {
      const bytes = fresh(70_000)
      const promised = { ...describeBytes(bytes), size: bytes.length - excess }
      await expect(store.put(promised, streamOfBytes(bytes))).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
      await expectAbsent(promised)
    })

    test('keeps a blob when wrong bytes are put under its digest', async () => {
      const bytes = fresh(40_000)
      const blob = await kept(bytes)
      await expect(store.put(blob, streamOfBytes(fresh(40_000)))).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
      expect(await read(await store.open(blob.digest))).toEqual(bytes)
    })

    test.each(['put', 'add'] as const)('keeps nothing of a body that fails in the middle of %s', async (verb) => {
      const bytes = fresh(200_000)
      const blob = describeBytes(bytes)
      const body = streamOfBytes(bytes, 10_000, (at) => {
        if (at === 100_000) throw new Error('the sender went away')
      })
      await expect(verb === 'put' ? store.put(blob, body) : store.add(body)).rejects.toThrow('the sender went away')
      await expectAbsent(blob)
    })

    test('puts what is there already', async () => {
      const bytes = fresh(30_000)
      const blob = await kept(bytes)
      await kept(bytes)
      await store.add(streamOfBytes(bytes))
      expect(await read(await store.open(blob.digest))).toEqual(bytes)
      expect((await listed()).filter(({ digest }) => digest === blob.digest)).toHaveLength(1)
    })

    test('takes the same blob from many at once', async () => {
      const bytes = fresh(500_000)
      const blobs = await Promise.all(Array.from({ length: 8 }, () => kept(bytes)))
      expect(await read(await store.open(blobs[0]!.digest))).toEqual(bytes)
    })

    test('forgets a blob, and does not mind to be asked twice', async () => {
      const blob = await kept(fresh(1000))
      await store.delete(blob.digest)
      await expectAbsent(blob)
      await store.delete(blob.digest)
      await kept(fresh(1000))
    })

    test('takes a blob again that was deleted', async () => {
      const bytes = fresh(1000)
      const { digest } = await kept(bytes)
      await store.delete(digest)
      await kept(bytes)
      expect(await read(await store.open(digest))).toEqual(bytes)
    })

    test('goes on after a reader that cancels', async () => {
      const bytes = fresh(2_000_000)
      const { digest } = await kept(bytes)
      for (let round = 0; round < 20; round++) {
        const reader = (await store.open(digest))!.getReader()
        await reader.read()
        await reader.cancel()
      }
      await (await store.open(digest))!.cancel()
      expect(digestOfBytes(await read(await store.open(digest)))).toBe(digest)
    })

    test('does not let a reader change what is stored', async () => {
      const bytes = fresh(5000)
      const { digest } = await kept(bytes)
      const { value } = await (await store.open(digest))!.getReader().read()
      value!.fill(0)
      expect(await read(await store.open(digest))).toEqual(bytes)
    })

    test('lists every blob once', async () => {
      const before = await listed()
      const blobs = await Promise.all([10, 20, 30].map((size) => kept(fresh(size))))
      const after = await listed()
      expect(after).toHaveLength(before.length + 3)
      for (const blob of blobs) expect(after).toContainEqual({ ...blob, keptAt: expect.any(Date) })
      expect(after).toEqual(expect.arrayContaining(before))
    })

    test('lists blobs in the order of their digests, also from the middle on', async () => {
      await Promise.all(Array.from({ length: 6 }, () => kept(fresh(10))))
      const digests = (await listed()).map((blob) => blob.digest)
      expect(digests).toEqual(digests.toSorted())
      for (const [at, digest] of digests.entries()) {
        expect((await all(store.list(digest))).map((blob) => blob.digest)).toEqual(digests.slice(at + 1))
      }
      const nowhere: Digest = `sha256:${'8'.repeat(64)}`
      expect((await all(store.list(nowhere))).map((blob) => blob.digest)).toEqual(
        digests.filter((one) => one > nowhere),
      )
    })

    test.each(['put', 'add', 'keep'] as const)('counts a blob as stored anew by %s', async (verb) => {
      const bytes = fresh(100_000)
      const begun = new Date()
      const blob = await kept(bytes)
      const first = await keptAt(blob)
      expect(first.getTime()).toBeGreaterThanOrEqual(begun.getTime())
      await wait(20)
      const again = new Date()
      if (verb === 'keep') expect(await store.keep(blob.digest)).toEqual(blob)
      else await (verb === 'put' ? store.put(blob, streamOfBytes(bytes)) : store.add(streamOfBytes(bytes)))
      expect((await keptAt(blob)).getTime()).toBeGreaterThanOrEqual(again.getTime())
      expect(await store.delete(blob.digest, again)).toBe(false)
      expect(await read(await store.open(blob.digest))).toEqual(bytes)
    })

    test('keeps nothing that is not there', async () => {
      const { digest } = describeBytes(fresh(50))
      expect(await store.keep(digest)).toBeUndefined()
      await expectAbsent({ digest })
    })

    test('deletes what is older than a time, and nothing that is not', async () => {
      const blob = await kept(fresh(1000))
      const time = await keptAt(blob)
      expect(await store.delete(blob.digest, time)).toBe(false)
      expect(await store.stat(blob.digest)).toEqual(blob)
      expect(await store.delete(blob.digest, later(time))).toBe(true)
      await expectAbsent(blob)
      expect(await store.delete(blob.digest, later(time))).toBe(false)
    })

    test('says whether it was this deletion that took a blob', async () => {
      const blob = await kept(fresh(1000))
      expect(await store.delete(blob.digest)).toBe(true)
      expect(await store.delete(blob.digest)).toBe(false)
    })

    test('forgets a blob that many delete at once', async () => {
      const blob = await kept(fresh(1000))
      const before = new Date(Date.now() + 60_000)
      const taken = await Promise.all(Array.from({ length: 5 }, () => store.delete(blob.digest, before)))
      expect(taken.filter(Boolean).length).toBeGreaterThan(0)
      await expectAbsent(blob)
    })

    test('checks bytes against their name', async () => {
      const bytes = fresh(300_000)
      const { digest } = await kept(bytes)
      let paced = 0
      const pace = async (count: number) => {
        paced += count
      }
      expect(await store.check(digest, pace)).toBe(true)
      expect(paced).toBe(bytes.length)
      expect(await store.check(describeBytes(fresh(10)).digest)).toBeUndefined()
    })

    test.each([
      ['a bit is flipped', (bytes: Uint8Array<ArrayBuffer>) => bytes.with(70_000, bytes[70_000]! ^ 4)],
      ['it is cut short', (bytes: Uint8Array<ArrayBuffer>) => bytes.slice(0, 99_999)],
      ['it is empty', () => new Uint8Array()],
    ])('takes a blob out of service when %s, and takes it anew', async (_, change) => {
      const bytes = fresh(100_000)
      const blob = await kept(bytes)
      await under.damage(blob.digest, change(bytes))
      expect(await store.check(blob.digest)).toBe(false)
      expect(await store.quarantine(blob.digest)).toBe(true)
      await expectAbsent(blob)
      expect(await store.keep(blob.digest)).toBeUndefined()
      expect(await store.check(blob.digest)).toBeUndefined()
      expect(await store.quarantine(blob.digest)).toBe(false)
      await kept(bytes)
      expect(await store.check(blob.digest)).toBe(true)
      expect(await read(await store.open(blob.digest))).toEqual(bytes)
    })

    test('puts a blob anew whose bytes are damaged', async () => {
      const bytes = fresh(100_000)
      const blob = await kept(bytes)
      await under.damage(blob.digest, bytes.with(70_000, bytes[70_000]! ^ 4))
      await kept(bytes)
      expect(await store.check(blob.digest)).toBe(true)
    })

    test('takes no good blob out of service', async () => {
      const bytes = fresh(1000)
      const { digest } = await kept(bytes)
      expect(await store.quarantine(digest)).toBe(false)
      expect(await read(await store.open(digest))).toEqual(bytes)
    })

    test('never loses a blob that is put and kept while others delete it', async () => {
      const bytes = fresh(5000)
      const blob = describeBytes(bytes)
      for (let round = 0; round < 25; round++) {
        await kept(bytes)
        const before = new Date()
        await wait(2)
        const deleting = Array.from({ length: 3 }, () => store.delete(blob.digest, before))
        if (!(await store.keep(blob.digest))) await kept(bytes)
        await Promise.all(deleting)
        expect(await read(await store.open(blob.digest)), `round ${round}`).toEqual(bytes)
      }
    })
  })
}
