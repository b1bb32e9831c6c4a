/** `muster image`: the root trees that nodes boot, in versions. */
import type { Command } from 'commander'
import { AppError } from '../errors.ts'
import { answer } from './client.ts'
import { imageBuildCommand } from './image-build.ts'
import { imageCareCommands } from './image-care.ts'
import { contentsOf } from './image-contents.ts'
import { imageDiffCommand } from './image-diff.ts'
import { imageFileCommands } from './image-files.ts'
import { imageImportCommand } from './image-import.ts'
import { imageNameCommands } from './image-names.ts'
import { imagePrepareCommand } from './image-prepare.ts'
import { imageNamed, oneOf, referenceHelp, splitReference, versionMeant } from './image-reference.ts'
import { imageShellCommands } from './image-shell.ts'
import { imageVersionCommands, versionsOf } from './image-versions.ts'
import type { Io } from './io.ts'
import { allPages, pageSize } from './pages.ts'
import { open, type Session, show, verb } from './session.ts'
import { bytesText, outline, shortDigest, table, timeText } from './table.ts'

/** Adds the noun and its verbs. */
export function imageCommands(program: Command, io: Io): void {
  const image = program.command('image').description('The root trees that nodes boot, in versions')

  imageImportCommand(image, io)
  imageBuildCommand(image, io)

  const list = verb(image, 'list', 'List images').alias('ls')
  list.action(async () => {
    const session = await open(io, list)
    const page = await allPages((after) =>
      answer(session.api.client.api.images.$get({ query: { limit: pageSize, ...after } })),
    )
    show(session, page, ({ items }) =>
      table(
        ['NAME', 'CURRENT', 'NEWEST', 'VERSIONS', 'TAGS', 'ARCHITECTURE', 'OS', 'KERNEL', 'SIZE', 'CHANGED'],
        items.map((one) => [
          one.name,
          String(one.current ?? ''),
          String(one.newest),
          String(one.versions),
          Object.keys(one.tags).join(' '),
          one.architecture ?? '',
          one.os ?? '',
          one.kernel ?? '',
          one.size === null ? '' : bytesText(one.size),
          timeText(one.changedAt),
        ]),
      ),
    )
  })

  const read = verb(image, 'show', 'Show an image and what its current version holds, or one of its versions')
  read.argument('<image>', referenceHelp).option('--segments', 'what a node fetches, one by one')
  read.action(async (reference: string, { segments }: { segments?: boolean }) => {
    const session = await open(io, read)
    if (segments) return showSegments(session, reference)
    const { name, version } = splitReference(reference)
    if (version !== undefined) return show(session, await versionNamed(session, reference), versionLines)
    return show(session, await imageNamed(session, name), (found) => [
      ...outline({
        name: found.name,
        current: found.current ?? '(none)',
        newest: found.newest,
        versions: found.versions,
        ...(Object.keys(found.tags).length > 0 && { tags: found.tags }),
      }),
      ...(found.version ? versionLines(found.version).slice(1) : []),
    ])
  })

  imageVersionCommands(image, io)
  imageFileCommands(image, io)
  imageDiffCommand(image, io)

  const kernels = verb(image, 'kernels', 'List the kernels of an image, newest first').argument(
    '<image>',
    referenceHelp,
  )
  kernels.action(async (reference: string) => {
    const session = await open(io, kernels)
    const { summary } = await versionNamed(session, reference)
    show(session, summary.kernels, (found) =>
      table(
        ['VERSION', 'SIZE', 'PATH', 'DIGEST'],
        found.map(({ version, size, path, digest }) => [version, bytesText(size), path, shortDigest(digest)]),
      ),
    )
  })

  imageNameCommands(image, io)
  imagePrepareCommand(image, io)
  imageShellCommands(image, io)
  imageCareCommands(image, io)
}

type Version = Awaited<ReturnType<typeof versionsOf>>[number]

/** A version by its number, tag or digest, else the current one. Needs no manifest, so that a damaged one is seen too. */
async function versionNamed(session: Session, reference: string): Promise<Version> {
  const { name, version } = splitReference(reference)
  const found = (await versionsOf(session, name)).find((one) =>
    version === undefined
      ? one.current
      : String(one.number) === version || one.digest === version || one.tags.includes(version),
  )
  if (found) return found
  const what = version === undefined ? 'has no current version' : `has no version ${version}`
  throw new AppError('IMAGE_UNKNOWN', `image ${name} ${what}: see \`muster image versions ${name}\``)
}

async function showSegments(session: Session, reference: string): Promise<void> {
  const param = await versionMeant(session, reference)
  show(session, await answer(oneOf(session).versions[':version'].$get({ param })), ({ manifest }) =>
    table(
      ['DIGEST', 'SIZE', 'UNPACKED', 'ENTRIES'],
      manifest.segments.map(({ digest, size, unpackedSize, entries }) => [
        digest,
        bytesText(size),
        bytesText(unpackedSize),
        String(entries),
      ]),
    ),
  )
}

/** A version for people; what names it comes first. */
const versionLines = (version: Version): string[] => {
  const { image, number, digest, current, tags, source, message, author, createdAt, summary, provenance } = version
  const { labels: _labels, layers, ...told } = provenance
  return [
    `version: ${image}@${number}${current ? ' (current)' : ''}`,
    ...outline({
      ...(tags.length > 0 && { tags }),
      digest,
      ...contentsOf(summary),
      source,
      ...told,
      ...(layers && { layers: layers.length }),
      created: `${timeText(createdAt)} by ${author}`,
      ...(message !== '' && { message }),
    }),
  ]
}
