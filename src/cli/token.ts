/** `muster token`: who may use the API. */
import { type Command, Option } from 'commander'
import { answer, segment } from './client.ts'
import { confirm } from './confirm.ts'
import type { Io } from './io.ts'
import { editVerb, open, type Session, show, verb } from './session.ts'
import { table, timeText } from './table.ts'

/** What a token may do, each with all of the ones before it. */
const scopes = ['read', 'edit', 'admin'] as const

/** Adds the noun and its verbs. */
export function tokenCommands(program: Command, io: Io): void {
  const token = program.command('token').description('Who may use the API')

  const list = verb(token, 'list', 'List tokens').alias('ls')
  list.action(async () => {
    const session = await open(io, list)
    show(session, await answer(session.api.client.api.tokens.$get()), (found) =>
      table(
        ['NAME', 'SCOPE', 'CREATED', 'EXPIRES'],
        found.map(({ name, scope, createdAt, expiresAt }) => [name, scope, timeText(createdAt), timeText(expiresAt)]),
      ),
    )
  })

  const create = editVerb(token, 'create', 'Make a token; it is shown this once').argument('<name>', 'whose it is')
  create.addOption(new Option('--scope <scope>', 'what it may do').choices(scopes).makeOptionMandatory())
  create.option('--expires <time>', 'when it ends, ISO 8601: 2027-01-01T00:00:00Z')
  create.action(async (name: string, { scope, expires }: { scope: (typeof scopes)[number]; expires?: string }) => {
    const session = await open(io, create)
    const made = await answer(
      session.api.client.api.tokens.$post({
        query: session.why,
        json: { name, scope, ...(expires !== undefined && { expiresAt: expires }) },
      }),
    )
    if (!session.json)
      session.err.line('this is shown once; give it to MUSTER_TOKEN or a file that MUSTER_TOKEN_FILE names')
    show(session, made, (shown) => [shown.token])
  })

  const remove = editVerb(token, 'delete', 'Take a token back at once').alias('rm').argument('<name>', 'token')
  remove.action(async (name: string) => {
    const session = await open(io, remove)
    await confirm(session, [], `Delete token ${name}?`)
    const done = await answer(oneOf(session).$delete({ param: { name: segment(name) }, query: session.why }))
    show(session, done ?? null, () => [`deleted token ${name}`])
  })
}

const oneOf = ({ api }: Session) => api.client.api.tokens[':name']
