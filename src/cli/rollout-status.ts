/** A rollout as text: its waves before it begins, and how far it is. Pure. */
import { compressNames } from './compress.ts'
import { counted } from './confirm.ts'
import type { Part, Styled } from './io.ts'
import { table } from './table.ts'

/** A rollout as the API answers it, as far as the text for people goes. */
export type Rollout = {
  id: number
  image: string
  version: number
  state: string
  begun: number
  maxFailed: number
  readySeconds: number
  reason: string | null
  waves: { nodes: RolloutNode[] }[]
}

/** One of its nodes. */
export type RolloutNode = { name: string; state: string; why?: string | undefined }

const looks: Record<string, Styled['look']> = {
  running: 'yellow',
  paused: 'yellow',
  finished: 'green',
  reverted: 'red',
}

/** True while a rollout can still do something by itself. */
export const isUnderWay = ({ state }: Pick<Rollout, 'state'>): boolean => state === 'running' || state === 'paused'

/** What is about to begin: each wave with its nodes, and what takes it back. */
export function previewLines(rollout: Rollout & { notes: readonly string[] }): Part[][] {
  const { image, version, waves, maxFailed, readySeconds } = rollout
  const all = waves.reduce((sum, { nodes }) => sum + nodes.length, 0)
  let soFar = 0
  const rows = waves.map(({ nodes }, wave) => {
    soFar += nodes.length
    const share = Math.floor((soFar / all) * 100)
    return [String(wave + 1), String(nodes.length), `${soFar} (${share}%)`, namesOf(nodes)]
  })
  const many = maxFailed === 0 ? 'A failed node takes' : `More than ${counted(maxFailed, 'failed node')} take`
  return [
    [{ text: `${image}@${version}`, look: 'bold' }, ` to ${counted(all, 'node')} in ${counted(waves.length, 'wave')}`],
    ...table(['WAVE', 'NODES', 'SO FAR', 'WHICH'], rows).map((line): Part[] => [line]),
    [`${many} everything back. A node has ${durationText(readySeconds)} from its boot script to ready.`],
    ...rollout.notes.map((note): Part[] => [{ text: 'note: ', look: 'yellow' }, note]),
  ]
}

/** How far a rollout is: a bar for each wave, and who is waited for, failed, or is left alone. */
export function statusLines(rollout: Rollout): Part[][] {
  const { id, image, version, state, begun, waves, reason } = rollout
  const width = String(waves.length).length
  const all = waves.flatMap(({ nodes }) => nodes)
  const active = isUnderWay(rollout)
  return [
    [
      { text: `rollout ${id}`, look: 'bold' },
      `  ${image}@${version}  `,
      { text: state, look: looks[state] ?? 'yellow' },
      active ? `, wave ${begun} of ${waves.length}` : '',
      reason === null ? '' : `: ${reason}`,
    ],
    ...waves.map(({ nodes }, wave): Part[] => [
      `  ${String(wave + 1).padStart(width)} `,
      ...bar(nodes),
      ` ${countsText(nodes)}`,
    ]),
    ...(active ? whoLines('waiting for a reboot', all, 'waiting') : []),
    ...(active ? whoLines('booting', all, 'booting') : []),
    ...whoLines('failed', all, 'failed'),
    ...whoLines('skipped', all, 'skipped'),
    ...whoLines('left alone', all, 'left'),
    ...(state === 'reverted' ? whoLines('still with the version until a reboot', all, 'ready') : []),
  ]
}

/** Nodes for people and as a selector: `n[001-010]`. */
export const namesOf = (nodes: readonly { name: string }[]): string => compressNames(nodes.map(({ name }) => name))

/** The nodes that must be rebooted for the rollout to go on. */
export const waitingNodes = ({ waves }: Pick<Rollout, 'waves'>): RolloutNode[] =>
  waves.flatMap(({ nodes }) => nodes.filter(({ state }) => state === 'waiting'))

const columns = 20

/** Ready nodes, failed ones, and the rest; a part that is there is seen, however small it is. */
function bar(nodes: readonly RolloutNode[]): Part[] {
  const share = (state: string): number => {
    const count = nodes.filter((node) => node.state === state).length
    return count === 0 ? 0 : Math.max(1, Math.floor((count / nodes.length) * columns))
  }
  const failed = share('failed')
  const ready = Math.min(share('ready'), columns - failed)
  return [
    '[',
    { text: '#'.repeat(ready), look: 'green' },
    { text: 'x'.repeat(failed), look: 'red' },
    { text: '.'.repeat(columns - ready - failed), look: 'dim' },
    ']',
  ]
}

/** In the order in which a node goes through them. */
const states = ['queued', 'waiting', 'booting', 'failed', 'skipped', 'left']

function countsText(nodes: readonly RolloutNode[]): string {
  const count = (state: string) => nodes.filter((node) => node.state === state).length
  if (count('queued') === nodes.length) return `${nodes.length} queued`
  const others = states.filter((state) => count(state) > 0).map((state) => `${count(state)} ${state}`)
  return [`${count('ready')} of ${nodes.length} ready`, ...others].join(', ')
}

/** Nodes in a state, those with the same reason together. */
function whoLines(title: string, all: readonly RolloutNode[], state: string): Part[][] {
  const groups = Map.groupBy(
    all.filter((node) => node.state === state),
    ({ why }) => why ?? '',
  )
  return [...groups].map(([why, nodes]): Part[] => [
    `${title}: `,
    { text: namesOf(nodes), look: 'bold' },
    why === '' ? '' : `, ${why}`,
  ])
}

function durationText(seconds: number): string {
  if (seconds % 3600 === 0) return `${seconds / 3600} h`
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`
}
