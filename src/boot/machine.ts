/** What a machine says of itself when it asks for its script: the path and the query of its request. */
import { macSchema } from '../registry/settings.ts'

/** Facts that are remembered of a machine that nobody knows. `macs` are all of its NICs, with commas. */
const factNames = [
  'uuid',
  'serial',
  'asset',
  'arch',
  'platform',
  'manufacturer',
  'product',
  'macs',
] as const satisfies string[]
/** One of {@link factNames}. */
export type FactName = (typeof factNames)[number]

/** Facts by name; what was not said, or said as nothing, is missing. */
export type Facts = { [Fact in FactName]?: string }

const longestFact = 128
const mostMacs = 8
const canonicalMac = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/

/** A MAC in any usual spelling as the registry has it; `undefined` for what is none. */
export function readMac(text: string): string | undefined {
  if (canonicalMac.test(text)) return text
  if (text === '') return undefined
  const read = macSchema.safeParse(text)
  return read.success ? read.data : undefined
}

/** The facts in a query. Control characters are taken out, and what is too long is cut. */
export function readFacts(query: Record<string, string>): Facts {
  const facts: Facts = {}
  for (const name of factNames) {
    const value = plain(name === 'macs' ? nics(query).join(',') : (query[name] ?? ''))
    if (value !== '') facts[name] = value
  }
  return facts
}

/** The MACs of the machine's other NICs. */
export const otherMacs = (query: Record<string, string>, mac: string | undefined): string[] =>
  nics(query).filter((other) => other !== mac)

const nics = ({ macs = '' }: Record<string, string>): string[] => [
  ...new Set(
    macs
      .split(',', mostMacs)
      .map(readMac)
      .filter((mac): mac is string => mac !== undefined),
  ),
]

/** One line of at most 128 characters, for logs and tables. */
export function plain(text: string): string {
  // Nearly all that is ever asked; the rest costs ten times as much.
  if (text.length <= longestFact && /^[ -~]*$/.test(text)) return text.trim()
  const shown = text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').trim()
  return Array.from(shown).slice(0, longestFact).join('')
}
