import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createReadAhead, longestStretch } from '../../src/images/read-ahead.ts'
import { sample } from '../archive/samples.ts'

const all = sample(700_000)

/** A file that counts how often it is read, and can fail. */
function createFile(from = 0, to = all.length) {
  const bytes = all.subarray(from, to)
  const file = {
    reads: 0,
    broken: false,
    size: () => bytes.length,
    read: async (target: Uint8Array, offset: number) => {
      file.reads += 1
      if (file.broken) throw new Error('the disk is gone')
      if (offset + target.length > bytes.length) throw new Error('beyond the end')
      target.set(bytes.subarray(offset, offset + target.length))
    },
  }
  return file
}

test('stretches come out right, from several files, in any order, many at a time', async () => {
  const stretch = fc.tuple(fc.nat(1), fc.nat(349_999), fc.integer({ min: 1, max: longestStretch }))
  await fc.assert(
    fc.asyncProperty(fc.array(stretch, { maxLength: 60 }), async (stretches) => {
      const files = [createFile(0, 350_000), createFile(350_000)]
      const read = createReadAhead<(typeof files)[number]>()
      await Promise.all(
        stretches.map(async ([number, offset, most]) => {
          const length = Math.min(most, 350_000 - offset)
          const start = number * 350_000 + offset
          const found = await read(files[number]!, offset, length)
          expect(Buffer.compare(found, all.subarray(start, start + length))).toBe(0)
        }),
      )
    }),
    { numRuns: 100 },
  )
})

test('small files that are next to each other are read together, forwards and backwards', async () => {
  for (const step of [1, -1]) {
    const file = createFile()
    const read = createReadAhead<typeof file>()
    for (let number = 0; number < 699; number++) {
      const at = step > 0 ? number : 698 - number
      await read(file, at * 1000, 1000)
    }
    expect(file.reads).toBeLessThanOrEqual(12)
  }
})

test('files that are read in turns do not push each other out', async () => {
  const files = Array.from({ length: 6 }, () => createFile())
  const read = createReadAhead<(typeof files)[number]>()
  for (let at = 0; at < 100; at++) for (const file of files) await read(file, at * 500, 500)
  expect(files.map(({ reads }) => reads)).toEqual([1, 1, 1, 1, 1, 1])
})

test('what could not be read once can be read later', async () => {
  const file = createFile()
  const read = createReadAhead<typeof file>()
  file.broken = true
  await expect(read(file, 0, 10)).rejects.toThrow('the disk is gone')
  file.broken = false
  expect(await read(file, 0, 10)).toEqual(all.subarray(0, 10))
})
