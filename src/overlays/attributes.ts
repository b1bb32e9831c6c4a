/** What `overlay.yaml` says of one path or pattern. docs/overlays.md is its reference. */
import { isMap, isScalar, type Pair, type Scalar, type YAMLMap } from 'yaml'
import type { Reload } from './manifest.ts'
import { nearest } from './nearest.ts'
import { pathFault } from './path.ts'
import { isPattern, matchesPattern } from './pattern.ts'
import { isSecretName } from './private.ts'
import { readReload } from './reload.ts'

/** What overlay.yaml may say of a file, a link or a directory. */
export type Attributes = {
  mode?: number
  uid?: number
  gid?: number
  template?: boolean
  each?: string
  when?: string
  private?: boolean
  reload?: Reload[]
}

/**
 * A key of `files` with its attributes. `directory`: the key ended in a slash, and speaks of directories alone. `makes`: what
 * stands at the path without a file below `files/`. `line` is the key's in overlay.yaml, counted from 1.
 */
export type Rule = {
  key: string
  path: string
  line: number
  directory: boolean
  pattern: boolean
  attributes: Attributes
  makes?: { type: 'link'; target: string } | { type: 'removal' }
}

/** Throws `OVERLAY_INVALID`; it adds the overlay and the file before the fault. */
export type Fail = (fault: string) => never

const names = ['mode', 'owner', 'template', 'each', 'when', 'private', 'reload', 'link', 'remove']
const viewPath = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/
/** 2^32 - 1 means "no change" to chown(2). */
const largestId = 2 ** 32 - 2
/** PATH_MAX without the NUL at the end (include/uapi/linux/limits.h). */
const longestTarget = 4095

/** The attributes that hold for a path: of patterns in their order, then of the path itself; later ones win one by one. */
export function attributesOf(rules: readonly Rule[], path: string, directory: boolean): Attributes {
  return Object.assign({}, ...rulesFor(rules, path, directory).map((rule) => rule.attributes))
}

/** The rules that speak of a path, in the order in which they count. */
export function rulesFor(rules: readonly Rule[], path: string, directory: boolean): Rule[] {
  const fitting = rules.filter((rule) => rule.directory === directory && matchesRule(rule, path))
  return [...fitting.filter((rule) => rule.pattern), ...fitting.filter((rule) => !rule.pattern)]
}

/** Whether a rule speaks of a path. */
export const matchesRule = (rule: Rule, path: string): boolean =>
  rule.pattern ? matchesPattern(rule.path, path) : rule.path === path

/** The pairs of a map of YAML: each key as text, and its value. */
export const pairsOf = (map: YAMLMap): [key: string, value: unknown][] =>
  map.items.map(({ key, value }: Pair) => [String(isScalar(key) ? key.value : key), value])

/** Reads a key of `files` with what stands under it. */
export function parseRule(key: string, value: unknown, line: number, fail: Fail): Rule {
  const directory = key.endsWith('/')
  const path = directory ? key.slice(0, -1) : key
  const fault = pathFault(path)
  if (fault) fail(`files: ${JSON.stringify(key)} ${fault}`)
  if (!isMap(value)) return fail(`files: ${key} must be a map such as { mode: "0600" }`)
  const rule: Rule = { key, path, line, directory, pattern: isPattern(path), attributes: {} }
  for (const [name, setting] of pairsOf(value)) {
    const wrong: Fail = (how) => fail(`files: ${key}: ${name} ${how}`)
    if (name === 'reload') rule.attributes.reload = readReload(setting, wrong)
    else if (!isScalar(setting)) wrong('must be one value')
    else readAttribute(rule, name, setting, wrong)
  }
  checkRule(rule, pairsOf(value), fail)
  return rule
}

