/** What every blob store does. A backend's own test calls this and adds what only it can do. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BlobStore, Descriptor } from '../../src/blobs/store.ts'
import { all, bytesOf, describeBytes, digestOfBytes, read, streamOfBytes } from './bytes.ts'

/** A store that is new and empty, and the end of it. */
export type StoreUnderTest = { store: BlobStore; close?: () => Promise<void> }

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
      expect(await listed()).toContainEqual(blob)
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
      expect(after).toEqual(expect.arrayContaining([...before, ...blobs]))
    })
  })
}
