/** `overlay.yaml`: the description of an overlay, attributes of its files, and the secrets that it needs. */
import { isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml'
import { AppError } from '../errors.ts'
import { type Fail, pairsOf, parseRule, type Rule } from './attributes.ts'
import { type SecretKind, secretKinds } from './manifest.ts'
import { nearest } from './nearest.ts'

/** What overlay.yaml says. Rules stand in the order of the file. */
export type OverlayYaml = { description?: string; rules: Rule[]; secrets?: Record<string, SecretKind> }

const mostBytes = 256 * 1024
const mostRules = 500
const mostSecrets = 32
const sections = ['description', 'files', 'secrets']
/** So that templates can name it. */
const secretName = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/

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
  if (!isMap(top)) return fail('must be a map with description, files and secrets')
  const read: OverlayYaml = { rules: [] }
  for (const [section, value] of pairsOf(top)) {
    if (section === 'description') {
      if (!isScalar(value) || typeof value.value !== 'string' || /[\r\n]/.test(value.value.trim()))
        fail('description must be one line of text')
      else read.description = value.value.trim()
    } else if (section === 'files') {
      if (!isMap(value)) return fail('files must be a map from paths to attributes')
      const starts = value.items.map(({ key }) => (isNode(key) ? (key.range?.[0] ?? 0) : 0))
      read.rules = pairsOf(value).map(([path, attributes], at) =>
        parseRule(path, attributes, lines.linePos(starts[at] ?? 0).line, fail),
      )
    } else if (section === 'secrets') {
      read.secrets = readSecrets(value, fail)
    } else {
      const close = nearest(section, sections)
      fail(`${section} is not known${close ? ` (did you mean ${close}?)` : ''}: it has description, files and secrets`)
    }
  }
  if (read.rules.length > mostRules) fail(`files has more than ${mostRules} keys: use patterns`)
  return read
}

const failureIn =
  (overlay: string): Fail =>
  (fault) => {
    throw new AppError('OVERLAY_INVALID', `overlay ${overlay}: overlay.yaml: ${fault}`)
  }

function readSecrets(value: unknown, fail: Fail): Record<string, SecretKind> {
  if (!isMap(value)) return fail('secrets must be a map such as { munge: random }')
  const pairs = pairsOf(value)
  if (pairs.length > mostSecrets) fail(`secrets has more than ${mostSecrets} names`)
  return Object.fromEntries(
    pairs.map(([name, kind]): [string, SecretKind] => {
      if (!secretName.test(name))
        fail(`secrets: ${JSON.stringify(name)} must begin with a letter, then letters, digits, - or _, at most 64`)
      if (name.endsWith('_pub')) fail(`secrets: ${name}: NAME_pub is the public half of a key pair NAME: declare that`)
      const written = isScalar(kind) ? kind.value : undefined
      const known = secretKinds.find((one) => one === written)
      return [name, known ?? fail(`secrets: ${name} must be one of ${secretKinds.join(', ')}`)]
    }),
  )
}
