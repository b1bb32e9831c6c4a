/** `muster overlay push`, `lint` and `revert`: new versions, and what would go wrong with them. */
import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { type Command, CommanderError } from 'commander'
import { AppError } from '../errors.ts'
import { answer, segment } from './client.ts'
import { confirm, counted } from './confirm.ts'
import { gitOf } from './git.ts'
import type { Io, Part } from './io.ts'
import { bounded, changeLine, changeLines, type FileChange, fileChanges } from './overlay-diff-lines.ts'
import { marked, type OverlayFile, readOverlay } from './overlay-files.ts'
import { type Finding, filesOf, findingLine, ifMatch, oneOf, unlessUnknown, versionNamed } from './overlay-reference.ts'
import { editVerb, open, type Session, show, usageError, verb } from './session.ts'

/** Lines of a diff that stand before a question. */
const mostLines = 120

/** Adds the verbs. */
export function overlayEditCommands(overlay: Command, io: Io): void {
  const push = editVerb(overlay, 'push', 'Make a directory the new version of an overlay')
  push.argument('<directory>', 'overlay.yaml and the files').argument('[name]', "overlay; else the directory's name")
  push.action(async (directory: string, given: string | undefined) => {
    const path = resolve(io.cwd, directory)
    await pushOverlay(await open(io, push), path, given ?? basename(path))
  })

  const revert = editVerb(overlay, 'revert', 'Make a new version of what an older one was')
  revert.argument('<name>', 'overlay').argument('<version>', 'number of the older version')
  revert.action(async (name: string, version: string) => {
    await revertOverlay(await open(io, revert), name, numberNamed(version))
  })

  const lint = verb(
    overlay,
    'lint',
    'Say what would go wrong with an overlay; exits with 1 when that keeps it from being pushed',
  )
  lint.argument('<directory|name>', 'a directory, or else an overlay that is there')
  lint.option('--name <name>', "what the directory would be pushed as; else the directory's name")
  lint.action(async (target: string, options: { name?: string }) => {
    const session = await open(io, lint)
    const path = resolve(io.cwd, target)
    const linted = (await isDirectory(path))
      ? await lintFiles(session, options.name ?? basename(path), await readOverlay(path))
      : await lintNamed(session, target)
    show(session, linted, ({ findings }) => [...findings.map(findingLine), summary(findings)])
    if (errorsIn(linted.findings).length > 0) throw new CommanderError(1, 'muster.lint', '')
  })
}

async function pushOverlay(session: Session, path: string, name: string): Promise<void> {
  const files = await readOverlay(path)
  const [git, headers, before, { findings, private: secret }] = await Promise.all([
    gitOf(path, session.io),
    ifMatch(session, name),
    unlessUnknown(filesOf(session, name)),
    lintFiles(session, name, files),
  ])
  const errors = errorsIn(findings)
  if (errors.length > 0) {
    for (const finding of findings) session.err.line(...findingLine(finding))
    throw new AppError('OVERLAY_INVALID', `overlay ${name} has ${counted(errors.length, 'error')}: nothing was pushed`)
  }
  // Above a shipped overlay files are laid one by one: the shipped ones that are not in the directory stay.
  const isAbove = before !== undefined && headers['if-match'] === undefined
  const changes = fileChanges(before ?? [], marked(files, secret)).filter(({ after }) => after || !isAbove)
  if (changes.length > 0) {
    const kind = before === undefined ? ' (new)' : isAbove ? ' (new, above the shipped files)' : ''
    const head: Part[] = [{ text: `${name}${kind}`, look: 'bold' }]
    const more = before ? `\`muster overlay diff ${name} --dir ${path}\` shows all` : 'they are in the directory'
    await confirm(
      session,
      [head, ...changed(changes, more), ...findings.map(findingLine)],
      `Push overlay ${name}${git?.dirty ? ', from a checkout with changes that are not committed' : ''}?`,
    )
  }
  const json = { files, ...session.why, ...(git && { git }) }
  const made = await answer(oneOf(session).$put({ param: { name: segment(name) }, query: {}, json }, { headers }))
  show(session, made, ({ version, created }) => [
    created ? `pushed ${name}, version ${version}` : `nothing to change: ${name} is this already, version ${version}`,
  ])
}

async function revertOverlay(session: Session, name: string, version: number): Promise<void> {
  const [headers, before, after] = await Promise.all([
    ifMatch(session, name),
    filesOf(session, name),
    filesOf(session, name, String(version)),
  ])
  const changes = fileChanges(before, after)
  if (changes.length > 0) {
    const more = `\`muster overlay diff ${name} ${version}\` shows all, the other way round`
    const head: Part[] = [{ text: name, look: 'bold' }]
    await confirm(session, [head, ...changed(changes, more)], `Revert overlay ${name} to version ${version}?`)
  }
  const body = { param: { name: segment(name) }, query: session.why, json: { version } }
  const made = await answer(oneOf(session).revert.$post(body, { headers }))
  show(session, made, (done) => [
    done.created
      ? `reverted ${name}: version ${done.version} is what version ${version} was`
      : `nothing to change: ${name} is this already, version ${done.version}`,
  ])
}

/** The changed files' names, then as much of the diff as fits before a question. */
const changed = (changes: readonly FileChange[], more: string): Part[][] => [
  ...changes.map((change): Part[] => [`  ${changeLine(change)}`]),
  ...bounded(changes.flatMap(changeLines), mostLines, more),
]

const lintFiles = (session: Session, name: string, files: OverlayFile[]) =>
  answer(oneOf(session).lint.$post({ param: { name: segment(name) }, json: { files } }))

/** Of an overlay that is there. */
async function lintNamed(session: Session, name: string) {
  const found = await unlessUnknown(answer(oneOf(session).lint.$get({ param: { name: segment(name) }, query: {} })))
  if (found) return found
  throw new AppError('OVERLAY_UNKNOWN', `${name} is neither a directory nor an overlay that is there`)
}

const errorsIn = (findings: readonly Finding[]): Finding[] => findings.filter(({ level }) => level === 'error')

function summary(findings: readonly Finding[]): string {
  const errors = errorsIn(findings).length
  const warnings = findings.length - errors
  if (findings.length === 0) return 'nothing to say'
  return [errors > 0 && counted(errors, 'error'), warnings > 0 && counted(warnings, 'warning')]
    .filter(Boolean)
    .join(', ')
}

/** A version by its number. Throws (exit 2) for `shipped`, which is brought back by deleting the site's overlay. */
function numberNamed(text: string): number {
  const version = versionNamed(text)
  if (version !== 'shipped') return Number(version)
  throw usageError('shipped is no number: delete the overlay to have the shipped one again')
}

async function isDirectory(path: string): Promise<boolean> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error
  })
  return found?.isDirectory() === true
}
