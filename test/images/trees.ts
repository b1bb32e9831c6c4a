/** Trees at random, and trees on a disk. */
import { execFileSync } from 'node:child_process'
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from 'node:fs'
import fc from 'fast-check'
import { byteString, bytesOf } from '../../src/archive/byte-string.ts'
import { digestOf } from '../../src/blobs/digest.ts'
import type { Inode, Tree } from '../../src/images/tree.ts'
import type { Entry } from './store-image.ts'

/** Bytes that do not compress away, the same for the same seed. */
export function noise(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  let state = seed | 1
  for (let at = 0; at < length; at++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223
    bytes[at] = state >>> 24
  }
  return bytes
}

/** One part of a path: usual names, any bytes, and such as have no room in a ustar header. */
const name = fc
  .oneof(
    { weight: 4, arbitrary: fc.stringMatching(/^[a-f.-]{1,4}$/) },
    fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => byteString(bytes).replace(/[\0/]/g, 'x')),
    fc
      .tuple(fc.constantFrom('n', '\xe9'), fc.integer({ min: 90, max: 255 }))
      .map(([char, count]) => char.repeat(count)),
  )
  .filter((text) => text !== '.' && text !== '..')

const owner = fc.oneof(fc.constantFrom(0, 1000, 2 ** 21 - 1, 2 ** 21), fc.nat(2 ** 31 - 1))

/** Attributes that only need room: any bytes as values. */
const attributes = fc
  .uniqueArray(
    fc.tuple(
      fc.tuple(fc.constantFrom('user', 'trusted'), fc.stringMatching(/^[a-c=%]{1,3}$/)).map((parts) => parts.join('.')),
      fc.uint8Array({ minLength: 1, maxLength: 90 }).map((bytes) => new Uint8Array(bytes)),
    ),
    { minLength: 1, maxLength: 3, selector: ([key]) => key },
  )
  .map((pairs) => new Map(pairs))

const kind = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('file' as const),
      size: fc.oneof(
        { weight: 6, arbitrary: fc.nat(3000) },
        { weight: 3, arbitrary: fc.integer({ min: 100_000, max: 400_000 }) },
        { weight: 1, arbitrary: fc.integer({ min: 2 ** 22 - 600, max: 2 ** 22 + 600 }) },
      ),
      seed: fc.nat(50),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('directory' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('link' as const),
      target: fc.uint8Array({ minLength: 1, maxLength: 150 }).map((bytes) => byteString(bytes).replaceAll('\0', '/')),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom('character' as const, 'block' as const),
      major: fc.nat(4095),
      minor: fc.nat(2 ** 20 - 1),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('fifo' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('hardlink' as const), to: fc.nat(1000) }) },
)

const item = fc.record({
  ...{ name, parent: fc.nat(1000), kind, uid: owner, gid: owner },
  mode: fc.nat(0o7777),
  xattrs: fc.option(attributes, { nil: undefined, freq: 5 }),
  mtime: fc.oneof(fc.integer({ min: 0, max: 2 ** 31 - 1 }), fc.constantFrom(0, 2 ** 33)),
})

/** Entries for `treeWith`: a tree of up to `most` entries with everything that a tree can have. */
export const entries = (most: number): fc.Arbitrary<Map<string, Entry>> =>
  fc.array(item, { maxLength: most }).map((items) => {
    const made = new Map<string, Entry>()
    const directories = ['']
    const others: string[] = []
    for (const { name, parent, kind, mode, uid, gid, mtime, xattrs } of items) {
      const above = directories[parent % directories.length] ?? ''
      const path = above === '' ? name : `${above}/${name}`
      if (made.has(path) || path.length > 3000) continue
      // `user.` attributes are for files and directories alone, xattr(7).
      const bearer = kind.type === 'file' || kind.type === 'directory'
      const common = { mode, uid, gid, mtime, ...(bearer && xattrs && { xattrs }) }
      const to = others[kind.type === 'hardlink' ? kind.to % Math.max(1, others.length) : 0]
      if (kind.type === 'hardlink') {
        if (to !== undefined) made.set(path, { type: 'hardlink', to })
      } else if (kind.type === 'file') made.set(path, { ...common, type: 'file', data: noise(kind.size, kind.seed) })
      else made.set(path, { ...common, ...kind })
      if (kind.type === 'directory') directories.push(path)
      else if (kind.type !== 'hardlink') others.push(path)
    }
    return made
  })

