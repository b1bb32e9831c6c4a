/**
 * Users and groups of the head node win over those of an image, so that the owners of files mean the same on both.
 *
 * A name that both have gets the head node's id, and every file of the old id is re-owned, in the tree, so that nothing is
 * followed anywhere and set-id bits stay as they are (chown(2) would clear them). Ids are exchanged all at once, so two that
 * swap do not run into one another. A name that only the image has keeps its id, unless the head node gives that id to
 * another name: that is a conflict, and when it is to be settled the image's name gets a free id.
 */
import { type ByteString, byteString, bytesOf } from '../archive/byte-string.ts'
import { digestOf } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import { type Accounts, freeId, mergedLines, parseAccounts } from './accounts.ts'
import { reownedAcls } from './acl.ts'
import { type Contents, fillFrom } from './contents.ts'
import { type Inode, impliedDirectory, type Tree, treeOf } from './tree.ts'

/** The head node's own passwd(5) and group(5), as text. */
export type HostUsers = { passwd: string; group: string }

/** An id of the image that becomes another. `conflict` when the head node has given the old one to another name. */
export type IdChange = { kind: 'user' | 'group'; name: string; from: number; to: number; conflict?: string }

/** A tree with the head node's users, and the bytes of its files. */
export type SyncedUsers = { tree: Tree; contents: Contents; changes: IdChange[] }

/** Nobody's passwd is larger. */
const largestFile = 16 * 2 ** 20

/**
 * The tree with the head node's users and groups. Its `/etc/passwd` and `/etc/group` are the head node's, and after them the
 * names that only the image has. With conflicts it throws `SYNCUSER_CONFLICT`, with one fault for each, unless `settle` is
 * set. Throws `ARCHIVE_INVALID` when those paths are no files in the image.
 */
export async function syncUsers(
  { tree, contents }: { tree: Tree; contents: Contents },
  given: HostUsers,
  { settle }: { settle: boolean },
): Promise<SyncedUsers> {
  const host = { passwd: utf8(given.passwd), group: utf8(given.group) }
  const image = {
    passwd: await textOf(tree, contents, 'etc/passwd'),
    group: await textOf(tree, contents, 'etc/group'),
  }
  const users = changesOf('user', parseAccounts(host.passwd, 7), parseAccounts(image.passwd, 7))
  const groups = changesOf('group', parseAccounts(host.group, 4), parseAccounts(image.group, 4))
  const changes = [...users, ...groups]
  const conflicts = changes.filter(({ conflict }) => conflict !== undefined)
  if (conflicts.length > 0 && !settle) throw refusal(conflicts)
  const uids = new Map(users.map(({ from, to }) => [from, to]))
  const gids = new Map(groups.map(({ from, to }) => [from, to]))
  const files = new Map<ByteString, Uint8Array<ArrayBuffer>>([
    ['etc/passwd', bytesOf(mergedLines('passwd', host.passwd, image.passwd, { uids, gids }))],
    ['etc/group', bytesOf(mergedLines('group', host.group, image.group, { uids, gids }))],
  ])
  return { ...(await rewritten(tree, contents, files, reowner(uids, gids))), changes }
}

const utf8 = (text: string): ByteString => byteString(new TextEncoder().encode(text))

/** What has to change for the head node's ids to hold. */
function changesOf(kind: IdChange['kind'], host: Accounts, image: Accounts): IdChange[] {
  const changes: IdChange[] = []
  const taken = new Set([...host.byId.keys(), ...image.byId.keys()])
  const moved = new Set<number>()
  for (const [name, from] of image.byName) {
    const to = host.byName.get(name)
    // Files know numbers only: of several names of one number the first decides.
    if (moved.has(from) || image.byId.get(from) !== name) continue
    if (to !== undefined) {
      if (to === from) continue
      moved.add(from)
      changes.push({ kind, name, from, to })
      continue
    }
    const other = host.byId.get(from)
    if (other === undefined) continue
    moved.add(from)
    const free = freeId(from, taken)
    taken.add(free)
    changes.push({ kind, name, from, to: free, conflict: other })
  }
  return changes
}

