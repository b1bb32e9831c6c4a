/** What a shell has changed, read out of overlayfs's upper directory (Documentation/filesystems/overlayfs.rst). */
import type { Stats } from 'node:fs'
import { lstat, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ByteString, bytesOf } from '../archive/byte-string.ts'
import { readTar, type TarEntry } from '../archive/tar.ts'
import { packTar, type TarWorld } from './gnu-tar.ts'

/** Names, counted: a directory that was removed is one, whatever was in it. */
export type Changes = {
  added: number
  changed: number
  removed: number
  /** File with the names for {@link packTar}, each ended by NUL. */
  list: string
}

/** What was mounted over: nothing that is there is the image's, even if somebody has unmounted it. */
const mounted: readonly ByteString[] = ['proc', 'sys', 'dev', 'run']

type Found = { path: ByteString; kind: 'added' | 'changed' | 'removed' | 'merged' }

/**
 * Compares `upper` with the image below it. The names that make up the difference are listed in a file in `scratch`.
 * Directories that were only copied, because something in them was changed, are not among them.
 */
export async function findChanges(
  { image, upper, scratch }: { image: string; upper: string; scratch: string },
  world: TarWorld,
): Promise<Changes> {
  const found: Found[] = []
  for await (const one of walk(upper, image, '')) found.push(one)
  const merged = found.filter(({ kind }) => kind === 'merged').map(({ path }) => path)
  const list = join(scratch, 'names')
  await writeNames(list, merged)
  const [now, before] = [await attributesIn(upper, list, world), await attributesIn(image, list, world)]
  const counts = { added: 0, changed: 0, removed: 0 }
  const emptied: ByteString[] = []
  const names: ByteString[] = []
  for (const { path, kind } of found) {
    if (kind !== 'merged') {
      counts[kind] += 1
      names.push(path)
      continue
    }
    const [one, other] = [now.get(path), before.get(path)]
    if (isOpaque(one)) emptied.push(path)
    // In a directory that was emptied, everything must be said anew.
    const isNew = emptied.some((above) => path === above || path.startsWith(`${above}/`))
    if (isNew) counts.removed += await countMissing(upper, image, path)
    const isChanged = attributesOf(one) !== attributesOf(other)
    if (isChanged) counts.changed += 1
    if (isNew || isChanged || one?.mtime !== other?.mtime) names.push(path)
  }
  await writeNames(list, names)
  return { ...counts, list }
}

/** True when nothing was changed; that files came and went in a directory is no change. */
export const isNothing = ({ added, changed, removed }: Changes): boolean => added + changed + removed === 0

/** Everything in `upper`, directories before what is in them; `.` is the root. */
async function* walk(upper: string, image: string, path: ByteString): AsyncGenerator<Found> {
  if (path === '') yield { path: '', kind: 'merged' }
  for (const name of await namesIn(upper, path)) {
    const inside = path === '' ? name : `${path}/${name}`
    if (mounted.includes(inside)) continue
    const entry = await lstat(fileOf(upper, inside))
    const below = await lstat(fileOf(image, inside)).catch(absent)
    if (entry.isSocket()) continue
    if (isWhiteout(entry)) {
      // One that hides nothing is left of something that came and went.
      if (below) yield { path: inside, kind: 'removed' }
    } else if (!entry.isDirectory()) {
      yield { path: inside, kind: below ? 'changed' : 'added' }
    } else {
      if (below?.isDirectory()) yield { path: inside, kind: 'merged' }
      else yield { path: inside, kind: below ? 'changed' : 'added' }
      yield* walk(upper, image, inside)
    }
  }
}

/** How many names a directory of the image has that the same directory of `upper` lacks. */
async function countMissing(upper: string, image: string, path: ByteString): Promise<number> {
  const now = new Set(await namesIn(upper, path))
  return (await namesIn(image, path)).filter((name) => !now.has(name)).length
}

const isWhiteout = (entry: Stats): boolean => entry.isCharacterDevice() && entry.rdev === 0

/** The attributes of directories as tar sees them, extended ones among them: Node cannot read those. */
async function attributesIn(directory: string, list: string, world: TarWorld): Promise<Map<ByteString, TarEntry>> {
  const found = new Map<ByteString, TarEntry>()
  for await (const entry of readTar(packTar(directory, list, world)))
    found.set(entry.path.replace(/^\.\/?/, '').replace(/\/$/, ''), entry)
  return found
}

/** "y"; an "x" only says that there are whiteouts of another form in it. */
const isOpaque = (entry: TarEntry | undefined): boolean => entry?.xattrs?.get('trusted.overlay.opaque')?.[0] === 0x79

/** All but the time and what overlayfs keeps for itself, as text. */
function attributesOf(entry: TarEntry | undefined): string {
  if (!entry) return ''
  const xattrs = [...(entry.xattrs ?? [])].filter(([name]) => !name.startsWith('trusted.overlay.'))
  return JSON.stringify([entry.mode, entry.uid, entry.gid, ...xattrs.map(([name, value]) => [name, [...value]]).sort()])
}

async function namesIn(root: string, path: ByteString): Promise<ByteString[]> {
  const names = await readdir(fileOf(root, path), { encoding: 'buffer' })
  return names.map((name) => name.toString('latin1')).sort()
}

/** A path whose names are bytes, not text. */
const fileOf = (root: string, path: ByteString): Buffer => Buffer.concat([Buffer.from(`${root}/`), bytesOf(path)])

const writeNames = (file: string, paths: ByteString[]): Promise<void> =>
  writeFile(file, Buffer.from(paths.map((path) => `./${path}\0`).join(''), 'latin1'))

/** What is not there is no failure; all else is. Below a file there is nothing either. */
function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error
}
