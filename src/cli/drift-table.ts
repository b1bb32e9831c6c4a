/** What nodes run against what they would get now, as text. Pure. */
import { counted } from './confirm.ts'
import type { Part, Styled } from './io.ts'
import { splitKernelArgs } from './kernel-args.ts'
import { table } from './table.ts'

/** A node's drift as the API answers it, as far as the text goes. */
export type Drift = {
  node: string
  state: string
  reasons: Reason[]
  refusal: { message: string } | null
  heardSecondsAgo: number | null
  silent: boolean
}
type Reason = {
  what: string
  has: string
  wants: string
  paths?: string[] | undefined
  morePaths?: number | undefined
  overlays?: string[] | undefined
  detail?: string | undefined
}

/** In the order in which the last line counts them. */
export const driftStates = ['same', 'runtime pending', 'reboot needed', 'unknown', 'unplannable'] as const

/** States in which a node is not, or would not be, what its settings say. */
export const isDrifting = ({ state }: Drift): boolean =>
  state === 'runtime pending' || state === 'reboot needed' || state === 'unplannable'

const looks: Record<string, Styled['look']> = {
  same: 'green',
  'runtime pending': 'yellow',
  'reboot needed': 'yellow',
  unplannable: 'red',
}

/** A table of the nodes, no wider than a terminal, and a line that counts them. */
export function driftLines(nodes: readonly Drift[], width?: number): (string | Part[])[] {
  if (nodes.length === 0) return ['no nodes']
  const rows = nodes.map((node) => [node.node, node.state, whyText(node), heardText(node)])
  const [head = '', ...lines] = table(['NODE', 'STATE', 'WHY', 'LAST HEARD'], rows, { column: 'WHY', width })
  const start = head.indexOf('STATE')
  return [
    head,
    ...lines.map((line): Part[] => {
      // A line that goes on with a reason has none.
      const state = driftStates.find((one) => line.startsWith(`${one} `, start))
      const look = state === undefined ? undefined : looks[state]
      if (state === undefined || !look) return [line]
      return [line.slice(0, start), { text: state, look }, line.slice(start + state.length)]
    }),
    summary(nodes),
  ]
}

function summary(nodes: readonly Drift[]): string {
  const counts = driftStates.flatMap((state) => {
    const count = nodes.filter((node) => node.state === state).length
    return count === 0 ? [] : [`${count} ${state}`]
  })
  const silent = nodes.filter((node) => node.silent).length
  return `${counted(nodes.length, 'node')}: ${counts.join(', ')}${silent > 0 ? `; ${silent} silent` : ''}`
}

function whyText({ state, reasons, refusal }: Drift): string {
  if (refusal) return refusal.message
  if (state === 'unknown') return 'its client has not reported yet'
  return reasons.map(reasonText).join('; ')
}

function reasonText({ what, has, wants, paths = [], morePaths, overlays = [], detail }: Reason): string {
  const change = what === 'args' ? argsText(has, wants) : `${what} ${has} → ${wants}`
  if (paths.length + overlays.length === 0) return detail === undefined ? change : `${what}: ${detail}`
  const more = morePaths === undefined ? [] : [`${morePaths} more`]
  const notes = [...overlays, ...(detail === undefined ? [] : [detail])]
  const where = [...paths, ...more].join(', ')
  if (where === '') return `${what}: ${notes.join(', ')}`
  return `${what}: ${where}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}`
}

/** Arguments that came and went; an argument that is there twice counts twice. */
function argsText(has: string, wants: string): string {
  const [before, after] = [has, wants].map((line) => splitKernelArgs(line) ?? line.split(' '))
  const [gone, come] = [without(before, after), without(after, before)]
  if (gone.length + come.length === 0) return 'args in another order'
  return `args ${[...come.map((arg) => `+${arg}`), ...gone.map((arg) => `-${arg}`)].join(' ')}`
}

function without(some: readonly string[] = [], others: readonly string[] = []): string[] {
  const left = [...others]
  return some.filter((one) => {
    const at = left.indexOf(one)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
}

function heardText({ heardSecondsAgo, silent }: Drift): string {
  if (heardSecondsAgo === null) return 'never'
  return `${agoText(heardSecondsAgo)}${silent ? ' (silent)' : ''}`
}

/** `30 s ago`, `5 min ago`, `2 h ago`, `3 d ago`. */
export function agoText(seconds: number): string {
  const units = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
  ] as const
  // From two of a unit on: `90 min` says more than `1 h`.
  const [unit, length] = units.find(([, length]) => seconds >= 2 * length) ?? ['s', 1]
  return `${Math.floor(seconds / length)} ${unit} ago`
}
