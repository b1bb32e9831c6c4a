import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { createStorage } from 'unstorage'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readTar } from '../../src/archive/tar.ts'
import { type Digest, digestOf } from '../../src/blobs/digest.ts'
import { unstorageBlobStore } from '../../src/blobs/unstorage.ts'
import type { Contents } from '../../src/images/contents.ts'
import type { Compression } from '../../src/images/manifest.ts'
import {
  cutSegments,
  type PackedSegment,
  packSegment,
  type SegmentMembers,
  segmentKey,
  storeSegment,
} from '../../src/images/segments.ts'
import { type Inode, type Tree, treeOf } from '../../src/images/tree.ts'
import { source } from '../archive/tar-writer.ts'
import { type Entry, treeWith } from './store-image.ts'
import { entries, type Facts, factsOf, factsOnDisk, noise } from './trees.ts'

/** The bytes of a packed segment, however they come. */
async function bytesIn(packed: PackedSegment): Promise<Uint8Array<ArrayBuffer>> {
  return 'bytes' in packed ? packed.bytes : new Uint8Array(await new Response(packed.stream).arrayBuffer())
}

const unpacked = (bytes: Uint8Array, compression: Compression = 'zstd'): Buffer<ArrayBuffer> =>
  compression === 'zstd' ? zstdDecompressSync(bytes) : gunzipSync(bytes)

/** Names in a segment's archive, in order. */
async function namesIn(archive: Uint8Array): Promise<string[]> {
  const names: string[] = []
  for await (const entry of readTar(source(archive)))
    names.push(`${entry.path}${entry.type === 'hardlink' ? ' = ' : ''}`)
  return names
}

/** A tree whose files nobody has, of entries by path: a number is a file of that size. */
function sketch(entries: Record<string, number | Partial<Inode>>): Tree {
  const common = { mode: 0o755, uid: 0, gid: 0, mtime: 0, links: 1 }
  const inodes = new Map<string, Inode>([['', { ...common, type: 'directory', implied: false }]])
  for (const [path, entry] of Object.entries(entries)) {
    const size = typeof entry === 'number' ? entry : 0
    const digest: Digest = `sha256:${path.length.toString(16).padStart(64, '0')}`
    inodes.set(path, { ...common, type: 'file', size, digest, ...(typeof entry !== 'number' && entry) } as Inode)
  }
  return treeOf(inodes)
}

/** Many files as an image has them, the same for the same seed. */
function manyFiles(seed: number, count = 4000): Map<string, Inode> {
  const numbers = new Uint32Array(noise(count * 16, seed).buffer)
  const common = { mode: 0o755, uid: 0, gid: 0, mtime: 0, links: 1 }
  const inodes = new Map<string, Inode>([['', { ...common, type: 'directory', implied: false }]])
  const directories = ['']
  for (let at = 0; at + 3 < numbers.length; at += 4) {
    const [where = 0, name = 0, size = 0, kind = 0] = numbers.subarray(at, at + 4)
    const above = directories[where % directories.length]
    const path = `${above}${above && '/'}${name.toString(36)}`
    if (kind % 10 === 0) directories.push(path)
    // From 50 bytes to 400 KB, evenly in their orders of magnitude.
    const file = { ...common, type: 'file' as const, size: Math.floor(Math.exp(4 + (size / 2 ** 32) * 9)) }
    inodes.set(
      path,
      kind % 10 === 0 ? { ...common, type: 'directory', implied: false } : { ...file, digest: digit(at) },
    )
  }
  return inodes
}

const digit = (number: number): Digest => `sha256:${number.toString(16).padStart(64, '0')}`

