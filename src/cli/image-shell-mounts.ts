/**
 * What is mounted in the tree of an image, and where.
 *
 * Nobody but us may decide where a mount ends up: mount(8) follows symbolic links, and an image can have one wherever a
 * mount point should be. So each mount point is resolved here, name by name, within the unpacked tree, before any program
 * of the image runs; what is handed on has no link in it. (Mounting after a chroot would need the image's own mount(8),
 * which may be missing, be made for another machine, or lie.)
 */
import { lstat, mkdir, readlink, realpath, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { AppError } from '../errors.ts'
import { usageError } from './session.ts'

/** A file or directory of this machine to be seen in the tree. */
export type Bind = { source: string; point: string; readOnly: boolean; isDirectory: boolean }

/** A path in the tree, relative and without links; `type` is what the image has there. */
type Place = { path: string; type?: 'directory' | 'file' | 'other' }

/** Mounted over in every shell. What an image has at these names must be a directory, or nothing. */
const kernelPoints = ['proc', 'sys', 'dev', 'run']
/** Of these, file systems in which mount points can be made that nobody sees afterwards. */
const scratchPoints = ['run', 'dev']

/** Symbolic links in one path, as the kernel counts (MAXSYMLINKS). */
const mostLinks = 40

/** Reads `SRC[:DST[:ro|rw]]` and looks at SRC, which may begin at `cwd`. Throws (exit 2) for what makes no sense. */
export async function parseBind(text: string, cwd: string): Promise<Bind> {
  const [from = '', to, mode = 'rw', ...rest] = text.split(':')
  const point = to ?? resolve(cwd, from)
  if (from === '' || rest.length > 0 || !['ro', 'rw'].includes(mode))
    throw usageError(`--bind ${text}: write SRC[:DST[:ro]]; paths with a colon cannot be bound`)
  const names = point.split('/').filter((name) => name !== '' && name !== '.')
  if (!point.startsWith('/') || names.length === 0 || names.includes('..'))
    throw usageError(`--bind ${text}: ${JSON.stringify(point)} must be an absolute path in the image, without ..`)
  try {
    const source = await realpath(resolve(cwd, from))
    const isDirectory = (await stat(source)).isDirectory()
    return { source, point: `/${names.join('/')}`, readOnly: mode === 'ro', isDirectory }
  } catch (cause) {
    throw usageError(`--bind ${text}: cannot look at ${from} (${(cause as NodeJS.ErrnoException).code})`)
  }
}

/**
 * Decides where binds are mounted, and makes the mount points that the image lacks in `points`, which is laid below it. The
 * head node's own resolv.conf(5) and hosts(5) are among them where the image has a place for them, read-only. `warn` hears
 * what was left out. Throws (exit 2) for binds that cannot be, and `UNSUPPORTED` for an image in which nothing can.
 */
export async function planMounts(
  { image, points }: { image: string; points: string },
  binds: readonly Bind[],
  warn: (line: string) => void,
): Promise<Bind[]> {
  for (const name of kernelPoints) {
    const type = await typeOf(join(image, name))
    if (type === undefined) await mkdir(join(points, name))
    else if (type !== 'directory')
      throw new AppError(
        'UNSUPPORTED',
        `the image has something else than a directory at /${name}: no shell can be run in it`,
      )
  }
  const planned: Bind[] = []
  const plan = async (bind: Bind, place: Place) => {
    const other = planned.find(({ point }) => isWithin(place.path, point) || isWithin(point, place.path))
    if (other)
      throw usageError(`--bind: ${bind.point} and /${other.point} are the same place, or one lies in the other`)
    if (place.type === undefined && !scratchPoints.some((name) => isWithin(place.path, name)))
      await makePoint(points, place.path, bind.isDirectory)
    planned.push({ ...bind, point: place.path })
  }
  for (const bind of binds) {
    const place = await placeOf(image, bind.point)
    if (['', ...kernelPoints].includes(place.path) || /^(?:proc|sys)\//.test(place.path))
      throw usageError(`--bind: nothing can be bound at ${bind.point}, which is /${place.path} in the image`)
    if (place.type !== undefined && place.type !== (bind.isDirectory ? 'directory' : 'file'))
      throw usageError(
        `--bind: ${bind.source} and ${bind.point} of the image must both be directories, or both be files`,
      )
    await plan(bind, place)
  }
  for (const file of ['resolv.conf', 'hosts']) {
    const point = `/etc/${file}`
    const source = await realpath(point).catch(absent)
    const folder = await placeOf(image, '/etc')
    if (source === undefined || folder.type !== 'directory') continue
    const place = await placeOf(image, point)
    if (planned.some((one) => one.point === place.path)) continue
    // A link to where a service would write it, below /run, can be followed. Another one leads to a file that is not this one.
    const fits = place.path === `${folder.path}/${file}` || isWithin(place.path, 'run')
    if (fits && (place.type === undefined || place.type === 'file'))
      await plan({ source, point, readOnly: true, isDirectory: false }, place)
    else warn(`${point} of the image leads to /${place.path}: this machine's ${file} is not seen in it`)
  }
  return planned
}

/**
 * The place that a path leads to within a tree, whatever its links say: an absolute target begins at the tree's root, and
 * `..` ends there. Below what is mounted afresh the image has nothing to say. Throws `UNSUPPORTED` for links in a circle and
 * for paths through what is no directory.
 */
export async function placeOf(root: string, path: string): Promise<Place> {
  const ahead = path.split('/').reverse()
  const here: Required<Pick<Place, 'path'>>[] & Place[] = [{ path: '', type: 'directory' }]
  const last = (): Place => here.at(-1) ?? { path: '', type: 'directory' }
  for (let links = 0; ahead.length > 0; ) {
    const name = ahead.pop()
    if (name === undefined || name === '' || name === '.') continue
    if (name === '..') {
      if (here.length > 1) here.pop()
      continue
    }
    const above = last()
    if (above.type !== undefined && above.type !== 'directory')
      throw new AppError('UNSUPPORTED', `${path} leads through /${above.path} of the image, which is no directory`)
    const next = join(above.path, name)
    const covered = kernelPoints.some((point) => isWithin(above.path, point))
    const found = covered || above.type === undefined ? undefined : await lstat(join(root, next)).catch(absent)
    if (!found?.isSymbolicLink()) {
      here.push({ path: next, ...(found && { type: kindOf(found) }) })
      continue
    }
    links += 1
    if (links > mostLinks) throw new AppError('UNSUPPORTED', `${path} of the image leads through links in a circle`)
    const target = await readlink(join(root, next))
    if (target.startsWith('/')) here.splice(1)
    ahead.push(...target.split('/').reverse())
  }
  return last()
}

/** Makes a mount point and the directories above it. Nobody but us has been in `points`: there are no links. */
async function makePoint(points: string, path: string, isDirectory: boolean): Promise<void> {
  const point = join(points, path)
  await mkdir(isDirectory ? point : dirname(point), { recursive: true, mode: 0o755 })
  if (!isDirectory) await writeFile(point, '', { flag: 'a', mode: 0o644 })
}

const typeOf = async (path: string): Promise<Place['type']> => {
  const found = await lstat(path).catch(absent)
  return found && kindOf(found)
}

const kindOf = (found: { isDirectory(): boolean; isFile(): boolean }): NonNullable<Place['type']> =>
  found.isDirectory() ? 'directory' : found.isFile() ? 'file' : 'other'

/** Whether `path` is `folder` or below it. */
const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`)

/** What is not there is no failure; all else is. */
function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
