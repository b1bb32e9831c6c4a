import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { hexOf } from '../../src/blobs/digest.ts'
import { fsBlobStore } from '../../src/blobs/fs.ts'
import { all, bytesOf, describeBytes, digestOfBytes, read, streamOfBytes } from './bytes.ts'
import { blobStoreSuite } from './suite.ts'

const folders: string[] = []
const folder = async () => {
  const path = await mkdtemp(join(tmpdir(), 'muster-blobs-'))
  folders.push(path)
  return path
}
afterAll(() => Promise.all(folders.map((path) => rm(path, { recursive: true }))))

/** The files that this process has open below a folder. */
async function openFiles(root: string): Promise<string[]> {
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  )
  return links.filter((path) => path.startsWith(root))
}

blobStoreSuite('files', async () => {
  const root = join(await folder(), 'not', 'there', 'yet')
  const store = fsBlobStore(root)
  return {
    store,
    async damage(digest, bytes) {
      await chmod(store.file(digest), 0o644)
      await writeFile(store.file(digest), bytes)
    },
    async close() {
      expect(await openFiles(root), 'files left open').toEqual([])
      expect(await readdir(join(root, 'incoming')), 'files left in incoming/').toEqual([])
      expect(await readdir(join(root, 'outgoing')), 'files left in outgoing/').toEqual([])
    },
  }
})

