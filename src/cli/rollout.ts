/** `muster rollout`: a version of an image to many nodes, wave by wave. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Command, CommanderError } from 'commander'
import { answer } from './client.ts'
import { confirm, counted } from './confirm.ts'
import { diffLines } from './diff.ts'
import { type Io, jsonText, type Part } from './io.ts'
import { pageSize } from './pages.ts'
import {
  isUnderWay,
  namesOf,
  previewLines,
  type Rollout,
  type RolloutNode,
  statusLines,
  waitingNodes,
} from './rollout-status.ts'
import { editVerb, open, type Session, show, usageError, verb } from './session.ts'
import { table, timeText } from './table.ts'

/** What `start` takes besides the image. */
type StartOptions = { nodes: string; wave?: string; maxFailed?: string; timeout?: string }

/** Adds the noun and its verbs. */
export function rolloutCommands(program: Command, io: Io): void {
  const rollout = program.command('rollout').description('Versions of images on their way to nodes, wave by wave')

  const start = editVerb(rollout, 'start', 'Give a version of an image to nodes, a few at first')
  start.argument('<version>', 'rocky9@4, or by a tag: rocky9@tested')
  start.requiredOption('--nodes <selector>', 'which nodes: n[001-100,200], gpu*, profile:gpu, tag:rack=r12')
  start.option('--wave <list>', 'how many have it after each wave: 1,10%,50%,100% unless said otherwise')
  start.option('--max-failed <count>', 'more failed nodes than that take everything back; 0 unless said otherwise')
  start.option('--timeout <time>', 'how long a node may take from its boot script to ready: 90s, 30m (the default), 2h')
  start.addHelpText('after', '\nReboot the nodes of a wave: the next one begins by itself when all of them are ready.')
  start.action(async (version: string, options: StartOptions) => {
    const request = requestOf(version, options)
    const session = await open(io, start)
    const { $post } = session.api.client.api.rollouts
    const plan = await answer($post({ query: { ...session.why, dryRun: 'true' }, json: request }))
    if (!('rollout' in plan)) throw new Error('a dry run was answered with a rollout')
    const nodes = plan.changes.filter(({ noun }) => noun === 'node')
    const begun = nodes.length > 0 ? [[''], ['Wave 1:'], ...diffLines(nodes)] : []
    await confirm(session, [...previewLines(plan.rollout), ...begun], 'Begin?')
    const made = await answer($post({ query: { ...session.why, expect: String(plan.revision) }, json: request }))
    if ('rollout' in made) throw new Error('a rollout was answered with a dry run')
    show(session, made, (found) => [
      `rollout ${found.id} began with wave 1 of ${found.waves.length}`,
      ...rebootLines(found),
    ])
  })

  const status = verb(rollout, 'status', 'Show how far rollouts are')
  status.argument('[id]', 'number of the rollout; all that are under way, or the newest, unless said otherwise')
  status.option('-w, --watch', 'until they have ended; exit code 1 when one was taken back')
  status.option('--every <seconds>', 'how often to look, with --watch', '5')
  status.action(async (id: string | undefined, { watch, every }: { watch?: boolean; every: string }) => {
    const seconds = Number(every)
    if (!(seconds > 0 && seconds <= 3600)) throw usageError(`${every} is no number of seconds from 0 to 3600`)
    const session = await open(io, status)
    const ids = id === undefined ? await idsOf(session) : [idOf(id)]
    const read = () => Promise.all(ids.map((one) => readOne(session, String(one))))
    if (watch) return watchAll(session, read, seconds)
    const found = await read()
    show(session, id === undefined ? found : found[0], () => linesOf(found))
  })

  const list = verb(rollout, 'list', 'List rollouts, newest first').alias('ls')
  list.action(async () => {
    const session = await open(io, list)
    const page = await answer(session.api.client.api.rollouts.$get({ query: { limit: pageSize } }))
    show(session, page, ({ items }) =>
      table(
        ['ID', 'VERSION', 'STATE', 'WAVE', 'NODES', 'BEGUN', 'CHANGED', 'AUTHOR'],
        items.map(({ id, image, version, state, begun, sizes, createdAt, changedAt, author }) => [
          String(id),
          `${image}@${version}`,
          state,
          `${begun} of ${sizes.length}`,
          String(sizes.reduce((sum, size) => sum + size, 0)),
          timeText(createdAt),
          timeText(changedAt),
          author,
        ]),
      ),
    )
  })

  const pause = editVerb(rollout, 'pause', 'Begin no further wave; failures still take everything back')
  pause.argument('<id>', 'number of the rollout').action(async (id: string) => {
    const session = await open(io, pause)
    const param = { id: idOf(id) }
    const done = await answer(oneOf(session).pause.$post({ param, query: session.why }))
    show(session, done, () => [`rollout ${id} is ${done.state}, wave ${done.begun} of ${done.waves.length}`])
  })

  const resume = editVerb(rollout, 'resume', 'Go on with a rollout that was paused')
  resume.argument('<id>', 'number of the rollout').action(async (id: string) => {
    const session = await open(io, resume)
    const param = { id: idOf(id) }
    show(session, await answer(oneOf(session).resume.$post({ param, query: session.why })), statusLines)
  })

  const skip = editVerb(rollout, 'skip', 'Wait for some nodes no longer, and do not count their failure')
  skip.argument('<id>', 'number of the rollout').argument('<selector>', 'nodes that are switched off or under repair')
  skip.action(async (id: string, nodes: string) => {
    const session = await open(io, skip)
    const param = { id: idOf(id) }
    show(session, await answer(oneOf(session).skip.$post({ param, query: session.why, json: { nodes } })), statusLines)
  })

  const revert = editVerb(rollout, 'revert', 'Give all nodes back what they had before, also after the end')
  revert.argument('<id>', 'number of the rollout').action(async (id: string) => {
    const session = await open(io, revert)
    const param = { id: idOf(id) }
    const plan = await answer(oneOf(session).revert.$post({ param, query: { ...session.why, dryRun: 'true' } }))
    if (!('changes' in plan)) throw new Error('a dry run was answered with a rollout')
    if (plan.changes.length === 0) return show(session, plan, () => ['nothing to change'])
    const changes = plan.changes.filter(({ noun }) => noun !== 'rollout')
    const nodes = changes.filter(({ noun }) => noun === 'node').length
    await confirm(session, diffLines(changes), `Take rollout ${id} back, for ${counted(nodes, 'node')}?`)
    const done = await answer(oneOf(session).revert.$post({ param, query: session.why }))
    if ('changes' in done) throw new Error('a revert was answered with a dry run')
    show(session, done, (found) => [
      `rollout ${id} is ${found.state}`,
      ...leftLines(found.waves.flatMap((wave) => wave.nodes)),
    ])
  })
}

