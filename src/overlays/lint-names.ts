/** Names in templates that no view has, found without rendering them. */
import { nearest } from './nearest.ts'
import { lineAt } from './tags.ts'
import { everyName, namesOfOneNode, type Shape, viewShape } from './view-names.ts'

/** Something about a name, in words that follow the place. `line` is counted from 1. */
export type NameFault = { level: 'error' | 'warning'; line: number; message: string }

/** What a name means where it stands. `frame`: how many things lie between it and the view itself; 0 is the view. */
type Meaning = { shape: Shape; frame: number } | { missing: string; within: Shape } | 'nowhere' | 'unsure'

/** Tags of a template that parses: a comment, or a sigil and a name. */
const tag = /\{\{\s*(?:!([\s\S]*?)|([#^/&{]?)\s*([^{}\s]+)\s*\}?)\}\}/g

/**
 * Faults of a template's names. `each`: what its entry is made for each of. A name that the view cannot have is an error, since no
 * node could be given the file; one that stands elsewhere in the view is a warning, because what a section lays on top is not always
 * known, and nothing is said where a map with free keys (tags, resources) lies around it.
 */
export function nameFaults(text: string, each?: string): NameFault[] {
  const frames: Shape[] = [viewShape]
  if (each !== undefined) frames.push(itemShape(meaningOf([viewShape], each)))
  const open: (Shape | undefined)[] = []
  const found = new Map<string, NameFault>()
  let [nodesAt, ownName] = [-1, '']
  for (const { index, 1: comment, 2: sigil, 3: name = '' } of text.matchAll(tag)) {
    if (comment !== undefined || name === '.') {
      if (sigil === '#' || sigil === '^') open.push(undefined)
      continue
    }
    if (sigil === '/') {
      if (open.pop() !== undefined) frames.pop()
      continue
    }
    const meaning = meaningOf(frames, name)
    if (typeof meaning === 'object' && 'frame' in meaning && meaning.frame === 0) {
      const [first = ''] = name.split('.')
      if (first === 'nodes' && nodesAt < 0) nodesAt = index
      if (namesOfOneNode.has(first)) ownName ||= name
    }
    const fault = faultOf(meaning, name)
    if (fault && !found.has(name)) found.set(name, { ...fault, line: lineAt(text, index) })
    if (sigil === '#') frames.push(itemShape(meaning))
    if (sigil === '#' || sigil === '^') open.push(sigil === '#' ? frames.at(-1) : undefined)
  }
  const faults = [...found.values()]
  if (nodesAt >= 0 && ownName !== '')
    faults.push({
      level: 'warning',
      line: lineAt(text, nodesAt),
      message: `reads nodes and ${ownName}, so it is rendered for every node anew: on a large cluster put them into two files`,
    })
  return faults
}

/** The fault of an entry's `each` or `when`, or `undefined`. */
export function attributeFault(
  attribute: 'each' | 'when',
  name: string,
  each?: string,
): Pick<NameFault, 'level' | 'message'> | undefined {
  const frames: Shape[] = [viewShape]
  if (attribute === 'when' && each !== undefined) frames.push(itemShape(meaningOf([viewShape], each)))
  const fault = faultOf(meaningOf(frames, name), name)
  return fault && { ...fault, message: `${attribute}: ${fault.message}` }
}

function faultOf(meaning: Meaning, name: string): Pick<NameFault, 'level' | 'message'> | undefined {
  if (meaning === 'unsure') return undefined
  const [first = ''] = name.split('.')
  if (meaning === 'nowhere') {
    if (everyName.has(first))
      return { level: 'warning', message: `${name} is not known here: ${first} is a name inside something else` }
    return { level: 'error', message: `unknown name ${name}${meant(name, first, everyName)}` }
  }
  if ('shape' in meaning) return undefined
  const { missing, within } = meaning
  const known = typeof within === 'string' ? [] : Object.keys(within)
  return { level: 'error', message: `unknown name ${name}${meant(name, missing, known)}` }
}

function meant(name: string, part: string, known: Iterable<string>): string {
  const close = nearest(part, known)
  return close === undefined
    ? ''
    : `; did you mean ${name
        .split('.')
        .map((one) => (one === part ? close : one))
        .join('.')}?`
}

function meaningOf(frames: readonly Shape[], name: string): Meaning {
  const [first = '', ...rest] = name.split('.')
  for (let frame = frames.length - 1; frame >= 0; frame--) {
    const shape = frames[frame]
    if (shape === 'open') return 'unsure'
    const inside = shape !== undefined && shape !== 'value' && Object.hasOwn(shape, first) ? shape[first] : undefined
    if (inside !== undefined) return descend(inside, rest, frame)
  }
  return 'nowhere'
}

function descend(shape: Shape, rest: readonly string[], frame: number): Meaning {
  let at = shape
  for (const part of rest) {
    if (at === 'open') return { shape: 'open', frame }
    // An item of a list, by number.
    if (/^[0-9]+$/.test(part)) continue
    const inside = at !== 'value' && Object.hasOwn(at, part) ? at[part] : undefined
    if (inside === undefined) return { missing: part, within: at }
    at = inside
  }
  return { shape: at, frame }
}

/** What a section lays on top: what is not known may have anything in it. */
const itemShape = (meaning: Meaning): Shape =>
  typeof meaning === 'object' && 'shape' in meaning ? meaning.shape : 'open'
