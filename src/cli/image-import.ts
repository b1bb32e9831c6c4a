/** `muster image import`: from a registry, an archive, a layout, a directory or a tar to a version of an image. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { AppError } from '../errors.ts'
import type { ImageSource } from '../sources/source.ts'
import { answer, segment } from './client.ts'
import type { Git } from './git.ts'
import { contentsOf } from './image-contents.ts'
import { oneOf } from './image-reference.ts'
import { type Io, jsonText } from './io.ts'
import { createMeter, type Meter, type Telling } from './progress.ts'
import { editVerb, open, type Session, usageError } from './session.ts'
import { outline, table } from './table.ts'
import { type Upload, type Uploaded, upload } from './upload.ts'

/** What the verb's own options say. */
export type ImportOptions = {
  current: boolean
  /** A tag for the version. */
  as?: string
  platform?: string
  ca?: string
  insecure?: boolean
  authfile?: string
  syncuser?: 'check' | 'write'
  passwd: string
  group: string
  git?: Git
  /** Digest of the Containerfile, and what is told instead of the source: `image build` knows better. */
  containerfile?: string
  told?: string
}

/** The label that says which commit an image was built from (OCI image spec, annotations.md). */
const revisionLabel = 'org.opencontainers.image.revision'
/** What the service takes of a source's name. */
const longestSource = 1024

const sourceHelp = `docker://NAME:TAG, docker-archive:FILE[:IMAGE], oci:DIR[:IMAGE], oci-archive:FILE[:IMAGE], a directory, \
a tar or an archive of images (plain, gzip, zstd, xz or bzip2), or - for one on stdin`

/** Adds the verb. */
export function imageImportCommand(image: Command, io: Io): void {
  const bring = editVerb(image, 'import', 'Make a new version of an image')
  bring.argument('<source>', sourceHelp).argument('<name>', 'image')
  bring.option('--platform <os/arch>', "of an image that comes in several: linux/arm64; else this machine's")
  bring.option('--authfile <file>', 'logins for registries, as podman login and docker login write them')
  bring.option('--ca <file>', 'certificates of authorities to trust besides those of the system, in PEM')
  bring.option(
    '--insecure',
    'take any certificate of a registry, and plain HTTP: whoever is on the network can read along',
  )
  bring.addOption(
    new Option(
      '--git <commit>',
      'what it was built from: a hash, with -dirty behind it if files were changed',
    ).argParser(givenGit),
  )
  addImportOptions(bring)
  bring.action(async (source: string, name: string, options: ImportOptions) => {
    const session = await open(io, bring)
    await importImage(session, source, name, options)
  })
}

/** Options of every verb that makes a version out of what is somewhere else. */
export function addImportOptions(verb: Command): void {
  verb.addOption(
    new Option('--syncuser [mode]', "give users and groups this machine's ids: =write also where that moves others")
      .preset('check')
      .argParser(syncMode),
  )
  verb.option('--passwd <file>', 'users for --syncuser', '/etc/passwd')
  verb.option('--group <file>', 'groups for --syncuser', '/etc/group')
  verb.addOption(new Option('--as <tag>', 'give the version this tag, too').argParser(tagOf))
  verb.option('--no-current', 'do not make it the version that nodes get')
}

/** Makes a version out of a source, tags it when that is asked for, and tells what came of it. */
export async function importImage(
  session: Session,
  source: string,
  name: string,
  options: ImportOptions,
): Promise<void> {
  const made = await versionFrom(session, source, name, options)
  if (options.as !== undefined) await tagVersion(session, name, made.number, options.as)
  if (session.json) return tell(session.io, { event: 'done', ...made })
  for (const line of doneLines(name, made)) session.out.line(line)
}

async function tagVersion(session: Session, name: string, number: number, tag: string): Promise<void> {
  const param = { name: segment(name), tag: segment(tag) }
  const query = session.why
  await answer(oneOf(session).tags[':tag'].$put({ param, query, json: { version: String(number) } }))
}

async function versionFrom(session: Session, text: string, image: string, options: ImportOptions): Promise<Uploaded> {
  // Before anything is read: a refused connection or token should not cost a whole tree's time.
  await answer(session.api.client.api.whoami.$get())
  const { syncuser: mode } = options
  const users = mode && {
    mode,
    passwd: await textOf(session, options.passwd),
    group: await textOf(session, options.group),
  }
  // Loaded by the one command that needs it: the others start sooner.
  const { openSource } = await import('../sources/source.ts')
  const source = await openSource(text, sourceOptions(session, options))
  try {
    return await upload(session, meterOf(session), {
      image,
      layers: source.layers,
      opening: { whiteouts: source.whiteouts, ...(users && { syncUsers: users }) },
      finishing: () => finishing(source, options),
    })
  } catch (error) {
    if (error instanceof AppError && error.code === 'SYNCUSER_CONFLICT') throw conflict(session, error)
    throw error
  } finally {
    await source.close()
  }
}

