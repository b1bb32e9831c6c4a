/** `muster image build`: a Containerfile to a version of an image, built by podman or buildah on this machine. */
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { AppError } from '../errors.ts'
import { answer } from './client.ts'
import { engineOf, runEngine } from './container-engine.ts'
import { gitOf } from './git.ts'
import { addImportOptions, type ImportOptions, importImage } from './image-import.ts'
import { checkArchitecture } from './image-shell-emulation.ts'
import type { Io } from './io.ts'
import { editVerb, open, type Session } from './session.ts'

/** What the verb's own options say, besides those of `image import`. */
type BuildOptions = ImportOptions & {
  file?: string
  tag: string
  buildArg: string[]
  engine?: 'podman' | 'buildah'
}

/** What engines call an architecture → what Linux calls it. */
const architectures: Record<string, string> = { amd64: 'x86_64', arm64: 'aarch64' }

/** Adds the verb. */
export function imageBuildCommand(image: Command, io: Io): void {
  const build = editVerb(image, 'build', 'Build an image from a Containerfile and make a version of it')
  build.argument('[context]', 'the directory that COPY takes from; else the one of the Containerfile')
  build.argument('[options...]', "more of the engine's own options, behind --")
  build.option('-f, --file <file>', 'Containerfile; else ./Containerfile or ./Dockerfile, as the engine has it')
  build.requiredOption('-t, --tag <name>', 'image that gets the version')
  build.option('--build-arg <name=value>', 'value for an ARG; can be given several times', collected, [])
  build.option('--platform <os/arch>', "linux/arm64; else this machine's")
  build.addOption(
    new Option('--engine <name>', 'podman or buildah; else the first that is installed').choices(['podman', 'buildah']),
  )
  addImportOptions(build)
  build.action(async (context: string | undefined, rest: string[], options: BuildOptions) => {
    await buildImage(await open(io, build), context, rest, options)
  })
}

const collected = (value: string, before: string[]): string[] => [...before, value]

async function buildImage(session: Session, context: string | undefined, rest: string[], options: BuildOptions) {
  const { io } = session
  // Before anything is built: a refused connection or token should not cost that time.
  await answer(session.api.client.api.whoami.$get())
  const { tag, platform, buildArg } = options
  const file = resolve(io.cwd, options.file ?? (await defaultFile(resolve(io.cwd, context ?? '.'))))
  const containerfile = `sha256:${createHash('sha256')
    .update(await readFile(file))
    .digest('hex')}`
  const folder = resolve(io.cwd, context ?? dirname(file))
  const engine = await engineOf(io, options.engine)
  const built = `localhost/muster/${tag.toLowerCase()}:latest`
  await runEngine(session, engine, [
    'build',
    '--file',
    file,
    '--tag',
    built,
    ...(platform === undefined ? [] : ['--platform', platform]),
    ...buildArg.flatMap((value) => ['--build-arg', value]),
    ...rest,
    folder,
  ]).catch((error: unknown) => explain(error, platform))
  const work = await mkdtemp(join(io.env.TMPDIR ?? tmpdir(), 'muster-build-'))
  try {
    const archive = join(work, 'image.tar')
    await runEngine(session, engine, ['push', built, `oci-archive:${archive}`])
    const git = await gitOf(dirname(file), io)
    await importImage(session, `oci-archive:${archive}`, tag, {
      ...options,
      ...(git && { git }),
      containerfile,
      told: `build ${file}`,
    })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** What fails for another architecture mostly fails because nothing here runs its programs. */
async function explain(error: unknown, platform: string | undefined): Promise<never> {
  const [, wanted = ''] = (platform ?? '').split('/')
  if (wanted !== '') await checkArchitecture(architectures[wanted] ?? wanted)
  throw error
}

async function defaultFile(folder: string): Promise<string> {
  for (const name of ['Containerfile', 'Dockerfile']) {
    const file = join(folder, name)
    const found = await readFile(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
      throw error
    })
    if (found) return file
  }
  throw new AppError('SOURCE_UNKNOWN', `no Containerfile in ${folder}: name one with --file`)
}