/** What cannot stand together under one key. */
function checkRule(
  { key, path, directory, pattern, makes, attributes }: Rule,
  pairs: readonly (readonly [string, unknown])[],
  fail: Fail,
) {
  const given = pairs.map(([name]) => name)
  const beside = (allowed: readonly string[]) => given.filter((name) => !allowed.includes(name)).join(', ')
  if (directory && makes?.type === 'removal') fail(`files: ${key}: remove takes no / at the end: write ${path}`)
  if (directory && beside(['mode', 'owner', 'when', 'reload']) !== '')
    fail(`files: ${key} is a directory (it ends in /): it can have mode, owner, when and reload`)
  if ((directory || makes?.type === 'removal') && isSecretName(attributes.when ?? ''))
    fail(`files: ${key}: when may not ask for a secret, because everybody sees whether the path is there`)
  if (!makes) return
  const kind = makes.type === 'link' ? 'link' : 'remove'
  if (pattern) fail(`files: ${key} is a pattern, and ${kind} is for one path: write the path without *`)
  const more = kind === 'link' ? ['link', 'owner', 'each', 'when', 'private', 'reload'] : ['remove', 'when', 'reload']
  const other = beside(more)
  if (other !== '') fail(`files: ${key} has ${kind}, which goes with ${more.slice(1).join(', ')} and not with ${other}`)
}

function readAttribute(rule: Rule, name: string, setting: Scalar, wrong: Fail): void {
  const { attributes } = rule
  const { value } = setting
  switch (name) {
    case 'mode':
      attributes.mode = readMode(setting, wrong)
      return
    case 'owner': {
      const [uid, gid] = readOwner(value, wrong)
      attributes.uid = uid
      attributes.gid = gid
      return
    }
    case 'template':
    case 'private':
      attributes[name] = typeof value === 'boolean' ? value : wrong('must be true or false')
      return
    case 'each':
    case 'when':
      attributes[name] =
        typeof value === 'string' && viewPath.test(value)
          ? value
          : wrong(`must be a name of the view, such as ${name === 'each' ? 'netdevs' : 'tags.gpu'}`)
      return
    case 'link':
      rule.makes = { type: 'link', target: readTarget(value, wrong) }
      return
    case 'remove':
      if (value !== true) wrong('must be true: leave it out where the path should stay')
      if (rule.makes) wrong('cannot stand beside link: a path is either taken away or a link')
      rule.makes = { type: 'removal' }
      return
    default: {
      const close = nearest(name, names)
      wrong(
        `is no attribute${close ? ` (did you mean ${close}?)` : `: there are ${names.slice(0, -1).join(', ')} and ${names.at(-1)}`}`,
      )
    }
  }
}

/**
 * Octal: a text such as `"0600"`, or a bare number that is visibly octal, 0600 or 0o600. YAML 1.2 reads a bare 0600 as six
 * hundred (core schema, §10.3.2), so that what was written counts and not what YAML made of it.
 */
function readMode(setting: Scalar, wrong: Fail): number {
  const isText = typeof setting.value === 'string'
  const written = typeof setting.value === 'string' ? setting.value : (setting.source ?? '')
  const octal = (isText ? /^(?:0o?)?([0-7]{3,4})$/ : /^0o?([0-7]{3,4})$/).exec(written)?.[1]
  if (octal !== undefined) return Number.parseInt(octal, 8)
  if (/^[0-7]{3,4}$/.test(written)) return wrong(`is the number ${written}, octal or decimal: write "0${written}"`)
  return wrong(`is ${JSON.stringify(written)}: it must be octal, such as "0644"`)
}

function readOwner(value: unknown, wrong: Fail): [number, number] {
  const [, uid, gid] = /^([0-9]{1,10}):([0-9]{1,10})$/.exec(typeof value === 'string' ? value : '') ?? []
  const ids = [Number(uid), Number(gid)] as const
  if (!ids.every((id) => id <= largestId))
    return wrong('must be numbers, such as "0:0" (Muster knows no names of users and groups)')
  return [ids[0], ids[1]]
}

function readTarget(value: unknown, wrong: Fail): string {
  if (typeof value !== 'string' || value === '') return wrong('must be what the link points to, such as ../run/x')
  if (value.length > longestTarget) return wrong(`has more than ${longestTarget} characters`)
  if (/[\u0000-\u001f\u007f]/.test(value)) return wrong('has a control character in it')
  return value
}
