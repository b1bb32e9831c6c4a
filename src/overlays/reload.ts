/** `reload` of overlay.yaml: what is done on the node when a file came, changed or went. */
import { isMap, isScalar, isSeq } from 'yaml'
import type { Fail } from './attributes.ts'
import type { Reload } from './manifest.ts'

const forms =
  'must be a unit such as chronyd.service, a command such as [/usr/sbin/postmap, /etc/postfix/virtual], ' +
  'or a list such as [{ unit: chronyd.service }, { run: [/usr/bin/newaliases] }]'

/**
 * systemd.unit(5): at most 255 characters; letters, digits, `:-_.\` and `@`, and one of the known endings. One with a dash at its
 * front (`-.mount`) would be an option to systemctl, and is nothing that one reloads.
 */
const unitName =
  /^(?=.{1,255}$)(?!-)[A-Za-z0-9:_.\\@-]+\.(?:service|socket|device|mount|automount|swap|target|path|timer|slice|scope)$/
const mostReloads = 16
const mostArguments = 64
const longestArgument = 1024

/**
 * Reads `UNIT`, `[ARGV0, ARGV1…]` (one command), `{ unit }` or `{ run }`, or a list of the latter. A command's first argument is
 * an absolute path, which tells a command from a list of units, and needs no PATH. Fails through `wrong`.
 */
export function readReload(value: unknown, wrong: Fail): Reload[] {
  if (isScalar(value)) return [{ unit: readUnit(value.value, wrong) }]
  if (isMap(value)) return [readOne(value, wrong)]
  if (!isSeq(value) || value.items.length === 0) return wrong(forms)
  if (value.items.every((item) => isScalar(item))) return [{ argv: readCommand(value.items, wrong) }]
  if (value.items.length > mostReloads) return wrong(`has more than ${mostReloads} things to do`)
  return value.items.map((item) => readOne(item, wrong))
}

function readOne(item: unknown, wrong: Fail): Reload {
  if (!isMap(item)) return wrong(forms)
  const [pair, more] = item.items
  const key = isScalar(pair?.key) ? pair.key.value : undefined
  if (!pair || more || (key !== 'unit' && key !== 'run')) return wrong(forms)
  if (key === 'unit') return { unit: readUnit(isScalar(pair.value) ? pair.value.value : undefined, wrong) }
  return { argv: readCommand(isSeq(pair.value) ? pair.value.items : [], wrong) }
}

function readUnit(value: unknown, wrong: Fail): string {
  if (typeof value !== 'string') return wrong(forms)
  if (unitName.test(value)) return value
  const hint = /^[A-Za-z0-9:_@][A-Za-z0-9:_\\@-]*$/.test(value) ? `: write ${value}.service` : ''
  return wrong(`${JSON.stringify(value)} is no unit${hint || ', which is a name such as chronyd.service'}`)
}

function readCommand(items: readonly unknown[], wrong: Fail): string[] {
  const argv = items.map((item) => (isScalar(item) ? item.value : undefined))
  if (argv.length === 0 || argv.length > mostArguments)
    return wrong(`has a command of ${argv.length} arguments: it must have 1 to ${mostArguments}`)
  const texts = argv.filter((argument) => typeof argument === 'string')
  if (texts.length < argv.length) return wrong('has an argument that is no text: put it in quotes')
  // The node is told each argument on a line of its own, and its shell's `read` takes blanks off the ends.
  for (const text of texts)
    if (text === '' || text.length > longestArgument || /[\u0000-\u001f\u007f]|^ | $/.test(text))
      return wrong(
        `has the argument ${JSON.stringify(text.slice(0, 80))}: it must be 1 to ${longestArgument} characters, ` +
          'with no control characters and no blanks at the ends',
      )
  if (!texts[0]?.startsWith('/'))
    return wrong(
      `begins with ${JSON.stringify(texts[0])}: a command's first argument is an absolute path ` +
        '(several units are written [{ unit: a.service }, { unit: b.service }])',
    )
  return texts
}
