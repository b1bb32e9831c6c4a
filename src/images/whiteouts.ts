/** What an entry of a layer says about the layers below it, in each of the three ways to say it. */
import type { ByteString } from '../archive/byte-string.ts'
import { invalid } from '../archive/limits.ts'
import type { LayerEntry, Whiteouts } from './layer.ts'

/**
 * `add`: the entry itself stands in the tree. `remove`: what lower layers have at `path` is gone, and the entry is nothing else.
 * `empty`: what lower layers have in the directory `path` is gone; `entry` is that directory, when it stands in the tree
 * itself. `skip`: the entry says nothing.
 */
export type Meaning =
  | { kind: 'add'; path: ByteString; entry: LayerEntry }
  | { kind: 'remove'; path: ByteString }
  | { kind: 'empty'; path: ByteString; entry?: LayerEntry }
  | { kind: 'skip' }

const prefix = '.wh.'
/** What AUFS keeps for itself (aufs(5)), of which only the opaque marker means something to others. */
const metadata = '.wh..wh.'
const opaque = '.wh..wh..opq'

/** What overlayfs keeps in extended attributes, as root and as an ordinary user (`userxattr`). */
const overlayNames = /^(?:trusted|user)\.overlay\.(.*)/s

/** The meaning of an entry whose normalised path is `path`. Throws `ARCHIVE_INVALID` for whiteouts that make no sense. */
export function meaningOf(entry: LayerEntry, path: ByteString, whiteouts: Whiteouts): Meaning {
  if (whiteouts === 'oci') return path.includes(prefix) ? meaningByName(entry, path) : { kind: 'add', path, entry }
  if (whiteouts === 'overlayfs') return meaningByAttributes(entry, path)
  return { kind: 'add', path, entry }
}

/** OCI image-spec, layer.md, "Whiteouts". The type of the entry is left open there, so it means nothing. */
function meaningByName(entry: LayerEntry, path: ByteString): Meaning {
  const slash = path.lastIndexOf('/')
  const [above, name] = [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)]
  const parts = above.split('/')
  if (parts.some((part) => part.startsWith(metadata))) return { kind: 'skip' }
  if (parts.some((part) => part.startsWith(prefix))) throw invalid(path, 'it lies below a whiteout')
  if (name === opaque) return { kind: 'empty', path: above }
  if (name.startsWith(metadata)) return { kind: 'skip' }
  if (!name.startsWith(prefix)) return { kind: 'add', path, entry }
  const hidden = name.slice(prefix.length)
  if (['', '.', '..'].includes(hidden)) throw invalid(path, 'it is a whiteout of no name that a file can have')
  return { kind: 'remove', path: above === '' ? hidden : `${above}/${hidden}` }
}

/** Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories". */
function meaningByAttributes(entry: LayerEntry, path: ByteString): Meaning {
  if (entry.type === 'character' && entry.major === 0 && entry.minor === 0) return { kind: 'remove', path }
  const said = new Map([...(entry.xattrs ?? [])].map(([name, value]) => [overlayNames.exec(name)?.[1], value]))
  if (said.has('redirect') || said.has('metacopy'))
    throw invalid(path, 'overlayfs kept only a reference of it: mount with redirect_dir=off,metacopy=off')
  if (entry.type === 'file' && entry.size === 0 && said.has('whiteout')) return { kind: 'remove', path }
  const plain = withoutOverlayNames(entry)
  // "x" only says that the directory has whiteouts in the form of attributes.
  const isOpaque = entry.type === 'directory' && said.get('opaque')?.[0] === 0x79
  return isOpaque ? { kind: 'empty', path, entry: plain } : { kind: 'add', path, entry: plain }
}

function withoutOverlayNames(entry: LayerEntry): LayerEntry {
  if (!entry.xattrs) return entry
  const { xattrs, ...rest } = entry
  const kept = new Map([...xattrs].filter(([name]) => !overlayNames.test(name)))
  return kept.size === 0 ? rest : { ...rest, xattrs: kept }
}
