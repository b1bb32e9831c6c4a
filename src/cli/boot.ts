/** `muster boot`: what a node would boot, why, and how its boots went. */
import type { Command } from 'commander'
import { attemptLines } from './attempts.ts'
import { answer, segment } from './client.ts'
import type { Io } from './io.ts'
import { type Owners, ownersIn, planLines } from './plan.ts'
import { open, type Session, show, verb } from './session.ts'

/** Adds the noun and its verbs. */
export function bootCommands(program: Command, io: Io): void {
  const boot = program.command('boot').description('What a node would boot, why, and how its boots went')

  const plan = verb(boot, 'show', 'Show what a node would boot, and which profile said so').argument('<node>', 'node')
  plan.action(async (node: string) => {
    const session = await open(io, plan)
    const found = await answer(oneOf(session).$get({ param: { node: segment(node) } }))
    const owners = session.json ? new Map() : await ownersOf(session, ownersIn(found))
    show(session, found, () => planLines(found, owners))
  })

  const script = verb(boot, 'script', 'Print the boot script of a node').argument('<node>', 'node')
  script.option('--grub', 'as GRUB gets it')
  script.action(async (node: string, { grub }: { grub?: boolean }) => {
    const session = await open(io, script)
    const text = await answer(
      oneOf(session).script.$get({ param: { node: segment(node) }, query: grub ? { loader: 'grub' } : {} }),
    )
    if (session.json) show(session, text, () => [])
    else session.out.text(text)
  })

  const log = verb(boot, 'log', 'Show the boots of a node as timelines, newest first').argument('<node>', 'node')
  log.option('--limit <count>', 'at most so many boots')
  log.action(async (node: string, { limit }: { limit?: string }) => {
    const session = await open(io, log)
    const attempts = await answer(
      oneOf(session).log.$get({ param: { node: segment(node) }, query: limit === undefined ? {} : { limit } }),
    )
    show(session, attempts, attemptLines)
  })
}

const oneOf = ({ api }: Session) => api.client.api.boot[':node']

/** The own settings of profiles and nodes that are named as `profile:gpu` and `node:n001`. */
async function ownersOf({ api: { client } }: Session, origins: readonly string[]): Promise<Owners> {
  const { nodes, profiles } = client.api
  const found = origins.map(async (origin) => {
    const param = { name: segment(origin.slice(origin.indexOf(':') + 1)) }
    const member = await answer((origin.startsWith('node:') ? nodes : profiles)[':name'].$get({ param }))
    return [origin, member.settings] as const
  })
  return new Map(await Promise.all(found))
}
