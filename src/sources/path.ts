/** A path alone: a directory or a file, told apart by what is there. Node only. */
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { headOf } from '../archive/stream.ts'
import { AppError } from '../errors.ts'
import { openDirectory } from './directory.ts'
import { dockerArchive, dockerList } from './docker-archive.ts'
import { absent, type OpenedFile, openFile } from './file.ts'
import { layoutMarker } from './layout.ts'
import { ociArchive } from './oci-archive.ts'
import { openOciLayout } from './oci-layout.ts'
import { rootTar } from './root-tar.ts'
import { headSize, isImageArchive } from './sniff.ts'
import type { ImageSource, SourceOptions } from './source.ts'

/** Opens a root tree in a directory or a tar, or what turns out to be an archive or a layout of images. */
export async function openPath(path: string, options: SourceOptions): Promise<ImageSource> {
  const whole = resolve(options.cwd, path)
  const found = await statOf(whole)
  if (!found) throw absent(path, undefined)
  if (found.isDirectory())
    return (await isLayout(whole)) ? openOciLayout({ path }, options) : openDirectory(path, options)
  const file = await openFile(path, options)
  try {
    const head = await headOf(file.bytes(), headSize)
    if (await isImageArchive(head, file.compression, options)) return await imageArchive(file, path, options)
    return rootTar({ source: path, ...file }, options)
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Opens the image of an archive of either kind. New ones of docker are both: then names are those that docker gives. */
export async function imageArchive(file: OpenedFile, path: string, options: SourceOptions): Promise<ImageSource> {
  const archive = await file.archive()
  const indexed = { ...file, archive: async () => archive }
  if (archive.has(dockerList)) return dockerArchive(indexed, { path }, options)
  if (archive.has(layoutMarker)) return ociArchive(indexed, { path }, options)
  throw new AppError(
    'SOURCE_INVALID',
    `${path} looks like an archive of images but has neither ${dockerList} nor ${layoutMarker}`,
  )
}

/** Whether a directory is a layout of images, and no root tree in which somebody left one. */
async function isLayout(directory: string): Promise<boolean> {
  const [marker, blobs, etc] = await Promise.all(
    [layoutMarker, 'blobs', 'etc'].map((name) => statOf(join(directory, name))),
  )
  return marker?.isFile() === true && blobs?.isDirectory() === true && etc === undefined
}

const statOf = (path: string) =>
  stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error
    return undefined
  })
