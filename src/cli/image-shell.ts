/** `muster image shell` and `muster image exec`: change an image from the inside, and make a version of it. */
import type { Command } from 'commander'
import { referenceHelp } from './image-reference.ts'
import type { Io } from './io.ts'
import { editVerb } from './session.ts'

/** Flags of both verbs. */
export type ShellFlags = {
  bind?: string[]
  discard?: boolean
  keep?: boolean
  current: boolean
  tmp: string
  resume?: string
}

/** Adds the verbs. What they need is loaded when they run. */
export function imageShellCommands(image: Command, io: Io): void {
  const shell = editVerb(image, 'shell', 'Change an image in a shell; what changed becomes a new version')
  withFlags(shell.argument('<image>', referenceHelp))
  shell.action(async (reference: string, flags: ShellFlags) => {
    const { changeImage } = await import('./image-shell-run.ts')
    await changeImage(io, shell, { reference, flags })
  })

  const exec = editVerb(image, 'exec', 'Run a command in an image; what it changed becomes a new version')
  withFlags(exec.usage('[options] <image> -- <command> [arguments...]').argument('<image>', referenceHelp))
  exec.argument('<command...>', 'what is run, behind --')
  exec.action(async (reference: string, command: string[], flags: ShellFlags) => {
    const { changeImage } = await import('./image-shell-run.ts')
    await changeImage(io, exec, { reference, command, flags })
  })
}

const withFlags = (command: Command): Command =>
  command
    .option('--bind <src[:dst[:ro]]>', 'show a file or directory of this machine in the image; repeatable', appended)
    .option('--discard', 'make no version: what changed is dropped')
    .option('--keep', 'make a version also after an exit status other than 0')
    .option('--no-current', 'do not make it the version that nodes get')
    .option('--tmp <dir>', 'where the image is unpacked meanwhile', '/var/tmp')
    .option('--resume <dir>', 'go on with changes that were kept because the service did not take them')

const appended = (value: string, before: string[] = []): string[] => [...before, value]