describe('a tree is cut', () => {
  test('into segments that have every path once, the names of one file together, within bounds', async () => {
    await fc.assert(
      fc.asyncProperty(entries(60), async (given) => {
        const { tree } = await treeWith(given)
        const cut = cutSegments(tree)
        expect(cut.flatMap(({ own }) => own).sort()).toEqual(tree.paths)
        for (const [at, { own, above }] of cut.entries()) {
          const inodes = own.map((path) => tree.get(path)!)
          for (const inode of new Set(inodes)) {
            const first = inodes.indexOf(inode)
            expect(inodes.slice(first, first + inode.links).every((other) => other === inode)).toBe(true)
            expect(inodes.filter((other) => other === inode).length).toBe(inode.links)
          }
          const distinct = [...new Set(inodes)]
          const sizes = distinct.map((inode) => 512 * inode.links + (inode.type === 'file' ? inode.size : 0))
          const size = sizes.reduce((sum, each) => sum + each, 0)
          const large = 2 ** 22
          if (sizes.some((each) => each >= large)) expect(sizes.length).toBe(1)
          else expect(size - sizes.at(-1)!).toBeLessThan(large)
          const next = cut[at + 1] && tree.get(cut[at + 1]!.own[0]!)
          const beforeLarge = next?.type === 'file' && 512 * next.links + next.size >= large
          if (next && !beforeLarge) expect(size).toBeGreaterThanOrEqual(2 ** 18)
          // Everything that an entry lies in comes before it.
          const order = [...above, ...own]
          for (const path of own)
            for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
              expect(order.indexOf(path.slice(0, end))).toBeGreaterThanOrEqual(0)
              expect(order.indexOf(path.slice(0, end))).toBeLessThan(order.indexOf(path, above.length))
            }
        }
      }),
      { numRuns: 60 },
    )
  })

  test('where it always was: other cuts would make new segments of every image that there is', async () => {
    const tree = treeOf(manyFiles(7))
    const text = cutSegments(tree)
      .map(({ own }) => own.at(-1))
      .join('\n')
    expect(await digestOf(new TextEncoder().encode(text))).toMatchInlineSnapshot(
      `"sha256:d9ce28dc808436eb88997447cb6349ab65f6d5e266bcae124bfb9ab58370793f"`,
    )
  })

  test('before and after a large file, which its neighbours shall not drag along', () => {
    const tree = sketch({ a: 10, b: 2 ** 22, c: 10, d: 10 })
    expect(cutSegments(tree).map(({ own }) => own)).toEqual([['', 'a'], ['b'], ['c', 'd']])
  })

  test('with a later name behind the first, and the directories of both above', () => {
    const file: Partial<Inode> = { links: 2 }
    const inodes = new Map(
      ['', 'a', 'a/x', 'z', 'z/b', 'z/y'].map((path) => [path, sketch({ [path]: file }).get(path)!]),
    )
    for (const path of ['', 'a', 'z', 'z/b'])
      inodes.set(path, { type: 'directory', implied: false, mode: 0o755, uid: 0, gid: 0, mtime: 0, links: 1 })
    inodes.set('z/y', inodes.get('a/x')!)
    expect(cutSegments(treeOf(inodes))).toEqual([{ above: ['z'], own: ['', 'a', 'a/x', 'z/y', 'z', 'z/b'] }])
  })

  test('so that one change changes few segments', () => {
    const made: number[] = []
    for (let seed = 1; seed <= 5; seed++) {
      const before = manyFiles(seed)
      const tree = treeOf(before)
      const old = new Set(keysOf(tree))
      expect(old.size).toBeGreaterThan(200)
      const files = tree.paths.filter((path) => tree.get(path)?.type === 'file')
      for (let turn = 0; turn < 5; turn++) {
        const path = files[(turn * 7919 + seed * 104_729) % files.length]!
        const file = before.get(path) as Extract<Inode, { type: 'file' }>
        const grown = { ...file, size: file.size + 300_000, digest: digit(-1 >>> 0) }
        const edits: ((after: Map<string, Inode>) => void)[] = [
          (after) => after.set(path, { ...file, digest: digit(-1 >>> 0) }),
          (after) => after.set(path, { ...file, mode: 0o600 }),
          (after) => after.set(path, grown),
          (after) => after.set(`${path}-new`, file),
          (after) => after.delete(path),
        ]
        for (const edit of edits) {
          const after = new Map(before)
          edit(after)
          made.push(keysOf(treeOf(after)).filter((key) => !old.has(key)).length)
        }
      }
    }
    expect(Math.max(...made)).toBeLessThanOrEqual(4)
    expect(made.reduce((sum, count) => sum + count, 0) / made.length).toBeLessThan(1.6)
  })
})

const keysOf = (tree: Tree, compression: Compression = 'zstd'): Digest[] =>
  cutSegments(tree).map((members) => segmentKey(members, tree, compression))

