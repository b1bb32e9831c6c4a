/**
 * Our merge beside umoci's, which unpacks the same layers to a disk. Needs root (owners, devices, `trusted.` attributes) and the
 * packages umoci and attr.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { bytesOf } from '../../src/archive/byte-string.ts'
import type { Layer, LayerEntry } from '../../src/images/layer.ts'
import { mergeLayers } from '../../src/images/merge.ts'
import type { Tree } from '../../src/images/tree.ts'
import { bytes, type Member, member, pax } from '../archive/tar-writer.ts'
import { dir, link, type Parts, spoolBench, tarOf } from './layers-of.ts'
import { type Facts, factsOfFolder, factsOfTree, unpackByUmoci, writeLayout } from './oci-layout.ts'

const work = mkdtempSync(join(tmpdir(), 'muster-umoci-'))
afterAll(() => rmSync(work, { recursive: true }))
let count = 0

/** What umoci makes of tars, lowest first, and what we make of them. */
async function both(tars: Uint8Array[]): Promise<{ theirs: Map<string, Facts>; ours: Map<string, Facts>; tree: Tree }> {
  const folder = join(work, String(count++))
  writeLayout(folder, tars)
  unpackByUmoci(folder, join(folder, 'root'))
  const bench = await spoolBench()
  try {
    const layers: Layer[] = []
    for (const tar of tars) layers.push({ entries: (await bench.receive(tar)).entries, whiteouts: 'oci' })
    const tree = mergeLayers(layers)
    return { theirs: factsOfFolder(join(folder, 'root')), ours: await factsOfTree(tree, bench.spool.contents), tree }
  } finally {
    await bench.remove()
  }
}

