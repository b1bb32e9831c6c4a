/** `muster`: the command line on this process. */
import { run } from './run.ts'

const interrupt = new AbortController()
process.once('SIGINT', () => interrupt.abort(new Error('interrupted')))

// The reader of a pipe may leave early (`muster node list | head`): that is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})

const code = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  signal: interrupt.signal,
})

// Not `process.exit` for every end: what is still on its way into a pipe would be lost. After Ctrl-C nothing is waited for.
process.exitCode = code
if (interrupt.signal.aborted) process.exit()
