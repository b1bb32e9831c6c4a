/** Modes and owners that would open a node to its users. */
import type { OverlayEntry } from './manifest.ts'
import { ancestors, directoryMode } from './path.ts'

/** Something about an entry or a directory above one, in words that follow the path. */
export type ModeFault = { level: 'error' | 'warning'; path: string; message: string }

/** Directories of every system with the bits that they may have at most (hier(7), file-hierarchy(7), sshd(8) on ~/.ssh). */
const systemDirectories: Record<string, number> = {
  '/boot': 0o755,
  '/etc': 0o755,
  '/etc/cron.d': 0o755,
  '/etc/pam.d': 0o755,
  '/etc/ssh': 0o755,
  '/etc/sudoers.d': 0o755,
  '/etc/systemd': 0o755,
  '/etc/systemd/system': 0o755,
  '/home': 0o755,
  '/opt': 0o755,
  '/root': 0o700,
  '/root/.ssh': 0o700,
  '/run': 0o755,
  '/srv': 0o755,
  '/usr': 0o755,
  '/usr/bin': 0o755,
  '/usr/lib': 0o755,
  '/usr/lib64': 0o755,
  '/usr/local': 0o755,
  '/usr/local/bin': 0o755,
  '/usr/local/sbin': 0o755,
  '/usr/sbin': 0o755,
  '/var': 0o755,
}

/** For every user, who may delete only what is theirs. */
const sharedDirectories = ['/tmp', '/var/tmp']

/** Directories that images keep closer than 0755: one that is made only because a file lies in it would open them. */
const closedDirectories: Record<string, string> = {
  '/etc/munge': '0700',
  '/etc/polkit-1/rules.d': '0750',
  '/etc/ssl/private': '0710',
  '/etc/sudoers.d': '0750',
  '/root/.ssh': '0700',
  '/var/log/audit': '0700',
  '/var/spool/cron': '0700',
}

const worldWritable = 0o002
const sticky = 0o1000

/** Faults of entries' modes and owners, and of the directories that come with them. */
export function modeFaults(entries: readonly OverlayEntry[]): ModeFault[] {
  const spoken = new Map(entries.flatMap((entry) => (entry.type === 'directory' ? [[entry.path, entry]] : [])))
  const implied = new Set(
    entries
      .filter(({ type }) => type !== 'removal')
      .flatMap(({ path }) => ancestors(path))
      .filter((path) => !spoken.has(path)),
  )
  return [
    ...entries.flatMap((entry) => (entry.type === 'directory' ? directoryFaults(entry) : fileFaults(entry))),
    ...[...implied].flatMap(impliedFaults),
  ]
}

const octal = (mode: number): string => `0${mode.toString(8).padStart(3, '0')}`

function directoryFaults({ path, mode, uid }: OverlayEntry): ModeFault[] {
  const error = (message: string): ModeFault[] => [{ level: 'error', path, message }]
  if (sharedDirectories.includes(path))
    return mode === 0o1777 && uid === 0 ? [] : error(`must be mode "1777" of owner 0, as every user needs it`)
  const most = systemDirectories[path]
  if (most !== undefined && (mode & ~most) !== 0)
    return error(
      `has mode "${octal(mode)}", looser than "${octal(most)}": users could change what the system runs or reads`,
    )
  if (most !== undefined && uid !== 0) return error(`belongs to user ${uid}: it must be root's (owner "0:…")`)
  if (path.endsWith('/.ssh') && (mode & 0o022) !== 0)
    return error(`has mode "${octal(mode)}": sshd ignores keys in a directory that others may write (use "0700")`)
  if ((mode & worldWritable) !== 0 && (mode & sticky) === 0)
    return error(
      `has mode "${octal(mode)}": every user could delete and replace what is in it (use "1777", or fewer writers)`,
    )
  return []
}

function impliedFaults(path: string): ModeFault[] {
  const usual = closedDirectories[path]
  if (usual === undefined) return []
  const level = path === '/root/.ssh' ? 'error' : 'warning'
  const key = `${path}/: { mode: "${usual}" }`
  const message = `comes with its files as "${octal(directoryMode(path))}" of root, where images have "${usual}": say so in overlay.yaml: ${key}`
  return [{ level, path, message }]
}

function fileFaults({ path, mode, type }: OverlayEntry): ModeFault[] {
  if (type !== 'file' || (mode & worldWritable) === 0) return []
  return [{ level: 'error', path, message: `has mode "${octal(mode)}": every user of the node could change it` }]
}
