/** `muster version`. */
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { type Io, jsonText } from './io.ts'

/** Adds the command. It asks nobody: it says which Muster this is. */
export function versionCommand(program: Command, io: Io): void {
  const command = program.command('version').description('Print the version of this Muster')
  command.action(async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    const { json } = command.optsWithGlobals<{ json?: boolean }>()
    io.stdout.write(json ? `${jsonText({ version })}\n` : `muster ${version}\n`)
  })
}
