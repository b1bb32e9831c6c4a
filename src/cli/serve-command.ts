/** `muster serve`: the service itself, loaded only when it is asked for, so that other commands start fast. */
import type { Command } from 'commander'
import type { Io } from './io.ts'

/** Adds the command. */
export function serveCommand(program: Command, io: Io): void {
  const command = program
    .command('serve')
    .description('Run the service; its settings are in the environment (MUSTER_…)')
  command.action(async () => {
    const { serve } = await import('./serve.ts')
    await serve(io)
  })
}
