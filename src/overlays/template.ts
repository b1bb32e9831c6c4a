/**
 * Templates: mustache's language and parser, and a renderer that knows why it fails.
 *
 * Nothing is escaped, since no output is HTML. A name is looked for among the own properties of the innermost item, then
 * outwards; what follows its first dot must be in the thing so found. Nothing is ever called, and prototypes are not
 * looked at. A variable that has no text to give is an error, where mustache's own renderer prints nothing or
 * `[object Object]`; and work and output are counted, so that a template cannot repeat itself without end.
 */
import mustache from 'mustache'
import { absent, type Frame, frameOf, isShown, resolve, stack } from './scope.ts'
import { lineAt, readTags, templateError } from './tags.ts'
import { unknownName } from './unknown-name.ts'
import { clusterWide } from './view.ts'

/** A parsed template; it may be kept and rendered any number of times. */
export type Template = { text: string; parts: Part[] }

type Part =
  | { kind: 'text'; text: string }
  | { kind: 'value'; name: string; path: string[]; at: number }
  | { kind: 'section'; path: string[]; inverted: boolean; parts: Part[] }

/** Most characters that one template may make. */
const longestOutput = 16 * 1024 * 1024
/** Most parts and items that one rendering may visit: /etc/hosts for 100,000 nodes with four netdevs needs half of it. */
const mostSteps = 10_000_000

/** Reads a template. `where` is `overlay:/path`, for messages. Throws `TEMPLATE_INVALID` with the line. */
export function parseTemplate(text: string, where: string): Template {
  readTags(text, where)
  const writer = new mustache.Writer()
  // What the parser returns is typed as any: mustache.js 4.2.0, parseTemplate, says what tokens are.
  const tokens: Token[] = writer.parse(text, ['{{', '}}'])
  return { text, parts: tokens.flatMap(partOf) }
}

/**
 * Renders a template. `items` lie on top of the view, the last uppermost. `clusterWide` tells that the text depends on
 * nothing but the names of {@link clusterWide}. Throws `TEMPLATE_INVALID` with the line and the nearest known name.
 */
export function renderTemplate(
  template: Template,
  where: string,
  view: Readonly<Record<string, unknown>>,
  items: readonly unknown[] = [],
): { text: string; clusterWide: boolean } {
  const run: Run = { template, where, steps: 0, length: 0, clusterWide: true }
  const text = renderParts(template.parts, stack(view, items), run)
  return { text, clusterWide: run.clusterWide }
}

/** What a dotted path means, or `undefined` where there is nothing: for `each` and `when`. */
export function valueAt(view: Readonly<Record<string, unknown>>, items: readonly unknown[], path: string): unknown {
  const value = resolve(stack(view, items), path.split('.'))
  return value === absent ? undefined : value
}

type Token = [kind: string, text: string, start: number, end: number, inner?: Token[]]

/** One rendering: its budget, and what it has found out. */
type Run = { template: Template; where: string; steps: number; length: number; clusterWide: boolean }

function partOf([kind, text, at, , inner = []]: Token): Part[] {
  const path = text === '.' ? [] : text.split('.')
  if (kind === 'text') return [{ kind: 'text', text }]
  if (kind === 'name' || kind === '&') return [{ kind: 'value', name: text, path, at }]
  if (kind === '#' || kind === '^') {
    return [{ kind: 'section', path, inverted: kind === '^', parts: inner.flatMap(partOf) }]
  }
  return [] // a comment
}

function renderParts(parts: readonly Part[], top: Frame, run: Run): string {
  let output = ''
  for (const part of parts) {
    step(run)
    if (part.kind === 'section') {
      output += renderSection(part, top, run)
    } else {
      const text = part.kind === 'text' ? part.text : textOf(part, top, run)
      run.length += text.length
      if (run.length > longestOutput)
        throw templateError(`${run.where} makes more than ${longestOutput} characters: it repeats too much`)
      output += text
    }
  }
  return output
}

function renderSection(section: Part & { kind: 'section' }, top: Frame, run: Run): string {
  const value = look(top, section.path, run)
  const shown = isShown(value)
  if (section.inverted) return shown ? '' : renderParts(section.parts, top, run)
  if (!shown) return ''
  if (value === true) return renderParts(section.parts, top, run)
  if (!Array.isArray(value)) return renderParts(section.parts, { value, below: top }, run)
  let output = ''
  for (const item of value) {
    step(run)
    output += renderParts(section.parts, { value: item, below: top }, run)
  }
  return output
}

function textOf({ name, path, at }: Part & { kind: 'value' }, top: Frame, run: Run): string {
  const value = look(top, path, run)
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value)
  const { fault, hint } = unknownName(top, name, path)
  throw templateError(`${fault} in ${run.where} line ${lineAt(run.template.text, at)}${hint && `; ${hint}`}`)
}

/** Looks a name up and notes whether it was one of the node's own. */
function look(top: Frame, path: readonly string[], run: Run): unknown {
  const frame = path[0] === undefined ? top : frameOf(top, path[0])
  if (frame && !frame.below && !clusterWide.has(path[0] ?? '.')) run.clusterWide = false
  return frame ? resolve(frame, path) : absent
}

function step(run: Run): void {
  run.steps++
  if (run.steps > mostSteps)
    throw templateError(`${run.where} visits more than ${mostSteps} tags and items: its sections repeat too much`)
}
