/**
 * The directory of one shell, and what earlier ones left behind.
 *
 *     /var/tmp/muster-shell-XXXXXX/   only its owner sees what is in it: programs with the set-user-ID bit are
 *       lock                          held by whoever works with it; in it, the version's digest
 *       image/                        the version, unpacked
 *       points/                       mount points that the version lacks
 *       upper/  work/                 what is changed, by overlayfs
 *       root/                         where all of it is mounted, seen in the shell alone
 *       scratch/                      segments on their way
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import {
  access,
  type FileHandle,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  realpath,
  rename,
  writeFile,
} from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { AppError } from '../errors.ts'
import { packTar, type TarWorld, unpackTar } from './gnu-tar.ts'
import { usageError } from './session.ts'

/** A directory that nobody else works with. */
export type Workspace = {
  directory: string
  image: string
  points: string
  upper: string
  scratch: string
  /** Descriptor that holds the lock: a child that is given it holds it as well. */
  lock: number
  /** Gives the root of the changes the attributes of the image's root. To be done when the image is there. */
  begin(world: TarWorld): Promise<void>
  /** Removes the directory with all that is in it. */
  remove(): Promise<void>
  /** Leaves the directory where it is, under a name that nobody takes for a leftover; answers that name. */
  keep(): Promise<string>
}

const prefix = 'muster-shell-'
const keptPrefix = 'muster-kept-'
const parts = ['image', 'points', 'upper', 'work', 'root', 'scratch']

/** Makes a workspace for a version below `parent`, empty and locked. */
export async function createWorkspace(parent: string, version: string): Promise<Workspace> {
  // Under a name that no sweep looks at until it is locked. The path must lead through no link that somebody changes.
  const made = await mkdtemp(join(await realpath(parent), `.${prefix}`))
  const lock = await open(join(made, 'lock'), 'wx', 0o600)
  try {
    if (!(await tryLock(lock))) throw new AppError('INTERNAL', `cannot lock ${made}`)
    for (const part of parts) await mkdir(join(made, part), { mode: 0o700 })
    await lock.write(version)
    const directory = join(dirname(made), basename(made).slice(1))
    await rename(made, directory)
    return workspaceAt(directory, lock)
  } catch (error) {
    await lock.close()
    await removeTree(made)
    throw error
  }
}

/** A workspace that was kept, with the changes in it. Throws (exit 2) when it is none, is another version's, or is in use. */
export async function reopenWorkspace(path: string, version: string): Promise<Workspace> {
  const directory = await realpath(path)
  const lock = await open(join(directory, 'lock'), 'r+').catch((cause: NodeJS.ErrnoException) => {
    throw usageError(`--resume: ${path} is no directory that was kept (${cause.code})`)
  })
  try {
    if (!(await tryLock(lock))) throw usageError(`--resume: somebody works with ${path}`)
    if ((await lock.readFile('utf8')) !== version) throw usageError(`--resume: ${path} has changes of another version`)
    for (const part of ['points', 'work', 'root', 'scratch']) {
      await removeTree(join(directory, part))
      await mkdir(join(directory, part), { mode: 0o700 })
    }
    return workspaceAt(directory, lock)
  } catch (error) {
    await lock.close()
    throw error
  }
}

function workspaceAt(directory: string, lock: FileHandle): Workspace {
  const [image, upper, scratch] = [join(directory, 'image'), join(directory, 'upper'), join(directory, 'scratch')]
  return {
    directory,
    image,
    points: join(directory, 'points'),
    upper,
    scratch,
    lock: lock.fd,
    async begin(world) {
      const list = join(scratch, 'root')
      await writeFile(list, './\0')
      await unpackTar(upper, packTar(image, list, world), world)
    },
    async remove() {
      await removeTree(directory)
      await lock.close()
    },
    async keep() {
      const kept = join(dirname(directory), basename(directory).replace(prefix, keptPrefix))
      await rename(directory, kept)
      await lock.close()
      return kept
    },
  }
}

/** Removes workspaces of this user below `parent` that nobody holds any more, and says so. */
export async function sweepWorkspaces(parent: string, say: (line: string) => void): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(prefix)) continue
    const directory = join(parent, name)
    // Others can make names in /var/tmp, too: only what is ours is followed.
    const found = await lstat(directory).catch(absent)
    if (!found?.isDirectory() || found.uid !== process.getuid?.()) continue
    const lock = await open(join(directory, 'lock'), constants.O_RDWR | constants.O_NOFOLLOW).catch(absent)
    try {
      if (lock && !(await tryLock(lock))) continue
      await removeTree(directory)
      say(`removed ${directory}, which a shell that was killed had left`)
    } catch (error) {
      // No reason not to go on: the new one gets a directory of its own.
      say(error instanceof Error ? error.message : String(error))
    } finally {
      await lock?.close()
    }
  }
}

/**
 * Throws `UNSUPPORTED` when one of the programs that a shell takes is not on the PATH. They are those of Debian and EL as
 * installed; in a container some may be missing.
 */
export async function checkPrograms(path = ''): Promise<void> {
  const needed = {
    tar: 'GNU tar',
    chroot: 'coreutils',
    ...Object.fromEntries(ofUtilLinux.map((name) => [name, 'util-linux'])),
  }
  for (const [name, from] of Object.entries(needed)) {
    const places = path.split(':').map((folder) => access(join(folder || '.', name), constants.X_OK))
    await Promise.any(places).catch(() => {
      throw new AppError('UNSUPPORTED', `this needs the program ${name}: install ${from}`)
    })
  }
}

const ofUtilLinux = ['flock', 'mount', 'setpriv', 'unshare']

/** Locks an open file as flock(2) does, which Node has no call for: the lock stays with the descriptor. */
const tryLock = async (file: FileHandle): Promise<boolean> =>
  (await exitOf(
    spawn('flock', ['--exclusive', '--nonblock', '3'], { stdio: ['ignore', 'ignore', 'inherit', file.fd] }),
  )) === 0

/** Not by Node, which cannot name what is not UTF-8; in a session of its own, so that Ctrl-C does not end it half-way. */
async function removeTree(directory: string): Promise<void> {
  const args = ['--recursive', '--force', '--one-file-system', '--', directory]
  const code = await exitOf(spawn('rm', args, { stdio: ['ignore', 'ignore', 'inherit'], detached: true }))
  if (code !== 0) throw new AppError('INTERNAL', `could not remove all of ${directory}: remove the rest of it`)
}

const exitOf = (child: ReturnType<typeof spawn>): Promise<number | null> =>
  new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))

/** What is gone meanwhile is no failure; all else is. */
function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
