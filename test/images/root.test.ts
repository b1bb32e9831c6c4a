import { createStorage } from 'unstorage'
import { describe, expect, test } from 'vitest'
import { byteString } from '../../src/archive/byte-string.ts'
import type { Digest } from '../../src/blobs/digest.ts'
import type { BlobStore } from '../../src/blobs/store.ts'
import { unstorageBlobStore } from '../../src/blobs/unstorage.ts'
import { openImage } from '../../src/images/open.ts'
import { rootArchive, rootWarnings } from '../../src/images/root.ts'
import { treeOf } from '../../src/images/tree.ts'
import { type CpioMember, readCpio } from '../archive/cpio-reader.ts'
import { contentsOf, type Entry, storeImage, treeWith } from './store-image.ts'
import { noise } from './trees.ts'

async function gathered(chunks: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<Uint8Array<ArrayBuffer>> {
  const all: Uint8Array<ArrayBuffer>[] = []
  for await (const chunk of chunks) all.push(chunk)
  return new Uint8Array(await new Blob(all).arrayBuffer())
}

async function membersOf(entries: Record<string, Entry>): Promise<CpioMember[]> {
  const { tree, contents } = await treeWith(entries)
  return readCpio(await gathered(rootArchive(tree, contents)))
}

describe('the root archive', () => {
  test('has the tree in the order of its paths, with the times of files alone', async () => {
    const members = await membersOf({
      'usr/bin/sudo': { mode: 0o4755, uid: 1, gid: 2, mtime: 1234, data: 'x'.repeat(5) },
      bin: '-> usr/bin',
      'dev/null': { type: 'character', major: 1, minor: 3, mode: 0o666 },
      etc: { type: 'directory', mtime: 99, mode: 0o750 },
      'run/pipe': { type: 'fifo' },
    })
    const text = members.map(({ name, mode, uid, gid, mtime, links, major, minor, data }) =>
      [name, mode.toString(8), uid, gid, mtime, links, major, minor, byteString(data)].join(' '),
    )
    expect(text.join('\n')).toMatchInlineSnapshot(`
      ". 40755 0 0 0 2 0 0 
      bin 120777 0 0 0 1 0 0 usr/bin
      dev 40755 0 0 0 2 0 0 
      dev/null 20666 0 0 0 1 1 3 
      etc 40750 0 0 0 2 0 0 
      run 40755 0 0 0 2 0 0 
      run/pipe 10644 0 0 0 1 0 0 
      usr 40755 0 0 0 2 0 0 
      usr/bin 40755 0 0 0 2 0 0 
      usr/bin/sudo 104755 1 2 1234 1 0 0 xxxxx"
    `)
  })

  test('has the data of a file with several names under the first, and names the others by its number', async () => {
    const members = await membersOf({ a: 'data', z: { type: 'hardlink', to: 'a' }, b: 'other' })
    const [, a, b, z] = members
    expect([a!.links, z!.links, z!.ino, b!.links]).toEqual([2, 2, a!.ino, 1])
    expect([a!.data.length, z!.data.length]).toEqual([4, 0])
  })

  test('has extended attributes as a file for setfattr, in its place', async () => {
    const members = await membersOf({
      'usr/bin/ping': { data: 'x', xattrs: new Map([['security.capability', Uint8Array.of(1, 255)]]) },
      'muster/a': 'x',
      'muster/xattrs': 'what the image has there is left out',
    })
    expect(members.map(({ name }) => name)).toEqual([
      ...['.', 'muster', 'muster/a', 'muster/xattrs', 'usr', 'usr/bin', 'usr/bin/ping'],
    ])
    const own = members.find(({ name }) => name === 'muster/xattrs')!
    expect([byteString(own.data), own.mode & 0o7777]).toEqual([
      '# file: usr/bin/ping\nsecurity.capability=0sAf8=\n\n',
      0o600,
    ])
  })

  test('is the same bytes from a version, in any order that its tree came, and reads each segment once', async () => {
    const entries: Record<string, Entry> = {}
    for (let at = 0; at < 60; at++) {
      entries[`usr/${String(at).padStart(2, '0')}`] = noise(900_000 + at, 2 * at)
      entries[`usr/${String(at).padStart(2, '0')}.license`] = 'the same everywhere'
      if (at % 9 === 0) entries[`zz/${at}`] = { type: 'hardlink', to: `usr/${String(at).padStart(2, '0')}` }
    }
    const { tree, contents } = await treeWith(entries)
    const store = unstorageBlobStore(createStorage())
    const digest = await storeImage(tree, contents, store)
    const opened = new Map<Digest, number>()
    const counting: BlobStore = {
      ...store,
      open(wanted, slice) {
        opened.set(wanted, (opened.get(wanted) ?? 0) + 1)
        return store.open(wanted, slice)
      },
    }
    const image = await openImage(counting, digest)
    const archive = await gathered(rootArchive(image.tree, image.contents))
    const shuffled = treeOf(new Map(tree.paths.toReversed().map((path) => [path, tree.get(path)!])))
    expect(Buffer.compare(archive, await gathered(rootArchive(shuffled, contents)))).toBe(0)
    const times = image.manifest.segments.map((segment) => opened.get(segment.digest) ?? 0)
    expect(times.filter((count) => count === 1).length).toBeGreaterThan(50)
    // One that has nothing but directories is not read at all.
    expect(Math.max(...times)).toBe(1)
  })

  test('comes in blocks of 1 MiB', async () => {
    const { tree, contents } = await treeWith({ a: noise(2_500_000, 1), b: 'x' })
    const sizes: number[] = []
    for await (const block of rootArchive(tree, contents)) sizes.push(block.length)
    expect(sizes.slice(0, 2)).toEqual([2 ** 20, 2 ** 20])
    expect(sizes.length).toBe(3)
  })

  test('is refused for a file of 4 GiB, by its name, and for a file where ours has to be', async () => {
    const { tree } = await treeWith({ 'var/huge': 'x' })
    const file = tree.file('var/huge')!
    const huge = treeOf(
      new Map(tree.paths.map((path) => [path, path === 'var/huge' ? { ...file, size: 2 ** 32 } : tree.get(path)!])),
    )
    await expect(gathered(rootArchive(huge, contentsOf(new Map())))).rejects.toMatchObject({
      code: 'IMAGE_UNBOOTABLE',
      message: expect.stringContaining('var/huge'),
    })
    const blocked = await treeWith({ muster: 'x', a: { xattrs: new Map([['user.a', Uint8Array.of(1)]]) } })
    await expect(gathered(rootArchive(blocked.tree, blocked.contents))).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
    })
    expect(rootWarnings(huge)).toEqual([
      'has a file of 4 GiB or more, which no cpio can hold, so it boots in two stages only (var/huge)',
    ])
  })

  test('is told by warnings what it cannot carry', async () => {
    const late = { mtime: 2 ** 32, data: 'x' }
    const { tree, contents } = await treeWith({
      a: late,
      b: late,
      c: late,
      d: { ...late, xattrs: new Map([['user.a', Uint8Array.of(1)]]) },
    })
    expect(rootWarnings(tree)).toMatchInlineSnapshot(`
      [
        "has a time after the year 2106, which becomes that year (a, b, c and 1 more)",
        "carries extended attributes on 1 file (d) but no setfattr to restore them: add the package attr",
      ]
    `)
    const [, a] = readCpio(await gathered(rootArchive(tree, contents)))
    expect(a!.mtime).toBe(2 ** 32 - 1)
    expect(rootWarnings((await treeWith({ a: 'x' })).tree)).toEqual([])
  })
})
