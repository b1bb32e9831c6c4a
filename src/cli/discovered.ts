/** `muster discovered`: machines that asked for a boot script and belong to no node. */
import type { Command } from 'commander'
import { answer, segment } from './client.ts'
import { confirm } from './confirm.ts'
import type { Io } from './io.ts'
import { freshSettings, patchOf } from './patch.ts'
import { editVerb, open, type Session, show, verb } from './session.ts'
import { withSettingFlags } from './setting-flags.ts'
import { table, timeText } from './table.ts'

/** Adds the noun and its verbs. */
export function discoveredCommands(program: Command, io: Io): void {
  const discovered = program.command('discovered').description('Machines that asked for a boot script and are no node')

  const list = verb(discovered, 'list', 'List machines that nobody knows').alias('ls')
  list.action(async () => {
    const session = await open(io, list)
    show(session, await answer(session.api.client.api.discovered.$get()), (found) =>
      table(
        ['MAC', 'ADDRESS', 'PRODUCT', 'SERIAL', 'LAST SEEN', 'REQUESTS'],
        found.map(({ mac, address, facts, lastSeenAt, requests }) => [
          mac,
          address ?? '',
          [facts.manufacturer, facts.product].filter(Boolean).join(' '),
          facts.serial ?? '',
          timeText(lastSeenAt),
          String(requests),
        ]),
      ),
    )
  })

  const approve = editVerb(discovered, 'approve', 'Make a machine a node')
  approve.argument('<mac>', 'machine').argument('<name>', 'name of the node')
  approve.addHelpText('after', '\nThe machine is given to the first --netdev, "default" without one.')
  const settings = withSettingFlags(approve)
  approve.action(async (mac: string, name: string) => {
    const session = await open(io, approve)
    const { patch, netdev } = patchOf(settings.given)
    const made = await answer(
      oneOf(session).approve.$post({
        param: { mac: segment(mac) },
        query: session.why,
        json: { name, profiles: patch.profiles ?? [], settings: freshSettings(patch), netdev },
      }),
    )
    show(session, made, ({ revision }) => [`${mac} is node ${name}, revision ${revision}`])
  })

  const forget = editVerb(discovered, 'forget', 'Take a machine off the list').argument('<mac>', 'machine')
  forget.action(async (mac: string) => {
    const session = await open(io, forget)
    await confirm(session, [], `Forget ${mac}?`)
    const done = await answer(oneOf(session).$delete({ param: { mac: segment(mac) }, query: session.why }))
    show(session, done ?? null, () => [`forgot ${mac}`])
  })
}

const oneOf = ({ api }: Session) => api.client.api.discovered[':mac']
