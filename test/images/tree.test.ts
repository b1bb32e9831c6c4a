import { describe, expect, test } from 'vitest'
import { byBytes, type Inode, impliedDirectory, treeOf } from '../../src/images/tree.ts'
import { bytes } from '../archive/tar-writer.ts'
import { dir, link, treeOfLayers } from './layers-of.ts'

describe('links are followed', () => {
  const members = [
    dir('usr/lib'),
    link('lib', 'usr/lib'),
    { name: 'usr/lib/os-release', data: bytes('x') },
    link('etc', '/usr/etc'),
    link('usr/etc', '../../../../usr/lib'),
    link('loop', 'loop'),
    link('ping', 'pong'),
    link('pong', './ping'),
    link('gone', 'nowhere/at/all'),
    link('up', '..'),
  ]
  test.each([
    ['lib/os-release', 'usr/lib/os-release'],
    ['etc/os-release', 'usr/lib/os-release'],
    ['up/lib/../lib/os-release', 'usr/lib/os-release'],
    ['up', ''],
    ['../../usr', 'usr'],
    ['loop', undefined],
    ['ping', undefined],
    ['gone', undefined],
    ['lib/nothing', undefined],
    ['usr/lib/os-release/below', undefined],
  ])('inside the tree: %s leads to %s', async (path, expected) => {
    expect((await treeOfLayers([members])).resolve(path)).toBe(expected)
  })

  test('and names are those of the directory that a path leads to', async () => {
    const tree = await treeOfLayers([members])
    expect(tree.names('etc')).toEqual(['os-release'])
    expect(tree.names('')).toEqual(['etc', 'gone', 'lib', 'loop', 'ping', 'pong', 'up', 'usr'])
    expect([tree.names('loop'), tree.names('usr/lib/os-release')]).toEqual([[], []])
    expect(tree.file('etc/os-release')?.size).toBe(1)
    expect(tree.file('lib')).toBeUndefined()
  })
})

describe('a tree of inodes', () => {
  const paths = ['', 'a', 'a-b', 'a-b/x', 'a/b', 'a/b/c', 'a/b-c', 'a/b/d', 'a0', 'a0/y', '\xff']
  const inodes = new Map<string, Inode>(paths.map((path) => [path, impliedDirectory()]))

  test('has its paths in the order of their bytes, whatever the order of the map', () => {
    const sorted = [...paths].sort(byBytes)
    expect(treeOf(inodes).paths).toEqual(sorted)
    expect(treeOf(new Map([...inodes].reverse())).paths).toEqual(sorted)
  })

  test('knows the names of every directory, and none of its neighbours', () => {
    const tree = treeOf(inodes)
    for (const path of paths) {
      const start = path === '' ? '' : `${path}/`
      const expected = paths.filter(
        (other) => other !== '' && other.startsWith(start) && !other.slice(start.length).includes('/'),
      )
      expect(tree.names(path)).toEqual(expected.map((other) => other.slice(start.length)).sort(byBytes))
    }
  })
})
