/** The shells that scripts of overlays run under, and other programs that their tests need. */
import { spawnSync } from 'node:child_process'

const commands: Record<string, string[]> = { bash: ['bash', '--posix'], 'busybox ash': ['busybox', 'sh'] }

/** What an image may have as /bin/sh. */
export const shellNames = ['dash', 'bash', 'busybox ash'] as const

/** Packages of Debian whose name is not their program's. */
const packages: Record<string, string> = {
  busybox: 'busybox-static',
  setsid: 'util-linux',
  chronyd: 'chrony',
  sshd: 'openssh-server',
  'ssh-keygen': 'openssh-client',
}

/** A shell or program with its arguments, by its absolute path. Throws with the package that is missing. */
export function commandLine(name: string): string[] {
  const [program = '', ...args] = commands[name] ?? [name]
  const path = spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program], {
    env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
    encoding: 'utf8',
  }).stdout.trim()
  if (path === '') throw new Error(`${program} is missing: install Debian's package ${packages[program] ?? program}`)
  return [path, ...args]
}
