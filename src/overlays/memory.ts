/** What is kept between renderings. Whoever renders for many nodes has one of these, for as long as it lives. */
import type { OverlayEntry, OverlayManifest } from './manifest.ts'
import { type Outputs, rememberedOutputs } from './outputs.ts'
import type { RenderedFile } from './render.ts'
import { parseTemplate, type Template } from './template.ts'
import type { ContentNumbers } from './tracking.ts'

/** One file that an entry came to: where it is, and what is in it or what it points to. */
export type Output = { path: string } & ({ content: Uint8Array<ArrayBuffer> } | { target: string } | object)

/** The files of an entry, and how they were handed out last. */
export type EntryOutput = { outputs: Output[]; files?: FilesOf }

/** Files made of an entry of an overlay in a version: handed out again, so that the same inputs give the same objects. */
export type FilesOf = { entry: OverlayEntry; overlay: string; version: number | undefined; files: RenderedFile[] }

/**
 * What is known of an entry: what tells its output from other entries', how often it was looked for of late and
 * found, how often it was asked for since that is not worth it, and whether rendering it costs no more than looking.
 */
export type KnownEntry = { readonly key: string; asked: number; looked: number; found: number; isCheap: boolean }

/** What is kept between renderings. Nothing in it has to be thrown away, ever: it knows by what was read what still holds. */
export type RenderMemory = {
  /** Entries that were rendered, rather than remembered. */
  renders: number
  template(key: string, where: string, text: () => string): Template
  outputs: Outputs<EntryOutput>
  contentNumber: ContentNumbers
  entries: WeakMap<OverlayEntry, KnownEntry>
  /** Files of entries that are the same on every node. */
  constants: WeakMap<OverlayEntry, FilesOf>
  /** By manifest of the site: the paths that it hides of the shipped overlay. */
  hidden: WeakMap<OverlayManifest, ReadonlySet<string>>
}

const mostTemplates = 2000
const mostContents = 1000

/** An empty memory. `most`: bytes of outputs that are kept, 64 MiB if not said. */
export function renderMemory(most?: number): RenderMemory {
  const templates = new Map<string, Template>()
  return {
    renders: 0,
    template(key, where, text) {
      const known = templates.get(key)
      if (known) return known
      const template = parseTemplate(text(), where)
      const [oldest] = templates.keys()
      if (oldest !== undefined && templates.size >= mostTemplates) templates.delete(oldest)
      templates.set(key, template)
      return template
    },
    outputs: rememberedOutputs(most),
    contentNumber: contentNumbers(),
    entries: new WeakMap(),
    constants: new WeakMap(),
    hidden: new WeakMap(),
  }
}

/** Numbers contents in the order in which they are first seen; 0 is for none. A content that was long forgotten gets a new number. */
function contentNumbers(): ContentNumbers {
  const byObject = new WeakMap<object, number>()
  const byText = new Map<string, number>()
  let last = 0
  return (content) => {
    if (!content) return 0
    const known = byObject.get(content)
    if (known !== undefined) return known
    // Byte by byte, so that contents differ whenever bytes do.
    const text = new TextDecoder('latin1').decode(content)
    const number = byText.get(text) ?? ++last
    byText.delete(text)
    byText.set(text, number)
    const [oldest] = byText.keys()
    if (oldest !== undefined && byText.size > mostContents) byText.delete(oldest)
    byObject.set(content, number)
    return number
  }
}
