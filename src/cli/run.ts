/** A command line in, an exit code out: 0 done, 1 failed, 2 not understood, 130 interrupted. */
import { CommanderError } from 'commander'
import { AppError } from '../errors.ts'
import { type Io, printer } from './io.ts'
import { createProgram } from './program.ts'

/** Runs one command line (without `node` and the script's name). Never throws but for a bug. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  try {
    await createProgram(io).parseAsync(argv, { from: 'user' })
    return 0
  } catch (error) {
    if (io.signal?.aborted) {
      // The terminal has shown ^C behind whatever stood there.
      if (io.stderr.isTTY) io.stderr.write('\n')
      return interrupted
    }
    if (error instanceof CommanderError) return exitOf(error, io)
    if (error instanceof AppError) return report(error, io)
    if (isSystemError(error)) return report(systemFault(error), io)
    throw error
  }
}

/** What a shell says of a process that died of SIGINT: 128 + 2. */
const interrupted = 130

/** Codes that say that the command line was wrong, not the world. */
const usageCodes: readonly string[] = ['REQUEST_INVALID', 'SELECTOR_INVALID']

/** commander has printed its own errors and help by now; ours are printed here. */
function exitOf({ code, exitCode, message }: CommanderError, { stderr, env }: Io): number {
  if (code.startsWith('muster.')) {
    // A status can be all that there is to say.
    if (message !== '') printer(stderr, env).line(`muster: ${message}`)
    return exitCode
  }
  return exitCode === 0 ? 0 : 2
}

/** The message, the field unless the message has it, and every fault that the message does not tell. */
function report({ code, message, field, faults = [] }: AppError, { stderr, env }: Io): number {
  const { line } = printer(stderr, env)
  line(`muster: ${message}${field && !message.includes(field) ? ` (${field})` : ''}`)
  const others = faults.filter((fault) => !message.includes(fault.field) || !message.includes(fault.message))
  for (const fault of others) line(`  ${fault.field}: ${fault.message}`)
  return usageCodes.includes(code) ? 2 : 1
}

/** `/etc/x: no such file or directory (ENOENT)`, where Node has the call, the path and the reason in another order. */
function systemFault(error: NodeJS.ErrnoException): AppError {
  const [, reason, path] = /^[A-Z0-9]+: (.*?), \w+(?: '(.*)')?$/s.exec(error.message) ?? []
  const where = error.path ?? path
  const text = reason === undefined || where === undefined ? error.message : `${where}: ${reason} (${error.code})`
  return new AppError('INTERNAL', text, { cause: error })
}

/** A file that is not there, a full disk. */
const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'syscall' in error && 'code' in error
