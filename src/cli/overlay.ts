/** `muster overlay`: the files that nodes get on top of their image. */
import { basename, resolve } from 'node:path'
import type { Command } from 'commander'
import { AppError } from '../errors.ts'
import { answer, segment } from './client.ts'
import { confirm, counted } from './confirm.ts'
import type { Io } from './io.ts'
import { overlayChanges, readOverlay, writeOverlay } from './overlay-files.ts'
import { editVerb, open, type Session, show, verb } from './session.ts'
import { table, timeText } from './table.ts'

/** Adds the noun and its verbs. */
export function overlayCommands(program: Command, io: Io): void {
  const overlay = program.command('overlay').description('The files that nodes get on top of their image')

  const list = verb(overlay, 'list', 'List overlays').alias('ls')
  list.action(async () => {
    const session = await open(io, list)
    show(session, await answer(session.api.client.api.overlays.$get()), (found) =>
      table(
        ['NAME', 'ORIGIN', 'VERSION', 'FILES', 'DESCRIPTION'],
        found.map(({ name, origin, version, files, description }) => [
          name,
          origin,
          String(version ?? ''),
          String(files),
          description ?? '',
        ]),
      ),
    )
  })

  const read = verb(overlay, 'show', 'Show the entries of an overlay').argument('<name>', 'overlay')
  read.option('--version <number>', 'an older version')
  read.action(async (name: string, { version }: { version?: string }) => {
    const session = await open(io, read)
    const found = await answer(oneOf(session).$get({ param: { name: segment(name) }, query: numbered(version) }))
    show(session, found, ({ entries }) =>
      table(
        ['MODE', 'OWNER', 'PATH', 'KIND', 'EACH', 'WHEN'],
        entries.map((entry) => [
          entry.mode,
          `${entry.uid}:${entry.gid}`,
          entry.type === 'link' ? `${entry.path} -> ${entry.target}` : entry.path,
          entry.type === 'file' && entry.template ? 'template' : entry.type,
          entry.each ?? '',
          entry.when ?? '',
        ]),
      ),
    )
  })

  const versions = verb(overlay, 'versions', 'List the pushed versions of an overlay').argument('<name>', 'overlay')
  versions.action(async (name: string) => {
    const session = await open(io, versions)
    show(session, await answer(oneOf(session).versions.$get({ param: { name: segment(name) } })), (found) =>
      table(
        ['NUMBER', 'CREATED', 'AUTHOR', 'MESSAGE'],
        found.map(({ number, createdAt, author, message }) => [String(number), timeText(createdAt), author, message]),
      ),
    )
  })

  const push = editVerb(overlay, 'push', 'Make a directory the new version of an overlay')
  push.argument('<directory>', 'overlay.yaml and the files').argument('[name]', "overlay; else the directory's name")
  push.action(async (directory: string, given: string | undefined) => {
    const session = await open(io, push)
    const path = resolve(io.cwd, directory)
    const name = given ?? basename(path)
    const files = await readOverlay(path)
    const headers = await ifMatch(session, name)
    const before = await filesOf(session, name)
    const changes = overlayChanges(before ?? [], files)
    const question = `Push overlay ${name}?`
    if (changes.length > 0) {
      const head = before ? name : `${name} (new)`
      await confirm(session, [[{ text: head, look: 'bold' }], ...changes.map((line) => [`  ${line}`])], question)
    }
    const json = { files, ...session.why }
    const made = await answer(oneOf(session).$put({ param: { name: segment(name) }, query: {}, json }, { headers }))
    show(session, made, ({ version, created }) => [
      created ? `pushed ${name}, version ${version}` : `nothing to change: ${name} is this already, version ${version}`,
    ])
  })

  const pull = verb(overlay, 'pull', 'Write an overlay into a new directory').argument('<name>', 'overlay')
  pull.argument('[directory]', "else the overlay's name").option('--version <number>', 'an older version')
  pull.action(async (name: string, directory: string | undefined, { version }: { version?: string }) => {
    const session = await open(io, pull)
    const files = await answer(oneOf(session).files.$get({ param: { name: segment(name) }, query: numbered(version) }))
    await writeOverlay(resolve(io.cwd, directory ?? name), files)
    show(session, files, () => [`wrote ${counted(files.length, 'file')} to ${directory ?? name}`])
  })

  const render = verb(overlay, 'render', 'Show what a node gets')
  render.argument('[overlay]', 'else every overlay of the node').argument('[path]', 'only this file, as it is')
  render.requiredOption('--node <name>', 'node')
  render.action(async (name: string | undefined, path: string | undefined, { node }: { node: string }) => {
    const session = await open(io, render)
    const names = name === undefined ? await overlaysOf(session, node) : [name]
    const rendered = await Promise.all(
      names.map((one) =>
        answer(
          oneOf(session).render.$get({
            param: { name: segment(one) },
            query: { node, ...(path !== undefined && { path }) },
          }),
        ),
      ),
    )
    if (session.json) return show(session, rendered.flat(), () => [])
    for (const file of rendered.flat()) printFile(session, file, path !== undefined)
  })

  const remove = editVerb(overlay, 'delete', "Delete the site's versions of an overlay").alias('rm')
  remove.argument('<name>', 'overlay')
  remove.action(async (name: string) => {
    const session = await open(io, remove)
    const param = { name: segment(name) }
    const headers = await ifMatch(session, name)
    const { origin } = await answer(oneOf(session).$get({ param, query: {} }))
    const after = origin === 'both' ? ' (the shipped one then holds)' : ''
    await confirm(session, [], `Delete overlay ${name} with all its versions${after}?`)
    const done = await answer(oneOf(session).$delete({ param, query: session.why }, { headers }))
    show(session, done ?? null, () => [`deleted overlay ${name}${after}`])
  })
}

