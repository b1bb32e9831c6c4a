/** `muster overlay render --diff`: what a node would get, against what it has. */
import { answer, segment } from './client.ts'
import type { Part } from './io.ts'
import { diffLine } from './overlay-diff-lines.ts'
import { type Session, show } from './session.ts'
import { textDiff } from './text-diff.ts'

/** A file that the node would get. */
type Wanted = {
  path: string
  type: string
  mode: string
  owner: string
  digest?: string | undefined
  content?: string | undefined
  encoding?: string | undefined
  link?: string | undefined
  private?: true | undefined
}

/** A list as the node's client reported to have it. */
type Reported = {
  list: string
  known: boolean
  entries: {
    path: string
    type: string
    mode: string | null
    uid: number | null
    gid: number | null
    digest: string | null
    private: boolean
    text?: string | undefined
  }[]
}

/** A file that both or either have. `differs` names what does; of a private one the content is not among that. */
export type FileState = {
  path: string
  state: 'same' | 'changed' | 'new' | 'gone'
  differs: string[]
  private?: true
  before?: string
  after?: string
}

/** Prints what would change, file by file. */
export async function overlayStateLines(session: Session, node: string, path: string | undefined): Promise<void> {
  const { api } = session.api.client
  const [reported, wanted] = await Promise.all([
    answer(api.nodes[':name'].files.$get({ param: { name: segment(node) } })),
    answer(api.overlays.render.$get({ query: { node } })),
  ])
  const states = fileStates(reported, wanted).filter((one) => path === undefined || one.path === path)
  const unknown = reported.filter(({ known }) => !known).map(({ list }) => list)
  const document = { node, reported: reported.map(({ list }) => list), unknown, files: states }
  show(session, document, () => [
    ...(reported.length === 0 ? [`the client of ${node} has not reported yet what it has`] : []),
    ...unknown.map((list) => `what ${node} has of its ${list} overlays is not known any more: its next change tells`),
    ...(unknown.length > 0 || reported.length === 0 ? [] : stateLines(node, states)),
  ])
}

function stateLines(node: string, states: readonly FileState[]): (string | Part[])[] {
  const changed = states.filter(({ state }) => state !== 'same')
  const hidden = states.filter((one) => one.private).length
  const note = hidden === 0 ? [] : [`contents of private files are not compared (${hidden})`]
  if (changed.length === 0) return [`${node} has what it would get`, ...note]
  return [...changed.flatMap(linesOf), ...note]
}

function linesOf({ path, state, differs, before, after }: FileState): (string | Part[])[] {
  const look = ({ new: 'green', gone: 'red' } as const)[state as 'new' | 'gone'] ?? 'yellow'
  const head: Part[] = [{ text: state, look }, ` ${path}`, differs.length > 0 ? `  ${differs.join(', ')}` : '']
  return [head, ...(before === undefined || after === undefined ? [] : textDiff(before, after).map(diffLine))]
}

/** The state of every file, by path: the runtime list counts where both have one. Pure. */
export function fileStates(reported: readonly Reported[], wanted: readonly Wanted[]): FileState[] {
  const has = new Map(reported.flatMap(({ entries }) => entries.map((entry) => [entry.path, entry])))
  const wants = new Map(wanted.map((file) => [file.path, file]))
  return [...new Set([...has.keys(), ...wants.keys()])].sort().map((path): FileState => {
    const [before, after] = [has.get(path), wants.get(path)]
    const hidden = before?.private || after?.private ? { private: true as const } : {}
    if (!before || !after) return { path, state: before ? 'gone' : 'new', differs: [], ...hidden }
    const differs = differences(before, after)
    const text = after.type === 'link' ? after.link : after.encoding === undefined ? after.content : undefined
    const texts =
      differs.includes('content') && before.text !== undefined && text !== undefined
        ? { before: before.text, after: text }
        : {}
    return {
      path,
      state: differs.length === 0 ? 'same' : 'changed',
      differs: differs.map((one) => detail(one, before, after)),
      ...hidden,
      ...texts,
    }
  })
}

function differences(before: Reported['entries'][number], after: Wanted): string[] {
  if (before.type !== after.type) return ['type']
  if (after.type === 'removal') return []
  const isHidden = before.private || after.private === true
  return [
    ...(before.mode !== after.mode && after.type !== 'link' ? ['mode'] : []),
    ...(`${before.uid}:${before.gid}` === after.owner ? [] : ['owner']),
    ...(isHidden || (before.digest ?? undefined) === after.digest?.replace(/^sha256:/, '') ? [] : ['content']),
  ]
}

function detail(aspect: string, before: Reported['entries'][number], after: Wanted): string {
  if (aspect === 'type') return `type ${before.type} -> ${after.type}`
  if (aspect === 'mode') return `mode ${before.mode} -> ${after.mode}`
  if (aspect === 'owner') return `owner ${before.uid}:${before.gid} -> ${after.owner}`
  const short = (digest: string | null | undefined) => (digest ?? '?').replace(/^sha256:/, '').slice(0, 12)
  return `content ${short(before.digest)} -> ${short(after.digest)}`
}
