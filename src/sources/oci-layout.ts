/** OCI layouts in a directory: `oci:`. Node only. Nothing outside of it is read, whatever links lie in it. */
import { constants } from 'node:fs'
import { type FileHandle, lstat, open } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { AppError } from '../errors.ts'
import { absent } from './file.ts'
import type { Located } from './form.ts'
import { invalid, mostDocument } from './json.ts'
import { imageOfLayout, type LayoutFiles } from './layout.ts'
import type { ImageSource, SourceOptions } from './source.ts'
import { collect } from './verified.ts'

const chunkSize = 2 ** 20

/** Opens an image of a layout; `image` is its name in the index, or `@` and its place there. */
export async function openOciLayout({ path, image }: Located, options: SourceOptions): Promise<ImageSource> {
  const what = `oci:${path}`
  const root = resolve(options.cwd, path)
  await refuseLinks(root, path, what)
  const files: LayoutFiles = {
    read: (name) => collect(contents(root, name, what), mostDocument, `${what}: ${name}`),
    open: (name) => contents(root, name, what),
  }
  const found = await imageOfLayout(files, { what, ...(image !== undefined && { image }) }, options)
  return {
    source: image === undefined ? what : `${what}:${image}`,
    whiteouts: 'oci',
    ...found,
    close: async () => undefined,
  }
}

/** The folders on the way to blobs must be folders: behind a link lies what somebody else put there. */
async function refuseLinks(root: string, path: string, what: string): Promise<void> {
  await lstat(join(root, '.')).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? absent(path, error) : error
  })
  for (const name of ['blobs', 'blobs/sha256']) {
    const found = await lstat(join(root, name)).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' || error.code === 'ENOTDIR'
        ? invalid(what, `has no ${name}: it is no layout`)
        : error
    })
    if (!found.isDirectory()) throw invalid(what, `${name} is no directory of its own`)
  }
}

async function* contents(root: string, name: string, what: string): AsyncGenerator<Uint8Array> {
  const handle = await openRegular(join(root, name), name, what)
  try {
    for (;;) {
      const { buffer, bytesRead } = await handle.read(new Uint8Array(chunkSize), 0, chunkSize)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

async function openRegular(path: string, name: string, what: string): Promise<FileHandle> {
  // Not blocking, as it may be a FIFO that nobody writes to.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const handle = await open(path, flags).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw invalid(what, `${name} is not in it`)
    if (error.code === 'ELOOP') throw invalid(what, `${name} is a symbolic link`)
    throw new AppError('SOURCE_DENIED', `${what}: cannot read ${name} (${error.code})`, { cause: error })
  })
  if ((await handle.stat()).isFile()) return handle
  await handle.close()
  throw invalid(what, `${name} is no regular file`)
}
