/** Many names in few words: `n[001-100,200]`. Pure. */
import { AppError } from '../errors.ts'

/** More names than any cluster has nodes: what is longer is a slip of the finger. */
export const namesAtMost = 100_000

/**
 * The names that a text with brackets stands for, in order. Several brackets multiply; numbers are padded with zeros to
 * the width of the range's left bound. Throws `SELECTOR_INVALID` for an empty or backward range, and for too many names.
 */
export function expandName(text: string): string[] {
  const parts = partsOf(text)
  const count = parts.reduce((product, part) => product * (typeof part === 'string' ? 1 : countOf(part)), 1)
  if (count > namesAtMost) throw invalid(text, `stands for ${count} names, and ${namesAtMost} are the most`)
  return parts.reduce<string[]>(
    (names, part) => {
      const endings = typeof part === 'string' ? [part] : part.flatMap(numbersOf)
      return names.flatMap((name) => endings.map((ending) => name + ending))
    },
    [''],
  )
}

/** Names in few words, for people: `n[001-010],login`. Each once, sorted; `expandName` of its parts gives them back. */
export function foldNames(names: readonly string[]): string {
  const numbered = [...new Set(names)].map((name) => {
    const [, prefix = '', digits = ''] = /^(.*?)([0-9]{0,15})$/.exec(name) ?? []
    return { name, prefix, digits }
  })
  const padded = new Set(
    numbered.filter((one) => /^0[0-9]/.test(one.digits)).map((one) => `${one.prefix} ${one.digits.length}`),
  )
  const groups = new Map<string, { prefix: string; width: number; numbers: number[] }>()
  const plain: string[] = []
  for (const { name, prefix, digits } of numbered) {
    if (digits === '') {
      plain.push(name)
      continue
    }
    const width = padded.has(`${prefix} ${digits.length}`) ? digits.length : 1
    const group = groups.get(`${prefix} ${width}`) ?? { prefix, width, numbers: [] }
    group.numbers.push(Number(digits))
    groups.set(`${prefix} ${width}`, group)
  }
  return [...plain, ...[...groups.values()].map(foldGroup)].sort().join(',')
}

/** Numbers from `left` to `right`, at least `width` digits wide. */
type Range = { left: number; right: number; width: number }

function foldGroup({ prefix, width, numbers }: { prefix: string; width: number; numbers: number[] }): string {
  const text = (number: number) => String(number).padStart(width, '0')
  const [only, another] = numbers
  if (only !== undefined && another === undefined) return prefix + text(only)
  const runs: Range[] = []
  for (const number of numbers.sort((a, b) => a - b)) {
    const last = runs.at(-1)
    if (last?.right === number - 1) last.right = number
    else runs.push({ left: number, right: number, width })
  }
  const ranges = runs.map(({ left, right }) => (left === right ? text(left) : `${text(left)}-${text(right)}`))
  return `${prefix}[${ranges.join(',')}]`
}

/** Text outside of brackets as it is, text inside as ranges. */
function partsOf(text: string): (string | Range[])[] {
  return text.split(/(\[[^[\]]*\])/).flatMap<string | Range[]>((part) => {
    if (part.startsWith('[') && part.endsWith(']'))
      return [
        part
          .slice(1, -1)
          .split(',')
          .map((range) => rangeOf(text, range)),
      ]
    if (/[[\]]/.test(part)) throw invalid(text, 'has a bracket without its partner')
    return part === '' ? [] : [part]
  })
}

function rangeOf(text: string, range: string): Range {
  const [, first, last = first] = /^\s*([0-9]{1,15})\s*(?:-\s*([0-9]{1,15})\s*)?$/.exec(range) ?? []
  if (first === undefined || last === undefined) {
    if (range.trim() === '') throw invalid(text, 'has an empty range')
    throw invalid(text, `has ${JSON.stringify(range)} in brackets: it must be a number or a range such as 001-100`)
  }
  const [left, right] = [Number(first), Number(last)]
  if (right < left)
    throw invalid(text, `has the range ${first}-${last}, which is empty: the smaller number comes first`)
  return { left, right, width: first.length }
}

const countOf = (ranges: readonly Range[]): number =>
  ranges.reduce((count, { left, right }) => count + right - left + 1, 0)

const numbersOf = ({ left, right, width }: Range): string[] =>
  Array.from({ length: right - left + 1 }, (_, at) => String(left + at).padStart(width, '0'))

const invalid = (text: string, why: string): AppError =>
  new AppError('SELECTOR_INVALID', `${text.length > 100 ? `${text.slice(0, 100)}…` : text} ${why}`)
