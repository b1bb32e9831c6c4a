/** `muster secret`: what one node may know and nobody else. No verb shows a secret's text. */
import { createHash } from 'node:crypto'
import { type Command, Option } from 'commander'
import { answer, segment } from './client.ts'
import { confirm } from './confirm.ts'
import type { Io } from './io.ts'
import { allPages, pageSize } from './pages.ts'
import { readSecret } from './secret-input.ts'
import { editVerb, open, type Session, show, usageError, verb } from './session.ts'
import { table, timeText } from './table.ts'

/** What Muster can make. */
const kinds = ['ssh-ed25519', 'ssh-ecdsa', 'ssh-rsa', 'random'] as const

type OwnerOptions = { node?: string; profile?: string }

/** Adds the noun and its verbs. */
export function secretCommands(program: Command, io: Io): void {
  const secret = program.command('secret').description('Host keys, passwords: what one node may know and nobody else')

  const list = verb(secret, 'list', 'List secrets, without their texts').alias('ls')
  list.option('--node <name>', 'what this node gets, and from where')
  list.action(async ({ node }: { node?: string }) => {
    const session = await open(io, list)
    const page = await secretsOf(session, node === undefined ? {} : { node })
    const wrap = { column: 'KEY', width: session.out.columns }
    show(session, page, ({ items }) => table(['OWNER', 'NAME', 'CHANGED', 'REVISION', 'KEY'], items.map(rowOf), wrap))
  })

  const set = owned(editVerb(secret, 'set', 'Set a secret: from a file, standard input or the terminal'))
  set.option('--file <file>', 'file with the text; else it is read from standard input, or asked for without echo')
  set.action(async (name: string, { file, ...options }: OwnerOptions & { file?: string }) => {
    const session = await open(io, set)
    const owner = ownerOf(options)
    await confirmReplacing(session, owner, name)
    const value = await readSecret(io, `Secret ${name} of ${owner}`, file)
    const stored = await answer(
      oneOf(session).$put({ param: paramOf(owner, name), query: session.why, json: { value } }),
    )
    show(session, stored, ({ revision }) => [`set ${name} of ${owner}, revision ${revision}`])
  })

  const generate = owned(editVerb(secret, 'generate', 'Make a secret and set it'))
  generate.addOption(
    new Option('--kind <kind>', 'key pair of SSH, or 32 random bytes as base64').choices(kinds).makeOptionMandatory(),
  )
  generate.action(async (name: string, { kind, ...options }: OwnerOptions & { kind: (typeof kinds)[number] }) => {
    const session = await open(io, generate)
    const owner = ownerOf(options)
    await confirmReplacing(session, owner, name)
    const stored = await answer(
      oneOf(session).generate.$post({ param: paramOf(owner, name), query: session.why, json: { kind } }),
    )
    show(session, stored, ({ revision, public: half }) => [
      `made ${name} of ${owner}, revision ${revision}`,
      ...(half === null ? [] : [half]),
    ])
  })

  const remove = owned(editVerb(secret, 'delete', 'Delete a secret; one that was generated is made anew')).alias('rm')
  remove.action(async (name: string, options: OwnerOptions) => {
    const session = await open(io, remove)
    const owner = ownerOf(options)
    await confirm(session, [], `Delete ${name} of ${owner}?`)
    const done = await answer(oneOf(session).$delete({ param: paramOf(owner, name), query: session.why }))
    show(session, done ?? null, () => [`deleted ${name} of ${owner}`])
  })
}

/** Gives a verb the name of a secret and the flags that say whose it is. */
const owned = (command: Command): Command =>
  command
    .argument('<name>', 'secret, as templates name it: letters, digits, _ and -')
    .option('--node <name>', 'it is of this node')
    .option('--profile <name>', 'it is of all nodes with this profile; without either flag, of the cluster')

function ownerOf({ node, profile }: OwnerOptions): string {
  if (node !== undefined && profile !== undefined) throw usageError('name a node or a profile, not both')
  if (node !== undefined) return `node:${node}`
  return profile === undefined ? 'cluster' : `profile:${profile}`
}

/** What is replaced is gone for good, so whoever does it is asked. */
async function confirmReplacing(session: Session, owner: string, name: string): Promise<void> {
  const { items } = await secretsOf(session, { owner })
  const known = items.find((one) => one.name === name && !one.generated)
  if (!known) return
  await confirm(session, [], `Replace ${name} of ${owner}, set at ${timeText(known.changedAt)}?`)
}

const oneOf = ({ api }: Session) => api.client.api.secrets[':owner'][':name']

const paramOf = (owner: string, name: string) => ({ owner: segment(owner), name: segment(name) })

const secretsOf = ({ api }: Session, which: { node?: string; owner?: string }) =>
  allPages((after) => answer(api.client.api.secrets.$get({ query: { ...which, limit: pageSize, ...after } })))

type Secret = Awaited<ReturnType<typeof secretsOf>>['items'][number]

const rowOf = ({ owner, name, generated, public: half, revision, changedAt }: Secret): string[] => [
  owner,
  name,
  timeText(changedAt),
  generated ? 'generated' : String(revision),
  half === null ? '' : fingerprint(half),
]

/** A public key as `ssh-keygen -l` tells it: enough to recognise it by. */
function fingerprint(line: string): string {
  const [type = '', blob = ''] = line.split(' ')
  const digest = createHash('sha256').update(Buffer.from(blob, 'base64')).digest('base64')
  return `${type} SHA256:${digest.replace(/=+$/, '')}`
}
