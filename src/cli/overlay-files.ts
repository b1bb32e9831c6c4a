/** An overlay as a directory: read to be pushed, written when pulled. */
import { lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { AppError } from '../errors.ts'
import { bytesText } from './table.ts'

/** One file or link of an overlay on the wire. Paths are relative to the overlay's directory; content is base64. */
export type OverlayFile = {
  path: string
  content: string
  executable?: boolean | undefined
  link?: string | undefined
  /** Its content is itself a secret: not to be shown. */
  private?: true | undefined
}

/** Files of more bytes than this together are more than the service takes: 32 MiB, in which they are base64. */
const mostBytes = 24 * 1024 * 1024

/**
 * Every file and symbolic link below a directory, sorted by path. Throws for what is neither, for a directory without any, and for
 * more than the service takes.
 */
export async function readOverlay(directory: string): Promise<OverlayFile[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTDIR') throw error
      throw new AppError('OVERLAY_INVALID', `${directory} is no directory: name the one that has files/ in it`)
    },
  )
  const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name))
  if (files.length === 0)
    throw new AppError('OVERLAY_INVALID', `${directory} is empty: an overlay has files/… or an overlay.yaml`)
  await checkSizes(files)
  const found = await Promise.all(
    files.sort().map(async (file): Promise<OverlayFile> => {
      const path = file.slice(join(directory, '/').length)
      const entry = await statOf(file)
      if (entry.isSymbolicLink()) return { path, content: '', link: await readlink(file) }
      if (!entry.isFile()) {
        throw new AppError(
          'OVERLAY_INVALID',
          `${file} is neither a file nor a symbolic link: take it out of the overlay`,
        )
      }
      const content = await readFile(file, 'base64')
      return { path, content, executable: (entry.mode & 0o111) !== 0 }
    }),
  )
  return found
}

/** Before anything is read: somebody who packs an image into an overlay is told which file it is. */
async function checkSizes(files: readonly string[]): Promise<void> {
  const sizes = await Promise.all(files.map(async (file) => ({ file, size: (await statOf(file)).size })))
  const bytes = sizes.reduce((sum, { size }) => sum + size, 0)
  if (bytes <= mostBytes) return
  const largest = sizes.reduce((one, other) => (other.size > one.size ? other : one))
  throw new AppError(
    'BODY_TOO_LARGE',
    `the overlay has ${bytesText(bytes)} and can have ${bytesText(mostBytes)}; the largest file is ${largest.file} (${bytesText(largest.size)}): what is large belongs into the image`,
  )
}

/** Node decodes names as UTF-8, so that one which is something else is not found. */
const statOf = (file: string) =>
  lstat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' || !file.includes('\ufffd')) throw error
    throw new AppError('OVERLAY_INVALID', `the name of ${file} is not UTF-8: rename it`)
  })

/** Writes files into a directory that is new or empty. Throws before anything is written when a path would leave it. */
export async function writeOverlay(directory: string, files: readonly OverlayFile[]): Promise<void> {
  for (const { path } of files) {
    if (!isInside(path)) throw new AppError('OVERLAY_INVALID', `the service sent the path ${path}: nothing was written`)
  }
  await mkdir(directory, { recursive: true })
  if ((await readdir(directory)).length > 0) {
    throw new AppError('REQUEST_INVALID', `${directory} is not empty: name another directory`)
  }
  // Links last, so that no file is written through one.
  for (const { path, content, executable } of files.filter((file) => file.link === undefined)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), content, {
      encoding: 'base64',
      flag: 'wx',
      mode: executable ? 0o755 : 0o644,
    })
  }
  for (const { path, link } of files) {
    if (link === undefined) continue
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await symlink(link, join(directory, path))
  }
}

/** The files, those of the named paths marked as secrets. */
export const marked = (files: readonly OverlayFile[], secret: readonly string[]): OverlayFile[] =>
  files.map((file) => (secret.includes(file.path) ? { ...file, private: true } : file))

const isInside = (path: string): boolean =>
  path !== '' && !path.includes('\0') && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
