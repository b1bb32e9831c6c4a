/** `muster image`: the root trees that nodes boot, in versions. */
import type { Command } from 'commander'
import { answer, segment } from './client.ts'
import { confirm, confirmChanges, counted } from './confirm.ts'
import { importImage } from './image-import.ts'
import type { Io } from './io.ts'
import { allPages, pageSize } from './pages.ts'
import { editVerb, open, type Session, show, usageError, verb } from './session.ts'
import { bytesText, outline, table, timeText } from './table.ts'

/** Adds the noun and its verbs. */
export function imageCommands(program: Command, io: Io): void {
  const image = program.command('image').description('The root trees that nodes boot, in versions')

  const bring = editVerb(image, 'import', 'Make a new version of an image')
  bring.argument('<source>', 'tar file (plain or gzip), directory, or - for a tar on stdin').argument('<name>', 'image')
  bring.option('--no-current', 'do not make it the version that nodes get')
  bring.action(async (source: string, name: string, { current }: { current: boolean }) => {
    const session = await open(io, bring)
    const made = await importImage(session, { source, name, current })
    show(session, made, ({ number, digest, created, manifest }) => [
      created ? `imported ${name}@${number}` : `${name}@${number} has this content already: no new version was made`,
      ...outline({ digest, ...summaryOf(manifest) }, '  '),
    ])
  })

  const list = verb(image, 'list', 'List images').alias('ls')
  list.action(async () => {
    const session = await open(io, list)
    const page = await allPages((after) =>
      answer(session.api.client.api.images.$get({ query: { limit: pageSize, ...after } })),
    )
    show(session, page, ({ items }) =>
      table(
        ['NAME', 'CURRENT', 'NEWEST', 'VERSIONS', 'CHANGED'],
        items.map(({ name, current, newest, versions, changedAt }) => [
          name,
          String(current ?? ''),
          String(newest),
          String(versions),
          timeText(changedAt),
        ]),
      ),
    )
  })

  const read = verb(image, 'show', 'Show an image and what its current version holds').argument('<name>', 'image')
  read.action(async (name: string) => {
    const session = await open(io, read)
    show(session, await answer(oneOf(session).$get({ param: { name: segment(name) } })), (found) =>
      outline({
        name: found.name,
        current: found.current ?? '(none)',
        newest: found.newest,
        ...(found.manifest && summaryOf(found.manifest)),
      }),
    )
  })

  const versions = verb(image, 'versions', 'List the versions of an image').argument('<name>', 'image')
  versions.action(async (name: string) => {
    const session = await open(io, versions)
    show(session, await answer(oneOf(session).versions.$get({ param: { name: segment(name) } })), (found) =>
      table(
        ['NUMBER', 'CREATED', 'ARCHITECTURE', 'KERNEL', 'SIZE', 'IN MEMORY', 'SOURCE', 'AUTHOR'],
        found.map(({ number, createdAt, manifest, source, author }) => [
          String(number),
          timeText(createdAt),
          manifest.architecture,
          manifest.kernels[0]?.version ?? '',
          bytesText(manifest.root.size),
          bytesText(manifest.root.unpackedSize),
          source,
          author,
        ]),
      ),
    )
  })

  const choose = editVerb(image, 'set-current', 'Choose the version that nodes get who name none')
  choose.argument('<name>', 'image').argument('<version>', 'number of the version')
  choose.action(async (name: string, version: string) => {
    if (!/^[1-9][0-9]{0,8}$/.test(version)) throw usageError(`${version} is no version: give its number`)
    const session = await open(io, choose)
    const param = { name: segment(name) }
    const { current, revision } = await answer(oneOf(session).$get({ param }))
    const change = { name, before: { current: current ?? undefined }, after: { current: Number(version) } }
    if (!(await confirmChanges(session, { changes: [change] }, () => `Apply to image ${name}?`))) return
    const headers = { 'if-match': `"${revision}"` }
    const json = { current: Number(version) }
    const done = await answer(oneOf(session).$patch({ param, query: session.why, json }, { headers }))
    show(session, done, () => [`nodes get ${name}@${version} at their next boot`])
  })

  const remove = editVerb(image, 'delete', 'Delete an image that nobody uses, with all its versions').alias('rm')
  remove.argument('<name>', 'image')
  remove.action(async (name: string) => {
    const session = await open(io, remove)
    const param = { name: segment(name) }
    const [{ revision }, found] = await Promise.all([
      answer(oneOf(session).$get({ param })),
      answer(oneOf(session).versions.$get({ param })),
    ])
    await confirm(session, [], `Delete image ${name} with ${counted(found.length, 'version')}?`)
    const headers = { 'if-match': `"${revision}"` }
    const done = await answer(oneOf(session).$delete({ param, query: session.why }, { headers }))
    show(session, done ?? null, () => [`deleted image ${name}`])
  })
}

const oneOf = ({ api }: Session) => api.client.api.images[':name']

/** A manifest, as far as the text for people goes. */
type Manifest = {
  architecture: string
  os?: { name: string } | undefined
  kernels: { version: string }[]
  root: { size: number; unpackedSize: number }
  entries: number
  warnings: string[]
}

const summaryOf = ({ architecture, os, kernels, root, entries, warnings }: Manifest) => ({
  ...(os && { os: os.name }),
  architecture,
  kernels: kernels.map((kernel) => kernel.version),
  size: bytesText(root.size),
  memory: bytesText(root.unpackedSize),
  entries,
  ...(warnings.length > 0 && { warnings }),
})
