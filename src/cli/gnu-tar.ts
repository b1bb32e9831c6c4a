/** GNU tar as a child process: archives into directories, and names of a directory into an archive. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { Readable, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AppError } from '../errors.ts'

/** What tar may use of the world. */
export type TarWorld = {
  env: Record<string, string | undefined>
  /** Ends it. */
  signal?: AbortSignal | undefined
  /** Hears what tar complains of, line by line. */
  complain: (line: string) => void
}

/** Owners by number, and every extended attribute: file capabilities are among them (GNU tar manual, 4.3.2). */
const attributes = ['--numeric-owner', '--xattrs', '--xattrs-include=*']

/** Unpacks a tar below `directory`. Throws `INTERNAL` when tar fails, and what reading the bytes throws. */
export async function unpackTar(directory: string, bytes: AsyncIterable<Uint8Array>, world: TarWorld): Promise<void> {
  const args = ['--extract', '--file=-', ...attributes, '--same-owner', '--same-permissions']
  const { child, ended } = start([...args, '--warning=no-timestamp', `--directory=${directory}`], world, 'pipe')
  try {
    await pipeline(Readable.from(bytes, { objectMode: false }), child.stdin).catch((error: unknown) => {
      // tar reads no further than the end of the archive, or than where it failed: its exit code says which.
      if (!isBrokenPipe(error)) throw error
    })
    const code = await ended
    if (code !== 0) throw new AppError('INTERNAL', `tar could not unpack into ${directory} (exit code ${code})`)
  } finally {
    child.kill()
  }
}

/**
 * The tar of some names in `directory`, each given as bytes and alone: what is in a directory is not packed with it. The
 * names are in the file `list`, each ended by NUL. Times of reading are left out, because reading changes them; tar skips
 * sockets. Fails with `INTERNAL` when tar says that it failed, because a tar that ends early can look whole. Whoever
 * stops reading ends tar.
 */
export async function* packTar(directory: string, list: string, world: TarWorld): AsyncGenerator<Uint8Array> {
  const { child, ended } = start(
    [
      '--create',
      '--file=-',
      '--format=posix',
      '--pax-option=delete=atime,delete=ctime',
      ...attributes,
      '--no-recursion',
      '--warning=no-file-ignored',
      `--directory=${directory}`,
      '--null',
      '--verbatim-files-from',
      `--files-from=${list}`,
    ],
    world,
    'ignore',
  )
  try {
    for await (const chunk of child.stdout) yield chunk
    const code = await ended
    if (code !== 0) throw new AppError('INTERNAL', `tar could not read all of ${directory} (exit code ${code})`)
  } finally {
    child.kill()
  }
}

type Tar = { child: ChildProcessByStdio<Writable, Readable, Readable>; ended: Promise<number | null> }

/** Starts tar; `ended` brings its exit code when all that it said has been heard. */
function start(args: string[], { env, signal, complain }: TarWorld, stdin: 'pipe' | 'ignore'): Tar {
  // tar would take what TAR_OPTIONS says for further arguments.
  const { TAR_OPTIONS: _dropped, ...rest } = env
  const child = spawn('tar', args, {
    env: { ...rest, LC_ALL: 'C' },
    stdio: [stdin, 'pipe', 'pipe'],
    ...(signal && { signal }),
    // With 'ignore' there is no stdin, and nobody here writes to one.
  }) as Tar['child']
  if (stdin === 'pipe') child.stdout.resume()
  const closed = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
  const heard = (async () => {
    for await (const line of createInterface({ input: child.stderr })) complain(line)
  })()
  const ended = Promise.all([closed, heard]).then(
    ([code]) => code,
    (cause: unknown) => {
      if (signal?.aborted) throw signal.reason
      throw new AppError('INTERNAL', 'cannot run tar: install GNU tar', { cause })
    },
  )
  // It is awaited, but not before the last byte: until then a failure must not count as unhandled.
  ended.catch(() => undefined)
  return { child, ended }
}

const isBrokenPipe = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'EPIPE' || error.code === 'ERR_STREAM_PREMATURE_CLOSE')