describe('files', () => {
  test('lie where a plain web server finds them, readable for all and writable for nobody', async () => {
    const root = await folder()
    const store = fsBlobStore(root)
    const bytes = bytesOf(1000)
    const { digest } = await store.add(streamOfBytes(bytes))
    const hex = hexOf(digest)
    expect(store.file(digest)).toBe(join(root, 'sha256', hex.slice(0, 2), hex))
    expect(new Uint8Array(await readFile(store.file(digest)))).toEqual(bytes)
    expect((await stat(store.file(digest))).mode & 0o777).toBe(0o444)
  })

  test('close when a reader cancels, at whatever moment', async () => {
    const root = await folder()
    const store = fsBlobStore(root)
    const { digest } = await store.add(streamOfBytes(bytesOf(2_000_000)))
    const readers = await Promise.all(Array.from({ length: 20 }, async () => (await store.open(digest))!.getReader()))
    expect(await openFiles(root)).toHaveLength(20)
    await Promise.all(readers.map((reader, index) => (index % 2 ? reader.read() : undefined)))
    await Promise.all(readers.map((reader) => reader.cancel()))
    expect(await openFiles(root)).toEqual([])
  })

  test('are never seen torn while they are written', async () => {
    const store = fsBlobStore(await folder())
    const blobs = Array.from({ length: 12 }, (_, seed) => bytesOf(400_000, seed + 1))
    let writing = true
    let seen = 0
    const hunter = async () => {
      // On a busy machine everything may be written before the first look.
      while (writing || seen === 0) {
        for await (const { digest, size } of store.list()) {
          const bytes = await read(await store.open(digest))
          expect(bytes.length).toBe(size)
          expect(digestOfBytes(bytes)).toBe(digest)
          seen += 1
        }
        for (const bytes of blobs) {
          const found = await store.open(describeBytes(bytes).digest)
          if (found) expect(digestOfBytes(await read(found))).toBe(digestOfBytes(bytes))
        }
        await wait(1)
      }
    }
    const hunters = [hunter(), hunter()]
    for (let round = 0; round < 2; round++) {
      await Promise.all(
        blobs.map((bytes) =>
          store.put(
            describeBytes(bytes),
            streamOfBytes(bytes, 50_000, () => wait(5)),
          ),
        ),
      )
    }
    writing = false
    await Promise.all(hunters)
    expect(seen).toBeGreaterThan(0)
  })

  test('that interrupted writers left are cleared, and those being written are not', async () => {
    const root = await folder()
    const store = fsBlobStore(root)
    expect(await store.clearIncoming()).toBe(0)
    await mkdir(join(root, 'incoming'), { recursive: true })
    await writeFile(join(root, 'incoming', 'left-by-a-crash'), 'half a blob')
    const bytes = bytesOf(100_000)
    let cleared = 0
    await store.put(
      describeBytes(bytes),
      streamOfBytes(bytes, 10_000, async (at) => {
        if (at === 50_000) cleared = await store.clearIncoming()
      }),
    )
    expect(cleared).toBe(1)
    expect(await readdir(join(root, 'incoming'))).toEqual([])
    expect(await read(await store.open(describeBytes(bytes).digest))).toEqual(bytes)
  })

  test('that are written again are not rewritten, and their bytes are read back when they go meanwhile', async () => {
    const store = fsBlobStore(await folder())
    const bytes = bytesOf(100_000)
    const { digest } = await store.add(streamOfBytes(bytes))
    const { ino } = await stat(store.file(digest))
    await store.put(describeBytes(bytes), streamOfBytes(bytes))
    expect((await stat(store.file(digest))).ino).toBe(ino)
    const body = streamOfBytes(bytes, 10_000, async (at) => {
      if (at === 50_000) await store.delete(digest)
    })
    await store.put(describeBytes(bytes), body)
    expect(await read(await store.open(digest))).toEqual(bytes)
  })

  test('that a crash left half deleted are there again after the next start', async () => {
    const root = await folder()
    const store = fsBlobStore(root)
    const bytes = bytesOf(1000)
    const { digest } = await store.add(streamOfBytes(bytes))
    await mkdir(join(root, 'outgoing'))
    await rename(store.file(digest), join(root, 'outgoing', `${hexOf(digest)}.left-by-a-crash`))
    expect(await store.stat(digest)).toBeUndefined()
    await fsBlobStore(root).clearIncoming()
    expect(await read(await store.open(digest))).toEqual(bytes)
    expect(await readdir(join(root, 'outgoing'))).toEqual([])
  })

  test('that are damaged lie in quarantine, for people to look at', async () => {
    const root = await folder()
    const store = fsBlobStore(root)
    const { digest } = await store.add(streamOfBytes(bytesOf(1000)))
    await truncate(store.file(digest), 999)
    expect(await store.quarantine(digest)).toBe(true)
    expect(await readdir(join(root, 'quarantine'))).toEqual([hexOf(digest)])
    expect((await stat(join(root, 'quarantine', hexOf(digest)))).size).toBe(999)
  })

  test('are checked piece by piece when they are large', async () => {
    const store = fsBlobStore(await folder())
    const bytes = bytesOf(20_000_000)
    const { digest } = await store.add(streamOfBytes(bytes))
    const pieces: number[] = []
    expect(await store.check(digest, async (count) => void pieces.push(count))).toBe(true)
    expect(pieces.length).toBeGreaterThan(20)
    expect(pieces.reduce((sum, count) => sum + count)).toBe(bytes.length)
    await truncate(store.file(digest), bytes.length - 1)
    expect(await store.check(digest)).toBe(false)
  })

  test('that the disk cannot read back are damaged', async () => {
    const store = fsBlobStore(await folder())
    const { digest } = describeBytes(bytesOf(10))
    await mkdir(dirname(store.file(digest)), { recursive: true })
    await symlink('/proc/self/mem', store.file(digest)) // its first page can be read by nobody: EIO
    expect(await store.check(digest)).toBe(false)
  })

  test('that writers left long ago are cleared, and younger ones are not', async () => {
    const root = await folder()
    const store = fsBlobStore(root)
    await mkdir(join(root, 'incoming'))
    for (const name of ['old', 'young']) await writeFile(join(root, 'incoming', name), 'half a blob')
    const long = new Date(Date.now() - 60_000)
    await utimes(join(root, 'incoming', 'old'), long, long)
    expect(await store.clearIncoming(new Date(Date.now() - 30_000))).toBe(1)
    expect(await readdir(join(root, 'incoming'))).toEqual(['young'])
  })

  test('that are cut short on the disk end a reader with an error', async () => {
    const store = fsBlobStore(await folder())
    const { digest, size } = await store.add(streamOfBytes(bytesOf(2_000_000)))
    const reader = (await store.open(digest))!.getReader()
    await reader.read()
    await truncate(store.file(digest), size / 2)
    await expect(
      (async () => {
        while (!(await reader.read()).done) {}
      })(),
    ).rejects.toThrow('ends at')
    expect(await openFiles(dirname(store.file(digest)))).toEqual([])
  })

  test('of a broken disk are an error, not an absence', async () => {
    const root = await folder()
    const store = fsBlobStore(root)
    const { digest } = describeBytes(bytesOf(10))
    await mkdir(dirname(dirname(store.file(digest))), { recursive: true })

    await writeFile(dirname(store.file(digest)), 'a file where a folder should be')
    await expect(store.stat(digest)).rejects.toMatchObject({ code: 'ENOTDIR' })
    await expect(store.open(digest)).rejects.toMatchObject({ code: 'ENOTDIR' })
    await expect(store.delete(digest)).rejects.toMatchObject({ code: 'ENOTDIR' })
    await expect(all(store.list())).rejects.toMatchObject({ code: 'ENOTDIR' })
    await expect(store.put(describeBytes(bytesOf(10)), streamOfBytes(bytesOf(10)))).rejects.toThrow()
    await expect(store.add(streamOfBytes(bytesOf(10)))).rejects.toThrow()
    expect(await readdir(join(root, 'incoming'))).toEqual([])

    await rm(dirname(store.file(digest)))
    await mkdir(store.file(digest), { recursive: true })
    await expect(store.stat(digest)).rejects.toThrow('is not a file')
    await expect(store.open(digest)).rejects.toThrow('is not a file')

    await rm(store.file(digest), { recursive: true })
    await symlink(store.file(digest), store.file(digest))
    await expect(store.stat(digest)).rejects.toMatchObject({ code: 'ELOOP' })
    await expect(store.open(digest)).rejects.toMatchObject({ code: 'ELOOP' })
    expect(await openFiles(root)).toEqual([])
  })

  test('that cannot be made cancel the body', async () => {
    const root = await folder()
    await writeFile(join(root, 'incoming'), 'in the way')
    let cancelled = false
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      cancel() {
        cancelled = true
      },
    })
    await expect(fsBlobStore(root).add(body)).rejects.toMatchObject({ code: 'EEXIST' })
    expect(cancelled).toBe(true)
  })
})
