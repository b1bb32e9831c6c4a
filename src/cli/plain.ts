/** Text that cannot steer a terminal, and how wide it is on one. Pure. */

/** Control characters, line and paragraph separators, lone surrogates, and what turns the reading direction around. */
const steering = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** One line: each character that could steer a terminal is shown as `\ufffd`. */
export const plain = (text: string): string => text.replace(steering, '\ufffd')

/** Several lines: as {@link plain}, but line feeds and tabs stay. */
export const printable = (text: string): string =>
  text.replace(steering, (character) => (character === '\n' || character === '\t' ? character : '\ufffd'))

/** Columns that a line takes on a terminal: 2 for a wide character (UAX #11: W and F), 0 for a combining one, else 1. */
export function widthOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length
  let width = 0
  for (const character of text) {
    if (/^[\p{Mn}\p{Me}\p{Cf}]$/u.test(character)) continue
    width += wide.test(character) ? 2 : 1
  }
  return width
}

const wide =
  /^[\u1100-\u115f\u231a\u231b\u2329\u232a\u23e9-\u23ec\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]$/u