describe('the key of a segment', () => {
  test('is the same when and only when bytes and number of entries are', async () => {
    const variations = fc.constantFrom<(entry: Exclude<Entry, string | Uint8Array>) => Entry>(
      (entry) => entry,
      (entry) => ({ ...entry, mode: 0o711 }),
      (entry) => ({ ...entry, uid: 77 }),
      (entry) => ({ ...entry, gid: 77 }),
      (entry) => ({ ...entry, mtime: 77 }),
      (entry) => ('to' in entry ? entry : { ...entry, xattrs: new Map([['user.new', Uint8Array.of(0)]]) }),
      (entry) => ('data' in entry ? { ...entry, data: 'other' } : entry),
      (entry) => ('target' in entry ? { ...entry, target: 'other' } : entry),
      (entry) => ('major' in entry ? { ...entry, major: 7 } : entry),
      (entry) => ('minor' in entry ? { ...entry, minor: 7 } : entry),
    )
    await fc.assert(
      fc.asyncProperty(entries(25), fc.nat(), variations, async (given, which, vary) => {
        const seen = new Map<Digest, string>()
        const path = [...given.keys()][which % Math.max(1, given.size)]
        const varied = new Map(given)
        if (path !== undefined) varied.set(path, vary(given.get(path) as Exclude<Entry, string | Uint8Array>))
        for (const version of [given, varied]) {
          const { tree, contents } = await treeWith(version)
          for (const compression of ['zstd', 'gzip'] as const)
            for (const members of cutSegments(tree)) {
              const key = segmentKey(members, tree, compression)
              const packed = await packSegment(members, tree, contents, compression)
              const says = `${packed.entries} ${await digestOf(await bytesIn(packed))}`
              expect(seen.get(key) ?? says).toBe(says)
              seen.set(key, says)
            }
        }
        expect(new Set(seen.values()).size).toBe(seen.size)
      }),
      { numRuns: 25 },
    )
  })

  test('does not change with a directory that was touched', async () => {
    const at = (mtime: number) => treeWith({ etc: { type: 'directory', mtime }, 'etc/passwd': 'root' })
    expect(keysOf((await at(1)).tree)).toEqual(keysOf((await at(2)).tree))
  })

  test('changes with a directory above, whose attributes are in the segment', async () => {
    const at = (mode: number) =>
      treeWith({ a: { type: 'directory', mode }, 'a/1': noise(2 ** 22, 1), 'a/2': noise(2 ** 22, 2) })
    const [one, other] = [keysOf((await at(0o755)).tree), keysOf((await at(0o700)).tree)]
    expect(one.length).toBe(3)
    expect(one.filter((key) => other.includes(key))).toEqual([])
  })
})

