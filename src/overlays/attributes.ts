/** `overlay.yaml`: the description of an overlay and the attributes of its files. docs/overlays.md is its reference. */
import { isMap, isScalar, LineCounter, type Pair, parseDocument, type Scalar, type YAMLMap } from 'yaml'
import { AppError } from '../errors.ts'
import { nearest } from './nearest.ts'
import { pathFault } from './path.ts'
import { isPattern, matchesPattern } from './pattern.ts'

/** What overlay.yaml may say of a file, a link or a directory. */
export type Attributes = {
  mode?: number
  uid?: number
  gid?: number
  template?: boolean
  each?: string
  when?: string
}

/** A key of `files` with its attributes. `directory`: the key ended in a slash, and speaks of directories alone. */
export type Rule = { key: string; path: string; directory: boolean; pattern: boolean; attributes: Attributes }

/** What overlay.yaml says. Rules stand in the order of the file. */
export type OverlayYaml = { description?: string; rules: Rule[] }

const mostBytes = 256 * 1024
const mostRules = 500
const viewPath = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/
/** 2^32 - 1 means "no change" to chown(2). */
const largestId = 2 ** 32 - 2

/** Reads overlay.yaml. Throws `OVERLAY_INVALID` with the overlay, the line or the key, and what to write instead. */
export function parseOverlayYaml(overlay: string, text: string): OverlayYaml {
  const fail = failureIn(overlay)
  if (text.length > mostBytes) fail(`is longer than ${mostBytes} characters`)
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true })
  const [error] = document.errors
  if (error) fail(`line ${lines.linePos(error.pos[0]).line}: ${error.message}`)
  if (document.contents === null) return { rules: [] }
  const top = document.contents
  if (!isMap(top)) return fail('must be a map with description and files')
  const read: OverlayYaml = { rules: [] }
  for (const [key, value] of pairsOf(top)) {
    if (key === 'description') {
      if (!isScalar(value) || typeof value.value !== 'string' || /[\r\n]/.test(value.value.trim()))
        fail('description must be one line of text')
      else read.description = value.value.trim()
    } else if (key === 'files') {
      if (!isMap(value)) fail('files must be a map from paths to attributes')
      else read.rules = pairsOf(value).map(([path, attributes]) => parseRule(path, attributes, fail))
    } else fail(`${key} is not known: it has description and files`)
  }
  if (read.rules.length > mostRules) fail(`files has more than ${mostRules} keys: use patterns`)
  return read
}

/** The attributes that hold for a path: of patterns in their order, then of the path itself; later ones win one by one. */
export function attributesOf(rules: readonly Rule[], path: string, directory: boolean): Attributes {
  const fitting = rules.filter((rule) => rule.directory === directory && matchesRule(rule, path))
  const ordered = [...fitting.filter((rule) => rule.pattern), ...fitting.filter((rule) => !rule.pattern)]
  return Object.assign({}, ...ordered.map((rule) => rule.attributes))
}

/** Whether a rule speaks of a path. */
export const matchesRule = (rule: Rule, path: string): boolean =>
  rule.pattern ? matchesPattern(rule.path, path) : rule.path === path

type Fail = (fault: string) => never

const failureIn =
  (overlay: string): Fail =>
  (fault) => {
    throw new AppError('OVERLAY_INVALID', `overlay ${overlay}: overlay.yaml: ${fault}`)
  }

function parseRule(key: string, value: unknown, fail: Fail): Rule {
  const directory = key.endsWith('/')
  const path = directory ? key.slice(0, -1) : key
  const fault = pathFault(path)
  if (fault) fail(`files: ${JSON.stringify(key)} ${fault}`)
  if (!isMap(value)) return fail(`files: ${key} must be a map such as { mode: "0600" }`)
  const attributes: Attributes = {}
  for (const [name, setting] of pairsOf(value)) {
    const wrong: Fail = (how) => fail(`files: ${key}: ${name} ${how}`)
    if (!isScalar(setting)) wrong('must be one value')
    else readAttribute(attributes, name, setting, wrong)
  }
  if (directory && (attributes.template !== undefined || attributes.each !== undefined))
    fail(`files: ${key} is a directory (it ends in /): it can have mode, owner and when`)
  return { key, path, directory, pattern: isPattern(path), attributes }
}

function readAttribute(attributes: Attributes, name: string, setting: Scalar, wrong: Fail): void {
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
      attributes.template = typeof value === 'boolean' ? value : wrong('must be true or false')
      return
    case 'each':
    case 'when':
      attributes[name] =
        typeof value === 'string' && viewPath.test(value)
          ? value
          : wrong(`must be a name of the view, such as ${name === 'each' ? 'netdevs' : 'tags.gpu'}`)
      return
    default: {
      const close = nearest(name, ['mode', 'owner', 'template', 'each', 'when'])
      wrong(
        `is no attribute${close ? ` (did you mean ${close}?)` : ': there are mode, owner, template, each and when'}`,
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

const pairsOf = (map: YAMLMap): [string, unknown][] =>
  map.items.map(({ key, value }: Pair) => [String(isScalar(key) ? key.value : key), value])
