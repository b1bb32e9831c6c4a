/** Renders an overlay for a node: manifest, contents and view in, files out. The same input gives the same bytes. */
import type { Digest } from '../blobs/digest.ts'
import type { OverlayEntry, OverlayManifest } from './manifest.ts'
import { pathFault } from './path.ts'
import { isShown } from './scope.ts'
import { templateError } from './tags.ts'
import { parseTemplate, renderTemplate, type Template, valueAt } from './template.ts'

/** A file, link or directory as the node gets it, and the overlay that it came from. */
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
} & ({ type: 'file'; content: Uint8Array<ArrayBuffer> } | { type: 'link'; target: string } | { type: 'directory' })

/** What a template sees: a `View`, or any other plain data. */
export type Names = Readonly<Record<string, unknown>>

/**
 * What is kept between renderings. `templates`: parsed ones, good for ever, the oldest dropped when there are too many.
 * `shared`: outputs that are the same for every node because they read only cluster-wide names; it must be a new Map
 * whenever any node's settings may have changed, that is for each revision of the registry.
 */
export type RenderMemory = { templates: Map<string, Template>; shared?: Map<string, Uint8Array<ArrayBuffer>> }

/** Contents by digest. */
export type Contents = ReadonlyMap<Digest, Uint8Array<ArrayBuffer>>

const mostTemplates = 2000
const mostItems = 5000
const encoder = new TextEncoder()

/**
 * The files that an overlay gives a node, in the order of the manifest. Throws `TEMPLATE_INVALID` with overlay, file and
 * line, also when two items make the same path or a path that leaves its directory.
 */
export function renderOverlay(
  name: string,
  manifest: OverlayManifest,
  contents: Contents,
  view: Names,
  memory: RenderMemory = { templates: new Map() },
): RenderedFile[] {
  const files: RenderedFile[] = []
  const seen = new Set<string>()
  const sameFor = JSON.stringify([view.cluster, view.head])
  for (const entry of manifest.entries) {
    for (const items of itemsOf(name, entry, view)) {
      if (entry.when !== undefined && !isShown(valueAt(view, items, entry.when))) continue
      const file = renderEntry({ name, entry, contents, view, memory, items, sameFor })
      if (seen.has(file.path))
        throw templateError(
          `${name}:${entry.path} makes ${file.path} twice: the items of ${entry.each ?? 'another entry'} must differ in what its name says`,
        )
      seen.add(file.path)
      files.push(file)
    }
  }
  return files
}

type Work = {
  name: string
  entry: OverlayEntry
  contents: Contents
  view: Names
  memory: RenderMemory
  items: readonly unknown[]
  /** What cluster-wide names mean here besides `nodes`: part of the key of shared outputs. */
  sameFor: string
}

/** What lies on top of the view, once for each file that an entry makes. Of a map's item also its `key`. */
function itemsOf(name: string, { each, path }: OverlayEntry, view: Names): (readonly unknown[])[] {
  if (each === undefined) return [[]]
  const value = valueAt(view, [], each)
  if (!isShown(value)) return []
  if (typeof value !== 'object' || value === null)
    throw templateError(`${name}:${path} has each: ${each}, which is neither a list nor a map`)
  const items = Array.isArray(value)
    ? value.map((item) => [item])
    : Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, item]) => [{ key }, item])
  if (items.length > mostItems)
    throw templateError(`${name}:${path} has each: ${each}, which has ${items.length} items, more than ${mostItems}`)
  return items
}

function renderEntry(work: Work): RenderedFile {
  const { name, entry } = work
  const { mode, uid, gid } = entry
  const common = { path: entry.each === undefined ? entry.path : renderPath(work), mode, uid, gid, overlay: name }
  switch (entry.type) {
    case 'directory':
      return { ...common, type: 'directory' }
    case 'link':
      return { ...common, type: 'link', target: entry.template ? renderTarget(entry.target, work) : entry.target }
    case 'file':
      return { ...common, type: 'file', content: renderContent(entry.digest, work) }
  }
}

function renderContent(digest: Digest, work: Work): Uint8Array<ArrayBuffer> {
  const { name, entry, contents, view, memory, items } = work
  const content = contents.get(digest)
  if (!content) throw new Error(`overlay ${name}: the content ${digest} of ${entry.path} is missing`)
  if (!entry.template) return content
  const shared = entry.each === undefined ? memory.shared : undefined
  const key = digest + work.sameFor
  const known = shared?.get(key)
  if (known) return known
  const where = `${name}:${entry.path}`
  const template = remembered(memory, digest, where, () =>
    new TextDecoder('utf-8', { ignoreBOM: true }).decode(content),
  )
  const { text, clusterWide } = renderTemplate(template, where, view, items)
  const bytes = encoder.encode(text)
  if (clusterWide) shared?.set(key, bytes)
  return bytes
}

function renderPath({ name, entry, view, memory, items }: Work): string {
  const where = `${name}:${entry.path} (its name)`
  const template = remembered(memory, entry.path, where, () => entry.path)
  const path = renderTemplate(template, where, view, items).text
  const fault =
    path.split('/').length === entry.path.split('/').length ? pathFault(path) : 'has a / more than its pattern'
  if (fault) throw templateError(`${where}: ${JSON.stringify(path)} ${fault}`)
  return path
}

function renderTarget(target: string, { name, entry, view, memory, items }: Work): string {
  const where = `${name}:${entry.path} (its target)`
  const text = renderTemplate(
    remembered(memory, target, where, () => target),
    where,
    view,
    items,
  ).text
  if (text === '' || text.length > 4095 || text.includes('\0'))
    throw templateError(`${where} is ${JSON.stringify(text.slice(0, 100))}, to which no link can point`)
  return text
}

function remembered(memory: RenderMemory, key: string, where: string, text: () => string): Template {
  const known = memory.templates.get(key)
  if (known) return known
  const template = parseTemplate(text(), where)
  const [oldest] = memory.templates.keys()
  if (oldest !== undefined && memory.templates.size >= mostTemplates) memory.templates.delete(oldest)
  memory.templates.set(key, template)
  return template
}
