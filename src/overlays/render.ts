/** Renders an overlay for a node: manifest, contents and view in, files out. The same input gives the same bytes. */
import type { Digest } from '../blobs/digest.ts'
import type { OverlayEntry, Reload } from './manifest.ts'
import {
  type EntryOutput,
  type FilesOf,
  type KnownEntry,
  type Output,
  type RenderMemory,
  renderMemory,
} from './memory.ts'
import { pathFault } from './path.ts'
import { isShown } from './scope.ts'
import { templateError } from './tags.ts'
import { type Names, type Reads, renderTemplate, valueAt } from './template.ts'
import { type Read, type Tracked, tracking } from './tracking.ts'

/** A file, link or directory as the node gets it, and the overlay that it came from. Shared between nodes: never changed. */
export type RenderedFile = {
  /** Absolute. */
  path: string
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
  overlay: string
  /** Version of the site overlay; absent for a file of a shipped one. */
  version?: number
  /** As in `OverlayEntry`. */
  private?: true
  reload?: Reload[]
} & (
  | { type: 'file'; content: Uint8Array<ArrayBuffer> }
  | { type: 'link'; target: string }
  | { type: 'directory' }
  | { type: 'removal' }
)

/** Contents by digest. */
export type Contents = ReadonlyMap<Digest, Uint8Array<ArrayBuffer>>

/** Entries of one layer of an overlay, and what belongs to them. `version` is that of the site's. */
export type RenderedLayer = {
  overlay: string
  version?: number | undefined
  entries: readonly OverlayEntry[]
  contents: Contents
}

const mostItems = 5000
/** Looks before an entry may be taken for one that is not worth looking for, and of how many asks one looks all the same. */
const fewestLooks = 64
const asksPerLook = 16
/** Bytes of an output up to which rendering it costs no more than looking for it. */
const cheapSize = 4096
const encoder = new TextEncoder()

/**
 * The files that entries of an overlay give a node, in their order. Throws `TEMPLATE_INVALID` with overlay, file and line, also
 * when two items make the same path or a path that leaves its directory; and what the view's getters throw. With a view that
 * `buildView` made, what was rendered before for the same inputs is the same object again.
 */
export function renderOverlay(
  layer: RenderedLayer,
  view: Names,
  memory: RenderMemory = renderMemory(),
): RenderedFile[] {
  const files: RenderedFile[] = []
  const seen = new Set<string>()
  const work: Work = { ...layer, view, memory, tracked: view[tracking] }
  for (const entry of layer.entries) {
    for (const file of filesOf(entry, work)) {
      if (seen.has(file.path))
        throw templateError(
          `${layer.overlay}:${entry.path} makes ${file.path} twice: the items of ${entry.each ?? 'another entry'} must differ in what its name says`,
        )
      seen.add(file.path)
      files.push(file)
    }
  }
  return files
}

type Work = RenderedLayer & { view: Names; memory: RenderMemory; tracked: Tracked[typeof tracking] | undefined }

function filesOf(entry: OverlayEntry, work: Work): RenderedFile[] {
  const { constants } = work.memory
  const isConstant = !entry.template && entry.each === undefined && entry.when === undefined
  const output = isConstant ? undefined : outputOf(entry, work)
  const last = output ? output.files : constants.get(entry)
  if (last && last.entry === entry && last.overlay === work.overlay && last.version === work.version) return last.files
  const files = handedOut(entry, work, output?.outputs ?? [constantOutput(entry, work)])
  if (output) output.files = files
  else constants.set(entry, files)
  return files.files
}

const constantOutput = (entry: OverlayEntry, work: Work): Output => ({
  path: entry.path,
  ...payloadOf(entry, work, [], new Map()),
})

function handedOut(entry: OverlayEntry, { overlay, version }: Work, outputs: readonly Output[]): FilesOf {
  const { type, mode, uid, gid, reload } = entry
  const common = {
    mode,
    uid,
    gid,
    overlay,
    ...(version !== undefined && { version }),
    ...(entry.private && { private: entry.private }),
    ...(reload && { reload }),
  }
  // An output has what the type of its entry asks for: `payloadOf` sees to that.
  const files = outputs.map((output) => ({ type, ...common, ...output }) as RenderedFile)
  return { entry, overlay, version, files }
}

/** What an entry comes to, remembered or rendered. */
function outputOf(entry: OverlayEntry, work: Work): EntryOutput {
  const { memory, tracked } = work
  if (!tracked) return rendered(entry, work, new Map())
  const { reader } = tracked
  reader.overlay = work.overlay
  reader.path = entry.path
  reader.private = entry.private === true
  try {
    const about = knownEntry(entry, memory)
    if (!isLookedFor(about)) return rendered(entry, work, new Map())
    const stampOf = (read: Read) => tracked.stampOf(read, memory.contentNumber)
    const known = memory.outputs.find(about.key, stampOf)
    if (known) {
      about.found++
      return known
    }
    const reads: Reads = new Map()
    const output = rendered(entry, work, reads)
    const read = [...reads.values()]
    const size = sizeOf(output.outputs)
    about.isCheap = size <= cheapSize && !read.some(isCostly)
    memory.outputs.keep(about.key, read, stampOf, output, size)
    return output
  } finally {
    reader.private = false
  }
}

