/** The shells that an image may have as /bin/sh, and a folder of the commands that it is to have. */
import { execFileSync, spawn } from 'node:child_process'
import { accessSync, constants, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What the base overlay puts on a node. */
export const overlayFiles = join(import.meta.dirname, '../../boot-assets/overlays/base/files')

/** Shells by name, as the beginning of a command line. */
const known: Record<string, string[]> = {
  dash: ['dash'],
  bash: ['bash', '--posix'],
  'busybox ash': ['busybox', 'sh'],
}

/** The shells that this machine has, by absolute path. */
export const shells = Object.entries(known).flatMap(([name, [command = '', ...args]]): [string, string[]][] => {
  const path = pathOf(command)
  return path === undefined ? [] : [[name, [path, ...args]]]
})

/** The shells that it lacks: their tests are skipped, and say so. */
export const missingShells = Object.keys(known).filter((name) => !shells.some(([present]) => present === name))

/** A copy of `/muster` with a config, and a run folder with a ticket. */
export type Place = { folder: string; muster: string; run: string; remove(): void }

/** Makes one below the temporary folder. */
export function place(config: string, ticket = 'ticket-0123456789abcdef'): Place {
  const folder = mkdtempSync(join(tmpdir(), 'muster-init-'))
  const [muster, run] = [join(folder, 'muster'), join(folder, 'run')]
  cpSync(join(overlayFiles, 'muster'), muster, { recursive: true })
  mkdirSync(join(muster, 'init.d'))
  mkdirSync(run)
  writeFileSync(join(muster, 'config'), config)
  writeFileSync(join(run, 'ticket'), `${ticket}\n`, { mode: 0o600 })
  return { folder, muster, run, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

const plain = [
  'cat',
  'chmod',
  'cut',
  'df',
  'du',
  'find',
  'grep',
  'head',
  'mkdir',
  'mv',
  'readlink',
  'rm',
  'sed',
  'sleep',
  'stat',
  'sha256sum',
  'tail',
  'uname',
  'wc',
]

/** A folder with links to the commands of a small image and to the named ones; `nc` is busybox's. */
export function commandFolder(at: Place, more: string[]): string {
  const folder = join(at.folder, `bin-${more.join('-')}`)
  mkdirSync(folder)
  for (const name of [...plain, 'timeout', 'tr', 'sh', ...more]) {
    const path = pathOf(name === 'nc' ? 'busybox' : name)
    if (path !== undefined) symlinkSync(path, join(folder, name))
  }
  return folder
}

/** How a process ended, and what it printed. */
export type Ended = { status: number | null; output: string }

/** Runs a command to its end, output and errors together; one that hangs is killed after `limit` milliseconds. */
export function run(command: string[], env: Record<string, string>, limit = 80_000): Promise<Ended> {
  const [program = '', ...args] = command
  return new Promise((resolve, reject) => {
    const child = spawn(pathOf(program) ?? program, args, {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: limit,
      killSignal: 'SIGKILL',
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (text: string) => {
        output += text
      })
    }
    child.once('error', reject)
    child.once('close', (status) => resolve({ status, output }))
  })
}

/** Absolute path of a command, `undefined` when this machine has none. */
export function pathOf(name: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(':')
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/**
 * The beginning of a command line that makes what follows process 1 of a namespace of its own, where nothing can reset
 * this machine; `undefined` where namespaces are barred.
 */
export function asProcessOne(): string[] | undefined {
  const harmless =
    'for file in /proc/sysrq-trigger /dev/kmsg; do [ ! -e $file ] || mount --bind /dev/null $file || exit; done; exec "$@"'
  const prefix = ['unshare', '-Urmpf', '--mount-proc', '--kill-child', 'sh', '-c', harmless, 'sh']
  try {
    execFileSync(prefix[0] ?? '', [...prefix.slice(1), 'true'], { stdio: 'ignore' })
    return prefix
  } catch {
    return undefined
  }
}
