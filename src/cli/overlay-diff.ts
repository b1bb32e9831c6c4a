/** `muster overlay diff`: two versions of an overlay, or one and a directory. */
import { resolve } from 'node:path'
import { type Command, CommanderError } from 'commander'
import { answer, segment } from './client.ts'
import type { Io, Part } from './io.ts'
import { changeLines, type FileChange, fileChanges } from './overlay-diff-lines.ts'
import { marked, type OverlayFile, readOverlay } from './overlay-files.ts'
import { filesOf, oneOf, unlessUnknown, versionNamed } from './overlay-reference.ts'
import { open, type Session, show, verb } from './session.ts'

/** After the name of a shipped overlay. */
const shipped = ' (shipped)'

type Options = { dir?: string; exitCode?: boolean }

/** One side: its name for people, and its files. */
type Side = { name: string; files: OverlayFile[] }

/** Adds the verb. */
export function overlayDiffCommand(overlay: Command, io: Io): void {
  const diff = verb(overlay, 'diff', 'Show what changed between two versions of an overlay').argument(
    '<name>',
    'overlay',
  )
  diff.argument('[from]', 'number of a version, or shipped; else the one before the current')
  diff.argument('[to]', 'the same; else the current one')
  diff.option(
    '--dir <directory>',
    'compare with this directory instead; [from] then is the current version unless given',
  )
  diff.option('--exit-code', 'exit with 1 when they differ')
  diff.action(async (name: string, from: string | undefined, to: string | undefined, options: Options) => {
    const session = await open(io, diff)
    const [before, after] = await sides(session, name, from, to, options)
    const changes = fileChanges(before.files, after.files)
    const document = { from: before.name, to: after.name, files: changes.map(changeBody) }
    if (session.json) show(session, document, () => [])
    else print(session, document, changes)
    const isBelow = before.name.endsWith(shipped) && changes.some((change) => change.after === undefined)
    if (isBelow)
      session.err.line(`what only the shipped ${name} has stays on nodes: the site's files lie above it one by one`)
    if (options.exitCode && changes.length > 0) throw new CommanderError(1, 'muster.different', '')
  })
}

async function sides(
  session: Session,
  name: string,
  from: string | undefined,
  to: string | undefined,
  { dir }: Options,
): Promise<[Side, Side]> {
  const named = async (version: string): Promise<Side> => ({
    name: version === 'shipped' ? `${name}${shipped}` : `${name}@${version}`,
    files: await filesOf(session, name, version),
  })
  const versions = (await answer(oneOf(session).versions.$get({ param: { name: segment(name) } }))).map(({ number }) =>
    String(number),
  )
  const current = versions[0] ?? 'shipped'
  if (dir !== undefined) {
    const path = resolve(session.io.cwd, dir)
    return [
      await named(from === undefined ? current : versionNamed(from)),
      { name: dir, files: await directoryFiles(session, name, path) },
    ]
  }
  const after = await named(to === undefined ? current : versionNamed(to))
  if (from !== undefined) return [await named(versionNamed(from)), after]
  const earlier = versions[1] === undefined ? await unlessUnknown(named('shipped')) : await named(versions[1])
  return [earlier ?? { name: 'nothing', files: [] }, after]
}

/** A directory's files, those marked whose content is itself a secret. */
async function directoryFiles(session: Session, name: string, path: string): Promise<OverlayFile[]> {
  const files = await readOverlay(path)
  const { private: secret } = await answer(
    oneOf(session).lint.$post({ param: { name: segment(name) }, json: { files } }),
  )
  return marked(files, secret)
}

const changeBody = (change: FileChange) => {
  const { path, before, after, isPrivate } = change
  return {
    path,
    change: before === undefined ? 'added' : after === undefined ? 'removed' : 'changed',
    ...(isPrivate && { private: true }),
    diff: `${textsOf(changeLines(change)).join('\n')}\n`,
  }
}

/** To the letter where a program reads it, so that `patch -p1` can. */
function print({ out }: Session, { from, to }: { from: string; to: string }, changes: readonly FileChange[]): void {
  const lines = changes.flatMap(changeLines)
  if (!out.terminal) {
    for (const text of textsOf(lines)) out.text(`${text}\n`)
    return
  }
  out.line({ text: `${from} -> ${to}`, look: 'bold' }, changes.length === 0 ? ': no difference' : '')
  for (const line of lines) out.line(...line.map(tabbed))
}

/** A terminal's printer shows control characters as such, tabs among them. */
const tabbed = (part: Part): Part => {
  const spaced = (text: string) => text.replaceAll('\t', '        ')
  return typeof part === 'string' ? spaced(part) : { ...part, text: spaced(part.text) }
}

const textsOf = (lines: readonly Part[][]): string[] =>
  lines.map((parts) => parts.map((part) => (typeof part === 'string' ? part : part.text)).join(''))
