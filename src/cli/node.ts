/** `muster node`: the machines that Muster boots. */
import type { Command } from 'commander'
import { answer, segment } from './client.ts'
import { compressNames } from './compress.ts'
import { confirmChanges, counted } from './confirm.ts'
import { driftCommand } from './drift.ts'
import { explanationHead, explanationRow } from './explain.ts'
import { historyLines } from './history.ts'
import type { Io } from './io.ts'
import { allPages, pageSize } from './pages.ts'
import { freshSettings, isEmpty, type Patch, patchOf, unsetPatch, wire } from './patch.ts'
import { editVerb, open, type Session, show, usageError, verb } from './session.ts'
import { withSettingFlags } from './setting-flags.ts'
import { isMap, outline, table, valueText } from './table.ts'

const selectorHelp = 'n[001-100,200], gpu*, profile:gpu, tag:rack=r12, image:rocky9, combined with , & and !'

/** Adds the noun and its verbs. */
export function nodeCommands(program: Command, io: Io): void {
  const node = program.command('node').description('The machines that Muster boots')

  const list = verb(node, 'list', 'List nodes').alias('ls').argument('[selector]', selectorHelp)
  list.option('-a, --all', 'every setting that holds, and where it came from')
  list.action(async (select: string | undefined, { all }: { all?: boolean }) => {
    const session = await open(io, list)
    const page = await nodesOf(session, select)
    if (!all || session.json) return show(session, page, ({ items }) => nodeTable(items))
    const rows = await explanationsOf(session, page.items)
    return show(session, rows, () => table(['NODE', ...explanationHead], rows))
  })

  const read = verb(node, 'show', 'Show the settings that hold for a node').argument('<name>', 'node')
  read.action(async (name: string) => {
    const session = await open(io, read)
    const { effective } = session.api.client.api.nodes[':name']
    show(session, await answer(effective.$get({ param: { name: segment(name) } })), (settings) => outline(settings))
  })

  const explain = verb(node, 'explain', 'Show where each setting of a node came from, and what it hid')
  explain
    .argument('<name>', 'node')
    .argument('[field]', 'only this field and what is below it: kernel, netdevs.default')
  explain.action(async (name: string, field: string | undefined) => {
    const session = await open(io, explain)
    const explanations = await answer(
      session.api.client.api.nodes[':name'].explain.$get({
        param: { name: segment(name) },
        query: field === undefined ? {} : { field },
      }),
    )
    show(session, explanations, (found) => table(explanationHead, found.map(explanationRow)))
  })

  const add = editVerb(node, 'add', 'Add nodes').argument('<names>', 'n001, or n[001-010]')
  const added = withSettingFlags(add)
  add.action(async (names: string) => {
    const session = await open(io, add)
    const { patch } = patchOf(added.given)
    const made = await answer(
      session.api.client.api.nodes.$post({
        query: session.why,
        json: { names, profiles: patch.profiles ?? [], settings: freshSettings(patch) },
      }),
    )
    show(session, made, ({ nodes, revision }) => [
      `added ${compressNames(nodes)} (${counted(nodes.length, 'node')}), revision ${revision}`,
    ])
  })

  const set = editVerb(node, 'set', 'Change settings of nodes').argument('<selector>', selectorHelp)
  const changed = withSettingFlags(set)
  set.action(async (select: string) => patchNodes(await open(io, set), select, patchOf(changed.given).patch))

  const unset = editVerb(node, 'unset', "Take nodes' own values away, so that what profiles say holds")
  unset.argument('<selector>', selectorHelp).argument('<field...>', 'kernel.args, netdevs.eth1, tags.rack, profiles')
  unset.action(async (select: string, fields: string[]) =>
    patchNodes(await open(io, unset), select, unsetPatch(fields)),
  )

  const remove = editVerb(node, 'delete', 'Delete nodes').alias('rm').argument('<selector>', selectorHelp)
  remove.action(async (select: string) => {
    const session = await open(io, remove)
    const { $delete } = session.api.client.api.nodes
    const plan = await answer($delete({ query: { select, dryRun: 'true', ...session.why } }))
    // Not the number of changes: secrets go with their nodes.
    const question = () => `Delete ${counted(plan.nodes.length, 'node')}?`
    if (!(await confirmChanges(session, plan, question))) return
    const done = await answer($delete({ query: { select, expect: String(plan.revision), ...session.why } }))
    show(session, done, ({ nodes, revision }) => [`deleted ${counted(nodes.length, 'node')}, revision ${revision}`])
  })

  driftCommand(node, io, selectorHelp)

  const history = verb(node, 'history', 'Show what was changed of a node, when and by whom, newest first')
  history.argument('<name>', 'node').option('--limit <count>', 'at most so many revisions')
  history.action(async (name: string, { limit }: { limit?: string }) => {
    const session = await open(io, history)
    const page = await answer(
      session.api.client.api.nodes[':name'].history.$get({
        param: { name: segment(name) },
        query: limit === undefined ? {} : { limit },
      }),
    )
    show(session, page, ({ items }) => historyLines(items))
  })
}

/** Dry run, diff, question, and the same patch again for the registry as the dry run saw it. */
async function patchNodes(session: Session, select: string, patch: Patch): Promise<void> {
  if (isEmpty(patch)) throw usageError('say what to set: see `muster node set --help`')
  const { $patch } = session.api.client.api.nodes
  const { json, clear } = wire(patch)
  const query = { select, ...clear, ...session.why }
  const plan = await answer($patch({ query: { ...query, dryRun: 'true' }, json }))
  const question = (count: number) => `Apply to ${counted(count, 'node')}?`
  if (!(await confirmChanges(session, plan, question))) return
  const done = await answer($patch({ query: { ...query, expect: String(plan.revision) }, json }))
  show(session, done, ({ nodes, revision }) => [`changed ${counted(nodes.length, 'node')}, revision ${revision}`])
}

/** Every node that the selector names, with the settings that hold for it. */
const nodesOf = ({ api }: Session, select: string | undefined) =>
  allPages((after) =>
    answer(
      api.client.api.nodes.$get({
        query: { effective: 'true', limit: pageSize, ...after, ...(select !== undefined && { select }) },
      }),
    ),
  )

/** A node as a list has it. */
type ListedNode = { name: string; profiles: string[]; effective?: unknown }

function nodeTable(nodes: readonly ListedNode[]): string[] {
  const rows = nodes.map(({ name, profiles, effective }) => {
    const settings = isMap(effective) ? effective : {}
    const netdevs = isMap(settings.netdevs) ? Object.values(settings.netdevs).filter(isMap) : []
    const netdev = netdevs.find((device) => device.primary === true) ?? netdevs[0] ?? {}
    return [name, profiles.join(','), ...[settings.image, netdev.address, netdev.mac].map(cell)]
  })
  return table(['NAME', 'PROFILES', 'IMAGE', 'ADDRESS', 'MAC'], rows)
}

const cell = (value: unknown): string => (value === undefined ? '' : valueText(value))

/** Explanations of many nodes, a few requests at a time. */
async function explanationsOf({ api }: Session, nodes: readonly ListedNode[]): Promise<string[][]> {
  const rows: string[][] = []
  const atOnce = 8
  for (let at = 0; at < nodes.length; at += atOnce) {
    const some = nodes.slice(at, at + atOnce).map(async ({ name }) => {
      const explanations = await answer(
        api.client.api.nodes[':name'].explain.$get({ param: { name: segment(name) }, query: {} }),
      )
      return explanations.map((found) => [name, ...explanationRow(found)])
    })
    rows.push(...(await Promise.all(some)).flat())
  }
  return rows
}
