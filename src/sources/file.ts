/** A file that holds an image in some form, or bytes from a pipe that are put into one. Node only. */
import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { AppError } from '../errors.ts'
import { type ArchiveFile, indexArchive } from './archive-file.ts'
import { type Compression, compressionOf, unpacked } from './compression.ts'
import type { SourceOptions } from './source.ts'

/** A file, open. */
export type OpenedFile = {
  compression: Compression
  /** Bytes, compressed as they are. */
  size: number
  /** The bytes as they are, from the beginning, as often as one likes. */
  bytes(): AsyncIterable<Uint8Array>
  /** As a tar whose members can be read in any order: a compressed one is unpacked into a temporary file first. */
  archive(): Promise<ArchiveFile>
  close(): Promise<void>
}

const chunkSize = 2 ** 20

/** Opens a file. Throws `SOURCE_UNKNOWN` when it is not there, and `REQUEST_INVALID` when it is no regular file. */
export async function openFile(path: string, options: SourceOptions): Promise<OpenedFile> {
  // Not blocking, as the name may be a FIFO's that nobody writes to.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK
  const handle = await open(resolve(options.cwd, path), flags).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') throw absent(path, error)
    throw error
  })
  const found = await handle.stat()
  if (found.isFile()) return openedFile(handle, path, options)
  await handle.close()
  throw new AppError('REQUEST_INVALID', `${path} is neither a file nor a directory`)
}

/** `SOURCE_UNKNOWN`: no such file, and what was perhaps meant. */
export const absent = (path: string, cause: unknown): AppError =>
  new AppError(
    'SOURCE_UNKNOWN',
    `${path}: there is no such file (ENOENT); an image in a registry is docker://${path}`,
    { cause },
  )

/** A file of the bytes, which goes away when it is closed. */
export async function spooledFile(
  bytes: AsyncIterable<Uint8Array>,
  what: string,
  options: SourceOptions,
): Promise<OpenedFile> {
  return openedFile(await spool(bytes, options), what, options)
}

async function openedFile(handle: FileHandle, what: string, options: SourceOptions): Promise<OpenedFile> {
  const opened = [handle]
  const head = new Uint8Array(6)
  const { bytesRead } = await handle.read(head, 0, head.length, 0)
  const compression = compressionOf(head.subarray(0, bytesRead))
  const file: OpenedFile = {
    compression,
    size: (await handle.stat()).size,
    bytes: () => contents(handle, options.signal),
    async archive() {
      if (compression === 'none') return indexArchive(handle, what)
      const plain = await spool(unpacked(file.bytes(), compression, options), options)
      opened.push(plain)
      return indexArchive(plain, what)
    },
    async close() {
      await Promise.all(opened.splice(0).map((one) => one.close()))
    },
  }
  return file
}

async function* contents(handle: FileHandle, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  for (let at = 0; ; ) {
    signal?.throwIfAborted()
    // A buffer of its own for each: whoever reads may still hold the last one.
    const { buffer, bytesRead } = await handle.read(new Uint8Array(chunkSize), 0, chunkSize, at)
    if (bytesRead === 0) return
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

/** Puts bytes into a file that has no name any more: nothing is left of it, however this process ends. */
async function spool(bytes: AsyncIterable<Uint8Array>, { env, signal }: SourceOptions): Promise<FileHandle> {
  const folder = env.TMPDIR || tmpdir()
  const path = join(folder, `muster-${randomUUID()}`)
  const handle = await open(path, 'wx+', 0o600)
  try {
    await unlink(path)
    for await (const chunk of bytes) {
      signal?.throwIfAborted()
      await handle.writeFile(chunk)
    }
    return handle
  } catch (error) {
    await handle.close()
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
    throw new AppError('INTERNAL', `${folder} has no room for the unpacked archive: TMPDIR names another place`, {
      cause: error,
    })
  }
}
