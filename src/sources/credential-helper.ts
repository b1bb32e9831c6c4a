/** Logins that a program keeps: the protocol of docker-credential-helpers (its README, "Development"). Node only. */
import { spawn } from 'node:child_process'
import { AppError } from '../errors.ts'
import type { Credentials } from './credentials.ts'
import { fieldsOf, parseJson, textAt } from './json.ts'
import type { SourceOptions } from './source.ts'
import { collect } from './verified.ts'

/** Milliseconds for somebody to type the password of a key ring. */
const patience = 120_000
/** Bytes of an answer. */
const mostAnswer = 2 ** 20
/** What a helper says for a server that it knows nothing of. */
const nothingFound = /credentials not found/i

/**
 * Asks `docker-credential-NAME` for the login at `server`; `undefined` when it has none. Throws `SOURCE_DENIED` when it
 * cannot be run, fails or answers nonsense. Its answer is in no message.
 */
export async function askHelper(
  name: string,
  server: string,
  { env, signal }: Pick<SourceOptions, 'env' | 'signal'>,
): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw denied(`${JSON.stringify(name.slice(0, 100))} is no name of a credential helper`)
  }
  const child = spawn(program, ['get'], {
    env,
    stdio: ['pipe', 'pipe', 'ignore'],
    signal: signal ? AbortSignal.any([signal, AbortSignal.timeout(patience)]) : AbortSignal.timeout(patience),
  })
  const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
  ended.catch(() => undefined)
  // A helper that does not read its input ends the pipe; what it answers tells.
  child.stdin.on('error', () => undefined).end(server)
  try {
    const text = new TextDecoder().decode(await collect(child.stdout, mostAnswer, program))
    const code = await ended
    if (code !== 0) {
      if (nothingFound.test(text)) return undefined
      throw denied(`${program} failed for ${server} (exit code ${code}): run it by hand to see why`)
    }
    return answerOf(text, program)
  } catch (error) {
    if (signal?.aborted) throw signal.reason
    if (error instanceof AppError) throw error
    const { code } = error as NodeJS.ErrnoException
    const why =
      code === 'ENOENT' ? 'it is not installed' : code === 'ABORT_ERR' ? 'it does not answer' : (code ?? 'it failed')
    throw denied(`cannot ask ${program} for the login at ${server}: ${why}`, error)
  } finally {
    child.kill()
  }
}

function answerOf(text: string, program: string): Credentials {
  const fields = fieldsOf(parseJson(new TextEncoder().encode(text), program), program)
  const [username, secret] = [textAt(fields, 'Username', program), textAt(fields, 'Secret', program)]
  if (username === undefined || secret === undefined) throw denied(`${program} answered without a user or a secret`)
  // The name that stands for a token which a token server takes.
  return username === '<token>'
    ? { identityToken: secret, from: program }
    : { username, password: secret, from: program }
}

const denied = (message: string, cause?: unknown): AppError =>
  new AppError('SOURCE_DENIED', message, cause === undefined ? {} : { cause })