function refusal(conflicts: IdChange[]): AppError {
  const faults = conflicts.map(({ kind, name, from, to, conflict }) => ({
    field: `${kind} ${name}`,
    message: `has id ${from}, which is ${conflict}'s on the head node: it would get ${to}`,
  }))
  const [first] = faults
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : ''
  return new AppError(
    'SYNCUSER_CONFLICT',
    `${first?.field} of the image ${first?.message}${more}: make that ${conflicts[0]?.kind} on the head node, or settle it with --syncuser=write`,
    { faults },
  )
}

/** A function that gives an inode its new owners; the names of one inode get one inode. */
function reowner(uids: ReadonlyMap<number, number>, gids: ReadonlyMap<number, number>): (inode: Inode) => Inode {
  const done = new Map<Inode, Inode>()
  return (inode) => {
    const known = done.get(inode)
    if (known) return known
    const uid = uids.get(inode.uid) ?? inode.uid
    const gid = gids.get(inode.gid) ?? inode.gid
    const xattrs = inode.xattrs && reownedAcls(inode.xattrs, uids, gids)
    const same = uid === inode.uid && gid === inode.gid && xattrs === inode.xattrs
    const made = same ? inode : { ...inode, uid, gid, ...(xattrs && { xattrs }) }
    done.set(inode, made)
    return made
  }
}

/** The tree with other files under some paths; where a path leads to a file by links, that file is another. */
async function rewritten(
  tree: Tree,
  contents: Contents,
  files: ReadonlyMap<ByteString, Uint8Array<ArrayBuffer>>,
  reown: (inode: Inode) => Inode,
): Promise<{ tree: Tree; contents: Contents }> {
  const inodes = new Map<ByteString, Inode>()
  for (const path of tree.paths) {
    const inode = tree.get(path)
    if (inode) inodes.set(path, reown(inode))
  }
  const made = new Map<string, Uint8Array<ArrayBuffer>>()
  for (const [path, bytes] of files) {
    const digest = await digestOf(bytes)
    made.set(digest, bytes)
    const at = tree.resolve(path) ?? path
    const before = inodes.get(at)
    if (!before) for (const above of missingAbove(at, inodes)) inodes.set(above, impliedDirectory())
    const attributes = before ?? { mode: 0o644, uid: 0, gid: 0, mtime: 0 }
    if (before?.type === 'file' && before.digest === digest) continue
    if (before && before.links > 1)
      for (const [other, inode] of inodes) if (inode === before) inodes.set(other, { ...inode, links: inode.links - 1 })
    inodes.set(at, { ...attributes, type: 'file', links: 1, size: bytes.length, digest })
  }
  return {
    tree: treeOf(inodes, tree.warnings),
    contents: {
      has: (digest) => made.has(digest) || contents.has(digest),
      async *read(content, length = content.size) {
        const bytes = made.get(content.digest)
        if (bytes) yield bytes.slice(0, length)
        else yield* contents.read(content, length)
      },
      async fill(content, target) {
        const bytes = made.get(content.digest)
        if (bytes) target.set(bytes)
        else await fillFrom(contents, content, target)
      },
    },
  }
}

function missingAbove(path: ByteString, inodes: ReadonlyMap<ByteString, Inode>): ByteString[] {
  const parts = path.split('/').slice(0, -1)
  return parts.map((_, at) => parts.slice(0, at + 1).join('/')).filter((above) => !inodes.has(above))
}

/** The text of a file of the image, empty when there is none. Bytes stay as they are: names need not be UTF-8. */
async function textOf(tree: Tree, contents: Contents, path: ByteString): Promise<ByteString> {
  const file = tree.file(path)
  if (!file) {
    if (tree.get(path))
      throw new AppError('ARCHIVE_INVALID', `/${path} is no file of the image, so users cannot be synchronised`)
    return ''
  }
  if (file.size > largestFile) throw new AppError('ARCHIVE_LIMIT', `/${path} has ${file.size} bytes: too large`)
  let text = ''
  for await (const chunk of contents.read(file)) text += byteString(chunk)
  return text
}
