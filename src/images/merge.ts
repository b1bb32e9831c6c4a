/**
 * Lays layers on one another, as OCI image-spec layer.md and overlayfs mean it. Nothing is extracted; still, what would step
 * out of the tree when extracted is refused by name, though it could do no harm here: such an archive is not what it seems.
 */
import { type ByteString, readable } from '../archive/byte-string.ts'
import { type ArchiveLimits, defaultLimits, invalid } from '../archive/limits.ts'
import { type Content, createGrowingTree, type GrowingTree, type Place } from './growing-tree.ts'
import type { Layer, LayerEntry } from './layer.ts'
import { type Inode, impliedDirectory, mostLinks, parentOf, type Tree, treeOf } from './tree.ts'
import { type Meaning, meaningOf } from './whiteouts.ts'

/** How layers are merged. */
export type MergeOptions = {
  limits?: Partial<ArchiveLimits>
  /** What the layers are laid on; it stays as it is. */
  base?: Tree
}

type Directory = Extract<Inode, { type: 'directory' }>

/** Entries between two steps: a few milliseconds of work. */
const stride = 4096

/**
 * The tree of layers, lowest first. Later layers win, whiteouts hide what lower layers have, wherever they stand in theirs.
 * Throws `ARCHIVE_INVALID` or `ARCHIVE_LIMIT` with the path of the entry at fault.
 */
