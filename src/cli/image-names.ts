/** `muster image rename`, `copy` and `delete`. */
import type { Command } from 'commander'
import { answer, segment } from './client.ts'
import { confirm, confirmChanges, counted, dryRun } from './confirm.ts'
import { editImage } from './image-edit.ts'
import { imageNamed, oneOf, plainName, referenceHelp, splitReference } from './image-reference.ts'
import type { Io } from './io.ts'
import { editVerb, open, type Session, show, usageError } from './session.ts'

/** Adds the verbs. */
export function imageNameCommands(image: Command, io: Io): void {
  const rename = editVerb(image, 'rename', 'Rename an image, also where nodes and profiles name it')
  rename.argument('<name>', 'image').argument('<new-name>', 'what it is called from now on')
  rename.action(async (from: string, to: string) => {
    const session = await open(io, rename)
    const name = plainName(from)
    const param = { name: segment(name) }
    const done = await editImage(session, name, `Rename image ${name} to ${to}?`, (query, options) =>
      answer(oneOf(session).rename.$post({ param, query, json: { to } }, options)),
    )
    if (!done) return
    show(session, done.document, (made) =>
      'changes' in made
        ? []
        : [
            `renamed image ${name} to ${to}, and in ${counted(made.nodes, 'node')} and ${counted(made.profiles, 'profile')}`,
          ],
    )
  })

  const copy = editVerb(image, 'copy', 'Make a new image of a version of another one; no data is copied')
  copy.argument('<image>', referenceHelp).argument('<new-name>', 'the new image')
  copy.option('--history', 'all versions under the same numbers, and the tags')
  copy.action(async (reference: string, to: string, { history }: { history?: boolean }) => {
    const session = await open(io, copy)
    const { name, version } = splitReference(reference)
    if (history && version !== undefined) throw usageError('--history copies every version: leave the version out')
    const call = (query: { message?: string; dryRun?: 'true' }) =>
      answer(
        oneOf(session).copy.$post({
          param: { name: segment(name) },
          query,
          json: { to, ...(version !== undefined && { version }), ...(history && { history }) },
        }),
      )
    const plan = dryRun(await call({ ...session.why, dryRun: 'true' }))
    if (!(await confirmChanges(session, plan, () => `Make image ${to}?`))) return
    show(session, await call(session.why), () => [`made image ${to}`])
  })

  const remove = editVerb(image, 'delete', 'Delete an image that nobody uses, or one of its versions').alias('rm')
  remove.argument('<image>', 'image with all its versions, or NAME@3 for one version')
  remove.action(async (reference: string) => {
    const session = await open(io, remove)
    const { name, version } = splitReference(reference)
    await (version === undefined ? deleteImage(session, name) : deleteVersion(session, name, version))
  })
}

async function deleteImage(session: Session, name: string): Promise<void> {
  const param = { name: segment(name) }
  const { revision, versions } = await imageNamed(session, name)
  await confirm(session, [], `Delete image ${name} with ${counted(versions, 'version')}?`)
  const headers = { 'if-match': `"${revision}"` }
  const done = await answer(oneOf(session).$delete({ param, query: session.why }, { headers }))
  show(session, done ?? null, () => [`deleted image ${name}`])
}

async function deleteVersion(session: Session, name: string, version: string): Promise<void> {
  const param = { name: segment(name), version: segment(version) }
  const done = await editImage(session, name, `Delete ${name}@${version}?`, (query, options) =>
    answer(oneOf(session).versions[':version'].$delete({ param, query }, options)),
  )
  if (done) show(session, done.document ?? null, () => [`deleted ${name}@${version}`])
}
