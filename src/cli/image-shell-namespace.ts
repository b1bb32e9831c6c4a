/** A command in the tree of an image, in namespaces of its own: runs `image-shell.sh` and says how it ended. */
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import { AppError } from '../errors.ts'
import type { Bind } from './image-shell-mounts.ts'

/** What is run, and where. */
export type Entering = {
  /** The workspace. */
  directory: string
  /** Descriptor of its lock, which is held as long as anything of the shell lives. */
  lock: number
  /** `rocky9@3`, for the prompt and MUSTER_IMAGE. */
  name: string
  binds: readonly Bind[]
  command: readonly string[]
  env: Record<string, string | undefined>
  /** Ends the command, first gently. */
  signal?: AbortSignal | undefined
}

/** How it ended: the exit status, 128 and its number for a signal; of the image's own hook when that was what failed. */
export type Ended = { status: number; hook?: string }

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** For what `unshare` brings, see `image-shell.sh`. Whoever is process 1 there dies with it. */
const unshare = ['unshare', '--mount', '--propagation=private', '--pid', '--fork', '--kill-child', '--uts', '--ipc']

/**
 * Runs a command with this process's own terminal, stdin, stdout and stderr. Throws `INTERNAL` when it could not be started,
 * and the signal's reason when that ended it. Nothing of it is left when this returns.
 */
export async function enter(entering: Entering): Promise<Ended> {
  const { directory, lock, name, binds, command, env, signal } = entering
  signal?.throwIfAborted()
  const mounts = binds.flatMap(({ source, point, readOnly }) => [readOnly ? 'ro' : 'rw', source, point])
  const inside = [...unshare, 'sh', script('image-shell.sh'), directory, ...mounts, '--', ...command]
  // The terminal's keeper must not outlive us: it would take the terminal from whoever has it by then.
  const keeper = ['setpriv', '--pdeathsig=KILL', 'sh', script('image-terminal.sh')]
  const [program = '', ...args] = (await ownsTerminal()) ? [...keeper, ...inside] : inside
  const { TERM = 'dumb', PATH = '' } = env
  const child = spawn(program, args, {
    env: { TERM, PATH, LC_ALL: 'C', MUSTER_IMAGE: name },
    stdio: ['inherit', 'inherit', 'inherit', 'pipe', lock],
  })
  const socket = child.stdio[3]
  if (!socket || !('write' in socket)) throw new AppError('INTERNAL', 'the shell has no socket to us')
  let said = ''
  socket.on('data', (chunk) => {
    said += String(chunk)
  })
  // Whoever ends there does not close it first.
  socket.on('error', () => {})
  const stop = () => void socket.destroy()
  signal?.addEventListener('abort', stop)
  try {
    const status = await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, by) => resolve(code ?? 128 + (by ? constants.signals[by] : 0)))
    })
    signal?.throwIfAborted()
    const words = said.split('\n').filter((line) => line !== '')
    if (!words.includes('ready'))
      throw new AppError(
        'INTERNAL',
        `the tree of ${name} could not be mounted (exit code ${status}): what failed stands above`,
      )
    const hook = words.find((line) => line.startsWith('hook '))?.slice(5)
    return { status, ...(hook !== undefined && { hook }) }
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

/** Whether this process is in the foreground of a terminal: only then does it have one to give away. */
async function ownsTerminal(): Promise<boolean> {
  // proc_pid_stat(5): behind the name in parentheses come state, ppid, pgrp, session, tty_nr and tpgid.
  const stat = await readFile('/proc/self/stat', 'utf8')
  const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return group === foreground
}
