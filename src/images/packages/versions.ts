/** Which of two versions of a package is newer, as rpm and dpkg have it. Pure. */
import type { Package } from './package.ts'

/** Negative when the first is older, positive when it is newer, 0 when neither is. */
export function compareVersions(manager: Package['manager'], one: string, other: string): number {
  const [a, b] = [partsOf(one), partsOf(other)]
  const compare = manager === 'rpm' ? compareRpm : compareDpkg
  return a.epoch - b.epoch || compare(a.version, b.version) || compare(a.release, b.release)
}

/** `[epoch:]version[-release]`; the release is what follows the last dash. */
function partsOf(text: string): { epoch: number; version: string; release: string } {
  const [, epoch = '0', rest = text] = /^([0-9]+):(.*)$/s.exec(text) ?? []
  const dash = rest.lastIndexOf('-')
  return dash === -1
    ? { epoch: Number(epoch), version: rest, release: '' }
    : { epoch: Number(epoch), version: rest.slice(0, dash), release: rest.slice(dash + 1) }
}

/** rpmvercmp (rpm: docs/manual/dependencies.md; `~` sorts before the end, `^` after it but before anything longer). */
function compareRpm(one: string, other: string): number {
  let [a, b] = [one, other]
  for (;;) {
    a = a.replace(/^[^A-Za-z0-9~^]+/, '')
    b = b.replace(/^[^A-Za-z0-9~^]+/, '')
    if (a.startsWith('~') || b.startsWith('~')) {
      if (!a.startsWith('~')) return 1
      if (!b.startsWith('~')) return -1
      ;[a, b] = [a.slice(1), b.slice(1)]
      continue
    }
    if (a.startsWith('^') || b.startsWith('^')) {
      if (a === '') return -1
      if (b === '') return 1
      if (!a.startsWith('^')) return 1
      if (!b.startsWith('^')) return -1
      ;[a, b] = [a.slice(1), b.slice(1)]
      continue
    }
    if (a === '' || b === '') return a.length - b.length
    const digits = /^[0-9]/.test(a)
    const pattern = digits ? /^[0-9]+/ : /^[A-Za-z]+/
    const [part = ''] = pattern.exec(a) ?? []
    const [counterpart = ''] = pattern.exec(b) ?? []
    // Digits are newer than letters.
    if (counterpart === '') return digits ? 1 : -1
    const order = digits ? compareNumbers(part, counterpart) : compareTexts(part, counterpart)
    if (order !== 0) return order
    ;[a, b] = [a.slice(part.length), b.slice(counterpart.length)]
  }
}

/** dpkg's (deb-version(7)): what is no digit by character, where `~` comes before the end and letters before all else. */
function compareDpkg(one: string, other: string): number {
  let [a, b] = [one, other]
  while (a !== '' || b !== '') {
    const [part = ''] = /^[^0-9]*/.exec(a) ?? []
    const [counterpart = ''] = /^[^0-9]*/.exec(b) ?? []
    for (let at = 0; at < Math.max(part.length, counterpart.length); at++) {
      const order = weightOf(part[at]) - weightOf(counterpart[at])
      if (order !== 0) return order
    }
    ;[a, b] = [a.slice(part.length), b.slice(counterpart.length)]
    const [number = ''] = /^[0-9]*/.exec(a) ?? []
    const [counternumber = ''] = /^[0-9]*/.exec(b) ?? []
    const order = compareNumbers(number, counternumber)
    if (order !== 0) return order
    ;[a, b] = [a.slice(number.length), b.slice(counternumber.length)]
  }
  return 0
}

function weightOf(character: string | undefined): number {
  if (character === undefined) return 0
  if (character === '~') return -1
  const code = character.charCodeAt(0)
  return /[A-Za-z]/.test(character) ? code : code + 256
}

/** Numbers of any length. */
function compareNumbers(one: string, other: string): number {
  const [a, b] = [one.replace(/^0+/, ''), other.replace(/^0+/, '')]
  return a.length - b.length || compareTexts(a, b)
}

const compareTexts = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)
