import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Digest, digestOf } from '../../src/blobs/digest.ts'
import { type FsBlobStore, fsBlobStore } from '../../src/blobs/fs.ts'
import { streamOf } from '../../src/blobs/gather.ts'
import type { BlobStore } from '../../src/blobs/store.ts'
import { AppError } from '../../src/errors.ts'
import type { Compression, ImageManifest } from '../../src/images/manifest.ts'
import { openImage } from '../../src/images/open.ts'
import { cutSegments, segmentKey } from '../../src/images/segments.ts'
import { canonicalJson } from '../../src/registry/canonical.ts'
import { type Entry, placesOf, storeImage, treeWith } from './store-image.ts'
import { factsOf, noise } from './trees.ts'

let folder: string
let blobs: FsBlobStore

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-open-'))
  blobs = fsBlobStore(folder)
})

afterEach(() => {
  // Nobody leaves a file open, however a reading ended.
  const open = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`)
      return path.startsWith(folder) ? [path] : []
    } catch {
      return []
    }
  })
  rmSync(folder, { recursive: true })
  expect(open).toEqual([])
})

/** A few segments, one of them too large to be unpacked in memory. */
const some: Record<string, Entry> = {
  'bin/ls': { mode: 0o4755, data: noise(300_000, 1) },
  'bin/dir': { type: 'hardlink', to: 'bin/ls' },
  'boot/large': noise(20 * 2 ** 20, 2),
  'dev/null': { type: 'character', major: 1, minor: 3 },
  'etc/empty': '',
  'etc/passwd': { data: 'root', xattrs: new Map([['user.a', Uint8Array.of(0)]]) },
  'lib/1': noise(300_000, 3),
  'lib/2': noise(600_000, 4),
  'lib/3': noise(900_000, 5),
  'sbin/init': { type: 'link', target: '../bin/ls' },
}

async function store(entries: Record<string, Entry>, compression: Compression = 'zstd') {
  const { tree, contents } = await treeWith(entries)
  const digest = await storeImage(tree, contents, blobs, { compression })
  return { tree, contents, digest }
}

/** A store that counts how often a blob was opened. */
function counting(store: BlobStore): BlobStore & { opened: Map<Digest, number> } {
  const opened = new Map<Digest, number>()
  return {
    ...store,
    opened,
    open(digest, slice) {
      opened.set(digest, (opened.get(digest) ?? 0) + 1)
      return store.open(digest, slice)
    },
  }
}

async function gathered(chunks: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<Uint8Array<ArrayBuffer>> {
  const all: Uint8Array<ArrayBuffer>[] = []
  for await (const chunk of chunks) {
    expect(chunk.length).toBeLessThanOrEqual(2 ** 20)
    all.push(chunk)
  }
  return new Uint8Array(await new Blob(all).arrayBuffer())
}

describe.each(['zstd', 'gzip'] as const)('a version in %s', (compression) => {
  test('is opened as the tree that was stored, with the bytes of its files', async () => {
    const { tree, digest } = await store(some, compression)
    const image = await openImage(blobs, digest)
    expect(image.tree.paths).toEqual(tree.paths)
    expect(await factsOf(image.tree)).toEqual(await factsOf(tree))
    expect(image.tree.file('sbin/init')).toBe(image.tree.get('bin/dir'))
    expect(image.manifest.segments.length).toBeGreaterThan(3)
    const cut = cutSegments(tree)
    expect(image.keys).toEqual(cut.map((members) => segmentKey(members, tree, compression)))
    expect([...tree.paths, 'nothing'].map(image.segmentOf)).toEqual([...tree.paths, 'nothing'].map(placesOf(cut)))
    for (const path of tree.paths) {
      const file = tree.get(path)
      if (file?.type !== 'file') continue
      expect(image.contents.has(file.digest)).toBe(true)
      expect(await digestOf(await gathered(image.contents.read(file)))).toBe(file.digest)
      const start = await gathered(image.contents.read(file, 7))
      expect(start).toEqual((await gathered(image.contents.read(file))).slice(0, 7))
    }
  })

  test('gives nothing of a segment in which a byte was changed, and names it', async () => {
    const { tree, digest } = await store(some, compression)
    for (const path of ['lib/2', 'boot/large']) {
      const file = tree.file(path)!
      const { manifest, segmentOf } = await openImage(blobs, digest)
      const segment = manifest.segments[segmentOf(path)!]!
      const bytes = readFileSync(blobs.file(segment.digest))
      const middle = bytes.length - 100
      bytes[middle] = bytes[middle]! ^ 1
      overwrite(segment.digest, bytes)
      const { contents } = await openImage(blobs, digest)
      const chunks: Uint8Array[] = []
      const reading = (async () => {
        for await (const chunk of contents.read(file)) chunks.push(chunk)
      })()
      await expect(reading).rejects.toMatchObject({
        code: 'BLOB_CORRUPT',
        message: expect.stringMatching(`${segment.digest}.*muster image verify`),
      })
      expect(chunks).toEqual([])
    }
    const { contents, segmentOf } = await openImage(blobs, digest)
    expect([segmentOf('lib/2'), segmentOf('boot/large')]).not.toContain(segmentOf('bin/ls'))
    expect(await digestOf(await gathered(contents.read(tree.file('bin/ls')!)))).toBe(tree.file('bin/ls')!.digest)
  })
})

/** Puts other bytes under a digest, as a bad disk does. */
function overwrite(digest: Digest, bytes: Uint8Array): void {
  chmodSync(blobs.file(digest), 0o600)
  writeFileSync(blobs.file(digest), bytes)
}

describe('a version', () => {
  test.each<[string, (manifest: ImageManifest, digest: Digest) => Digest]>([
    ['manifest', (_manifest, digest) => digest],
    ['index', (manifest) => manifest.index.digest],
  ])('is not opened when a byte of its %s was changed, nor when it was cut or grew', async (_name, pick) => {
    const { digest } = await store(some)
    const victim = pick((await openImage(blobs, digest)).manifest, digest)
    const good = readFileSync(blobs.file(victim))
    const bad = Uint8Array.from(good)
    bad[good.length >> 1] = bad[good.length >> 1]! ^ 1
    for (const bytes of [bad, good.subarray(0, good.length - 1), Buffer.concat([good, Buffer.from('\n')])]) {
      overwrite(victim, bytes)
      const error = await openImage(blobs, digest).catch((thrown) => thrown)
      expect(error).toBeInstanceOf(AppError)
      expect(error.code).toBe('BLOB_CORRUPT')
      expect(error.message).toContain(victim)
      expect(error.message).toContain('muster image verify')
    }
  })

  test('whose manifest or index is gone is unknown, and one whose segment is gone says which', async () => {
    const { tree, digest } = await store(some)
    const { manifest, contents } = await openImage(blobs, digest)
    await blobs.delete(manifest.segments[0]!.digest)
    await expect(gathered(contents.read(tree.file('bin/ls')!))).rejects.toMatchObject({
      code: 'BLOB_UNKNOWN',
      message: expect.stringContaining(manifest.segments[0]!.digest),
    })
    await blobs.delete(manifest.index.digest)
    await expect(openImage(blobs, digest)).rejects.toMatchObject({ code: 'IMAGE_UNKNOWN' })
    await blobs.delete(digest)
    await expect(openImage(blobs, digest)).rejects.toMatchObject({ code: 'IMAGE_UNKNOWN' })
  })

  test('of a newer release is refused', async () => {
    const { digest } = await store(some)
    const { manifest } = await openImage(blobs, digest)
    const bytes = new TextEncoder().encode(canonicalJson({ ...manifest, schema: 2 }))
    const newer = await blobs.add(streamOf(bytes, { offset: 0, length: bytes.length }))
    await expect(openImage(blobs, newer.digest)).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })

  test('a failing store is no version that is not there', async () => {
    const { tree, digest } = await store(some)
    const broken: BlobStore = { ...blobs, open: () => Promise.reject(new Error('the disk is on fire')) }
    await expect(openImage(broken, digest)).rejects.toThrow('the disk is on fire')
    const { contents, manifest } = await openImage(blobs, digest)
    truncateSync(blobs.file(manifest.segments[0]!.digest), 10)
    await expect(gathered(contents.read(tree.file('bin/ls')!))).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
  })
})

describe('contents', () => {
  /** Many segments, files that are in several of them, and more bytes than are kept in memory. */
  async function many() {
    const entries: Record<string, Entry> = {}
    for (let at = 0; at < 60; at++) {
      entries[`usr/${String(at).padStart(2, '0')}/large`] = noise(900_000, 2 * at)
      entries[`usr/${String(at).padStart(2, '0')}/license`] = 'the same everywhere'
      entries[`usr/${String(at).padStart(2, '0')}/${at % 5}`] = `one of five: ${at % 5}`
    }
    const { tree, digest } = await store(entries)
    const counted = counting(blobs)
    return { tree, counted, image: await openImage(counted, digest) }
  }

  test('that are read in the order of the paths read each segment once', async () => {
    const { tree, counted, image } = await many()
    expect(counted.opened.size).toBe(2)
    for (const path of tree.paths) {
      const file = image.tree.get(path)
      if (file?.type === 'file') await gathered(image.contents.read(file))
    }
    const times = image.manifest.segments.map(({ digest }) => counted.opened.get(digest) ?? 0)
    expect(times.filter((count) => count === 1).length).toBeGreaterThan(50)
    // One that has nothing but what was at hand is not read at all.
    expect(Math.max(...times)).toBe(1)
  })

  test('that are read at once wait for one reading of a segment', async () => {
    const { counted, image } = await many()
    const paths = image.tree.paths.filter((path) => image.segmentOf(path) === 3)
    const files = paths.flatMap((path) => image.tree.file(path) ?? [])
    await Promise.all([...files, ...files].map((file) => gathered(image.contents.read(file))))
    expect(counted.opened.get(image.manifest.segments[3]!.digest)).toBe(1)
  })

  test('keep no more than some segments in memory', async () => {
    const { tree, counted, image } = await many()
    const large = tree.paths.filter((path) => path.endsWith('large')).flatMap((path) => image.tree.file(path) ?? [])
    const [first] = large
    for (const file of [...large, first!]) await gathered(image.contents.read(file))
    // 54 MB went by since; the first is not there any more.
    expect(counted.opened.get(image.manifest.segments[image.segmentOf('usr/00/large')!]!.digest)).toBe(2)
  })

  test('that failed once are read anew', async () => {
    const { tree, digest } = await store(some)
    const { manifest } = await openImage(blobs, digest)
    let failures = 1
    const flaky: BlobStore = {
      ...blobs,
      open: (wanted, slice) =>
        wanted === manifest.segments[0]!.digest && failures-- > 0
          ? Promise.reject(new Error('try again'))
          : blobs.open(wanted, slice),
    }
    const { contents } = await openImage(flaky, digest)
    await expect(gathered(contents.read(tree.file('bin/ls')!))).rejects.toThrow('try again')
    expect((await gathered(contents.read(tree.file('bin/ls')!))).length).toBe(300_000)
  })

  test('may be kept and changed by their reader', async () => {
    const { tree, digest } = await store(some)
    const { contents } = await openImage(blobs, digest)
    const file = tree.file('lib/1')!
    for await (const chunk of contents.read(file)) chunk.fill(0)
    expect(await digestOf(await gathered(contents.read(file)))).toBe(file.digest)
  })

  test('that are left half way let go of the segment', async () => {
    const { tree, digest } = await store(some)
    const { contents } = await openImage(blobs, digest)
    for await (const chunk of contents.read(tree.file('boot/large')!)) {
      expect(chunk.length).toBeGreaterThan(0)
      break
    }
    // Closing a file takes a turn.
    await new Promise((resolve) => setTimeout(resolve, 50))
  })

  test('that no file has are refused', async () => {
    const { digest } = await store(some)
    const { contents } = await openImage(blobs, digest)
    const nothing: Digest = `sha256:${'0'.repeat(64)}`
    expect(contents.has(nothing)).toBe(false)
    await expect(gathered(contents.read({ digest: nothing, size: 1 }))).rejects.toMatchObject({ code: 'BLOB_UNKNOWN' })
  })
})
