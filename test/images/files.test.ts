import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ByteString, byteString } from '../../src/archive/byte-string.ts'
import { parseDigest } from '../../src/blobs/digest.ts'
import { listFiles } from '../../src/images/files.ts'
import { bytesText, pathOf, pathText } from '../../src/images/path-text.ts'
import { type Inode, type Tree, treeOf } from '../../src/images/tree.ts'

const facts = { mode: 0o755, uid: 0, gid: 0, mtime: 0, links: 1 }
const directory: Inode = { ...facts, type: 'directory', implied: false }
const file: Inode = { ...facts, type: 'file', size: 0, digest: parseDigest(`sha256:${'0'.repeat(64)}`) }

/** A tree of files, with the directories above them. A path that is both is a directory. */
function treeWith(paths: readonly ByteString[]): Tree {
  const inodes = new Map<ByteString, Inode>([['', directory]])
  for (const path of paths) if (!inodes.has(path)) inodes.set(path, file)
  for (const path of paths)
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) inodes.set(path.slice(0, at), directory)
  return treeOf(inodes)
}

/** Names that are hard to tell apart: bytes, what looks like bytes, and what sorts around the slash. */
const name = fc
  .array(fc.constantFrom('a', 'b', '-', '0', '\\x', '\\x5c', '\\xff', '\\x2d', '\xff', '\xc3\xa9', '\n', ' '), {
    minLength: 1,
    maxLength: 3,
  })
  .map((parts) => parts.join(''))
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'))
const tree = fc.array(path, { maxLength: 20 }).map(treeWith)

describe('paths as text', () => {
  it('mean the path that they were made of', () => {
    fc.assert(
      fc.property(tree, (found) => {
        for (const one of found.paths) expect(pathOf(found, pathText(one))).toBe(one)
        expect(new Set(found.paths.map(pathText)).size).toBe(found.paths.length)
      }),
    )
  })

  it.each([
    ['usr/bin/é', byteString(new TextEncoder().encode('usr/bin/é'))],
    ['usr/bin/\\xe9', 'usr/bin/\xe9'],
    ['dev-disk-by\\x2dlabel.swap', 'dev-disk-by\\x2dlabel.swap'],
    ['a\\x5cxe9', 'a\\xe9'],
  ])('%s', (text, bytes) => {
    expect(bytesText(bytes)).toBe(text)
  })

  it('may be typed as the name is', () => {
    expect(pathOf(treeWith(['a\\xe9']), '/a\\xe9')).toBe('a\\xe9')
    expect(pathOf(treeWith(['a\xe9']), '/a\\xe9')).toBe('a\xe9')
  })
})

describe('a list of files', () => {
  it('is in its pages what is below the directory, in the order of the bytes, each once', () => {
    fc.assert(
      fc.property(tree, fc.nat(), fc.boolean(), fc.integer({ min: 1, max: 4 }), (found, pick, recursive, limit) => {
        const directories = found.paths.filter((one) => found.get(one)?.type === 'directory')
        const under = directories[pick % directories.length] ?? ''
        const prefix = under === '' ? '' : `${under}/`
        const expected = found.paths.filter(
          (one) => one !== '' && one.startsWith(prefix) && (recursive || !one.slice(prefix.length).includes('/')),
        )
        const listed: ByteString[] = []
        for (let after: string | undefined; ; after = pathText(listed.at(-1) ?? '')) {
          const page = listFiles(found, { under: pathText(under), recursive, after, limit })
          listed.push(...page.map((entry) => entry.path))
          if (page.length < limit) break
          expect(listed.length).toBeLessThanOrEqual(expected.length)
        }
        expect(listed).toEqual(expected)
      }),
    )
  })
})
