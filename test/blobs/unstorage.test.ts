import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createStorage, type Storage } from 'unstorage'
import fsLite from 'unstorage/drivers/fs-lite'
import memory from 'unstorage/drivers/memory'
import { afterAll, describe, expect, test } from 'vitest'
import { hexOf } from '../../src/blobs/digest.ts'
import { unstorageBlobStore } from '../../src/blobs/unstorage.ts'
import { all, bytesOf, describeBytes, read, streamOfBytes } from './bytes.ts'
import { blobStoreSuite, type StoreUnderTest } from './suite.ts'

const folders: string[] = []
const folder = async () => {
  const path = await mkdtemp(join(tmpdir(), 'muster-unstorage-'))
  folders.push(path)
  return path
}
afterAll(() => Promise.all(folders.map((path) => rm(path, { recursive: true }))))
const onDisk = async (options: { readOnly?: boolean } = {}) => {
  const base = await folder()
  return { base, store: unstorageBlobStore(createStorage({ driver: fsLite({ base, ...options }) })) }
}

const under = (storage: Storage): StoreUnderTest => ({
  store: unstorageBlobStore(storage),
  damage: (digest, bytes) => storage.setItemRaw(`sha256:${hexOf(digest).slice(0, 2)}:${hexOf(digest)}`, bytes),
})
blobStoreSuite('unstorage, memory', async () => under(createStorage({ driver: memory() })))
blobStoreSuite('unstorage, fs-lite', async () => under(createStorage({ driver: fsLite({ base: await folder() }) })))

describe('unstorage', () => {
  const bytes = bytesOf(1000)
  const { digest } = describeBytes(bytes)
  const pathIn = (base: string) => join(base, 'sha256', hexOf(digest).slice(0, 2), hexOf(digest))

  test('takes blobs up to its limit and says so for larger ones', async () => {
    const store = unstorageBlobStore(createStorage({ driver: memory() }), { limit: 1000 })
    await store.put(describeBytes(bytes), streamOfBytes(bytes))
    const large = bytesOf(1001)
    const refusal = { code: 'BODY_TOO_LARGE', message: expect.stringContaining('1000 bytes') }
    await expect(store.put(describeBytes(large), streamOfBytes(large))).rejects.toMatchObject(refusal)
    await expect(store.add(streamOfBytes(large))).rejects.toMatchObject(refusal)
  })

  test('serves nothing of an item that is not whole', async () => {
    const { base, store } = await onDisk()
    await store.add(streamOfBytes(bytes))
    for (const wrong of [bytes.subarray(0, 999), bytesOf(1000, 2), new Uint8Array()]) {
      await writeFile(pathIn(base), wrong)
      await expect(store.open(digest)).rejects.toThrow('other bytes')
      await expect(store.open(digest, { offset: 0, length: 1 })).rejects.toThrow('other bytes')
    }
    await rm(pathIn(base))
    await expect(store.open(digest)).rejects.toThrow('other bytes')
    await store.put(describeBytes(bytes), streamOfBytes(bytes))
    expect(await read(await store.open(digest))).toEqual(bytes)
  })

  test('does not show a blob before its last write', async () => {
    const { base, store } = await onDisk()
    await store.add(streamOfBytes(bytes))
    await rm(`${pathIn(base)}.size`)
    expect(await store.stat(digest)).toBeUndefined()
    expect(await store.open(digest)).toBeUndefined()
    expect(await all(store.list())).toEqual([])
  })

  test('throws what a driver returns as a value', async () => {
    const { base, store } = await onDisk()
    await writeFile(join(base, 'sha256'), 'a file where a folder should be')
    await expect(store.stat(digest)).rejects.toMatchObject({ code: 'ENOTDIR' })
    await expect(store.open(digest)).rejects.toMatchObject({ code: 'ENOTDIR' })
  })

  test('throws when a driver drops what it is given', async () => {
    const { base, store } = await onDisk({ readOnly: true })
    await expect(store.add(streamOfBytes(bytes))).rejects.toThrow('read-only')
    expect(await readdir(base)).toEqual([])
  })

  test('throws when a driver does not delete', async () => {
    const { base, store } = await onDisk()
    await store.add(streamOfBytes(bytes))
    const readOnly = unstorageBlobStore(createStorage({ driver: fsLite({ base, readOnly: true }) }))
    await expect(readOnly.delete(digest)).rejects.toThrow('read-only')
    await expect(readOnly.keep(digest)).rejects.toThrow('read-only')
    expect(await store.stat(digest)).toEqual(describeBytes(bytes))
  })

  test('refuses a size that is none', async () => {
    const { base, store } = await onDisk()
    await store.add(streamOfBytes(bytes))
    await writeFile(`${pathIn(base)}.size`, 'a lot')
    await expect(store.stat(digest)).rejects.toThrow('not a number')
  })
})