export function mergeLayers(layers: readonly Layer[], options: MergeOptions = {}): Tree {
  const steps = mergeSteps(layers, options)
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

/** {@link mergeLayers} in steps of a few milliseconds, for whoever has something else to do in between. */
export function* mergeSteps(
  layers: readonly Layer[],
  { limits, base }: MergeOptions = {},
): Generator<undefined, Tree, undefined> {
  const tree = createGrowingTree({ ...defaultLimits, ...limits }, base)
  for (const [number, layer] of layers.entries()) {
    // Whiteouts hide what is below their layer, so they come before everything in it.
    for (const hide of [true, false]) {
      const apply = hide ? createHider(tree, layer) : createAdder(tree, number)
      for (const [at, entry] of layer.entries.entries()) {
        apply(meaningOf(entry, normalised(entry.path, entry.path, 'its name'), layer.whiteouts))
        if (at % stride === stride - 1) yield
      }
    }
  }
  const inodes = new Map<ByteString, Inode>()
  const sockets: ByteString[] = []
  const acls: ByteString[] = []
  for (const { path, inode, acl } of tree.inOrder()) {
    if (inode.type === 'socket') sockets.push(path)
    else inodes.set(path, inode)
    if (acl) acls.push(path)
    if (inodes.size % stride === stride - 1) yield
  }
  return treeOf(inodes, [...dropped(sockets, 'socket'), ...dropped(acls, 'ACL')])
}

/** Applies the whiteouts of a layer, while nothing else of it is in the tree. What is not there needs no hiding. */
function createHider(tree: GrowingTree, layer: Layer): (meaning: Meaning) => void {
  let names: ReadonlySet<ByteString> | undefined
  /** Where the layer has something itself, a link below it is replaced, and nothing below that link is meant. */
  const stays = (link: Place): boolean => {
    names ??= new Set(layer.entries.map((entry) => normalised(entry.path, entry.path, 'its name')))
    return !names.has(link.path)
  }
  return (meaning) => {
    if (meaning.kind === 'remove') {
      const directory = followed(tree, parentOf(meaning.path), stays)
      const place = directory === undefined ? undefined : tree.get(within(directory, nameOf(meaning.path)))
      if (place) tree.remove(place)
    } else if (meaning.kind === 'empty') {
      const directory = followed(tree, meaning.path, stays)
      const place = directory === undefined ? undefined : tree.get(directory)
      if (place) tree.empty(place)
    }
  }
}

/** Adds the entries of the layer of that number, in its order. */
function createAdder(tree: GrowingTree, layer: number): (meaning: Meaning) => void {
  /** The directory of a path: below links of lower layers as below any directory, below links of its own layer never. */
  function directoryOf(path: ByteString, entry: ByteString, relation: string): ByteString {
    const above = parentOf(path)
    if (tree.get(above)?.inode.type === 'directory') return above
    const directory = followed(tree, above, (link) => {
      if (link.layer === layer) throw invalid(entry, `it ${relation} the symbolic link ${readable(link.path)}`)
      return true
    })
    if (directory === undefined) throw invalid(entry, `it ${relation} more than ${mostLinks} symbolic links`)
    return directory
  }

  /** Makes the directories that are missing of a path. */
  function makeDirectory(path: ByteString, entry: ByteString): void {
    const missing: ByteString[] = []
    for (let above = path; ; above = parentOf(above)) {
      const place = tree.get(above)
      if (place?.inode.type === 'directory') break
      if (place) throw invalid(entry, `it lies below ${readable(above)}, which is no directory`)
      missing.push(above)
    }
    for (const above of missing.reverse()) tree.add(above, impliedDirectory(), layer)
  }

  /** What a hard link names. It must have come before it. */
  function linked(name: ByteString, entry: ByteString): Content {
    const target = normalised(name, entry, 'the target of its hard link')
    const directory = target === '' ? '' : directoryOf(target, entry, 'is a hard link through')
    const inode = tree.get(target === '' ? '' : within(directory, nameOf(target)))?.inode
    if (!inode) throw invalid(entry, `it is a hard link to ${readable(target)}, which does not come before it`)
    if (inode.type === 'directory')
      throw invalid(entry, `it is a hard link to the directory ${readable(target) || 'of the root'}`)
    return inode
  }

  /** Takes away what a lower layer has where something else comes. */
  function clear(place: Place, entry: ByteString, type: LayerEntry['type']): void {
    if (place.layer === layer) throw invalid(entry || '.', repetition(place.inode.type, type))
    for (const { path, layer: itsLayer } of tree.below(place))
      if (itsLayer === layer) throw invalid(entry, `it is no directory, but the archive has ${readable(path)} below it`)
    tree.remove(place)
  }

  return (meaning) => {
    const entry = meaning.kind === 'add' || meaning.kind === 'empty' ? meaning.entry : undefined
    if (!entry || meaning.kind === 'skip') return
    const { path } = meaning
    if (path === '' && entry.type !== 'directory')
      throw invalid(entry.path, 'it stands for the root, but is no directory')
    const directory = directoryOf(path, path, 'lies below')
    makeDirectory(directory, path)
    const standing = path === '' ? '' : within(directory, nameOf(path))
    const before = tree.get(standing)
    const inode = entry.type === 'hardlink' ? undefined : inodeOf(entry)
    if (before?.inode.type === 'directory' && inode?.type === 'directory') {
      if (before.layer === layer && !isRepeated(before.inode, inode))
        throw invalid(path || '.', repetition('directory', 'directory'))
      tree.replace(before, inode, layer, entry.acl)
      return
    }
    if (before) clear(before, path, entry.type)
    const content = entry.type === 'hardlink' ? linked(entry.target, path) : inodeOf(entry)
    tree.add(standing, content, layer, entry.acl)
    if (entry.type === 'hardlink') content.links += 1
  }
}

/**
 * Where a path leads once the links in it are followed, never out of the tree; what is not there is taken as it is.
 * `undefined` when there are too many links, or one that `mayFollow` denies.
 */
function followed(tree: GrowingTree, path: ByteString, mayFollow: (link: Place) => boolean): ByteString | undefined {
  if (tree.get(path)?.inode.type === 'directory') return path
  const ahead = path.split('/').reverse()
  let here: ByteString = ''
  for (let links = 0; ahead.length > 0; ) {
    const part = ahead.pop()
    if (part === undefined || part === '' || part === '.') continue
    const next = part === '..' ? parentOf(here) : within(here, part)
    const place = tree.get(next)
    if (place?.inode.type !== 'link') {
      here = next
      continue
    }
    links += 1
    if (links > mostLinks || !mayFollow(place)) return undefined
    // An absolute target starts at the image's own root.
    if (place.inode.target.startsWith('/')) here = ''
    ahead.push(...place.inode.target.split('/').reverse())
  }
  return here
}

/** Slashes and dots taken out. `what` names the thing when it has `..`. */
function normalised(name: ByteString, entry: ByteString, what: string): ByteString {
  const [from, to] = [name.startsWith('./') ? 2 : 0, name.endsWith('/') ? name.length - 1 : name.length]
  const plain = from === 0 && to === name.length ? name : name.slice(from, to)
  if (!/(?:^|\/)\.{0,2}(?:\/|$)/.test(plain)) return plain
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw invalid(entry, `${what} has ".."`)
  return parts.join('/')
}

function inodeOf(entry: Exclude<LayerEntry, { type: 'hardlink' }>): Content {
  if (entry.type === 'socket') return { type: 'socket', links: 1 }
  const { mode, uid, gid, mtime, xattrs } = entry
  const common = { mode, uid, gid, mtime, links: 1, ...(xattrs && { xattrs }) }
  if (entry.type === 'file') return { ...common, type: 'file', size: entry.size, digest: entry.digest }
  if (entry.type === 'link') return { ...common, type: 'link', target: entry.target }
  if (entry.type === 'directory') return { ...common, type: 'directory', implied: false }
  if (entry.type === 'fifo') return { ...common, type: 'fifo' }
  return { ...common, type: entry.type, major: entry.major, minor: entry.minor }
}

/** Archives in the wild repeat directories; the same one again says nothing new. */
function isRepeated(before: Directory, inode: Directory): boolean {
  if (before.implied) return true
  if (before.mode !== inode.mode || before.uid !== inode.uid || before.gid !== inode.gid) return false
  const [one, other] = [before.xattrs ?? new Map(), inode.xattrs ?? new Map()]
  return one.size === other.size && [...one].every(([name, value]) => String(value) === String(other.get(name)))
}

function repetition(before: string, now: string): string {
  if (before !== 'directory') return 'the archive has it twice'
  if (now !== 'directory') return 'the archive has it twice, first as a directory'
  return 'the archive has this directory twice, with different owners, modes or attributes'
}

const within = (directory: ByteString, name: ByteString): ByteString =>
  directory === '' ? name : `${directory}/${name}`

const nameOf = (path: ByteString): ByteString => path.slice(path.lastIndexOf('/') + 1)

/** One warning for all entries of which something was left out, with the first three names. */
function dropped(paths: ByteString[], what: string): string[] {
  if (paths.length === 0) return []
  const names = paths.slice(0, 3).map((path) => readable(path))
  return [
    `left out ${paths.length} ${what}${paths.length > 1 ? 's' : ''} (${names.join(', ')}${paths.length > 3 ? ' …' : ''})`,
  ]
}
