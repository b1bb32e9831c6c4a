/**
 * Selectors: which nodes are meant, as text. Pure.
 *
 *     any   = all *( "," all )                  or
 *     all   = not *( "&" not / "!" not )        and; `a!b` is `a&!b`
 *     not   = "!" not / "(" any ")" / term
 *     term  = name                              n001, n[001-100,200], r[1-4]n[01-32]
 *           / glob                              gpu*, n?01; * is every node
 *           / "profile:" name                   also through the profile's parents
 *           / "tag:" key [ "=" value ]          after inheritance; a value may stand in double quotes
 *           / "image:" name [ "@" version ]     after inheritance
 */
import { AppError } from '../errors.ts'
import { expandName, namesAtMost } from './name-ranges.ts'

/** A selector, parsed. */
export type Selector =
  | { kind: 'names'; names: ReadonlySet<string> }
  | { kind: 'globs'; globs: readonly string[] }
  | { kind: 'profile'; profile: string }
  | { kind: 'tag'; key: string; value?: string }
  | { kind: 'image'; image: string }
  | { kind: 'any' | 'all'; of: readonly Selector[] }
  | { kind: 'not'; of: Selector }

const longest = 65_536
const deepest = 100
/** A glob is tried on every node, so brackets may not make too many of them. */
const globsAtMost = 1000

/** Reads a selector. Throws `SELECTOR_INVALID`, saying what is wrong and where. */
export function parseSelector(text: string): Selector {
  if (text.length > longest) throw new AppError('SELECTOR_INVALID', `a selector has at most ${longest} characters`)
  const tokens = tokensOf(text)
  const fail = (why: string, at = tokens[0]?.at ?? text.length): never => {
    throw new AppError(
      'SELECTOR_INVALID',
      `selector ${JSON.stringify(text.slice(0, 200))}: ${why} at character ${at + 1}`,
    )
  }
  if (tokens.length === 0) fail('there is nothing: * means every node', 0)
  let names = 0

  const any = (depth: number): Selector => {
    const of = [all(depth)]
    while (take(',')) of.push(all(depth))
    return of.length === 1 && of[0] ? of[0] : { kind: 'any', of }
  }
  const all = (depth: number): Selector => {
    const of = [not(depth)]
    while (take('&') || tokens[0]?.text === '!') of.push(not(depth))
    return of.length === 1 && of[0] ? of[0] : { kind: 'all', of }
  }
  const not = (depth: number): Selector => {
    if (depth > deepest) fail(`more than ${deepest} levels`)
    if (take('!')) return { kind: 'not', of: not(depth + 1) }
    if (!take('(')) return term()
    const inner = any(depth + 1)
    if (!take(')')) fail('a ) is missing')
    return inner
  }
  const term = (): Selector => {
    const token = tokens.shift()
    if (!token || operators.includes(token.text)) return fail('a name is missing', token?.at ?? text.length)
    const selector = termOf(token.text, (why) => fail(why, token.at))
    if (selector.kind === 'names') names += selector.names.size
    if (names > namesAtMost) fail(`more than ${namesAtMost} names`, token.at)
    return selector
  }
  const take = (operator: string): boolean => {
    if (tokens[0]?.text !== operator) return false
    tokens.shift()
    return true
  }

  const selector = any(0)
  if (tokens.length > 0) fail(tokens[0]?.text === ')' ? 'a ) without its (' : 'a comma or & is missing')
  return selector
}

/**
 * The names in a list such as `n[001-010],login`, for nodes that do not exist yet. Throws `SELECTOR_INVALID` for
 * anything but names.
 */
export function expandNames(text: string): string[] {
  const selector = parseSelector(text)
  const parts = selector.kind === 'any' ? selector.of : [selector]
  const names = parts.flatMap((part) => {
    if (part.kind === 'names') return [...part.names]
    throw new AppError('SELECTOR_INVALID', `${JSON.stringify(text.slice(0, 200))}: only names can be created`)
  })
  return [...new Set(names)]
}

type Token = { text: string; at: number }

const operators = [',', '&', '!', '(', ')']

/** Operators, and what stands between them; brackets and double quotes hide operators. */
function tokensOf(text: string): Token[] {
  const pattern = /[,&!()]|(?:\[[^\]]*\]?|"(?:[^"\\]|\\.)*"?|[^\s,&!()["])+/g
  return [...text.matchAll(pattern)].map((match) => ({ text: match[0], at: match.index }))
}

function termOf(text: string, fail: (why: string) => never): Selector {
  const [, kind, rest = ''] = /^([a-z]+):(.*)$/s.exec(text) ?? []
  switch (kind) {
    case undefined:
      return namesOf(text, fail)
    case 'profile':
      return rest === '' ? fail('a profile is missing') : { kind, profile: rest }
    case 'image':
      return rest === '' ? fail('an image is missing') : { kind, image: rest }
    case 'tag': {
      const [, key = '', value] = /^([^=]*)(?:=(.*))?$/s.exec(rest) ?? []
      if (key === '') return fail('a tag is missing')
      return { kind, key, ...(value !== undefined && { value: unquote(value, fail) }) }
    }
    default:
      return fail(`${kind}: is no kind of selector (profile:, tag: and image: are)`)
  }
}

function namesOf(text: string, fail: (why: string) => never): Selector {
  const names = expandName(text)
  const odd = /[^A-Za-z0-9._*?[\]-]/.exec(text.replaceAll(/\[[^\]]*\]/g, ''))?.[0]
  if (odd !== undefined) fail(`${JSON.stringify(odd)} cannot be in a name`)
  if (!/[*?]/.test(text)) return { kind: 'names', names: new Set(names) }
  if (names.length > globsAtMost) fail(`more than ${globsAtMost} patterns`)
  return { kind: 'globs', globs: names }
}

function unquote(value: string, fail: (why: string) => never): string {
  if (!value.includes('"')) return value
  const inside = /^"((?:[^"\\]|\\.)*)"$/s.exec(value)?.[1]
  return inside === undefined
    ? fail('a value begins and ends with a double quote, or has none')
    : inside.replaceAll(/\\(.)/gs, '$1')
}
