/** Entries of a manifest: what files, attributes and overlay.yaml's own links, removals and directories come to. */
import { AppError } from '../errors.ts'
import { type Attributes, attributesOf, matchesRule, type Rule } from './attributes.ts'
import type { OverlayEntry } from './manifest.ts'
import { ancestors, directoryMode } from './path.ts'
import { isSecretName } from './private.ts'
import { readTags } from './tags.ts'
import { parseTemplate } from './template.ts'

type Common = Omit<OverlayEntry & { type: 'directory' }, 'type'>

/** Linux gives every symbolic link this mode (symlink(7)). */
const linkMode = 0o777

/** The error of an overlay that is wrong. */
export const invalid = (overlay: string, fault: string): AppError =>
  new AppError('OVERLAY_INVALID', `overlay ${overlay}: ${fault}`)

/**
 * What files and links have in common. `mode`: the one that nobody has spoken of, absent for a link. `text`: what is rendered,
 * asked for when it is a template.
 */
export function commonOf(
  name: string,
  path: string,
  attributes: Attributes & { template: boolean },
  { mode, text }: { mode?: number; text: () => string },
): Common {
  const { uid = 0, gid = 0, template, each, when, reload } = attributes
  checkItems(name, path, each)
  const names = template ? namesIn(text(), `${name}:${path}`) : []
  const secret = [...names, each ?? '', when ?? ''].find(isSecretName)
  const hidden = attributes.private ?? secret !== undefined
  if (!hidden && secret !== undefined)
    throw invalid(name, `${path} has private: false and reads ${secret}, which its node alone may have: take it out`)
  const usual = mode !== undefined && hidden ? mode & 0o700 : mode
  const chosen = mode === undefined ? linkMode : (attributes.mode ?? usual ?? linkMode)
  if (hidden && mode !== undefined && (chosen & 0o007) !== 0)
    throw invalid(
      name,
      `${path} is private${secret === undefined ? '' : ` (it reads ${secret})`}, and mode "${octal(chosen)}" gives it to ` +
        'every user of the node: write "0600", or "0640" and the owner whose group may read it',
    )
  return {
    path,
    mode: chosen,
    uid,
    gid,
    template,
    ...(each === undefined ? {} : { each }),
    ...(when === undefined ? {} : { when }),
    ...(hidden && { private: true }),
    ...(reload && { reload }),
  }
}

/** A symbolic link. */
export const linkEntry = (
  name: string,
  path: string,
  attributes: Attributes & { template: boolean },
  target: string,
): OverlayEntry => ({ ...commonOf(name, path, attributes, { text: () => target }), type: 'link', target })

/** Checks a template, and answers the names in it. */
function namesIn(text: string, where: string): Set<string> {
  parseTemplate(text, where)
  return readTags(text, where)
}

const octal = (mode: number): string => `0${mode.toString(8).padStart(3, '0')}`

/** `each` and a name with {{…}} in it go together. */
function checkItems(name: string, path: string, each: string | undefined): void {
  const templated = path.includes('{{')
  if (each !== undefined && !templated)
    throw invalid(name, `${path} has each (${each}), so its name must say how items differ: …{{name}}…`)
  if (each === undefined && templated)
    throw invalid(
      name,
      `${path} has {{…}} in its name but no each: give it one in overlay.yaml, such as { each: netdevs }`,
    )
  if (each === undefined) return
  const where = `${name}:${path} (its name)`
  const secret = [...namesIn(path, where)].find(isSecretName)
  if (secret !== undefined)
    throw invalid(name, `${path} reads ${secret} in its name, which everybody sees: name it after something else`)
}

/** What overlay.yaml makes by itself: links, removals, and directories. */
export function madeEntries(
  name: string,
  rules: readonly Rule[],
  makers: ReadonlyMap<string, string>,
  used: Set<Rule>,
): OverlayEntry[] {
  const made = rules.flatMap((rule): OverlayEntry[] => {
    const { path, makes } = rule
    if (!makes) return []
    used.add(rule)
    for (const other of rules) if (!other.directory && matchesRule(other, path)) used.add(other)
    const file = makers.get(path)
    const what = makes.type === 'link' ? 'a link' : 'take it away'
    if (file !== undefined) throw invalid(name, `${file} makes ${path}, and overlay.yaml says ${what}: take one away`)
    if (makes.type === 'link') {
      const { target } = makes
      return [linkEntry(name, path, { ...attributesOf(rules, path, false), template: target.includes('{{') }, target)]
    }
    const { when, reload } = rule.attributes
    checkItems(name, path, undefined)
    const more = { ...(when !== undefined && { when }), ...(reload && { reload }) }
    return [{ path, mode: 0, uid: 0, gid: 0, template: false, ...more, ...makes }]
  })
  const files = [...makers.keys(), ...made.flatMap(({ type, path }) => (type === 'link' ? [path] : []))]
  return [...made, ...directoryEntries(name, rules, files, used)]
}

/** Directories that overlay.yaml speaks of: a path makes one, a pattern only says how the ones above files are. */
function directoryEntries(
  name: string,
  rules: readonly Rule[],
  files: readonly string[],
  used: Set<Rule>,
): OverlayEntry[] {
  const about = rules.filter((rule) => rule.directory)
  if (about.length === 0) return []
  const paths = new Set([...files.flatMap(ancestors), ...about.filter((rule) => !rule.pattern).map(({ path }) => path)])
  return [...paths].flatMap((path): OverlayEntry[] => {
    const fitting = about.filter((rule) => matchesRule(rule, path))
    if (fitting.length === 0) return []
    for (const rule of fitting) used.add(rule)
    if (path.includes('{{')) throw invalid(name, `overlay.yaml: files: ${path}/ has {{…}}: a directory has no each`)
    const { mode = directoryMode(path), uid = 0, gid = 0, when, reload } = attributesOf(rules, path, true)
    const more = { ...(when === undefined ? {} : { when }), ...(reload && { reload }) }
    return [{ path, mode, uid, gid, template: false, ...more, type: 'directory' }]
  })
}

/** Throws when something would lie below what is no directory, or two entries are one path. */
export function checkNesting(name: string, entries: readonly OverlayEntry[]): void {
  const types = new Map<string, OverlayEntry['type']>()
  for (const { path, type } of entries) {
    if (types.has(path)) throw invalid(name, `${path} is both a ${type} (in overlay.yaml) and a ${types.get(path)}`)
    types.set(path, type)
  }
  for (const { path } of entries)
    for (const above of ancestors(path)) {
      const type = types.get(above)
      if (type !== undefined && type !== 'directory')
        throw invalid(name, `${path} lies below ${above}, which is ${type === 'removal' ? 'taken away' : `a ${type}`}`)
    }
}

/** What to do about a key that matches nothing. */
export function adviceFor({ key, path, directory }: Rule): string {
  const plain = path.replace(/\.mustache$/, '')
  if (plain !== path) return `name the file as the node has it, ${plain}`
  return directory
    ? 'no file lies below such a directory'
    : 'put the file below files/, or take the key out' +
        (key.includes('*')
          ? ' (* stands for one component, ** for several, and a pattern for directories ends in /)'
          : '')
}
