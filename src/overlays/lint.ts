/** What would go wrong on a node, found in an overlay's directory alone. Pure: no node, no image, no other overlay. */
import { AppError } from '../errors.ts'
import { type Rule, rulesFor } from './attributes.ts'
import { contentFaults } from './lint-content.ts'
import { modeFaults } from './lint-modes.ts'
import { attributeFault, nameFaults } from './lint-names.ts'
import type { OverlayEntry } from './manifest.ts'
import { parseOverlayYaml } from './overlay-yaml.ts'
import { type ParsedOverlay, parseOverlay, type SourceFile } from './parse.ts'

/**
 * One thing that lint has to say. `path` is of the directory (`files/etc/motd.mustache`, `overlay.yaml`), or empty where the
 * whole overlay is meant; `line` is counted from 1. An error keeps an overlay from being pushed.
 */
export type Finding = { level: 'error' | 'warning'; path: string; line?: number; message: string }

/** What lint found in a directory. `parsed` is absent when it is no overlay: `findings` then has the one error that says why. */
export type Linted = { findings: Finding[]; parsed?: ParsedOverlay }

/** Reads an overlay and looks for what would go wrong. */
export async function lintDirectory(name: string, files: readonly SourceFile[]): Promise<Linted> {
  try {
    const parsed = await parseOverlay(name, files)
    return { findings: lintOverlay(name, files, parsed), parsed }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return { findings: [refusal(name, files, error)] }
  }
}

/** What would go wrong with an overlay that was read: errors first, then by path and line. */
export function lintOverlay(name: string, files: readonly SourceFile[], parsed: ParsedOverlay): Finding[] {
  const { entries } = parsed.manifest
  const places = placesOf(name, files)
  return sorted([
    ...modeFaults(entries).map(({ level, path, message }) => ({
      level,
      ...places.attributeOf(path, 'mode'),
      message: `${path} ${message}`,
    })),
    ...entries.flatMap((entry) => entryFindings(entry, parsed, places)),
  ])
}

/** Files below `files/` that are private as they stand, so that their content is itself the secret. */
export const privateSources = ({ manifest, sources }: Pick<ParsedOverlay, 'manifest' | 'sources'>): string[] => {
  const verbatim = manifest.entries.filter((entry) => entry.private && !entry.template && entry.type === 'file')
  const paths = new Set(verbatim.flatMap(({ path }) => [`files${path}`, `files${path}.mustache`]))
  return sources.map(({ path }) => path).filter((path) => paths.has(path))
}

/** Errors first, then by path and line. */
export const sorted = (findings: readonly Finding[]): Finding[] =>
  findings.toSorted(
    (a, b) =>
      Number(a.level === 'warning') - Number(b.level === 'warning') ||
      (a.path < b.path ? -1 : a.path > b.path ? 1 : (a.line ?? 0) - (b.line ?? 0)),
  )

/** Throws `OVERLAY_INVALID` with every error, when there is one. */
export function refuseErrors(name: string, findings: readonly Finding[]): void {
  const errors = findings.filter(({ level }) => level === 'error')
  const [first] = errors
  if (!first) return
  const faults = errors.map(({ path, line, message }) => ({
    field: line === undefined ? path : `${path}:${line}`,
    message,
  }))
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more: \`muster overlay lint\` shows all)` : ''
  throw new AppError('OVERLAY_INVALID', `overlay ${name}: ${first.path}: ${first.message}${more}`, {
    field: first.path,
    faults,
  })
}

/** Where things stand in the directory. */
export type Places = {
  /** The file below `files/` that an entry was made of, or its key in overlay.yaml. */
  fileOf(path: string): Pick<Finding, 'path' | 'line'>
  /** The key of overlay.yaml that gave a path an attribute, or else `fileOf`. */
  attributeOf(path: string, attribute: 'mode' | 'each' | 'when'): Pick<Finding, 'path' | 'line'>
}

/** Finds things in a directory that parses. */
export function placesOf(name: string, files: readonly SourceFile[]): Places {
  const yaml = files.find(({ path }) => path === 'overlay.yaml')
  const { rules } = yaml ? parseOverlayYaml(name, new TextDecoder().decode(yaml.content)) : { rules: [] }
  const sources = new Set(files.map(({ path }) => path))
  const inYaml = ({ line }: Rule) => ({ path: 'overlay.yaml', line })
  const fileOf: Places['fileOf'] = (path) => {
    const source = [`files${path}`, `files${path}.mustache`].find((one) => sources.has(one))
    if (source !== undefined) return { path: source }
    const rule = rules.find((one) => one.path === path) ?? rulesFor(rules, path, true).at(-1)
    const below = [...sources].find((one) => one.startsWith(`files${path}/`))
    return rule ? inYaml(rule) : { path: below ?? '' }
  }
  return {
    fileOf,
    attributeOf(path, attribute) {
      const fitting = [...rulesFor(rules, path, false), ...rulesFor(rules, path, true)]
      const rule = fitting.findLast(({ attributes }) => attributes[attribute] !== undefined)
      return rule ? inYaml(rule) : fileOf(path)
    },
  }
}

function entryFindings(entry: OverlayEntry, { contents }: ParsedOverlay, places: Places): Finding[] {
  const { path, each, when } = entry
  const findings: Finding[] = []
  for (const [attribute, name] of [['each', each] as const, ['when', when] as const]) {
    const fault =
      name === undefined ? undefined : attributeFault(attribute, name, attribute === 'when' ? each : undefined)
    if (fault) findings.push({ ...fault, ...places.attributeOf(path, attribute), message: `${path}: ${fault.message}` })
  }
  const place = places.fileOf(path)
  if (each !== undefined)
    findings.push(
      ...nameFaults(path, each).map(({ level, message }) => ({ ...place, level, message: `its name: ${message}` })),
    )
  const content = entry.type === 'file' ? contents.get(entry.digest) : undefined
  if (content) findings.push(...contentFaults(entry, content).map((fault) => ({ ...place, ...fault })))
  const text = entry.type === 'link' ? entry.target : content && new TextDecoder().decode(content)
  if (entry.template && text !== undefined)
    findings.push(
      ...nameFaults(text, each).map((fault) =>
        entry.type === 'link' ? { ...fault, ...place } : { ...place, ...fault },
      ),
    )
  return findings
}

/** A refusal of the parser. Templates' say where the fault is: `… in NAME:/etc/motd line 3`. */
function refusal(name: string, files: readonly SourceFile[], { message }: AppError): Finding {
  const text = message.replace(`overlay ${name}: `, '')
  const inYaml = /^overlay\.yaml: (?:line ([0-9]+): )?([\s\S]*)$/.exec(text)
  if (inYaml) {
    const [, line, fault = ''] = inYaml
    return { level: 'error', path: 'overlay.yaml', ...(line && { line: Number(line) }), message: fault }
  }
  const [, file, line] = /^.* in [^:]*:(\/.*) line ([0-9]+)/.exec(text) ?? []
  const template = files.find(({ path }) => path === `files${file}.mustache` || path === `files${file}`)
  if (template) return { level: 'error', path: template.path, line: Number(line), message: text }
  const named = /^"?(files\/[^"\s]+)"? /.exec(text)?.[1] ?? ''
  return { level: 'error', path: named, message: text }
}
