/** A tree while layers are laid on one another. It knows what stands where and from which layer, and counts links. */
import type { ByteString } from '../archive/byte-string.ts'
import type { ArchiveLimits } from '../archive/limits.ts'
import { createIndexLimit } from './index-limit.ts'
import { byBytes, type Inode, impliedDirectory, parentOf, type Tree } from './tree.ts'

/** What stands under a name for now. Sockets keep their place until the end, where they are left out. */
export type Content = Inode | { type: 'socket'; links: number }

/** A name. */
export type Place = {
  path: ByteString
  inode: Content
  /** Number of the layer that said it last; -1 for the base, and for a root that nobody named. */
  layer: number
  /** It came with POSIX ACLs, which are left out. */
  acl: boolean
  /** The name was removed; lists of names may still have it. */
  gone: boolean
  /** Of a directory: the name that was added last, from which {@link Place.next} leads to the others. */
  last?: Place
  /** The name that was added before to the same directory. */
  next?: Place
}

/** Names that come and go. */
export type GrowingTree = {
  get(path: ByteString): Place | undefined
  /** Adds a name that is not there, in a directory that is; throws `ARCHIVE_LIMIT`. */
  add(path: ByteString, inode: Content, layer: number, acl?: boolean): void
  /** Gives a directory other attributes; throws `ARCHIVE_LIMIT`. */
  replace(place: Place, inode: Inode, layer: number, acl: boolean): void
  /** Takes a name away, and all below it. */
  remove(place: Place): void
  /** Takes away all below a name. */
  empty(place: Place): void
  /** Names below a directory, in no order. */
  below(place: Place): Generator<Place>
  /** All names in the order of their bytes. */
  inOrder(): Generator<Place>
}

/** A tree with a root alone, or with a copy of `base`. */
export function createGrowingTree(limits: Pick<ArchiveLimits, 'entries' | 'index'>, base?: Tree): GrowingTree {
  const limit = createIndexLimit(limits)
  const root: Place = { path: '', inode: impliedDirectory(), layer: -1, acl: false, gone: false }
  const places = new Map<ByteString, Place>([['', root]])

  function add(path: ByteString, inode: Content, layer: number, acl = false): void {
    limit.add(path, inode)
    const place: Place = { path, inode, layer, acl, gone: false }
    const above = places.get(parentOf(path))
    if (above?.last) place.next = above.last
    if (above) above.last = place
    places.set(path, place)
  }

  function* below(top: Place): Generator<Place> {
    const ahead = [...namesIn(top)]
    for (let place = ahead.pop(); place; place = ahead.pop()) {
      yield place
      ahead.push(...namesIn(place))
    }
  }

  function take(place: Place): void {
    place.gone = true
    places.delete(place.path)
    if (place.inode.type !== 'directory') place.inode.links -= 1
  }

  function empty(top: Place): void {
    for (const place of [...below(top)]) take(place)
    delete top.last
  }

  if (base) copy(base, root, add)
  return {
    get: (path) => places.get(path),
    add,
    replace(place, inode, layer, acl) {
      limit.add(place.path, inode)
      Object.assign(place, { inode, layer, acl })
    },
    remove(place) {
      empty(place)
      take(place)
    },
    empty,
    below,
    inOrder: () => inOrder(root),
  }
}

/** The base is somebody's: what changes here, the number of links, must not change there. */
function copy(base: Tree, root: Place, add: GrowingTree['add']): void {
  const shared = new Map<Inode, Inode>()
  for (const path of base.paths) {
    const inode = base.get(path)
    if (!inode) continue
    const own = shared.get(inode) ?? { ...inode }
    if (inode.links > 1) shared.set(inode, own)
    if (path === '') root.inode = own
    else add(path, own, -1)
  }
}

function* namesIn(place: Place): Generator<Place> {
  for (let name = place.last; name; name = name.next) if (!name.gone) yield name
}

/**
 * A name's own place in the order is not that of what is below it: `a`, `a-b`, `a/c`. So each directory is sorted with two
 * keys for every directory in it.
 */
function* inOrder(root: Place): Generator<Place> {
  type Step = { key: ByteString; place: Place; inside: boolean }
  const stepsOf = (place: Place): Step[] =>
    [...namesIn(place)]
      .flatMap((name): Step[] => {
        const self = { key: name.path, place: name, inside: false }
        return name.last ? [self, { key: `${name.path}/`, place: name, inside: true }] : [self]
      })
      .sort((one, other) => byBytes(other.key, one.key))
  yield root
  const ahead = stepsOf(root)
  for (let step = ahead.pop(); step; step = ahead.pop())
    if (!step.inside) yield step.place
    else for (const next of stepsOf(step.place)) ahead.push(next)
}
