/** `muster image versions`, and which version is which: current, tagged, old. */
import type { Command } from 'commander'
import { answer, segment } from './client.ts'
import { counted } from './confirm.ts'
import type { Change } from './diff.ts'
import { historyLines } from './history.ts'
import { editImage } from './image-edit.ts'
import { imageNamed, oneOf, plainName, splitReference } from './image-reference.ts'
import type { Io } from './io.ts'
import { editVerb, open, type Session, show, usageError, verb } from './session.ts'
import { bytesText, isMap, table, timeText } from './table.ts'

/** Adds the verbs. */
export function imageVersionCommands(image: Command, io: Io): void {
  const versions = verb(image, 'versions', 'List the versions of an image').argument('<name>', 'image')
  versions.action(async (name: string) => {
    const session = await open(io, versions)
    show(session, await versionsOf(session, plainName(name)), (found) =>
      table(
        ['NUMBER', 'TAGS', 'CREATED', 'KERNEL', 'SIZE', 'UNPACKED', 'SEGMENTS', 'SOURCE', 'AUTHOR', 'MESSAGE'],
        found.map(({ number, current, tags, createdAt, summary, source, author, message }) => [
          String(number),
          [...(current ? ['(current)'] : []), ...tags].join(' '),
          timeText(createdAt),
          summary.kernels[0]?.version ?? '',
          bytesText(summary.size),
          bytesText(summary.unpackedSize),
          String(summary.segments),
          source,
          author,
          message,
        ]),
      ),
    )
  })

  const history = verb(image, 'history', 'Show what was changed of an image, when and by whom, newest first')
  history.argument('<name>', 'image').option('--limit <count>', 'at most so many revisions')
  history.action(async (name: string, { limit }: { limit?: string }) => {
    const session = await open(io, history)
    const query = limit === undefined ? {} : { limit }
    const page = await answer(oneOf(session).history.$get({ param: { name: segment(plainName(name)) }, query }))
    show(session, page, ({ items }) => historyLines(items))
  })

  const choose = editVerb(image, 'set-current', 'Choose the version that nodes get who name none')
  choose.argument('<name>', 'image').argument('<version>', 'number of the version, or a tag')
  choose.action(async (name: string, version: string) => {
    await setCurrent(await open(io, choose), plainName(name), version)
  })

  const back = editVerb(image, 'rollback', 'Make the version current again that was before').argument('<name>', 'image')
  back.action(async (reference: string) => {
    const session = await open(io, back)
    const name = plainName(reference)
    await setCurrent(session, name, String(await currentBefore(session, name)))
  })

  const tag = editVerb(image, 'tag', 'Give a version a name of its own, or move the name to it')
  tag.argument('<image>', 'NAME@3').argument('<tag>', 'tested')
  tag.action(async (reference: string, wanted: string) => {
    const session = await open(io, tag)
    const { name, version } = splitReference(reference)
    if (version === undefined) throw usageError(`say which version of ${name}: ${name}@3`)
    const param = { name: segment(name), tag: segment(wanted) }
    const done = await editImage(session, name, `Apply to image ${name}?`, (query, options) =>
      answer(oneOf(session).tags[':tag'].$put({ param, query, json: { version } }, options)),
    )
    if (done) show(session, done.document, () => [`${name}@${wanted} is ${name}@${version}`])
  })

  const untag = editVerb(image, 'untag', 'Take a tag away; its version stays')
  untag.argument('<name>', 'image').argument('<tag>', 'tested')
  untag.action(async (reference: string, wanted: string) => {
    const session = await open(io, untag)
    const name = plainName(reference)
    const param = { name: segment(name), tag: segment(wanted) }
    const done = await editImage(session, name, `Take tag ${wanted} off image ${name}?`, (query, options) =>
      answer(oneOf(session).tags[':tag'].$delete({ param, query }, options)),
    )
    if (done) show(session, done.document, () => [`took tag ${wanted} off image ${name}`])
  })

  const prune = editVerb(image, 'prune', 'Delete the old versions of an image that nobody uses')
  prune.argument('<name>', 'image').requiredOption('--keep <count>', 'so many of the newest versions stay')
  prune.action(async (reference: string, { keep }: { keep: string }) => {
    if (!/^[1-9][0-9]{0,5}$/.test(keep)) throw usageError(`--keep takes a number from 1 on, not ${keep}`)
    const session = await open(io, prune)
    const name = plainName(reference)
    const param = { name: segment(name) }
    const done = await editImage(session, name, `Delete these versions of image ${name}?`, (query, options) =>
      answer(oneOf(session).prune.$post({ param, query, json: { keep: Number(keep) } }, options)),
    )
    if (!done) return
    show(session, done.document, ({ deleted, kept }) => [
      `deleted ${counted(deleted.length, 'version')} of image ${name}`,
      ...kept.map(({ number, users }) => `kept ${name}@${number}: ${users}`),
    ])
  })
}

/** The versions of an image, newest first. */
export const versionsOf = (session: Session, name: string) =>
  answer(oneOf(session).versions.$get({ param: { name: segment(name) } }))

async function setCurrent(session: Session, name: string, version: string): Promise<void> {
  const param = { name: segment(name) }
  const json = { current: version }
  const done = await editImage(session, name, `Apply to image ${name}?`, (query, options) =>
    answer(oneOf(session).$patch({ param, query, json }, options)),
  )
  if (!done) return
  show(session, done.document, (made) =>
    'changes' in made ? [] : [`nodes get ${name}@${made.current} at their next boot`],
  )
}

/** The newest version that was current before another one became it, and is still there. Throws (exit 2) when none was. */
async function currentBefore(session: Session, name: string): Promise<number> {
  const [{ current }, versions] = await Promise.all([imageNamed(session, name), versionsOf(session, name)])
  const there = new Set(versions.map(({ number }) => number))
  let before: string | undefined
  do {
    const query = { limit: '1000', ...(before !== undefined && { before }) }
    const page = await answer(oneOf(session).history.$get({ param: { name: segment(name) }, query }))
    const found = page.items.flatMap(({ changes }) => changes).map(currentIn)
    const number = found.find((one) => one !== undefined && one !== current && there.has(one))
    if (number !== undefined) return number
    before = page.next === null ? undefined : String(page.next)
  } while (before !== undefined)
  throw usageError(`no other version of ${name} was current before: see \`muster image versions ${name}\``)
}

/** Which version a change of an image took from being the current one. */
const currentIn = ({ before, after }: Change): number | undefined =>
  isMap(before) && typeof before.current === 'number' && isMap(after) && before.current !== after.current
    ? before.current
    : undefined