const oneOf = ({ api }: Session) => api.client.api.rollouts[':id']

const readOne = (session: Session, id: string) => answer(oneOf(session).$get({ param: { id } }))

/** The rollouts that are under way, oldest first; else the newest one. */
async function idsOf(session: Session): Promise<number[]> {
  const { items } = await answer(session.api.client.api.rollouts.$get({ query: { limit: pageSize } }))
  const active = items.filter(isActive).map(({ id }) => id)
  return active.length > 0 ? active.reverse() : items.slice(0, 1).map(({ id }) => id)
}

const isActive = ({ state }: { state: string }) => isUnderWay({ state })

function linesOf(rollouts: readonly Rollout[]): Part[][] {
  if (rollouts.length === 0) return [['no rollouts yet']]
  return rollouts.flatMap((one, at) => [...(at > 0 ? [['']] : []), ...statusLines(one)])
}

/** Prints what changed until all have ended. A terminal sees it in one place. Throws (exit 1) when one was taken back. */
async function watchAll(session: Session, read: () => Promise<Rollout[]>, seconds: number): Promise<void> {
  const { io, out, json } = session
  let shown = ''
  let height = 0
  for (;;) {
    const found = await read()
    const text = jsonText(found)
    if (text !== shown && json) io.stdout.write(`${text}\n`)
    else if (text !== shown) {
      const lines = linesOf(found)
      // Up to where the last picture began, and away with it (ECMA-48 §8.3.22 CUU, §8.3.39 ED).
      if (out.terminal && height > 0) io.stdout.write(`\u001b[${height}A\u001b[J`)
      for (const line of lines) out.line(...line)
      if (!out.terminal && found.some(isActive)) out.line('')
      height = lines.reduce((sum, line) => sum + rowsOf(line, io.stdout.columns), 0)
    }
    shown = text
    if (!found.some(isActive)) return refuseReverted(found)
    await sleep(seconds * 1000, undefined, io.signal && { signal: io.signal })
  }
}

/** Rows of a terminal that a line takes. */
const rowsOf = (line: readonly Part[], width = 80): number =>
  Math.max(1, Math.ceil(line.map((part) => (typeof part === 'string' ? part : part.text)).join('').length / width))

function refuseReverted(rollouts: readonly Rollout[]): void {
  const back = rollouts.find(({ state }) => state === 'reverted')
  if (back) throw new CommanderError(1, 'muster.reverted', `rollout ${back.id} was taken back`)
}

const rebootLines = (rollout: Rollout): string[] => {
  const waiting = waitingNodes(rollout)
  return waiting.length > 0
    ? [`now reboot ${namesOf(waiting)}, and watch with: muster rollout status ${rollout.id} -w`]
    : []
}

function leftLines(nodes: readonly RolloutNode[]): string[] {
  const left = nodes.filter(({ state }) => state === 'left')
  return left.length > 0 ? [`left alone, because somebody edited them: ${namesOf(left)}`] : []
}

function idOf(text: string): string {
  if (!/^[1-9][0-9]{0,14}$/.test(text)) throw usageError(`${text} is no rollout: give its number`)
  return text
}

/** The request that the options ask for. What it means, the API checks. */
function requestOf(image: string, { nodes, wave, maxFailed, timeout }: StartOptions) {
  if (maxFailed !== undefined && !/^[0-9]{1,6}$/.test(maxFailed)) throw usageError(`${maxFailed} is no number of nodes`)
  return {
    image,
    nodes,
    ...(wave !== undefined && { waves: wave.split(',').map((text) => text.trim()) }),
    ...(maxFailed !== undefined && { maxFailed: Number(maxFailed) }),
    ...(timeout !== undefined && { readySeconds: secondsOf(timeout) }),
  }
}

function secondsOf(text: string): number {
  const [, count, unit = 's'] = /^([1-9][0-9]{0,5})([smh]?)$/.exec(text) ?? []
  if (count === undefined) throw usageError(`${text} is no time: 90s, 30m or 2h`)
  return Number(count) * (unit === 'h' ? 3600 : unit === 'm' ? 60 : 1)
}
