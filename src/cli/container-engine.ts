/** podman and buildah, which build images from Containerfiles. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { AppError } from '../errors.ts'
import type { Io } from './io.ts'
import type { Session } from './session.ts'

/** A program that builds images. Both take the same words for what is done here. */
export type Engine = 'podman' | 'buildah'

const engines: readonly Engine[] = ['podman', 'buildah']

/** The engine that is wanted, else the first that is installed. Throws `UNSUPPORTED` when there is none. */
export async function engineOf(io: Io, wanted?: Engine): Promise<Engine> {
  for (const engine of wanted ? [wanted] : engines) if (await isInstalled(engine, io)) return engine
  const what = wanted ? `${wanted} is not installed` : 'neither podman nor buildah is installed'
  throw new AppError(
    'UNSUPPORTED',
    `${what}: install one, or build elsewhere and bring the archive with \`muster image import docker-archive:FILE NAME\``,
  )
}

/**
 * Runs the engine; what it says goes to stderr, line by line. Throws `SOURCE_INVALID` with its exit code when it fails, and
 * ends it when the command is interrupted.
 */
export async function runEngine({ io, err }: Session, engine: Engine, args: string[]): Promise<void> {
  const child = spawn(engine, args, {
    cwd: io.cwd,
    env: io.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(io.signal && { signal: io.signal }),
  })
  const ended = new Promise<number | null>((done, failed) => child.once('error', failed).once('close', done))
  ended.catch(() => undefined)
  const told = [child.stdout, child.stderr].map(async (stream) => {
    for await (const line of createInterface({ input: stream })) err.line(line)
  })
  await Promise.all(told)
  const code = await ended.catch((error: unknown) => {
    if (io.signal?.aborted) throw io.signal.reason
    throw error
  })
  if (code !== 0)
    throw new AppError('SOURCE_INVALID', `${engine} ${args[0]} failed (exit code ${code}): it says why above`)
}

async function isInstalled(engine: Engine, io: Io): Promise<boolean> {
  const child = spawn(engine, ['--version'], { env: io.env, stdio: 'ignore' })
  return new Promise((resolve) =>
    child.once('error', () => resolve(false)).once('close', (code) => resolve(code === 0)),
  )
}
