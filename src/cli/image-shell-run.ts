/** One shell or command in an image: from the version that it begins with to the version that it makes. */
import { constants } from 'node:os'
import { resolve } from 'node:path'
import { type Command, CommanderError } from 'commander'
import { AppError } from '../errors.ts'
import { answer } from './client.ts'
import { imageNamed, oneOf, versionMeant } from './image-reference.ts'
import type { ShellFlags } from './image-shell.ts'
import { checkArchitecture } from './image-shell-emulation.ts'
import { type Bind, parseBind, placeOf, planMounts } from './image-shell-mounts.ts'
import { type Ended, enter } from './image-shell-namespace.ts'
import { makeVersion } from './image-shell-version.ts'
import {
  checkPrograms,
  createWorkspace,
  reopenWorkspace,
  sweepWorkspaces,
  type Workspace,
} from './image-shell-workspace.ts'
import type { Io } from './io.ts'
import { createMeter } from './progress.ts'
import { open, type Session, usageError } from './session.ts'
import { unpackVersion, type Version } from './unpack.ts'

/** What was asked for. Without a command it is a shell. */
export type Wanted = { reference: string; command?: readonly string[]; flags: ShellFlags }

/**
 * Runs the shell or the command and makes the version. What we say goes to stderr: stdout is the command's. Throws with the
 * command's exit status when that is not 0. Whatever happens, nothing is left mounted; nothing is left on the disk, but
 * changes that the service did not take.
 */
export async function changeImage(io: Io, command: Command, wanted: Wanted): Promise<void> {
  const { flags } = wanted
  if (flags.discard && flags.keep) throw usageError('--discard drops what --keep keeps: give one of them')
  await checkMachine(io)
  const binds = await Promise.all((flags.bind ?? []).map((text) => parseBind(text, io.cwd)))
  await untilTerminated(io, async (io) => {
    const session = await open(io, command)
    const param = await versionMeant(session, wanted.reference)
    const version = await answer(oneOf(session).versions[':version'].$get({ param }))
    await checkArchitecture(version.manifest.architecture)
    const { newest } = await imageNamed(session, version.image)
    if (newest !== version.number)
      session.err.line(`${nameOf(version)} is not the newest version: ${version.image}@${newest} is`)
    const workspace = await workspaceFor(session, version, flags)
    // What was kept once is not lost by a second failure.
    let precious = flags.resume !== undefined
    try {
      const ended = await runIn(workspace, session, version, wanted, binds)
      await made(session, version, workspace, { ...wanted, newest, ended }).catch((error: unknown) => {
        // Nor what somebody worked for because the service is away, or refuses what can be mended.
        precious ||= !io.signal?.aborted && !(error instanceof CommanderError)
        throw error
      })
      precious &&= ended.status !== 0 && !flags.keep
      if (ended.status !== 0) throw failed(version, wanted, ended)
    } finally {
      if (precious) {
        const resume = `muster image shell ${nameOf(version)} --resume ${await workspace.keep()}`
        session.err.line(`the changes are kept: \`${resume}\` goes on with them`)
      } else await workspace.remove()
    }
  })
}

const nameOf = ({ image, number }: Version): string => `${image}@${number}`

/** Throws `UNSUPPORTED` where no tree can be mounted. */
async function checkMachine({ env }: Io): Promise<void> {
  if (process.platform !== 'linux')
    throw new AppError('UNSUPPORTED', `images are changed on a Linux head node, and this is ${process.platform}`)
  if (process.geteuid?.() !== 0)
    throw new AppError(
      'UNSUPPORTED',
      'only root can mount the tree of an image: run this as root, with sudo for example',
    )
  await checkPrograms(env.PATH)
}

/** The version, unpacked; or what an earlier shell left of it, with its changes. */
async function workspaceFor(session: Session, version: Version, flags: ShellFlags): Promise<Workspace> {
  const { io, err } = session
  if (flags.resume !== undefined) return reopenWorkspace(resolve(io.cwd, flags.resume), version.digest)
  const parent = resolve(io.cwd, flags.tmp)
  await sweepWorkspaces(parent, (line) => err.line(line))
  const workspace = await createWorkspace(parent, version.digest)
  try {
    const meter = createMeter({ printer: err })
    await unpackVersion(session, meter, version, { into: workspace.image, scratch: workspace.scratch })
    await workspace.begin({ env: io.env, signal: io.signal, complain: (line) => err.line(line) })
    return workspace
  } catch (error) {
    await workspace.remove()
    throw error
  }
}

/** Mounts the tree and runs the command, or the best shell that the image has. */
async function runIn(
  workspace: Workspace,
  { io, err }: Session,
  version: Version,
  { command }: Wanted,
  binds: readonly Bind[],
): Promise<Ended> {
  const name = nameOf(version)
  return enter({
    directory: workspace.directory,
    lock: workspace.lock,
    name,
    binds: await planMounts(workspace, binds, (line) => err.line(line)),
    command: command ?? [await shellOf(workspace.image, name)],
    env: io.env,
    signal: io.signal,
  })
}

async function shellOf(image: string, name: string): Promise<string> {
  for (const shell of ['/bin/bash', '/usr/bin/bash', '/bin/sh', '/usr/bin/sh'])
    if ((await placeOf(image, shell)).type === 'file') return shell
  throw new AppError('UNSUPPORTED', `${name} has no shell: run one of its programs with \`muster image exec\``)
}

/** Makes the version, unless it is not wanted. */
async function made(
  session: Session,
  version: Version,
  workspace: Workspace,
  { command, flags, newest, ended }: Wanted & { newest: number; ended: Ended },
): Promise<void> {
  if (ended.status !== 0 && !flags.keep) return
  if (flags.discard) return session.err.line('what changed is dropped, as --discard wants')
  await makeVersion(session, {
    version,
    workspace,
    newest,
    verb: command ? 'exec' : 'shell',
    current: flags.current,
  })
}

/** How a command that failed ends ours. */
function failed(version: Version, { command, flags }: Wanted, { status, hook }: Ended): CommanderError {
  const what = hook ? `the image's ${hook}` : command ? command[0] : 'the shell'
  const end = flags.keep ? '' : flags.resume ? ': no version was made' : ': nothing is kept'
  return new CommanderError(
    status,
    'muster.ended',
    `${nameOf(version)}: ${what} ended with exit status ${status}${end}`,
  )
}

/** As for Ctrl-C, so that SIGTERM and the end of the terminal leave nothing behind either. */
async function untilTerminated(io: Io, work: (io: Io) => Promise<void>): Promise<void> {
  const stop = new AbortController()
  const onSignal = (name: 'SIGTERM' | 'SIGHUP') =>
    stop.abort(new CommanderError(128 + constants.signals[name], 'muster.ended', `${name} came: nothing is kept`))
  const signals = ['SIGTERM', 'SIGHUP'] as const
  for (const name of signals) process.once(name, onSignal)
  const signal = AbortSignal.any([stop.signal, ...(io.signal ? [io.signal] : [])])
  try {
    await work({ ...io, signal })
  } catch (error) {
    // Whatever broke off, it broke off because of that.
    throw signal.aborted ? signal.reason : error
  } finally {
    for (const name of signals) process.off(name, onSignal)
  }
}
