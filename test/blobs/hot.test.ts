import { createStorage } from 'unstorage'
import { expect, test } from 'vitest'
import { hexOf } from '../../src/blobs/digest.ts'
import { type Fill, hotBlobs, type Piece, withHotBlobs } from '../../src/blobs/hot.ts'
import { unstorageBlobStore } from '../../src/blobs/unstorage.ts'
import { bytesOf, describeBytes, streamOfBytes } from './bytes.ts'

const slabSize = 100
const bytes = bytesOf(1000)
const blob = describeBytes(bytes)

/** A source that counts how often it is read from, and where. */
function source() {
  const reads: number[] = []
  const fill: Fill = async (into, position) => {
    reads.push(position)
    await Promise.resolve()
    into.set(bytes.subarray(position, position + into.length))
  }
  return { reads, fill }
}

const read = async (piece: Piece | undefined, start: number, end: number) => {
  await piece!.filled
  return new Uint8Array(piece!.bytes(start, end))
}

test('reads a piece once for all who want it at the same time', async () => {
  const hot = hotBlobs({ slabSize })
  const { reads, fill } = source()
  const pieces = [250, 200, 299].map((position) => hot.take(blob, position, fill)!)
  for (const piece of pieces) expect(await read(piece, 220, 280)).toEqual(bytes.slice(220, 280))
  expect(reads).toEqual([200])
  expect(hot.counts()).toEqual({ slabs: 1, kept: 0, held: 1 })
})

test('gives what lies in the piece of what is asked for', async () => {
  const hot = hotBlobs({ slabSize })
  const { fill } = source()
  expect(await read(hot.take(blob, 250, fill), 250, 1000)).toEqual(bytes.slice(250, 300))
  expect(hot.after(250)).toBe(300)
  expect(hot.after(300)).toBe(400)
  const small = describeBytes(bytes.slice(0, 50))
  expect(await read(hot.take(small, 0, fill), 10, 50)).toEqual(bytes.slice(10, 50))
})

test('keeps pieces of a blob that has several readers, and only of such', async () => {
  const hot = hotBlobs({ slabSize })
  const { reads, fill } = source()
  const pass = async () => {
    const piece = hot.take(blob, 0, fill)
    await read(piece, 0, 10)
    piece!.release()
  }
  const leaveFirst = hot.enter(blob.digest)
  await pass()
  await pass()
  expect([reads.length, hot.counts()]).toEqual([2, { slabs: 1, kept: 0, held: 0 }])
  const leaveSecond = hot.enter(blob.digest)
  await pass()
  await pass()
  expect([reads.length, hot.counts()]).toEqual([3, { slabs: 1, kept: 1, held: 0 }])
  leaveFirst()
  leaveSecond()
  await pass()
  expect([reads.length, hot.counts()]).toEqual([3, { slabs: 1, kept: 0, held: 0 }])
})

test('gives up what was used longest ago, and nothing that is held', async () => {
  const hot = hotBlobs({ slabSize, limit: 300 })
  const { reads, fill } = source()
  hot.enter(blob.digest)
  hot.enter(blob.digest)
  const [first, second, third] = [0, 100, 200].map((position) => hot.take(blob, position, fill)!)
  await Promise.all([first, second, third].map((piece) => piece!.filled))
  expect(hot.take(blob, 300, fill)).toBeUndefined()
  second!.release()
  third!.release()
  const again = hot.take(blob, 100, fill) // now the third was used longest ago
  again!.release()
  const fourth = hot.take(blob, 300, fill)
  expect(await read(fourth, 300, 310)).toEqual(bytes.slice(300, 310))
  expect(hot.counts()).toEqual({ slabs: 3, kept: 1, held: 2 })
  await read(hot.take(blob, 100, fill), 100, 200)
  expect(reads).toEqual([0, 100, 200, 300])
  expect(await read(first, 0, 100)).toEqual(bytes.slice(0, 100))
})

test('does not read ahead when half of the memory is held', async () => {
  const hot = hotBlobs({ slabSize, limit: 400 })
  const { fill } = source()
  expect(hot.take(blob, 0, fill, true)).toBeDefined()
  expect(hot.take(blob, 100, fill, true)).toBeDefined()
  expect(hot.take(blob, 200, fill, true)).toBeUndefined()
  expect(hot.take(blob, 200, fill)).toBeDefined()
})

test('does not keep what could not be read', async () => {
  const hot = hotBlobs({ slabSize, limit: 100 })
  const fault = new Error('no such file')
  hot.enter(blob.digest)
  hot.enter(blob.digest)
  const waiting = [0, 0].map(() => hot.take(blob, 0, () => Promise.reject(fault))!)
  for (const piece of waiting) await expect(piece.filled).rejects.toBe(fault)
  expect(hot.take(blob, 0, source().fill), 'the memory is still held').toBeUndefined()
  for (const piece of waiting) piece.release()
  expect(hot.counts()).toEqual({ slabs: 1, kept: 0, held: 0 })
  expect(await read(hot.take(blob, 0, source().fill), 0, 100)).toEqual(bytes.slice(0, 100))
})

test('refuses bytes beyond what was read when the blob was thought to be shorter', async () => {
  const hot = hotBlobs({ slabSize })
  const piece = hot.take({ ...blob, size: 50 }, 0, source().fill)!
  const longer = hot.take(blob, 0, source().fill)!
  expect(await read(piece, 0, 50)).toEqual(bytes.slice(0, 50))
  expect(() => longer.bytes(0, 100)).toThrow('shorter')
})

test('reads a blob anew that was to be forgotten, also where others still hold it', async () => {
  const hot = hotBlobs({ slabSize })
  const { reads, fill } = source()
  const leave = [hot.enter(blob.digest), hot.enter(blob.digest)]
  const idle = hot.take(blob, 0, fill)
  const held = hot.take(blob, 100, fill)
  await Promise.all([idle!.filled, held!.filled])
  idle!.release()
  expect(hot.counts()).toEqual({ slabs: 2, kept: 1, held: 1 })
  hot.forget(blob.digest)
  expect(hot.counts().kept).toBe(0)
  for (const start of [0, 100]) {
    const piece = hot.take(blob, start, fill)
    expect(await read(piece, start, start + 50)).toEqual(bytes.slice(start, start + 50))
    piece!.release()
  }
  expect(reads).toEqual([0, 100, 0, 100])
  expect(await read(held, 100, 150)).toEqual(bytes.slice(100, 150))
  held!.release()
  for (const one of leave) one()
  expect(hot.counts().held).toBe(0)
})

test('is told of what the store takes out of service', async () => {
  const hot = hotBlobs({ slabSize })
  const memory = createStorage()
  const store = withHotBlobs(unstorageBlobStore(memory), hot)
  await store.add(streamOfBytes(bytes))
  const { reads, fill } = source()
  const leave = [hot.enter(blob.digest), hot.enter(blob.digest)]
  const pass = async () => {
    const piece = hot.take(blob, 0, fill)
    await piece!.filled
    piece!.release()
  }
  await pass()
  expect(await store.quarantine(blob.digest)).toBe(false)
  await pass()
  expect(reads).toEqual([0])
  await memory.setItemRaw(`sha256:${hexOf(blob.digest).slice(0, 2)}:${hexOf(blob.digest)}`, bytes.slice(1))
  expect(await store.quarantine(blob.digest)).toBe(true)
  await pass()
  expect(reads).toEqual([0, 0])
  for (const one of leave) one()
})
