/** What differs between two trees: every entry once, directories as wholes, and the same seen from the other side. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Digest } from '../../src/blobs/digest.ts'
import { diffTrees, type FileDifference, transferOf } from '../../src/images/diff.ts'
import { type Inode, parentOf, type Tree, treeOf } from '../../src/images/tree.ts'
import { manifestOf } from '../harness.ts'

const digestOf = (digit: string): Digest => `sha256:${digit.repeat(64)}`
const common = { mode: 0o644, uid: 0, gid: 0, mtime: 1, links: 1 }
const file = (content: string, more: Partial<Inode> = {}): Inode =>
  ({ ...common, type: 'file', size: 1, digest: digestOf(content), ...more }) as Inode
const link = (target: string): Inode => ({ ...common, type: 'link', target, mode: 0o777 })
const directory: Inode = { ...common, mode: 0o755, type: 'directory', implied: false }

/** A tree with these entries and the directories above them. */
function tree(entries: Record<string, Inode>): Tree {
  const inodes = new Map<string, Inode>([['', directory]])
  for (const [path, inode] of Object.entries(entries)) {
    for (let above = parentOf(path); above !== ''; above = parentOf(above))
      if (!entries[above]) inodes.set(above, directory)
    inodes.set(path, inode)
  }
  return treeOf(inodes)
}

const told = (files: FileDifference[]) =>
  files.map((one) =>
    one.change === 'changed'
      ? `~${one.path} ${one.what.join()}`
      : `${one.change === 'added' ? '+' : '-'}${one.path} ${one.entries}`,
  )

describe('two trees', () => {
  it('differ in what is new, gone and changed, and not in time alone', () => {
    const before = tree({
      'etc/a': file('1'),
      'etc/b': file('1'),
      'etc/c': file('1'),
      'etc/d': link('a'),
      'etc/t': file('1'),
    })
    const after = tree({
      'etc/b': file('2', { mode: 0o4755 }),
      'etc/c': file('1', { uid: 5, xattrs: new Map([['security.capability', Uint8Array.of(1)]]) }),
      'etc/d': link('b'),
      'etc/e': file('1'),
      'etc/t': file('1', { mtime: 2 }),
    })
    const found = diffTrees(before, after)
    expect(told(found.files)).toEqual([
      '-etc/a 0',
      '~etc/b content,mode',
      '~etc/c owner,xattrs',
      '~etc/d target',
      '+etc/e 0',
    ])
    expect(found).toMatchObject({ added: 1, removed: 1, changed: 3, touched: 1 })
  })

  it('differ in a directory as a whole, however its neighbours are called', () => {
    const before = tree({ 'usr/x': file('1'), 'opt.d/y': file('1') })
    const after = tree({
      'usr/x': file('1'),
      'opt.d/y': file('1'),
      'opt/a/b/c': file('1'),
      'opt/a.b': file('1'),
      'opt/a/d': link('c'),
    })
    expect(told(diffTrees(before, after).files)).toEqual(['+opt 5'])
    expect(diffTrees(before, after).added).toBe(6)
    expect(told(diffTrees(after, before).files)).toEqual(['-opt 5'])
  })

  it('differ in everything below a directory that became a file', () => {
    const before = tree({ 'srv/www/index': file('1') })
    const after = tree({ 'srv/www': file('2') })
    expect(told(diffTrees(before, after).files)).toEqual(['~srv/www type,mode', '-srv/www/index 0'])
  })

  const inode = fc.constantFrom(file('1'), file('2'), file('1', { mode: 0o755 }), link('x'), directory)
  const trees = fc.dictionary(fc.stringMatching(/^[ab](\/[ab.]){0,3}$/), inode, { maxKeys: 12 }).map((entries) => {
    // What has something below it is a directory.
    const paths = Object.keys(entries)
    return tree(
      Object.fromEntries(
        Object.entries(entries).map(([path, one]) => [
          path,
          paths.some((other) => other.startsWith(`${path}/`)) ? directory : one,
        ]),
      ),
    )
  })

  /** Paths that a difference speaks of, those below whole directories too. */
  const pathsOf = (files: FileDifference[], change: 'added' | 'removed', of: Tree) =>
    files.flatMap((one) =>
      one.change === change
        ? of.paths.filter((path) => path === one.path || (one.entries > 0 && path.startsWith(`${one.path}/`)))
        : [],
    )

  it('have the paths of one another when what is new is added and what is gone is removed', () => {
    fc.assert(
      fc.property(trees, trees, (before, after) => {
        const { files, added, removed } = diffTrees(before, after)
        const gone = pathsOf(files, 'removed', before)
        const come = pathsOf(files, 'added', after)
        expect([come.length, gone.length]).toEqual([added, removed])
        const paths = new Set(before.paths)
        for (const path of gone) paths.delete(path)
        for (const path of come) paths.add(path)
        expect([...paths].sort()).toEqual([...after.paths])
      }),
    )
  })

  it('differ the same way seen from either side, and not at all from themselves', () => {
    fc.assert(
      fc.property(trees, trees, (before, after) => {
        const there = diffTrees(before, after)
        const back = diffTrees(after, before)
        expect([back.added, back.removed, back.changed, back.touched]).toEqual([
          there.removed,
          there.added,
          there.changed,
          there.touched,
        ])
        expect(back.files.map(({ path }) => path)).toEqual(there.files.map(({ path }) => path))
        expect(diffTrees(before, before)).toEqual({ files: [], added: 0, removed: 0, changed: 0, touched: 0 })
      }),
    )
  })
})

describe('what is fetched', () => {
  it('is the segments and kernels that the other version does not have', async () => {
    const segment = (digit: string, size: number) => ({
      digest: digestOf(digit),
      size,
      unpackedSize: 3 * size,
      entries: 1,
    })
    const base = await manifestOf('base')
    const before = { ...base, segments: [segment('1', 10), segment('2', 20)] }
    const [kernel] = base.kernels
    const after = {
      ...base,
      segments: [segment('1', 10), segment('3', 30), segment('3', 30)],
      kernels: [{ ...kernel!, digest: digestOf('9'), size: 7 }],
    }
    expect(transferOf(before, after)).toEqual({ segments: 1, bytes: 30, kernelBytes: 7, totalBytes: 70 })
    expect(transferOf(before, before)).toEqual({ segments: 0, bytes: 0, kernelBytes: 0, totalBytes: 30 })
  })
})
