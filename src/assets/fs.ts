/**
 * Assets in folders, for head nodes: the site's folder above the shipped one, file by file.
 *
 * The folders are walked at most once a second, when somebody asks, so that a boot script costs no look at the disk and
 * an edited template is served a second later. Only what the walk found is ever opened; it follows no symbolic links,
 * so no name leads out of the folders, and a link is read only when it ends inside of them.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs'
import { join, sep } from 'node:path'
import { AppError } from '../errors.ts'
import type { AssetFile, Assets } from './assets.ts'
import { assetText, checkAssetPath } from './path.ts'

/** What the walk found at a path: in which folder, what it is, and what changes when it is edited. */
type Found = { folder: string; file: AssetFile; stamp: string }

const millisecondsBetweenWalks = 1000

/**
 * Assets from folders, the first above the second and so on. A folder that is not there is empty. `now` is in
 * milliseconds. Throws `NAME_INVALID` for paths and links that leave the folders.
 */
export function fsAssets(folders: readonly string[], now: () => number = Date.now): Assets {
  let walkedAt = now()
  let files = filesOf(folders)
  let edits = 0
  const contents = new Map<string, Uint8Array<ArrayBuffer>>()

  const look = () => {
    // A clock that was set back counts as time gone by.
    if (Math.abs(now() - walkedAt) < millisecondsBetweenWalks) return
    walkedAt = now()
    const found = filesOf(folders)
    if (same(files, found)) return
    files = found
    edits++
    contents.clear()
  }

  const bytes = async (path: string) => {
    look()
    const found = files.get(checkAssetPath(path))
    if (!found) return undefined
    const known = contents.get(path)
    if (known) return known
    const read = readInside(folders, join(found.folder, path))
    if (read) contents.set(path, read)
    return read
  }

  return {
    bytes,
    async text(path) {
      const read = await bytes(path)
      return read && assetText(path, read)
    },
    async list(folder) {
      look()
      const prefix = `${checkAssetPath(folder)}/`
      return [...files.values()].flatMap(({ file }) =>
        file.path.startsWith(prefix) ? [{ ...file, path: file.path.slice(prefix.length) }] : [],
      )
    },
    version() {
      look()
      return String(edits)
    },
  }
}

/** Every file and link, by path, sorted; what a higher folder has hides what is below it. */
function filesOf(folders: readonly string[]): Map<string, Found> {
  let files = new Map<string, Found>()
  for (const folder of folders.toReversed()) {
    const above = new Map([...walk(folder, '')].map((found) => [found.file.path, found]))
    // A file also hides a folder of its name, and a folder a file.
    const foldersAbove = new Set([...above.keys()].flatMap(parentsOf))
    const visible = [...files].filter(
      ([path]) => !above.has(path) && !foldersAbove.has(path) && !parentsOf(path).some((parent) => above.has(parent)),
    )
    files = new Map([...visible, ...above])
  }
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** `a/b/c` is below `a` and `a/b`. */
const parentsOf = (path: string): string[] =>
  path.split('/').flatMap((_part, count, parts) => (count === 0 ? [] : [parts.slice(0, count).join('/')]))

const same = (a: Map<string, Found>, b: Map<string, Found>): boolean =>
  a.size === b.size && [...a].every(([path, found]) => b.get(path)?.stamp === found.stamp)

function* walk(folder: string, below: string): Iterable<Found> {
  for (const name of onDisk(() => readdirSync(join(folder, below))) ?? []) {
    const path = below ? `${below}/${name}` : name
    const full = join(folder, path)
    const stat = onDisk(() => lstatSync(full))
    if (!stat) continue
    const stamp = `${full} ${stat.mode} ${stat.ino} ${stat.size} ${stat.mtimeMs} ${stat.ctimeMs}`
    if (stat.isDirectory()) yield* walk(folder, path)
    else if (stat.isFile()) yield { folder, stamp, file: { path, executable: (stat.mode & 0o100) !== 0 } }
    else if (stat.isSymbolicLink()) {
      const link = onDisk(() => readlinkSync(full))
      if (link !== undefined) yield { folder, stamp, file: { path, link } }
    }
  }
}

function readInside(folders: readonly string[], full: string): Uint8Array<ArrayBuffer> | undefined {
  const real = onDisk(() => realpathSync(full))
  if (real === undefined) return undefined
  const inside = folders.some((folder) => {
    const root = onDisk(() => realpathSync(folder))
    return root !== undefined && real.startsWith(root + sep)
  })
  if (!inside) throw new AppError('NAME_INVALID', `${full} is a link to ${real}, outside of the folder of assets`)
  return onDisk(() => new Uint8Array(readFileSync(real)))
}

/** What is not there, or is a folder, is `undefined`; every other error passes. */
function onDisk<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return undefined
    throw error
  }
}