describe('a segment', () => {
  test('has its directories, then its entries; a later name is a hard link to the first', async () => {
    const { tree, contents } = await treeWith({
      'usr/bin/a': noise(2 ** 22, 1),
      'usr/bin/b': { data: 'x' },
      'usr/lib/c': { type: 'hardlink', to: 'usr/bin/b' },
    })
    const cut = cutSegments(tree)
    expect(cut.map(({ own }) => own.length)).toEqual([3, 1, 3])
    const packed = await packSegment(cut[2]!, tree, contents, 'zstd')
    expect(await namesIn(unpacked(await bytesIn(packed)))).toEqual([
      'usr/',
      'usr/bin/',
      'usr/lib/',
      'usr/bin/b',
      'usr/lib/c = ',
      'usr/lib/',
    ])
    expect(packed).toMatchObject({ entries: 3, unpackedSize: 512 * 7 + 1024 })
    const first = await packSegment(cut[0]!, tree, contents, 'zstd')
    expect(await namesIn(unpacked(await bytesIn(first)))).toEqual(['./', 'usr/', 'usr/bin/'])
  })

  test.each(['zstd', 'gzip'] as const)('is what the %s program reads, also when it is large', async (compression) => {
    const { tree, contents } = await treeWith({ small: 'x', large: noise(9 * 2 ** 20, 3) })
    for (const members of cutSegments(tree)) {
      const packed = await packSegment(members, tree, contents, compression)
      const input = await bytesIn(packed)
      const archive = execFileSync(compression, ['-d', '-c'], { input, maxBuffer: 2 ** 26 })
      expect(archive.length).toBe(packed.unpackedSize)
      expect(archive.equals(unpacked(input, compression))).toBe(true)
      if (compression === 'gzip') continue
      // RFC 8878, 3.1.1.1.1: the descriptor says that the frame's size is told, and that there is no checksum.
      const descriptor = input[4]!
      expect([descriptor >> 6 > 0 || (descriptor & 0x20) > 0, descriptor & 0x04]).toEqual([true, 0])
    }
  })

  test('has the same bytes in whatever order its tree came, however its files are read, however many are packed at once', async () => {
    const given: Record<string, Entry> = { 'z/link': { type: 'link', target: 'a' } }
    for (let at = 0; at < 40; at++)
      given[`d${at % 7}/f${at}`] = {
        data: noise(at === 5 ? 9_000_000 : at * 9000, at),
        xattrs: new Map([
          ['user.b', Uint8Array.of(at)],
          ['user.a', Uint8Array.of(1)],
        ]),
      }
    const { tree, contents } = await treeWith(given)
    const shuffled = new Map(tree.paths.toReversed().map((path) => [path, reversed(tree.get(path)!)]))
    const other = treeOf(shuffled)
    const pieces: Contents = {
      ...contents,
      async *read(content) {
        for await (const chunk of contents.read(content))
          for (let at = 0; at < chunk.length; at += 70_001) yield chunk.slice(at, at + 70_001)
      },
    }
    for (const compression of ['zstd', 'gzip'] as const) {
      const pack = async (members: SegmentMembers) =>
        digestOf(await bytesIn(await packSegment(members, tree, contents, compression)))
      const oneByOne: Digest[] = []
      for (const members of cutSegments(tree)) oneByOne.push(await pack(members))
      expect(oneByOne.length).toBeGreaterThan(5)
      const together = cutSegments(other).map(async (members) =>
        digestOf(await bytesIn(await packSegment(members, other, pieces, compression))),
      )
      expect(await Promise.all(together)).toEqual(oneByOne)
    }
  })

  test('that is large is read as it is asked for, not ahead', async () => {
    const size = 64 * 2 ** 20
    let read = 0
    const contents: Contents = {
      has: () => true,
      async *read() {
        for (; read < size; read += 2 ** 20) yield noise(2 ** 20, read)
      },
    }
    const tree = sketch({ large: size })
    const packed = await packSegment(cutSegments(tree)[1]!, tree, contents, 'zstd')
    if (!('stream' in packed)) throw new Error('it is in memory')
    const reader = packed.stream.getReader()
    for (let got = 0; got < 2 ** 20; ) got += (await reader.read()).value!.length
    expect(read).toBeLessThan(8 * 2 ** 20)
    await reader.cancel()
  })

  test.each([9, 11])('is refused when a file is not as long as the tree says, but %s', async (length) => {
    const contents: Contents = {
      has: () => true,
      async *read() {
        yield new Uint8Array(length)
      },
    }
    const tree = sketch({ short: 10 })
    await expect(packSegment(cutSegments(tree)[0]!, tree, contents, 'zstd')).rejects.toThrow(
      `short was read as ${length} bytes, not 10`,
    )
  })

  test('is stored as what it says', async () => {
    const blobs = unstorageBlobStore(createStorage())
    const { tree, contents } = await treeWith({ a: 'x', large: noise(9 * 2 ** 20, 3) })
    for (const members of cutSegments(tree)) {
      const packed = await packSegment(members, tree, contents, 'zstd')
      const segment = await storeSegment(blobs, packed)
      expect(await blobs.stat(segment.digest)).toEqual({ digest: segment.digest, size: segment.size })
      expect(segment).toMatchObject({ entries: packed.entries, unpackedSize: packed.unpackedSize })
    }
  })
})

/** The same inode with its attributes in another order. */
const reversed = (inode: Inode): Inode =>
  inode.xattrs ? { ...inode, xattrs: new Map([...inode.xattrs].reverse()) } : inode