const oneOf = ({ api }: Session) => api.client.api.overlays[':name']

const numbered = (version: string | undefined) => (version === undefined ? {} : { version })

/** The header that keeps an edit from meeting another version than the one seen; none where the site has no version. */
async function ifMatch(session: Session, name: string): Promise<Record<string, string>> {
  const response = await unlessUnknown(oneOf(session).$get({ param: { name: segment(name) }, query: {} }))
  const tag = response?.headers.get('etag')
  return tag ? { 'if-match': tag } : {}
}

/** The overlay's files, or `undefined` for a name that nobody has pushed or shipped. */
const filesOf = async (session: Session, name: string) =>
  unlessUnknown(answer(oneOf(session).files.$get({ param: { name: segment(name) }, query: {} })))

/** `undefined` where there is no such overlay. */
async function unlessUnknown<Found>(found: Promise<Found>): Promise<Found | undefined> {
  try {
    return await found
  } catch (error) {
    if (error instanceof AppError && error.code === 'OVERLAY_UNKNOWN') return undefined
    throw error
  }
}

/** The node's overlays in the order in which they apply. */
async function overlaysOf({ api }: Session, node: string): Promise<string[]> {
  const { overlays } = await answer(api.client.api.nodes[':name'].effective.$get({ param: { name: segment(node) } }))
  return [...(overlays?.system ?? []), ...(overlays?.runtime ?? [])].filter((name) => name !== null)
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
  overlay: string
  version?: number | null | undefined
}

/** The content alone and byte for byte, or, among others, below a line that says what it is. */
function printFile({ out, io }: Session, file: Rendered, alone: boolean): void {
  const { path, mode, owner, type, content = '', encoding, link, overlay, version } = file
  const bytes = encoding === 'base64' ? Buffer.from(content, 'base64') : undefined
  if (alone && type === 'file') {
    if (bytes && !out.terminal) io.stdout.write(bytes)
    else out.text(bytes ? bytes.toString('latin1') : content)
    return
  }
  const origin = version == null ? overlay : `${overlay}@${version}`
  out.line(
    { text: `# ${path}${link === undefined ? '' : ` -> ${link}`}`, look: 'bold' },
    `  ${mode} ${owner} ${type}, ${origin}`,
  )
  if (type !== 'file') return
  out.text(
    bytes
      ? `(${bytes.length} bytes that are not text)\n`
      : content.endsWith('\n') || content === ''
        ? content
        : `${content}\n`,
  )
}
