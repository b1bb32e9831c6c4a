import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Digest } from '../../src/blobs/digest.ts'
import { packIndex, unpackIndex } from '../../src/images/image-index.ts'
import { cutSegments } from '../../src/images/segments.ts'
import { type Inode, type Tree, treeOf } from '../../src/images/tree.ts'
import { source } from '../archive/tar-writer.ts'
import { placesOf, treeWith } from './store-image.ts'
import { entries } from './trees.ts'

const digit = (number: number): Digest => `sha256:${number.toString(16).padStart(64, '0')}`

async function packed(tree: Tree, keys: Digest[] = []): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = []
  for await (const chunk of packIndex(tree, placesOf(cutSegments(tree)), keys)) chunks.push(chunk)
  return new Uint8Array(await new Blob(chunks).arrayBuffer())
}

/** A tree as data, hard links as numbers that are the same. */
function dataOf(tree: Tree): unknown {
  const numbers = new Map<Inode, number>()
  return tree.paths.map((path) => {
    const inode = tree.get(path)!
    if (!numbers.has(inode)) numbers.set(inode, numbers.size)
    const xattrs = [...(inode.xattrs ?? [])].map(([name, value]) => [name, [...value]]).sort()
    return [path, numbers.get(inode), { ...inode, xattrs }]
  })
}

describe('an index', () => {
  test('gives the tree, its segments and their keys back as they were', async () => {
    await fc.assert(
      fc.asyncProperty(entries(40), async (given) => {
        const { tree } = await treeWith(given)
        const cut = cutSegments(tree)
        const keys = cut.map((_, at) => digit(at))
        const bytes = await packed(tree, keys)
        const index = await unpackIndex(source(bytes, 1000))
        expect(dataOf(treeOf(index.inodes))).toEqual(dataOf(tree))
        expect(index.keys).toEqual(keys)
        expect([...index.inodes.keys()]).toEqual(tree.paths)
        expect([...index.segments]).toEqual(tree.paths.map(placesOf(cut)))
      }),
      { numRuns: 60 },
    )
  })

  test('is lines that one can read', async () => {
    const { tree } = await treeWith({
      'bin/ls': { mode: 0o755, data: 'x', xattrs: new Map([['user.a', Uint8Array.of(0, 255)]]) },
      'bin/dir': { type: 'hardlink', to: 'bin/ls' },
      'dev/null': { type: 'character', major: 1, minor: 3 },
      'caf\xc3\xa9': { type: 'link', target: 'bin' },
      etc: { type: 'directory', mtime: 5 },
      pipe: { type: 'fifo' },
    })
    const lines = zstdDecompressSync(await packed(tree, [digit(7)])).toString()
    expect(lines).toMatchInlineSnapshot(`
      "{"schema":1,"segments":["sha256:0000000000000000000000000000000000000000000000000000000000000007"]}
      {"path":"","type":"directory","mode":493,"uid":0,"gid":0,"mtime":0,"segment":0}
      {"path":"bin","type":"directory","mode":493,"uid":0,"gid":0,"mtime":0,"segment":0}
      {"path":"bin/dir","type":"file","mode":493,"uid":0,"gid":0,"mtime":1700000000,"size":1,"digest":"sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881","xattrs":[["user.a","AP8="]],"segment":0}
      {"path":"bin/ls","type":"hardlink","target":"bin/dir","segment":0}
      {"path":"cafÃ©","type":"link","mode":511,"uid":0,"gid":0,"mtime":1700000000,"target":"bin","segment":0}
      {"path":"dev","type":"directory","mode":493,"uid":0,"gid":0,"mtime":0,"segment":0}
      {"path":"dev/null","type":"character","mode":420,"uid":0,"gid":0,"mtime":1700000000,"major":1,"minor":3,"segment":0}
      {"path":"etc","type":"directory","mode":493,"uid":0,"gid":0,"mtime":5,"segment":0}
      {"path":"pipe","type":"fifo","mode":420,"uid":0,"gid":0,"mtime":1700000000,"segment":0}
      "
    `)
  })

  test('is the same for the same tree, in whatever order it came', async () => {
    const { tree } = await treeWith({
      b: 'x',
      a: 'y',
      c: {
        xattrs: new Map([
          ['user.b', Uint8Array.of(1)],
          ['user.a', Uint8Array.of(2)],
        ]),
      },
    })
    const other = new Map(
      tree.paths.toReversed().map((path) => {
        const inode = tree.get(path)!
        return [path, inode.xattrs ? { ...inode, xattrs: new Map([...inode.xattrs].reverse()) } : inode]
      }),
    )
    expect(await packed(treeOf(other))).toEqual(await packed(tree))
  })

  test('of 60,000 names is made and read in pieces, while other work goes on', async () => {
    const inodes = new Map<string, Inode>()
    const common = { mode: 0o755, uid: 0, gid: 0, mtime: 0, links: 1 }
    inodes.set('', { ...common, type: 'directory', implied: false })
    for (let at = 0; at < 60_000; at++)
      inodes.set(`usr/share/doc/${at}`, { ...common, type: 'file', size: at, digest: digit(at) })
    const tree = treeOf(inodes)
    let turns = 0
    const ticking = setInterval(() => {
      turns += 1
    }, 0)
    try {
      const chunks: Uint8Array[] = []
      for await (const chunk of packIndex(tree, () => 0, [])) chunks.push(chunk)
      const packing = turns
      const index = await unpackIndex(source(Buffer.concat(chunks)))
      expect(index.inodes.size).toBe(60_001)
      expect(packing).toBeGreaterThan(10)
      expect(turns - packing).toBeGreaterThan(10)
    } finally {
      clearInterval(ticking)
    }
  })
})

describe('an index is refused', () => {
  const unpacking = (text: string) => unpackIndex(source(zstdCompressSync(text)))

  test('in the form of a newer release', async () => {
    await expect(unpacking('{"schema":2,"segments":[]}\n')).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })

  test('with a line that has no end in sight', async () => {
    await expect(unpacking(`{"schema":1,"segments":[]}\n"${'x'.repeat(2 ** 24)}`)).rejects.toMatchObject({
      code: 'ARCHIVE_LIMIT',
    })
  })

  test.each([
    ['that is empty', ''],
    ['that is cut off', '{"schema":1,"segments":[]}\n{"path":""'],
    [
      'with a hard link to nothing',
      '{"schema":1,"segments":[]}\n{"path":"a","type":"hardlink","target":"b","segment":0}\n',
    ],
  ])('%s', async (_name, text) => {
    await expect(unpacking(text)).rejects.toThrow(/^the index/)
  })
})
