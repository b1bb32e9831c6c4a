/** `muster overlay render` and `which`: what a node gets, and from which overlay. */
import type { Command } from 'commander'
import { AppError } from '../errors.ts'
import { answer, segment } from './client.ts'
import type { Io } from './io.ts'
import { oneOf } from './overlay-reference.ts'
import { overlayStateLines } from './overlay-state.ts'
import { open, type Session, show, usageError, verb } from './session.ts'
import { table } from './table.ts'

type Options = { node: string; overlay?: string; diff?: boolean }

/** Adds the verbs. */
export function overlayRenderCommands(overlay: Command, io: Io): void {
  const render = verb(overlay, 'render', 'Show exactly what a node gets, of both lists or of one overlay')
  render.argument('[path]', 'only this file, as it is; an argument without a / at its front is an overlay')
  render.argument('[file]', 'only this file, after an overlay')
  render.requiredOption('--node <name>', 'node')
  render.option('--overlay <name>', 'what this overlay alone gives it, whether it has the overlay or not')
  render.option('--diff', 'what would change of what the node has, as its client reported')
  render.action(async (first: string | undefined, second: string | undefined, options: Options) => {
    const session = await open(io, render)
    const { name, path } = wanted(first, second, options.overlay)
    if (options.diff) {
      if (name !== undefined) throw usageError('--diff compares all that the node has: name no overlay')
      return overlayStateLines(session, options.node, path)
    }
    const query = { node: options.node, ...(path !== undefined && { path }) }
    const files =
      name === undefined
        ? await answer(session.api.client.api.overlays.render.$get({ query }))
        : await answer(oneOf(session).render.$get({ param: { name: segment(name) }, query }))
    if (session.json) return show(session, files, () => [])
    if (path !== undefined && files.length === 0)
      throw new AppError(
        'FILE_UNKNOWN',
        `${name === undefined ? 'no overlay' : `overlay ${name} does not`} give${name === undefined ? 's' : ''} ${options.node} the file ${path}: ` +
          `\`muster overlay which --node ${options.node} ${path}\` says more`,
      )
    for (const file of files) printFile(session, file, path !== undefined)
  })

  const which = verb(overlay, 'which', 'Say which overlays of a node write a path, and which of them counts')
  which.argument('<path>', '/etc/hosts').requiredOption('--node <name>', 'node')
  which.action(async (path: string, { node }: { node: string }) => {
    const session = await open(io, which)
    const found = await answer(session.api.client.api.overlays.which.$get({ query: { node, path } }))
    show(session, found, (document) => whichLines(document, session.out.columns))
  })
}

/** Which overlay and which file. Throws (exit 2) when the arguments say two things. */
function wanted(first: string | undefined, second: string | undefined, overlay: string | undefined) {
  if (first === undefined) return { name: overlay, path: undefined }
  if (first.startsWith('/')) {
    if (second !== undefined) throw usageError(`${first} is a path already: name the overlay with --overlay`)
    return { name: overlay, path: first }
  }
  if (overlay !== undefined)
    throw usageError(`the overlay is named twice, ${overlay} and ${first}: a path begins with /`)
  return { name: first, path: second }
}

/** A rendered file as the API gives it. */
type Rendered = {
  path: string
  mode: string
  owner: string
  type: string
  content?: string | undefined
  encoding?: string | undefined
  link?: string | undefined
  private?: true | undefined
  overlay: string
  version?: number | null | undefined
  list?: string
}

/** The content alone and byte for byte, or, among others, below a line that says what it is. */
function printFile({ out, io }: Session, file: Rendered, alone: boolean): void {
  const { path, mode, owner, type, content = '', encoding, link, overlay, version, list } = file
  const bytes = encoding === 'base64' ? Buffer.from(content, 'base64') : undefined
  if (alone && file.private)
    throw new AppError('SECRET_DENIED', `${path} is private (overlay ${overlay}): only its node gets it`)
  if (alone && type === 'file') {
    if (bytes && !out.terminal) io.stdout.write(bytes)
    else out.text(bytes ? bytes.toString('latin1') : content)
    return
  }
  const origin = version == null ? overlay : `${overlay}@${version}`
  const what = type === 'removal' ? 'is taken away' : `${mode} ${owner} ${type}`
  out.line(
    { text: `# ${path}${link === undefined ? '' : ` -> ${link}`}`, look: 'bold' },
    `  ${what}, ${origin}${list === undefined ? '' : ` (${list})`}`,
  )
  if (type !== 'file') return
  if (file.private) out.line('(private: only the node gets it)')
  else if (bytes) out.line(`(${bytes.length} bytes that are not text)`)
  else out.text(content.endsWith('\n') || content === '' ? content : `${content}\n`)
}

/** Who writes a path, as the API tells it. */
type Which = {
  node: string
  path: string
  writers: {
    list: string
    overlay: string
    version: number | null
    path: string
    type: string
    mode: string
    owner: string
    source: { path: string; line?: number | undefined }
    modeFrom?: { path: string; line?: number | undefined } | undefined
    state: string
    why: string
  }[]
  image: {
    name: string
    version: number
    entry: { type: string; mode: string; owner: string; target?: string | undefined } | null
    unknown?: string | undefined
  }
}

function whichLines({ node, path, writers, image }: Which, width: number | undefined): string[] {
  const place = ({ path: file, line }: { path: string; line?: number | undefined }) =>
    line === undefined ? file : `${file}:${line}`
  // Most modes are usual ones, and come from nowhere.
  const hasModes = writers.some(({ modeFrom }) => modeFrom !== undefined)
  const rows = writers.map((writer) => [
    writer.list,
    writer.overlay,
    writer.version === null ? 'shipped' : String(writer.version),
    writer.state,
    writer.type,
    writer.type === 'removal' ? '' : writer.mode,
    writer.type === 'removal' ? '' : writer.owner,
    place(writer.source),
    writer.why,
    ...(hasModes ? [writer.modeFrom ? place(writer.modeFrom) : ''] : []),
  ])
  const head = ['LIST', 'OVERLAY', 'VERSION', 'STATE', 'TYPE', 'MODE', 'OWNER', 'SOURCE', 'WHY']
  if (hasModes) head.push('MODE FROM')
  const winner = writers.find(({ state }) => state === 'wins')
  const inImage = image.entry
    ? `image ${image.name}@${image.version} has it: ${image.entry.type} ${image.entry.mode} ${image.entry.owner}${image.entry.target === undefined ? '' : ` -> ${image.entry.target}`}`
    : image.unknown === undefined
      ? `image ${image.name}@${image.version} does not have it`
      : `image ${image.name}@${image.version} could not be looked into: ${image.unknown}`
  const verdict =
    winner === undefined
      ? image.entry
        ? `${node} has ${path} as its image has it: no overlay writes it`
        : `no overlay writes ${path} on ${node}`
      : winner.type === 'removal'
        ? `${path} is taken away from ${node} by overlay ${winner.overlay}`
        : `${node} gets the ${winner.type} of overlay ${winner.overlay}`
  return [...(rows.length > 0 ? table(head, rows, { column: 'WHY', width }) : []), inImage, verdict]
}