const sourceOptions = ({ io, err }: Session, { platform, ca, insecure, authfile }: ImportOptions) => ({
  env: io.env,
  cwd: io.cwd,
  stdin: io.stdin,
  complain: (line: string) => err.line(line),
  ...(io.signal && { signal: io.signal }),
  ...(platform !== undefined && { platform }),
  ...(ca !== undefined && { ca }),
  ...(authfile !== undefined && { authfile }),
  ...(insecure && { insecure }),
})

/** What is kept with the version. */
function finishing(
  { source, sourceDigest, platform, labels = {} }: ImageSource,
  { current, git, containerfile, told }: ImportOptions,
) {
  const label = labels[revisionLabel]
  const built = git ?? (label === undefined ? undefined : parseGit(label))
  const provenance = {
    ...(sourceDigest && { sourceDigest }),
    ...(platform !== undefined && { platform }),
    ...(Object.keys(labels).length > 0 && { labels }),
    ...(built && { git: built }),
    ...(containerfile !== undefined && { containerfile }),
  }
  return { source: (told ?? source).slice(0, longestSource), provenance, current } satisfies ReturnType<
    Upload['finishing']
  >
}

/** A line for people on a terminal; with --json, events on stdout. */
function meterOf({ json, io, err }: Session): Meter {
  const telling: Telling = json
    ? {
        tell: ({ phase, done, size, seconds }) => {
          const rate = seconds > 0 ? Math.round(done / seconds) : 0
          tell(io, { event: 'progress', phase, bytes: done, ...(size !== undefined && { total: size }), rate })
        },
      }
    : { printer: err }
  return createMeter(telling)
}

/** One event, on one line. */
const tell = ({ stdout }: Io, event: { event: string } & Record<string, unknown>): void =>
  void stdout.write(`${jsonText(event, 0)}\n`)

const doneLines = (name: string, { digest, summary, warnings, ...made }: Uploaded): string[] => [
  doneLine(name, made),
  ...outline({ digest, ...contentsOf({ ...summary, warnings: [...summary.warnings, ...warnings] }) }, '  '),
]

/** Which version it is, and what nodes get now. */
function doneLine(
  name: string,
  { number, created, current, before }: Omit<Uploaded, 'digest' | 'summary' | 'warnings'>,
) {
  const what = created ? `imported ${name}@${number}` : `nothing new: ${name}@${number} has this content already`
  if (current !== number)
    return `${what}; nodes still get ${name}@${current}: muster image set-current ${name} ${number}`
  if (created || before === current) return what
  return `${what}, and is current again${before === null ? '' : ` instead of ${name}@${before}`}`
}

/** Prints who is in conflict with whom, and gives the error that says how to go on. */
function conflict({ err }: Session, { faults = [] }: AppError): CommanderError {
  const rows = faults.map(({ field, message }) => [field, message])
  for (const line of table(['IN THE IMAGE', 'CONFLICT'], rows)) err.line(line)
  const ways = 'make these users and groups here first, or let --syncuser=write give them other ids in the image'
  return new CommanderError(1, 'muster.syncuser', `${rows.length} ids of the image are others' here: ${ways}`)
}

/** The option takes its value after `=` alone, so that it does not swallow the source. */
function syncMode(value: string): 'check' | 'write' {
  if (value === 'check' || value === 'write') return value
  throw new InvalidArgumentError('It is =check or =write; put a plain --syncuser behind SOURCE and NAME.')
}

/** Known before a whole image was sent for nothing. The service has the last word. */
function tagOf(value: string): string {
  if (/^[A-Za-z0-9_][\w.-]{0,127}$/.test(value) && !/^[0-9]+$/.test(value)) return value
  throw new InvalidArgumentError('It is made of letters, digits, dots, dashes and underscores, and is no number.')
}

function givenGit(value: string): Git {
  const git = parseGit(value)
  if (git) return git
  throw new InvalidArgumentError(
    'It is a hash of 7 to 64 hexadecimal digits, with -dirty behind it if files were changed.',
  )
}

/** `1a2b3c4d`, `1a2b3c4d-dirty`. */
function parseGit(text: string): Git | undefined {
  const [, commit, dirty] = /^([0-9a-f]{7,64})(-dirty)?$/.exec(text) ?? []
  return commit === undefined ? undefined : { commit, dirty: dirty !== undefined }
}

async function textOf({ io }: Session, file: string): Promise<string> {
  const bytes = await readFile(resolve(io.cwd, file))
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw usageError(`${file} is not UTF-8`)
  }
}