/** Small numbers that a seed decides (mulberry32). */
function randomness(seed: number) {
  let state = seed
  const next = (below: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
  return { next, pick: <T>(list: readonly T[]): T => list[next(list.length)]! }
}

/** An entry and the content that it has as a file. */
type Made = { entry: LayerEntry; text: string }

const capability = Uint8Array.of(1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

/** A tar of made entries. */
const packed = (made: Made[]): Uint8Array =>
  tarOf(
    made.flatMap(({ entry, text }): Parts => {
      const flags = {
        file: '0',
        hardlink: '1',
        link: '2',
        character: '3',
        block: '4',
        directory: '5',
        fifo: '6',
        socket: '0',
      }
      const octal = (value: number, length: number) => bytes(`${value.toString(8).padStart(length - 1, '0')}\0`)
      const one: Member = {
        name: entry.type === 'directory' ? `${entry.path}/` : entry.path,
        flag: flags[entry.type],
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        data: bytes(entry.type === 'file' ? text : ''),
        link: 'target' in entry ? entry.target : '',
        raw: {
          136: octal(entry.mtime, 12),
          ...('major' in entry && { 329: octal(entry.major, 8), 337: octal(entry.minor, 8) }),
        },
      }
      const records = Array.from(entry.xattrs ?? [], ([name, value]): [string, Uint8Array] => [
        `SCHILY.xattr.${name}`,
        value,
      ])
      return records.length > 0 ? [pax(records), one] : [one]
    }),
  )

/**
 * How a stack is made. `complete`: every directory has an entry, as in layers that were made from a file system. `anywhere`:
 * whiteouts stand anywhere, else they come first, as layer.md wants them to.
 */
type Manner = { complete?: boolean; anywhere?: boolean }

/**
 * A random stack of layers that OCI image-spec allows: whether it does is for our own merge to say, which must then agree with
 * umoci.
 */
function randomStack(seed: number, { complete = false, anywhere = false }: Manner): Made[][] {
  const { next, pick } = randomness(seed)
  const stack: Made[][] = []
  const treeWith = (layer: Made[]): Tree | undefined => {
    try {
      const layers = [...stack, layer].map(
        (made): Layer => ({ entries: made.map(({ entry }) => entry), whiteouts: 'oci' }),
      )
      const tree = mergeLayers(layers)
      const implied = tree.paths.some((path) => {
        const inode = tree.get(path)
        return inode?.type === 'directory' && inode.implied
      })
      return complete && implied ? undefined : tree
    } catch {
      return undefined
    }
  }
  // Never empty: Go drops records without a value, also those of attributes that have none (archive/tar, mergePAX).
  const attributes = (): Map<string, Uint8Array> | undefined => {
    if (next(4) > 0) return undefined
    const all: [string, Uint8Array][] = [
      ['user.note', bytesOf(`\x00\xff${next(9)}`)],
      ['trusted.origin', bytes('x'.repeat(1 + next(40)))],
      ['security.capability', capability],
    ]
    return new Map(all.slice(next(3)))
  }

  for (let level = 0; level < 2 + next(4); level++) {
    const lower = mergeLayers(
      stack.map((made): Layer => ({ entries: made.map(({ entry }) => entry), whiteouts: 'oci' })),
    )
    const layer: Made[] = []
    const add = (path: string, entry: object, at = layer.length, more: object = {}): void => {
      const common = {
        path,
        mode: pick([0o644, 0o755, 0o4711, 0o2775, 0o1777, 0o600]),
        uid: next(3) * 1000,
        gid: next(3) * 7,
        mtime: 1_600_000_000 + next(10_000_000),
        acl: false,
        ...more,
      }
      const made = {
        entry: { ...common, ...entry } as LayerEntry,
        text: `${seed} ${level} ${layer.length} ${'.'.repeat(next(900))}`,
      }
      const longer = layer.toSpliced(at, 0, made)
      // What was there when an entry came may be hidden now: with each entry, all directories must be there.
      const valid = at === layer.length || longer.every((_, last) => treeWith(longer.slice(0, last + 1)))
      if (valid && treeWith(longer)) layer.splice(at, 0, made)
    }
    const withAttributes = () => {
      const xattrs = attributes()
      return xattrs ? { xattrs } : {}
    }
    if (level === 0) add('.', { type: 'directory', mode: 0o755 })
    for (let tries = 0; tries < 32; tries++) {
      const now = treeWith(layer) ?? lower
      const directories = now.paths.filter((path) => now.get(now.resolve(path) ?? '')?.type === 'directory')
      const others = now.paths.filter((path) => path !== '' && now.get(path)?.type !== 'directory')
      const parent = pick(directories)
      const name = pick(['a', 'b', 'c', 'd', 'e-f', 'e', 'name with blank'])
      const missing = !complete && next(4) === 0 ? `${pick(['m', 'n'])}/` : ''
      const path = `${parent}${parent === '' ? '' : '/'}${missing}${name}`
      const digest = `sha256:${seed}-${level}-${tries}` as const
      switch (next(11)) {
        case 0:
        case 1:
        case 2:
          // What is made in a set-group-ID directory inherits that on a disk; directories that are missing would.
          add(path, { type: 'directory', mode: pick([0o755, 0o700, complete ? 0o2775 : 0o711]), ...withAttributes() })
          break
        case 3:
        case 4:
          add(path, { type: 'file', size: 1, digest, ...withAttributes() })
          break
        case 5:
          if (others.length > 0) add(path, { type: 'hardlink', target: pick(others) })
          break
        case 6:
          // A whiteout behind a link of its own layer hides what the link leads to, in umoci: see below.
          if (anywhere) break
          add(path, {
            type: 'link',
            mode: 0o777,
            target: pick(['a', '../b', '/a/b', '../../../c', 'no/where', '/', `/${parent}`]),
          })
          break
        case 7:
          add(
            path,
            pick([
              { type: 'fifo' },
              { type: 'character', major: 1, minor: 3 },
              { type: 'block', major: 7, minor: 200 },
            ]),
          )
          break
        default: {
          const victim = pick(lower.paths)
          const above = victim.slice(0, Math.max(0, victim.lastIndexOf('/')))
          const at = anywhere ? next(layer.length + 1) : 0
          const whiteout = { type: 'file', size: 0, digest }
          if (victim !== '' && next(4) > 0)
            add(
              `${above}${above === '' ? '' : '/'}.wh.${victim.slice(above === '' ? 0 : above.length + 1)}`,
              whiteout,
              at,
            )
          else if (lower.get(above)?.type === 'directory')
            add(`${above}${above === '' ? '' : '/'}.wh..wh..opq`, whiteout, at)
        }
      }
    }
    stack.push(layer)
  }
  return stack
}

/** The facts without the times of directories. */
const withoutDirectoryTimes = (all: Map<string, Facts>): Map<string, Facts> =>
  new Map(
    Array.from(all, ([path, { mtime, ...facts }]) => [
      path,
      facts.type === 'directory' ? facts : { mtime: mtime ?? 0, ...facts },
    ]),
  )

describe('a stack of layers gives the tree that umoci unpacks, entry by entry', () => {
  const seeds = (first: number) => Array.from({ length: 12 }, (_, at) => first + at)

  test.each(seeds(1))('with all directories and whiteouts first: seed %i', async (seed) => {
    const { theirs, ours } = await both(randomStack(seed, { complete: true }).map(packed))
    expect(ours).toEqual(theirs)
    expect(ours.size).toBeGreaterThan(3)
  })

  // umoci gives a directory that no layer has the time of its making, and its parent, too; and the time of the removal to a
  // directory in which a whiteout of one above it finds something to remove.
  test.each<[string, Manner, number[]]>([
    ['with directories missing and whiteouts first', {}, seeds(101)],
    ['with all directories and whiteouts anywhere', { complete: true, anywhere: true }, seeds(201)],
  ])(
    'but for times of directories: %s',
    async (_, manner, all) => {
      for (const seed of all) {
        const { theirs, ours } = await both(randomStack(seed, manner).map(packed))
        expect(withoutDirectoryTimes(ours), `seed ${seed}`).toEqual(withoutDirectoryTimes(theirs))
        expect(ours.size).toBeGreaterThan(3)
      }
    },
    120_000,
  )

  test('the random stacks have everything in them that layers can have', () => {
    const stacks = [...seeds(1), ...seeds(201)].map((seed) =>
      randomStack(seed, { complete: true, anywhere: seed > 200 }),
    )
    const entries = stacks.flatMap((stack) => stack.slice(1).flat()).map(({ entry }) => entry)
    const kinds = entries.map(({ type, path }) =>
      /(?:^|\/)\.wh\./.test(path) ? (path.endsWith('.opq') ? 'opaque' : 'whiteout') : type,
    )
    for (const kind of ['file', 'directory', 'link', 'hardlink', 'fifo', 'character', 'block', 'whiteout', 'opaque'])
      expect(kinds.filter((one) => one === kind).length, kind).toBeGreaterThan(20)
    const lowerNames = stacks.flatMap((stack) =>
      stack.slice(1).map((layer, at) => {
        const lower = mergeLayers(
          stack.slice(0, at + 1).map((made): Layer => ({ entries: made.map(({ entry }) => entry), whiteouts: 'oci' })),
        )
        const through = layer.filter(
          ({ entry }) => lower.get(entry.path.slice(0, Math.max(0, entry.path.lastIndexOf('/'))))?.type === 'link',
        )
        const across = layer.filter(({ entry }) => entry.type === 'hardlink' && lower.get(entry.target))
        const replacing = layer.filter(
          ({ entry }) => entry.type !== 'directory' && lower.get(entry.path)?.type === 'directory',
        )
        return { through: through.length, across: across.length, replacing: replacing.length }
      }),
    )
    for (const kind of ['through', 'across', 'replacing'] as const)
      expect(
        lowerNames.reduce((sum, one) => sum + one[kind], 0),
        kind,
      ).toBeGreaterThan(10)
  })
})

const at = (mtime: number) => ({ 136: bytes(`${mtime.toString(8).padStart(11, '0')}\0`) })
const file = (name: string, text = ''): Member => ({ name, data: bytes(text), raw: at(1_700_000_000) })

test('whiteouts through a link of a lower layer hide what it leads to, as in umoci', async () => {
  const lower = [
    dir('d'),
    file('d/f', 'x'),
    file('d/g', 'y'),
    link('l', '/d'),
    dir('e'),
    file('e/h'),
    link('up', '../../../e'),
  ]
  const { theirs, ours } = await both([tarOf(lower), tarOf([file('l/.wh.f'), file('up/.wh..wh..opq')])])
  expect(withoutDirectoryTimes(ours)).toEqual(withoutDirectoryTimes(theirs))
  expect([...ours.keys()]).toEqual(['', 'd', 'd/g', 'e', 'l', 'up'])
})

/**
 * layer.md: whiteouts "MUST only apply to resources in lower/parent layers" and are "applied first … regardless of the ordering
 * in which the whiteout file was encountered". umoci goes in the order of the archive, and counts the directories above an
 * entry as its layer's own.
 */
describe('where umoci goes by the order of the archive, we go by layer.md', () => {
  const lower = tarOf([
    dir('.'),
    dir('d', { mode: 0o700, uid: 9 }),
    file('d/old'),
    dir('x'),
    file('x/f', 'kept'),
    link('s', 'x'),
  ])
  const modeOf = (facts: Map<string, Facts>, path: string) => facts.get(path)?.mode

  test('a directory that is hidden and comes back without an entry is a new one, in either order', async () => {
    const first = await both([lower, tarOf([file('.wh.d'), file('d/new')])])
    const last = await both([lower, tarOf([file('d/new'), file('.wh.d')])])
    expect(withoutDirectoryTimes(first.ours)).toEqual(withoutDirectoryTimes(first.theirs))
    expect(withoutDirectoryTimes(last.ours)).toEqual(withoutDirectoryTimes(first.ours))
    expect([modeOf(last.ours, 'd'), modeOf(last.theirs, 'd')]).toEqual(['755', '700'])
  })

  test('a whiteout below a link that its layer replaces by a directory hides nothing, in either order', async () => {
    const first = await both([lower, tarOf([file('s/.wh.f'), dir('s')])])
    const last = await both([lower, tarOf([dir('s'), file('s/.wh.f')])])
    expect(withoutDirectoryTimes(last.ours)).toEqual(withoutDirectoryTimes(last.theirs))
    expect(withoutDirectoryTimes(first.ours)).toEqual(withoutDirectoryTimes(last.ours))
    expect([first.ours.has('x/f'), first.theirs.has('x/f')]).toEqual([true, false])
  })
})

test('a member that we pack is one that umoci reads: the rig itself is sound', async () => {
  const { theirs } = await both([tarOf([dir('.'), member(file('f', 'text'))])])
  expect(theirs.get('f')).toMatchObject({ type: 'file', mode: '644', content: 'text', mtime: 1_700_000_000, links: 1 })
})
