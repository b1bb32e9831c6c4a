/**
 * What may stand in an iPXE script. iPXE splits a line at white space, takes the words `||`, `&&` and `;` for operators and
 * one that begins with `#` for a comment, expands `${…}` inside of words and joins a line that ends in `\` with the next;
 * there are no quotes and no escapes (ipxe: src/core/exec.c, src/core/settings.c, src/image/script.c). So text that would
 * change what a script does cannot be written any other way, and is refused.
 */
import { AppError } from '../errors.ts'

/** Where a text stands: alone as one word, among other words of a line, or as an argument of the kernel. */
export type Place = 'word' | 'text' | 'argument'

/** The text, unchanged. Throws `SCRIPT_UNSAFE`, naming field and text, when it could change the lines or the commands. */
export function ipxeText(text: string, field: string, place: Place): string {
  const fault = lineFault(text) ?? ipxeFault(text) ?? placeFaults[place](text)
  if (fault === undefined) return text
  throw unsafe(field, text, `in an iPXE script: it ${fault}`)
}

/** A message for people, of at most 1000 characters: what iPXE would not print as it stands is replaced. */
export const legible = (text: string): string =>
  text
    .slice(0, 1000)
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\s]+/gu, ' ')
    .replaceAll('$', 'S')
    .replaceAll('\\', '/')
    .trim()
    .split(' ')
    .map((word, at) => (ipxeFault(word) || (at === 0 && word.startsWith('-')) ? `'${word}'` : word))
    .join(' ')

/** What ends a line or is no text at all, in any script. */
export function lineFault(text: string): string | undefined {
  if (/\p{Cs}/u.test(text)) return 'has half of a surrogate pair'
  return /[\p{Cc}\p{Zl}\p{Zp}]/u.test(text) ? 'has a control character or a line break' : undefined
}

/** The refusal of a text. `why` follows "cannot stand". */
export const unsafe = (field: string, text: string, why: string): AppError =>
  new AppError('SCRIPT_UNSAFE', `${field}: ${JSON.stringify(text.slice(0, 200))} cannot stand ${why}`, { field })

/** Halves of `${`, `||` and the like count too: what stands beside the text in the template may be the other half. */
function ipxeFault(text: string): string | undefined {
  if (text.includes('${') || text.endsWith('$') || text.startsWith('{')) return 'has ${, which iPXE would expand'
  if (text.endsWith('\\')) return 'ends in \\, which would join the next line to this one'
  const operator = text.split(' ').find((word) => /^(?:[|&;]+|#.*)$/u.test(word))
  return operator === undefined ? undefined : `has the word ${operator}, which iPXE takes for an operator or a comment`
}

const placeFaults: Record<Place, (text: string) => string | undefined> = {
  word(text) {
    if (text === '' || text.includes(' ')) return 'must be one word'
    return text.startsWith('-') ? 'begins with -, as options do' : undefined
  },
  text: (text) => (text.startsWith('-') ? 'begins with -, as options do' : undefined),
  argument(text) {
    if (text === '') return 'is empty'
    return /^ | $| {2}/.test(text) ? 'has blanks that iPXE would take away' : undefined
  },
}
