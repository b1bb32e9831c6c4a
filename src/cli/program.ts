/** The whole command line: every noun and verb, before anything is parsed. */
import { Command } from 'commander'
import { bootCommands } from './boot.ts'
import { completionCommands } from './completion.ts'
import { discoveredCommands } from './discovered.ts'
import { imageCommands } from './image.ts'
import type { Io } from './io.ts'
import { nodeCommands } from './node.ts'
import { overlayCommands } from './overlay.ts'
import { printable } from './plain.ts'
import { profileCommands } from './profile.ts'
import { referenceCommand } from './reference.ts'
import { rolloutCommands } from './rollout.ts'
import { secretCommands } from './secret.ts'
import { serveCommand } from './serve-command.ts'
import { withGlobalOptions } from './session.ts'
import { tokenCommands } from './token.ts'
import { versionCommand } from './version.ts'

/** A fresh program that prints to the given streams and throws instead of ending the process. */
export function createProgram(io: Io): Command {
  const program = new Command('muster')
    .description('Boots clusters: iPXE scripts, images and overlays from one small service')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => helpWidth,
      getErrHelpWidth: () => helpWidth,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
      outputError: (text, write) => write(printable(text.replace(/^error: /, 'muster: '))),
    })
    // So that a flag's value which looks like an option of the program is left to the flag.
    .enablePositionalOptions()
  nodeCommands(program, io)
  profileCommands(program, io)
  imageCommands(program, io)
  rolloutCommands(program, io)
  overlayCommands(program, io)
  bootCommands(program, io)
  discoveredCommands(program, io)
  secretCommands(program, io)
  tokenCommands(program, io)
  completionCommands(program, io)
  versionCommand(program, io)
  referenceCommand(program, io)
  withGlobalOptions(program)
  serveCommand(program, io)
  return program
}

/** Columns of the help: the same everywhere, so that the reference reads like the terminal. */
const helpWidth = 120
