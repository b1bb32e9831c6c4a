/** Makes an overlay of files: what `overlay push` sends, and what lies in `boot-assets/overlays/NAME`. */
import { type Digest, digestOf } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import { attributesOf, matchesRule, type Rule } from './attributes.ts'
import { adviceFor, checkNesting, commonOf, invalid, linkEntry, madeEntries } from './entries.ts'
import type { OverlayEntry, OverlayManifest, OverlaySource } from './manifest.ts'
import { type OverlayYaml, parseOverlayYaml } from './overlay-yaml.ts'
import { pathFault } from './path.ts'

/** A file of an overlay's directory, by its path in it: `overlay.yaml`, `files/etc/motd`. A link has no content. */
export type SourceFile = {
  path: string
  content: Uint8Array<ArrayBuffer>
  executable: boolean
  /** Target of a symbolic link. */
  link?: string
}

/** An overlay as data, the directory that it was made of, and the contents that both name. */
export type ParsedOverlay = {
  manifest: OverlayManifest
  sources: OverlaySource[]
  contents: Map<Digest, Uint8Array<ArrayBuffer>>
}

/** Bytes of a file, bytes of an overlay, number of its files: the most that is taken. */
export const overlayLimits = { file: 4 * 1024 * 1024, overlay: 16 * 1024 * 1024, entries: 5000 } as const

const templateSuffix = '.mustache'

/**
 * Reads an overlay. Throws `OVERLAY_INVALID`, naming the overlay, the file or key, and what to do, and `TEMPLATE_INVALID`
 * for templates that do not parse.
 */
export async function parseOverlay(name: string, files: readonly SourceFile[]): Promise<ParsedOverlay> {
  checkFiles(name, files)
  const { description, rules, secrets } = yamlOf(name, files)
  const contents: ParsedOverlay['contents'] = new Map()
  const keep = async (content: SourceFile['content']): Promise<Digest> => {
    const digest = await digestOf(content)
    contents.set(digest, content)
    return digest
  }
  const makers = new Map<string, string>()
  const used = new Set<Rule>()
  const entries: OverlayEntry[] = []
  for (const file of files.filter(({ path }) => path.startsWith('files/'))) {
    const suffixed = file.path.endsWith(templateSuffix)
    const path = file.path.slice('files'.length, suffixed ? -templateSuffix.length : undefined)
    const other = makers.get(path)
    if (other !== undefined) throw invalid(name, `${other} and ${file.path} both make ${path}: take one away`)
    makers.set(path, file.path)
    for (const rule of rules) if (!rule.directory && matchesRule(rule, path)) used.add(rule)
    const attributes = { template: suffixed, ...attributesOf(rules, path, false) }
    if (file.link !== undefined) {
      if (attributes.mode !== undefined) throw invalid(name, `${path} is a symbolic link: a link has no mode`)
      entries.push(linkEntry(name, path, attributes, file.link))
    } else {
      const common = commonOf(name, path, attributes, {
        mode: file.executable ? 0o755 : 0o644,
        text: () => textOf(name, file),
      })
      entries.push({ ...common, type: 'file', digest: await keep(file.content), size: file.content.length })
    }
  }
  entries.push(...madeEntries(name, rules, makers, used))
  checkNesting(name, entries)
  const idle = rules.find((rule) => !used.has(rule))
  if (idle) throw invalid(name, `overlay.yaml: files: ${idle.key} matches nothing: ${adviceFor(idle)}`)
  entries.sort((a, b) => (a.path < b.path ? -1 : 1))
  const sources: OverlaySource[] = []
  for (const { path, executable, link, content } of files)
    sources.push(link === undefined ? { path, executable, digest: await keep(content) } : { path, executable, link })
  sources.sort((a, b) => (a.path < b.path ? -1 : 1))
  const manifest: OverlayManifest = {
    ...(description !== undefined && { description }),
    entries,
    ...(secrets && { secrets }),
  }
  return { manifest, sources, contents }
}

function checkFiles(name: string, files: readonly SourceFile[]): void {
  if (files.length > overlayLimits.entries)
    throw invalid(name, `${files.length} files are more than ${overlayLimits.entries}: they belong into an image`)
  const seen = new Set<string>()
  let total = 0
  for (const { path, content, link } of files) {
    const shown = JSON.stringify(path.slice(0, 300))
    const fault = path.startsWith('files/') ? pathFault(path.slice('files'.length)) : topLevelFault(path, link)
    if (fault) throw invalid(name, `${shown} ${fault}`)
    if (seen.has(path)) throw invalid(name, `${shown} is there twice`)
    seen.add(path)
    if (link !== undefined && (link === '' || link.length > 4095 || link.includes('\0')))
      throw invalid(name, `${shown} is a link to nothing that can be`)
    if (content.length > overlayLimits.file)
      throw invalid(
        name,
        `${shown} has ${content.length} bytes, more than ${overlayLimits.file}: it belongs into an image`,
      )
    total += content.length
  }
  if (total > overlayLimits.overlay)
    throw invalid(name, `it has ${total} bytes, more than ${overlayLimits.overlay}: large files belong into an image`)
}

function topLevelFault(path: string, link: string | undefined): string | undefined {
  if ((path === 'overlay.yaml' || /^README[^/]*$/.test(path)) && link === undefined) return undefined
  return 'is not part of an overlay: it has overlay.yaml, README and, for the node, files/…'
}

function yamlOf(name: string, files: readonly SourceFile[]): OverlayYaml {
  const file = files.find(({ path }) => path === 'overlay.yaml')
  return file ? parseOverlayYaml(name, textOf(name, file)) : { rules: [] }
}

function textOf(name: string, { path, content }: SourceFile): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
  } catch (cause) {
    throw new AppError(
      'OVERLAY_INVALID',
      `overlay ${name}: ${path} is not UTF-8 text, which templates and YAML must be`,
      {
        cause,
      },
    )
  }
}