/** What is known of each path. */
export type Facts = Record<string, Record<string, unknown>>

/** What a tree says of each path, to be compared. Links have no mode of their own, times of directories are left out. */
export async function factsOf(tree: Tree): Promise<Facts> {
  const facts: Facts = {}
  const first = new Map<Inode, string>()
  for (const path of tree.paths) {
    const inode = tree.get(path)
    if (!inode || path === '') continue
    const same = first.get(inode) ?? path
    first.set(inode, same)
    const { type, uid, gid, mtime } = inode
    facts[path] = {
      ...{ type, uid, gid, first: same },
      ...(type !== 'link' && { mode: inode.mode }),
      ...(type !== 'directory' && { mtime }),
      ...(type === 'link' && { target: inode.target }),
      ...('major' in inode && { major: inode.major, minor: inode.minor }),
      ...(type === 'file' && { size: inode.size, digest: inode.digest }),
      ...(inode.xattrs && { xattrs: [...inode.xattrs].map(([key, value]) => [key, btoa(byteString(value))]).sort() }),
    }
  }
  return facts
}

/** The same of a folder on the disk. */
export async function factsOnDisk(folder: string): Promise<Facts> {
  const facts: Facts = {}
  const paths: string[] = []
  const base = Buffer.from(`${folder}/`)
  const at = (path: string) => Buffer.concat([base, bytesOf(path)])
  const walk = (above: string) => {
    for (const each of readdirSync(at(above), { encoding: 'buffer' })) {
      const path = above + byteString(each)
      paths.push(path)
      if (lstatSync(at(path)).isDirectory()) walk(`${path}/`)
    }
  }
  walk('')
  const first = new Map<number, string>()
  const attributes = xattrsOnDisk(folder)
  for (const path of paths.sort()) {
    const stat = lstatSync(at(path))
    const same = (!stat.isDirectory() && first.get(stat.ino)) || path
    first.set(stat.ino, same)
    const type = typeOf(stat)
    const bytes = type === 'file' ? new Uint8Array(readFileSync(at(path))) : undefined
    const xattrs = attributes.get(path)
    facts[path] = {
      ...{ type, uid: stat.uid, gid: stat.gid, first: same },
      ...(type !== 'link' && { mode: stat.mode & 0o7777 }),
      ...(type !== 'directory' && { mtime: stat.mtimeMs / 1000 }),
      ...(type === 'link' && { target: byteString(readlinkSync(at(path), { encoding: 'buffer' })) }),
      ...((type === 'character' || type === 'block') && deviceOf(stat.rdev)),
      ...(bytes && { size: bytes.length, digest: await digestOf(bytes) }),
      ...(xattrs && { xattrs: xattrs.sort() }),
    }
  }
  return facts
}

function typeOf(stat: Stats): Inode['type'] {
  if (stat.isDirectory()) return 'directory'
  if (stat.isSymbolicLink()) return 'link'
  if (stat.isCharacterDevice()) return 'character'
  if (stat.isBlockDevice()) return 'block'
  return stat.isFIFO() ? 'fifo' : 'file'
}

/** Linux, new_encode_dev: twelve bits of major, the minor around them. */
export const deviceOf = (rdev: number): { major: number; minor: number } => ({
  major: (rdev >>> 8) & 0xfff,
  minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
})

/** Extended attributes by path, values in base64, as getfattr(1) of the package attr tells them. */
function xattrsOnDisk(folder: string): Map<string, [string, string][]> {
  const dump = execFileSync('getfattr', ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'base64', '.'], {
    cwd: folder,
    encoding: 'latin1',
    maxBuffer: 2 ** 26,
  })
  const plain = (text: string) =>
    text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))
  const found = new Map<string, [string, string][]>()
  for (const block of dump.split('\n\n').filter((text) => text !== '')) {
    const [head = '', ...lines] = block.split('\n')
    found.set(
      plain(head.replace(/^# file: /, '')),
      lines.map((line): [string, string] => [plain(line.split('=')[0] ?? ''), line.slice(line.indexOf('=0s') + 3)]),
    )
  }
  return found
}