// Package attr. Must run as root, as a node does: owners, devices and trusted attributes are unpacked.
describe('segments unpacked by GNU tar', () => {
  const args = ['-x', '-p', '--numeric-owner', '--xattrs', '--xattrs-include=*', '-f', '-']

  test('in any order are the tree', async () => {
    await fc.assert(
      fc.asyncProperty(entries(30), fc.infiniteStream(fc.nat()), async (given, order) => {
        const { tree, contents } = await treeWith(given)
        const folder = mkdtempSync(join(tmpdir(), 'muster-segments-'))
        try {
          const cut = cutSegments(tree)
          const keyed = cut.map((members) => ({ members, place: order.next().value ?? 0 }))
          for (const { members } of keyed.sort((one, other) => one.place - other.place)) {
            const packed = await packSegment(members, tree, contents, 'zstd')
            execFileSync('tar', args, { cwd: folder, input: unpacked(await bytesIn(packed)), stdio: 'pipe' })
          }
          expect(await factsOnDisk(folder)).toEqual(await factsOf(tree))
        } finally {
          rmSync(folder, { recursive: true })
        }
      }),
      { numRuns: 30 },
    )
  })

  test('all at once are the tree', async () => {
    const { tree, archives } = await archivesOf((at) => ({ xattrs: new Map([['user.at', Uint8Array.of(at)]]) }))
    const folder = mkdtempSync(join(tmpdir(), 'muster-segments-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    expect(await unpackedAtOnce(archives, 'tar', args, folder)).toEqual(archives.map(() => 0))
    expect(await factsOnDisk(folder)).toEqual(await factsOf(tree))
  })
})

// Packages libarchive-tools and busybox-static.
test.each<[string, string, string[], (facts: Facts) => Facts]>([
  ['bsdtar, all at once, are the tree', 'bsdtar', ['-x', '-p', '--numeric-owner', '-f', '-'], (facts) => facts],
  [
    // And but for extended attributes: its tar has neither lchown nor setxattr.
    'busybox, all at once, are the tree but for owners and times of symbolic links',
    'busybox',
    ['tar', '-x', '-p', '-f', '-'],
    (facts) =>
      Object.fromEntries(
        Object.entries(facts).map(([path, { uid, gid, mtime, ...rest }]) =>
          rest.type === 'link' ? [path, rest] : [path, { uid, gid, mtime, ...rest }],
        ),
      ),
  ],
])('segments unpacked by %s', async (_name, program, args, kept) => {
  const { tree, archives } = await archivesOf(() => ({}))
  const folder = mkdtempSync(join(tmpdir(), 'muster-segments-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  expect(await unpackedAtOnce(archives, program, args, folder)).toEqual(archives.map(() => 0))
  expect(kept(await factsOnDisk(folder))).toEqual(kept(await factsOf(tree)))
})

/** Segments, unpacked, whose directories are in several of them; `more` says what else a directory has. */
async function archivesOf(
  more: (at: number) => { xattrs?: Map<string, Uint8Array> },
): Promise<{ tree: Tree; archives: Uint8Array[] }> {
  const given: Record<string, Entry> = {}
  for (const [at, above] of ['a', 'a/b', 'a/b/c', 'd'].entries()) {
    given[above] = { type: 'directory', mode: 0o2700 + at, uid: at, gid: 9, ...more(at) }
    for (let file = 0; file < 6; file++) given[`${above}/${file}`] = { data: noise(400_000, file), uid: file }
    given[`${above}/link`] = { type: 'link', target: '../..' }
    given[`${above}/hard`] = { type: 'hardlink', to: 'a/0' }
  }
  const { tree, contents } = await treeWith(given)
  const archives: Uint8Array[] = []
  for (const members of cutSegments(tree))
    archives.push(unpacked(await bytesIn(await packSegment(members, tree, contents, 'zstd'))))
  expect(archives.length).toBeGreaterThan(8)
  return { tree, archives }
}

/** Exit statuses of a tar for each archive, all running at the same time. */
const unpackedAtOnce = (archives: Uint8Array[], program: string, args: string[], folder: string) =>
  Promise.all(
    archives.map(
      (archive) =>
        new Promise<number | null>((resolve) => {
          const tar = spawn(program, args, { cwd: folder, stdio: ['pipe', 'inherit', 'inherit'] })
          tar.on('close', resolve)
          tar.stdin.end(archive)
        }),
    ),
  )
