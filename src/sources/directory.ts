/** A root tree in a directory, as a tar stream: GNU tar as a child process. Node only. */
import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { AppError } from '../errors.ts'
import type { ImageSource, SourceOptions } from './source.ts'

/** Opens a directory: an image of one layer, which is its tar. */
export async function openDirectory(path: string, options: SourceOptions): Promise<ImageSource> {
  const directory = resolve(options.cwd, path)
  return {
    source: path,
    whiteouts: 'none',
    layers: [{ open: () => tarOf(directory, options) }],
    close: async () => undefined,
  }
}

/**
 * Arguments for GNU tar (1.28 or newer), an array that no shell sees. Owners by number; every extended attribute, said
 * outright since file capabilities (`security.capability`) are among them; ACLs; no other file systems, so that a /proc or
 * a bind mount in the tree stays out while its mount point is kept; names in order. The times of reading are left out,
 * because reading changes them. Device nodes and hard links are kept as they are; tar skips sockets, which mean nothing
 * without the program that made them.
 */
export const tarArguments = (directory: string): string[] => [
  '--create',
  '--file=-',
  '--format=posix',
  '--pax-option=delete=atime,delete=ctime',
  '--numeric-owner',
  '--xattrs',
  '--xattrs-include=*',
  '--acls',
  '--one-file-system',
  '--sort=name',
  '--warning=no-file-ignored',
  `--directory=${directory}`,
  '.',
]

/**
 * The tree below `directory`, as bytes. Reading fails when tar says that it failed, because a tar that ends early can look
 * whole. What tar complains of goes to `complain`, line by line. Whoever stops reading ends tar.
 */
export async function* tarOf(
  directory: string,
  { env, cwd, signal, complain }: Pick<SourceOptions, 'env' | 'cwd' | 'signal' | 'complain'>,
): AsyncGenerator<Uint8Array> {
  // tar would take what TAR_OPTIONS says for further arguments.
  const { TAR_OPTIONS: _dropped, ...rest } = env
  const tar = spawn('tar', tarArguments(directory), {
    cwd,
    env: { ...rest, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal && { signal }),
  })
  const ended = new Promise<number | null>((resolve, reject) => tar.once('error', reject).once('close', resolve))
  const complaints = (async () => {
    for await (const line of createInterface({ input: tar.stderr })) complain(line)
  })()
  // Both are awaited below, but not before the last byte: until then a failure must not count as unhandled.
  for (const promise of [ended, complaints]) promise.catch(() => undefined)
  try {
    for await (const chunk of tar.stdout) yield chunk
    await complaints
    const code = await ended.catch((cause: unknown) => {
      throw new AppError('INTERNAL', 'cannot run tar: install GNU tar, or import a tar file', { cause })
    })
    if (code !== 0) {
      throw new AppError('INTERNAL', `tar could not read all of ${directory} (exit code ${code}): nothing was imported`)
    }
  } finally {
    tar.kill()
  }
}
