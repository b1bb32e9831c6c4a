/** `muster image diff`: packages, files, and what a node would fetch. */
import { type Command, CommanderError } from 'commander'
import { answer } from './client.ts'
import { type ImageDiff, imageDiffLines } from './image-diff-lines.ts'
import { imageNamed, oneOf, splitReference, versionMeant } from './image-reference.ts'
import { versionsOf } from './image-versions.ts'
import type { Io } from './io.ts'
import { open, type Session, show, usageError, verb } from './session.ts'

const filesAtOnce = '10000'

/** Adds the verb. */
export function imageDiffCommand(image: Command, io: Io): void {
  const diff = verb(image, 'diff', 'Show what a version changes: packages, files, and bytes that nodes have to fetch')
  diff.argument(
    '<before>',
    'rocky9@3; alone: that version, against the one before it; rocky9: the newest, against what nodes get',
  )
  diff.argument('[after]', 'rocky9@4, or 4 for another version of the same image')
  diff.option('--files', 'files only').option('--packages', 'packages only')
  diff.option('--exit-code', 'exit with 1 when they differ')
  diff.action(async (before: string, after: string | undefined, flags: Flags) => {
    const session = await open(io, diff)
    if (flags.files && flags.packages) throw usageError('--files and --packages leave nothing: give one of them')
    const found = await differences(session, before, after)
    show(session, found, (all) => imageDiffLines(all, flags))
    if (flags.exitCode && isDifferent(found)) throw new CommanderError(1, 'muster.different', '')
  })
}

type Flags = { files?: boolean; packages?: boolean; exitCode?: boolean }

async function differences(session: Session, before: string, after: string | undefined): Promise<ImageDiff> {
  const { name, version } = splitReference(before)
  const newer = after ?? (version === undefined ? await newerThanCurrent(session, name) : undefined)
  const param = await versionMeant(
    session,
    newer === undefined ? before : isVersion(newer) ? `${name}@${newer}` : newer,
  )
  const from = newer === undefined ? {} : { from: before }
  const page = (files: { after?: string }) =>
    answer(oneOf(session).versions[':version'].diff.$get({ param, query: { ...from, ...files, limit: filesAtOnce } }))
  const found = await page({})
  for (let next = found.files.next; next !== null; ) {
    const more = await page({ after: next })
    found.files.items.push(...more.files.items)
    next = more.files.next
  }
  return { ...found, files: { ...found.files, next: null } }
}

/** The number of the newest version, when it is one that nodes do not get yet. */
async function newerThanCurrent(session: Session, name: string): Promise<string | undefined> {
  const [newest] = await versionsOf(session, name)
  const { current } = await imageNamed(session, name)
  return newest && current !== null && newest.number > current ? String(newest.number) : undefined
}

/** `4` is a version of the image that was named first; everything else is an image. */
const isVersion = (text: string): boolean => /^[0-9]+$/.test(text)

const isDifferent = ({ files, packages }: ImageDiff): boolean =>
  packages.length > 0 || files.added + files.removed + files.changed > 0
