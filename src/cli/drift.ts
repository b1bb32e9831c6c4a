/** `muster node drift`: what nodes run against what they would get now. */
import { type Command, CommanderError, Option } from 'commander'
import { AppError } from '../errors.ts'
import { answer } from './client.ts'
import { driftLines, driftStates, isDrifting } from './drift-table.ts'
import type { Io } from './io.ts'
import { allPages, pageSize } from './pages.ts'
import { open, show, verb } from './session.ts'

/** Adds the verb to the noun `node`. */
export function driftCommand(node: Command, io: Io, selectorHelp: string): void {
  const drift = verb(node, 'drift', 'Show what nodes run against what they would get now, as their clients reported it')
  drift.argument('[selector]', selectorHelp)
  drift.addOption(new Option('--state <state>', 'only nodes in this state').choices(driftStates))
  drift.option('--check', 'end with status 2 when a node drifts (runtime pending, reboot needed or unplannable)')
  drift.action(async (select: string | undefined, { state, check }: { state?: string; check?: boolean }) => {
    const session = await open(io, drift)
    const page = await allPages((after) =>
      answer(
        session.api.client.api.drift.$get({
          query: { limit: pageSize, ...after, ...(select !== undefined && { select }) },
        }),
      ),
    )
    const items = state === undefined ? page.items : page.items.filter((one) => one.state === state)
    show(session, { ...page, items }, () => driftLines(items, session.out.columns))
    if (check && page.items.length === 0)
      throw new AppError(
        'NODE_UNKNOWN',
        `there is no node${select === undefined ? '' : ` ${select}`}: nothing was checked`,
      )
    // The table has said it all.
    if (check && items.some(isDrifting)) throw new CommanderError(2, 'muster.drift', '')
  })
}
