/** `muster overlay`: the files that nodes get on top of their image. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { AppError } from '../errors.ts'
import { answer, segment } from './client.ts'
import { confirm, counted } from './confirm.ts'
import type { Io } from './io.ts'
import { overlayDiffCommand } from './overlay-diff.ts'
import { overlayEditCommands } from './overlay-edit.ts'
import { writeOverlay } from './overlay-files.ts'
import { filesOf, ifMatch, numbered, oneOf } from './overlay-reference.ts'
import { overlayRenderCommands } from './overlay-render.ts'
import { editVerb, open, show, verb } from './session.ts'
import { shortDigest, table, timeText } from './table.ts'

/** Adds the noun and its verbs. */
export function overlayCommands(program: Command, io: Io): void {
  const overlay = program.command('overlay').description('The files that nodes get on top of their image')

  const list = verb(overlay, 'list', 'List overlays').alias('ls')
  list.action(async () => {
    const session = await open(io, list)
    show(session, await answer(session.api.client.api.overlays.$get()), (found) =>
      table(
        ['NAME', 'ORIGIN', 'VERSION', 'FILES', 'USED BY', 'DESCRIPTION'],
        found.map((overlay) => [
          overlay.name,
          overlay.origin,
          String(overlay.version ?? ''),
          String(overlay.files),
          usersText(overlay),
          overlay.description ?? '',
        ]),
        { column: 'DESCRIPTION', width: session.out.columns },
      ),
    )
  })

  const read = verb(overlay, 'show', 'Show the entries of an overlay').argument('<name>', 'overlay')
  read.option('--version <number>', 'an older version')
  read.action(async (name: string, { version }: { version?: string }) => {
    const session = await open(io, read)
    const found = await answer(oneOf(session).$get({ param: { name: segment(name) }, query: numbered(version) }))
    show(session, found, (overlay) => [
      ...headLines(overlay),
      ...table(
        ['MODE', 'OWNER', 'PATH', 'KIND', 'EACH', 'WHEN', 'RELOAD'],
        overlay.entries.map((entry) => [
          entry.type === 'removal' ? '' : entry.mode,
          entry.type === 'removal' ? '' : `${entry.uid}:${entry.gid}`,
          entry.type === 'link' ? `${entry.path} -> ${entry.target}` : entry.path,
          `${entry.private ? 'private ' : ''}${entry.type === 'file' && entry.template ? 'template' : entry.type}`,
          entry.each ?? '',
          entry.when ?? '',
          reloadText(entry.reload),
        ]),
      ),
    ])
  })

  const versions = verb(overlay, 'versions', 'List the pushed versions of an overlay').argument('<name>', 'overlay')
  versions.action(async (name: string) => {
    const session = await open(io, versions)
    const known = await answer(oneOf(session).versions.$get({ param: { name: segment(name) } }))
    if (known.length === 0) session.err.line(`${name} came with Muster, and the site has pushed no version of it`)
    show(session, known, (found) =>
      table(
        ['NUMBER', 'CREATED', 'AUTHOR', 'GIT', 'DIGEST', 'MESSAGE'],
        found.map(({ number, createdAt, author, git, digest, message }) => [
          String(number),
          timeText(createdAt),
          author,
          gitText(git),
          shortDigest(digest),
          message,
        ]),
        { column: 'MESSAGE', width: session.out.columns },
      ),
    )
  })

  overlayEditCommands(overlay, io)

  const pull = verb(overlay, 'pull', 'Write an overlay into a new directory').argument('<name>', 'overlay')
  pull.argument('[directory]', "else the overlay's name").option('--version <number>', 'an older version, or shipped')
  pull.action(async (name: string, directory: string | undefined, { version }: { version?: string }) => {
    const session = await open(io, pull)
    const files = await filesOf(session, name, version)
    await writeOverlay(resolve(io.cwd, directory ?? name), files)
    show(session, files, () => [`wrote ${counted(files.length, 'file')} to ${directory ?? name}`])
  })

  overlayDiffCommand(overlay, io)
  overlayRenderCommands(overlay, io)

  const remove = editVerb(overlay, 'delete', "Delete the site's versions of an overlay").alias('rm')
  remove.argument('<name>', 'overlay')
  remove.action(async (name: string) => {
    const session = await open(io, remove)
    const param = { name: segment(name) }
    const headers = await ifMatch(session, name)
    const { origin } = await answer(oneOf(session).$get({ param, query: {} }))
    if (origin === 'shipped')
      throw new AppError(
        'OVERLAY_UNKNOWN',
        `${name} came with Muster and has no version of the site: there is nothing to delete`,
      )
    const after = origin === 'both' ? ' (the shipped one then holds)' : ''
    await confirm(session, [], `Delete overlay ${name} with all its versions${after}?`)
    const done = await answer(oneOf(session).$delete({ param, query: session.why }, { headers }))
    show(session, done ?? null, () => [`deleted overlay ${name}${after}`])
  })
}

/** A version's origin for people: the checkout that it was pushed from. */
const gitText = (git: { commit: string; dirty: boolean } | null | undefined): string =>
  git ? `${git.commit.slice(0, 12)}${git.dirty ? ' with changes' : ''}` : ''

/** Who has an overlay, in two numbers. */
const usersText = ({ profiles, nodes }: { profiles: number; nodes: number }): string =>
  [profiles > 0 && counted(profiles, 'profile'), nodes > 0 && counted(nodes, 'node')].filter(Boolean).join(', ')

/** What stands above the entries of an overlay. */
function headLines(found: Overlay): string[] {
  const { origin, version, message, author, createdAt, git, usedBy, secrets } = found
  const users = [
    ...(usedBy.byDefault ? ['nodes that name no overlays'] : []),
    ...usedBy.profiles.map((name) => `profile ${name}`),
    ...(usedBy.nodes.length > 0 ? [counted(usedBy.nodes.length, 'node')] : []),
  ]
  const facts: [string, string | null | undefined][] = [
    ['description', found.description],
    [
      'origin',
      origin === 'shipped'
        ? 'shipped'
        : `site, version ${version}${origin === 'both' ? ', above the shipped files' : ''}`,
    ],
    ['digest', found.digest],
    ['pushed', createdAt && `${timeText(createdAt)} by ${author}${message ? `: ${message}` : ''}`],
    ['git', gitText(git)],
    ['used by', users.join(', ') || 'nobody'],
    [
      'secrets',
      Object.entries(secrets)
        .map(([name, kind]) => `${name} (${kind})`)
        .join(', '),
    ],
  ]
  return [...facts.flatMap(([name, value]) => (value ? [`${name}: ${value}`] : [])), '']
}

/** An overlay as the API gives it. */
type Overlay = {
  origin: string
  version: number | null
  digest: string
  description: string | null
  message?: string | undefined
  author?: string | undefined
  createdAt?: string | undefined
  git?: { commit: string; dirty: boolean } | null | undefined
  usedBy: { byDefault: boolean; profiles: string[]; nodes: string[] }
  secrets: Record<string, string>
}

/** What is done when an entry changes: units by name, commands by their first word. */
const reloadText = (reload: readonly ({ unit: string } | { run: string[] })[] = []): string =>
  reload.map((one) => ('unit' in one ? one.unit : (one.run[0] ?? ''))).join(', ')
