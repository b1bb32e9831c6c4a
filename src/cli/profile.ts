/** `muster profile`: settings that nodes share. */
import type { Command } from 'commander'
import { AppError } from '../errors.ts'
import { answer, segment } from './client.ts'
import { confirmChanges, counted, dryRun } from './confirm.ts'
import type { Change } from './diff.ts'
import type { Io } from './io.ts'
import { allPages, pageSize } from './pages.ts'
import { freshSettings, isEmpty, type Patch, patchOf, unsetPatch, wire } from './patch.ts'
import { editVerb, open, type Session, show, usageError, verb } from './session.ts'
import { withSettingFlags } from './setting-flags.ts'
import { isMap, outline, table, timeText } from './table.ts'

/** Adds the noun and its verbs. */
export function profileCommands(program: Command, io: Io): void {
  const profile = program.command('profile').description('Settings that nodes share')

  const list = verb(profile, 'list', 'List profiles').alias('ls')
  list.action(async () => {
    const session = await open(io, list)
    const page = await allPages((after) =>
      answer(session.api.client.api.profiles.$get({ query: { limit: pageSize, ...after } })),
    )
    show(session, page, ({ items }) => table(['NAME', 'PARENTS', 'IMAGE', 'CHANGED', 'DESCRIPTION'], items.map(rowOf)))
  })

  const read = verb(profile, 'show', 'Show what a profile says itself').argument('<name>', 'profile')
  read.action(async (name: string) => {
    const session = await open(io, read)
    const found = await answer(oneOf(session).$get({ param: { name: segment(name) } }))
    show(session, found, ({ profiles, settings }) => outline({ ...(profiles.length > 0 && { profiles }), ...settings }))
  })

  const set = editVerb(profile, 'set', 'Change settings of a profile; makes it when there is none')
  const changed = withSettingFlags(set.argument('<name>', 'profile'))
  set.action(async (name: string) => {
    const session = await open(io, set)
    const { patch } = patchOf(changed.given)
    const stored = await findProfile(session, name)
    if (stored) await patchProfile(session, stored, patch)
    else await createProfile(session, name, patch)
  })

  const unset = editVerb(profile, 'unset', "Take a profile's own values away")
  unset.argument('<name>', 'profile').argument('<field...>', 'kernel.args, tags.rack, profiles')
  unset.action(async (name: string, fields: string[]) => {
    const session = await open(io, unset)
    const stored = await answer(oneOf(session).$get({ param: { name: segment(name) } }))
    await patchProfile(session, stored, unsetPatch(fields))
  })

  const remove = editVerb(profile, 'delete', 'Delete a profile that nobody uses')
    .alias('rm')
    .argument('<name>', 'profile')
  remove.action(async (name: string) => {
    const session = await open(io, remove)
    const param = { name: segment(name) }
    const { profiles, settings, revision } = await answer(oneOf(session).$get({ param }))
    const change: Change = { name, before: { profiles, settings }, after: null }
    if (!(await confirmChanges(session, { changes: [change] }, () => `Delete profile ${name}?`))) return
    const done = await answer(oneOf(session).$delete({ param, query: session.why }, { headers: ifMatch(revision) }))
    show(session, done ?? null, () => [`deleted profile ${name}`])
  })

  const users = verb(profile, 'users', 'Show which nodes and profiles use a profile').argument('<name>', 'profile')
  users.action(async (name: string) => {
    const session = await open(io, users)
    show(session, await usersOf(session, name), (found) =>
      table(
        ['KIND', 'NAME'],
        [...found.profiles.map((user) => ['profile', user]), ...found.nodes.map((user) => ['node', user])],
      ),
    )
  })
}

const oneOf = ({ api }: Session) => api.client.api.profiles[':name']

const usersOf = async (session: Session, name: string) =>
  answer(oneOf(session).users.$get({ param: { name: segment(name) } }))

const ifMatch = (revision: number) => ({ 'if-match': `"${revision}"` })

/** The profile, or `undefined`. */
async function findProfile(session: Session, name: string) {
  try {
    return await answer(oneOf(session).$get({ param: { name: segment(name) } }))
  } catch (error) {
    if (error instanceof AppError && error.code === 'PROFILE_UNKNOWN') return undefined
    throw error
  }
}

/** Dry run, diff, question, and the same patch again for the profile as it was seen. */
async function patchProfile(session: Session, stored: { name: string; revision: number }, patch: Patch): Promise<void> {
  if (isEmpty(patch)) throw usageError('say what to set: see `muster profile set --help`')
  const param = { name: segment(stored.name) }
  const { json, clear } = wire(patch)
  const query = { ...clear, ...session.why }
  const headers = ifMatch(stored.revision)
  const plan = await answer(oneOf(session).$patch({ param, query: { ...query, dryRun: 'true' }, json }, { headers }))
  const { nodes, profiles } = await usersOf(session, stored.name)
  const users = [counted(nodes.length, 'node'), ...(profiles.length > 0 ? [counted(profiles.length, 'profile')] : [])]
  const question = () => `Apply to profile ${stored.name} (used by ${users.join(' and ')})?`
  if (!(await confirmChanges(session, dryRun(plan), question))) return
  const done = await answer(oneOf(session).$patch({ param, query, json }, { headers }))
  show(session, done, ({ revision }) => [`changed profile ${stored.name}, revision ${revision}`])
}

async function createProfile(session: Session, name: string, patch: Patch): Promise<void> {
  const param = { name: segment(name) }
  const json = { profiles: patch.profiles ?? [], settings: freshSettings(patch) }
  const headers = { 'if-none-match': '*' }
  const plan = await answer(
    oneOf(session).$put({ param, query: { dryRun: 'true', ...session.why }, json }, { headers }),
  )
  if (!(await confirmChanges(session, dryRun(plan), () => `Make profile ${name}?`))) return
  const done = await answer(oneOf(session).$put({ param, query: session.why, json }, { headers }))
  show(session, done, ({ revision }) => [`made profile ${name}, revision ${revision}`])
}

/** A profile as a list has it. */
type ListedProfile = { name: string; profiles: string[]; settings: unknown; changedAt: string }

function rowOf({ name, profiles, settings, changedAt }: ListedProfile): string[] {
  const { image, description } = isMap(settings) ? settings : {}
  return [name, profiles.join(','), text(image), timeText(changedAt), text(description)]
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '')
