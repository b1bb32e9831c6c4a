/**
 * Templates: mustache's language and parser, and a renderer that knows why it fails.
 *
 * Nothing is escaped, since no output is HTML. A name is looked for among the own properties of the innermost item, then
 * outwards; what follows its first dot must be in the thing so found. Nothing is ever called, and prototypes are not
 * looked at. A variable that has no text to give is an error, where mustache's own renderer prints nothing or
 * `[object Object]`; and work and output are counted, so that a template cannot repeat itself without end.
 */
import mustache from 'mustache'
import { isLookUp, type LookUp, lookedUpPath, lookUp } from './look-up.ts'
import { absent, type Frame, frameOf, isShown, resolve, stack } from './scope.ts'
import { lineAt, readTags, templateError } from './tags.ts'
import { type Read, type Tracked, tracking } from './tracking.ts'
import { unknownName } from './unknown-name.ts'

/** A parsed template; it may be kept and rendered any number of times. */
export type Template = { text: string; parts: Part[] }

/** What a template sees: a `View`, or any other plain data. */
export type Names = Readonly<Record<string, unknown>> & Partial<Tracked>

/** What was read of a view, in order, each once. */
export type Reads = Map<string, Read>

type Part =
  | { kind: 'text'; text: string }
  | { kind: 'value'; name: string; path: string[]; at: number }
  | { kind: 'section'; name: string; path: string[]; inverted: boolean; parts: Part[] }
  | { kind: 'look-up'; name: LookUp; path: string[]; parts: Part[]; at: number }

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
  const refuse = (name: string, at: number): never => {
    throw templateError(
      `${name} in ${where} line ${lineAt(text, at)} must stand around a path: {{#${name}}}/etc/passwd{{/${name}}}`,
    )
  }
  return { text, parts: tokens.flatMap((token) => partOf(token, refuse)) }
}

/**
 * Renders a template. `items` lie on top of the view, the last uppermost; what is read of the view itself is added to `reads`.
 * Throws `TEMPLATE_INVALID` with the line and the nearest known name, and what the view's getters throw.
 */
export function renderTemplate(
  template: Template,
  where: string,
  view: Names,
  items: readonly unknown[] = [],
  reads: Reads = new Map(),
): string {
  const run: Run = { template, where, view, reads, steps: 0, length: 0 }
  return renderParts(template.parts, stack(view, items), run)
}

/** What a dotted path means, or `undefined` where there is nothing: for `each` and `when`. */
export function valueAt(view: Names, items: readonly unknown[], name: string, reads: Reads = new Map()): unknown {
  const value = look(stack(view, items), { name, path: name.split('.') }, reads)
  return value === absent ? undefined : value
}

type Token = [kind: string, text: string, start: number, end: number, inner?: Token[]]

/** One rendering, and its budget. */
type Run = { template: Template; where: string; view: Names; reads: Reads; steps: number; length: number }

function partOf([kind, text, at, , inner = []]: Token, refuse: (name: string, at: number) => never): Part[] {
  const path = text === '.' ? [] : text.split('.')
  if (kind === 'text') return [{ kind: 'text', text }]
  if (kind === 'name' || kind === '&')
    return isLookUp(text) ? refuse(text, at) : [{ kind: 'value', name: text, path, at }]
  if (kind === '#' || kind === '^') {
    const parts = inner.flatMap((token) => partOf(token, refuse))
    if (!isLookUp(text)) return [{ kind: 'section', name: text, path, inverted: kind === '^', parts }]
    return kind === '#' ? [{ kind: 'look-up', name: text, path, parts, at }] : refuse(text, at)
  }
  return [] // a comment
}

function renderParts(parts: readonly Part[], top: Frame, run: Run): string {
  let output = ''
  for (const part of parts) {
    step(run)
    if (part.kind === 'section') output += renderSection(part, top, run)
    else if (part.kind === 'look-up') output += counted(renderLookUp(part, top, run), run)
    else output += counted(part.kind === 'text' ? part.text : textOf(part, top, run), run)
  }
  return output
}

function counted(text: string, run: Run): string {
  run.length += text.length
  if (run.length > longestOutput)
    throw templateError(`${run.where} makes more than ${longestOutput} characters: it repeats too much`)
  return text
}

function renderSection(section: Part & { kind: 'section' }, top: Frame, run: Run): string {
  const value = look(top, section, run.reads)
  const shown = isShown(value)
  if (section.inverted) return shown ? '' : renderParts(section.parts, top, run)
  if (!shown) return ''
  // The view on top of itself would be read without a note of it.
  if (value === true || value === run.view) return renderParts(section.parts, top, run)
  if (!Array.isArray(value)) return renderParts(section.parts, { value, below: top }, run)
  let output = ''
  for (const item of value) {
    step(run)
    output += renderParts(section.parts, { value: item, below: top }, run)
  }
  return output
}

/** Stands for a path in messages. */
const hidden = 'what is between the tags (not told, because the file reads secrets)'

function renderLookUp({ name, path, parts, at }: Part & { kind: 'look-up' }, top: Frame, run: Run): string {
  const fail = (fault: string): never => {
    throw templateError(`${name} in ${run.where} line ${lineAt(run.template.text, at)}: ${fault}`)
  }
  const inner = renderParts(parts, top, run)
  const tracked = run.view[tracking]
  // Messages are for everybody, and what is between the tags may be a secret.
  const isSecret = [...run.reads.keys()].some((read) => /^(?:secrets|bmc)(?:\.|$)/.test(read))
  const wanted = lookedUpPath(name, inner)
  if ('fault' in wanted) return fail(`${isSecret ? hidden : JSON.stringify(inner.slice(0, 300))} ${wanted.fault}`)
  if (!tracked) return fail('there are no files here')
  run.reads.set(`${name} ${wanted.path}`, { name, path, argument: wanted.path })
  const found = lookUp(name, wanted.path, tracked.inputs, isSecret ? hidden : wanted.path)
  return 'fault' in found ? fail(found.fault) : found.text
}

function textOf(part: Part & { kind: 'value' }, top: Frame, run: Run): string {
  const value = look(top, part, run.reads)
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value)
  const { fault, hint } = unknownName(top, part.name, part.path)
  throw templateError(`${fault} in ${run.where} line ${lineAt(run.template.text, part.at)}${hint && `; ${hint}`}`)
}

/** Looks a name up, and notes what was asked of the view itself: also what is nowhere. */
function look(top: Frame, { name, path }: Read, reads: Reads): unknown {
  const frame = path[0] === undefined ? top : frameOf(top, path[0])
  if (path.length > 0 && !frame?.below && !reads.has(name)) reads.set(name, { name, path })
  return frame ? resolve(frame, path) : absent
}

function step(run: Run): void {
  run.steps++
  if (run.steps > mostSteps)
    throw templateError(`${run.where} visits more than ${mostSteps} tags and items: its sections repeat too much`)
}
