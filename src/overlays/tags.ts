/**
 * Reads the tags of a template before mustache does, for three reasons: errors with their line, refusal of what we do not
 * want in templates (partials, other delimiters), and bounded work. mustache's scanner searches for a tag's end with
 * `\s*}}`, which is quadratic in a run of blanks, and makes an array of every character.
 */
import { AppError } from '../errors.ts'

/** Longest template, in UTF-16 units. */
const longestTemplate = 256 * 1024
/** Deepest nesting of sections. */
const deepestSection = 32

const longestTag = 256
const longestComment = 4096
const nameGrammar = /^(?:\.|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)$/

/** Every name that the tags of a template use, each once. `where` is `overlay:/path`. Throws `TEMPLATE_INVALID`. */
export function readTags(text: string, where: string): Set<string> {
  const fail = (at: number, fault: string): never => {
    throw templateError(`${fault} in ${where} line ${lineAt(text, at)}`)
  }
  if (text.length > longestTemplate)
    throw templateError(
      `${where} is a template of ${text.length} characters, more than ${longestTemplate}: ship the constant part as a plain file`,
    )
  const names = new Set<string>()
  const open: { name: string; at: number }[] = []
  let next = text.indexOf('{{')
  while (next >= 0) {
    const start = next
    const { sigil, body, end } = tagAt(text, start, fail)
    next = text.indexOf('{{', end)
    if (sigil === '!') continue
    if (sigil === '>') fail(start, `partial {{> ${body}}} (a template cannot include another)`)
    if (sigil === '=') fail(start, 'change of delimiters {{=…=}} (templates keep {{ and }})')
    if (!nameGrammar.test(body))
      fail(start, `{{${sigil}${body}}} is not a name (there are no expressions, only names such as node.fqdn)`)
    names.add(body)
    if (sigil === '#' || sigil === '^') {
      open.push({ name: body, at: start })
      if (open.length > deepestSection) fail(start, `sections nested deeper than ${deepestSection}`)
    }
    if (sigil === '/') {
      const section = open.pop()
      if (section === undefined) fail(start, `{{/${body}}} closes a section that is not open`)
      else if (section.name !== body)
        fail(
          start,
          `{{/${body}}} where section ${section.name} of line ${lineAt(text, section.at)} must be closed first`,
        )
    }
  }
  const unclosed = open.pop()
  if (unclosed) fail(unclosed.at, `section ${unclosed.name} is never closed`)
  return names
}

/** The error of a template that is wrong. */
export const templateError = (message: string): AppError => new AppError('TEMPLATE_INVALID', message)

/** The line, counted from 1, of a position in a text. */
export function lineAt(text: string, position: number): number {
  let line = 1
  for (let at = text.indexOf('\n'); at >= 0 && at < position; at = text.indexOf('\n', at + 1)) line++
  return line
}

/** The tag that begins with the `{{` at a position: what kind, what it says without blanks around, and where it ends. */
function tagAt(
  text: string,
  at: number,
  fail: (at: number, fault: string) => never,
): { sigil: string; body: string; end: number } {
  let from = at + 2
  while (/\s/.test(text.charAt(from)) && from - at < longestTag) from++
  const sigil = '#^/>{&=!'.includes(text.charAt(from)) ? text.charAt(from) : ''
  const close = sigil === '{' ? '}}}' : '}}'
  const most = sigil === '!' ? longestComment : longestTag
  const window = text.slice(from + sigil.length, at + most)
  const length = window.indexOf(close)
  const shown = JSON.stringify(text.slice(at, at + 20))
  if (length < 0)
    return fail(
      at,
      text.indexOf(close, from) < 0 ? `tag ${shown} has no ${close}` : `tag ${shown} is longer than ${most} characters`,
    )
  const body = window.slice(0, length)
  if (/\s{65}/.test(body)) return fail(at, `tag ${shown} has more than 64 blanks in a row`)
  return { sigil, body: body.trim(), end: from + sigil.length + length + close.length }
}