/** The key is what an entry says, as far as its output depends on it. */
function knownEntry(entry: OverlayEntry, { entries }: RenderMemory): KnownEntry {
  const known = entries.get(entry)
  if (known) return known
  const { type, path, template, each, when } = entry
  const content = type === 'file' ? entry.digest : type === 'link' ? entry.target : ''
  const key = JSON.stringify([type, path, content, template, each, when, entry.private])
  const about = { key, asked: 0, looked: 0, found: 0, isCheap: false }
  entries.set(entry, about)
  return about
}

/**
 * Whether the output of an entry is looked for. What is another one on nearly every node is rendered: to look for it and to keep
 * it takes twice as long, and what is kept in vain is the garbage collector's work. Now and then it is looked for all the same,
 * because nodes and settings change.
 */
function isLookedFor(about: KnownEntry): boolean {
  const isVain = about.isCheap && about.looked >= fewestLooks && about.found * 4 < about.looked
  if (isVain && ++about.asked % asksPerLook !== 0) return false
  if (about.looked >= 2 * fewestLooks) {
    about.looked /= 2
    about.found /= 2
  }
  about.looked++
  return true
}

/** What grows with the cluster or with files that somebody else wrote. */
const isCostly = ({ path, argument }: Read): boolean =>
  argument !== undefined || path[0] === 'nodes' || path[0] === 'users' || path[0] === 'view'

const sizeOf = (outputs: readonly Output[]): number =>
  outputs.reduce((sum, one) => {
    const payload = 'content' in one ? one.content.length : 'target' in one ? one.target.length : 0
    return sum + 400 + one.path.length + payload
  }, 0)

function rendered(entry: OverlayEntry, work: Work, reads: Reads): EntryOutput {
  const { overlay, view, memory } = work
  const outputs: Output[] = []
  for (const items of itemsOf(overlay, entry, view, reads)) {
    if (entry.when !== undefined && !isShown(valueAt(view, items, entry.when, reads))) continue
    const path = entry.each === undefined ? entry.path : renderPath(entry, work, items, reads)
    outputs.push({ path, ...payloadOf(entry, work, items, reads) })
  }
  memory.renders++
  return { outputs }
}

/** What lies on top of the view, once for each file that an entry makes. Of a map's item also its `key`. */
function itemsOf(overlay: string, { each, path }: OverlayEntry, view: Names, reads: Reads): (readonly unknown[])[] {
  if (each === undefined) return [[]]
  const value = valueAt(view, [], each, reads)
  if (!isShown(value)) return []
  if (typeof value !== 'object' || value === null)
    throw templateError(`${overlay}:${path} has each: ${each}, which is neither a list nor a map`)
  const items = Array.isArray(value)
    ? value.map((item) => [item])
    : Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, item]) => [{ key }, item])
  if (items.length > mostItems)
    throw templateError(`${overlay}:${path} has each: ${each}, which has ${items.length} items, more than ${mostItems}`)
  return items
}

/** The content of a file, the target of a link; nothing for what has neither. */
function payloadOf(entry: OverlayEntry, work: Work, items: readonly unknown[], reads: Reads): Omit<Output, 'path'> {
  if (entry.type === 'file') return { content: renderContent(entry, entry.digest, work, items, reads) }
  if (entry.type !== 'link') return {}
  return { target: entry.template ? renderTarget(entry, entry.target, work, items, reads) : entry.target }
}

function renderContent(
  entry: OverlayEntry,
  digest: Digest,
  { overlay, contents, view, memory }: Work,
  items: readonly unknown[],
  reads: Reads,
): Uint8Array<ArrayBuffer> {
  const content = contents.get(digest)
  if (!content) throw new Error(`overlay ${overlay}: the content ${digest} of ${entry.path} is missing`)
  if (!entry.template) return content
  const where = `${overlay}:${entry.path}`
  const template = memory.template(`content ${digest}`, where, () =>
    new TextDecoder('utf-8', { ignoreBOM: true }).decode(content),
  )
  return encoder.encode(renderTemplate(template, where, view, items, reads))
}

function renderPath(
  entry: OverlayEntry,
  { overlay, view, memory }: Work,
  items: readonly unknown[],
  reads: Reads,
): string {
  const where = `${overlay}:${entry.path} (its name)`
  const template = memory.template(`text ${entry.path}`, where, () => entry.path)
  const path = renderTemplate(template, where, view, items, reads)
  const fault =
    path.split('/').length === entry.path.split('/').length ? pathFault(path) : 'has a / more than its pattern'
  if (fault) throw templateError(`${where}: ${JSON.stringify(path)} ${fault}`)
  return path
}

function renderTarget(
  entry: OverlayEntry,
  target: string,
  { overlay, view, memory }: Work,
  items: readonly unknown[],
  reads: Reads,
): string {
  const where = `${overlay}:${entry.path} (its target)`
  const template = memory.template(`text ${target}`, where, () => target)
  const text = renderTemplate(template, where, view, items, reads)
  if (text === '' || text.length > 4095 || text.includes('\0'))
    throw templateError(
      `${where} is ${entry.private ? 'a text (private)' : JSON.stringify(text.slice(0, 100))}, to which no link can point`,
    )
  return text
}
