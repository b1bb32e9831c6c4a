/** A boot plan as text: each thing that the node would get, and whose setting asked for it. Pure. */
import { agoText } from './drift-table.ts'
import type { Explanation } from './explain.ts'
import type { Part } from './io.ts'
import { bytesText, isMap, shortDigest, table, timeText } from './table.ts'

/** A blob or an archive. */
type Sized = { digest: string; size: number }
type Overlay = { name: string; version?: number | null | undefined; digest: string }

/** What the API answers of a node's boot, as far as the text goes. */
export type Boot = {
  plan: {
    node: string
    revision: number
    image: { name: string; version: number; digest: string; architecture: string }
    kernel: Sized & { version: string }
    root: { mode: string; limit?: string | undefined }
    overlays: { system: Overlay[]; runtime: Overlay[] }
    args: string[]
    init: string
    script: string
    onFailure: string
    warnings: string[]
  }
  explain: Explanation[]
  archives: { system: Sized; runtime: Sized; root: (Sized & { unpackedSize: number; warnings: string[] }) | null }
  url: string
  client: Client | null
}

/** What the node's client says. */
type Client = {
  readyAt: string | null
  heardSecondsAgo: number
  memTotalKiB: number | null
  memAvailableKiB: number | null
  rootKind: string | null
  rootSizeKiB: number | null
  rootUsedKiB: number | null
  failure: string | null
}

/** Settings that members have of their own, by origin: `profile:gpu`, `node:n001`. */
export type Owners = ReadonlyMap<string, unknown>

/** Lists whose items the text tells the origin of, one by one. */
const lists = ['kernel.args', 'overlays.system', 'overlays.runtime']

/** Whose own settings {@link planLines} needs: the nodes and profiles that added to those lists, not `default`. */
export const ownersIn = ({ explain }: Pick<Boot, 'explain'>): string[] => {
  const origins = explain.filter(({ field }) => lists.includes(field)).flatMap(({ from }) => from)
  return [...new Set(origins)].filter((origin) => origin.includes(':'))
}

/** A head line, a table of what and from whom, the warnings, and how the node is now. */
export function planLines({ plan, explain, archives, url, client }: Boot, owners: Owners): (string | Part[])[] {
  const { image, kernel, root, overlays } = plan
  const originsOf = (field: string) => explain.find((found) => found.field === field)?.from
  const from = (field: string) => originsOf(field)?.join(', ') ?? 'default'
  /** Who added an item: the last of those that did, since whoever takes an item out takes all of it. */
  const fromItem = (field: string, item: string) =>
    originsOf(field)?.findLast((origin) => listAt(owners.get(origin), field).includes(item)) ?? from(field)
  const overlayRows = (kind: 'system' | 'runtime') => [
    ...overlays[kind].map(({ name, version, digest }) => [
      `${kind} overlay`,
      version == null ? name : `${name}@${version}`,
      shortDigest(digest),
      fromItem(`overlays.${kind}`, name),
    ]),
    [`${kind} archive`, bytesText(archives[kind].size), shortDigest(archives[kind].digest), ''],
  ]
  const limit = root.limit === undefined ? '' : `, at most ${root.limit}`
  const memory = archives.root
    ? `${bytesText(archives.root.size)} to fetch, ${bytesText(archives.root.unpackedSize)} in memory`
    : 'its archive is made when the node first asks'
  const rows = [
    ['image', `${image.name}@${image.version} (${image.architecture})`, shortDigest(image.digest), from('image')],
    ['kernel', `${kernel.version}, ${bytesText(kernel.size)}`, shortDigest(kernel.digest), from('kernel.version')],
    [
      'root',
      `${root.mode}, ${memory}${limit}`,
      archives.root ? shortDigest(archives.root.digest) : '',
      from('root.kind'),
    ],
    ...overlayRows('system'),
    ...overlayRows('runtime'),
    ...plan.args.map((arg) => ['kernel arg', arg, '', fromItem('kernel.args', arg)]),
    ['init', plan.init, '', from('init')],
    ['script', plan.script, '', from('script')],
    ['on failure', plan.onFailure, '', from('onFailure')],
  ]
  return [
    [{ text: plan.node, look: 'bold' }, `  from ${url}, registry revision ${plan.revision}`],
    ...table(['WHAT', 'VALUE', 'DIGEST', 'FROM'], rows),
    ...[...plan.warnings, ...(archives.root?.warnings ?? [])].map((warning): Part[] => [
      { text: 'warning: ', look: 'yellow' },
      warning,
    ]),
    ...(client ? clientLines(client) : []),
  ]
}

/** How the node is now: one line, and another one for what went wrong. */
function clientLines(client: Client): Part[][] {
  const { readyAt, heardSecondsAgo, memTotalKiB, memAvailableKiB, rootKind, rootSizeKiB, rootUsedKiB, failure } = client
  const amount = (kib: number) => bytesText(kib * 1024)
  const of = (whole: number | null) => (whole === null ? '' : ` of ${amount(whole)}`)
  const parts = [
    readyAt === null ? 'not ready yet' : `ready since ${timeText(readyAt)}`,
    ...(memAvailableKiB === null ? [] : [`memory ${amount(memAvailableKiB)}${of(memTotalKiB)} available`]),
    ...(rootUsedKiB === null
      ? []
      : [`root ${rootKind === null ? '' : `${rootKind} `}${amount(rootUsedKiB)}${of(rootSizeKiB)} used`]),
    `heard of ${agoText(heardSecondsAgo)}`,
  ]
  return [
    [{ text: 'now: ', look: 'bold' }, parts.join(', ')],
    ...(failure === null ? [] : [[{ text: 'failure: ', look: 'red' }, failure] satisfies Part[]]),
  ]
}

function listAt(settings: unknown, field: string): unknown[] {
  const value = field.split('.').reduce<unknown>((map, key) => (isMap(map) ? map[key] : undefined), settings)
  return Array.isArray(value) ? value : []
}
