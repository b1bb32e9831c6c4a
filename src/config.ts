/**
 * Every setting of the service: its variable, its default, its meaning and what it may be.
 *
 * A setting is an environment variable, or the same name in the YAML file that `MUSTER_CONFIG` names; the environment
 * wins. Read once, by `muster serve`. The README's table is printed from here.
 */
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { builtinDrivers } from 'unstorage'
import { parseDocument } from 'yaml'
import { z } from 'zod'
import { AppError } from './errors.ts'
import { nearest } from './overlays/nearest.ts'

/** Everything that the service can be told, checked. Paths are absolute, sizes are bytes. */
export type Config = {
  /** Address to listen on; `undefined` is every address. */
  host: string | undefined
  /** 0 is any free port. */
  port: number
  /** Where nodes reach the service, no slash at the end; `undefined` until somebody looks at this machine's addresses. */
  url: string | undefined
  data: string
  /** Folder whose files shadow those of `boot-assets/`. */
  site: string
  cluster: string
  tokenFile: string
  blobs: { driver: string; options: Record<string, unknown> }
  hotBlobs: number
  /** Milliseconds between two collections of garbage; `undefined` is never. */
  collectEvery: number | undefined
  /** Seconds for which blobs are spared that nobody refers to. */
  collectGrace: number
  /** Folder whose files templates may include. */
  files: string
  /** File with the key of secrets; made when it is not there. */
  secretKeyFile: string
  privateTo: 'node' | 'ticket'
  log: 'error' | 'warn' | 'info'
}

/** The project's root: `./var` is below it, so that a start from another directory finds the same registry. */
const root = fileURLToPath(new URL('..', import.meta.url))

const units = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }

const size = z
  .string()
  .regex(/^[1-9][0-9]{0,8}[KMG]?$/, 'must be a size such as 256M or 1G')
  .transform((text) => {
    const [, digits, unit = ''] = /^(\d+)([KMG]?)$/.exec(text) ?? []
    return Number(digits) * units[unit as keyof typeof units]
  })

const secondsOf = { m: 60, h: 3600, d: 86_400 }

/** A duration within bounds, in seconds. */
const duration = (least: string, most: string) => {
  const seconds = (text: string) => Number(text.slice(0, -1)) * secondsOf[text.slice(-1) as keyof typeof secondsOf]
  return z
    .string()
    .refine(
      (text) =>
        /^[1-9][0-9]{0,5}[mhd]$/.test(text) && seconds(text) >= seconds(least) && seconds(text) <= seconds(most),
      `must be a duration from ${least} to ${most}, such as 90m, 24h or 2d`,
    )
    .transform(seconds)
}

const port = z
  .string()
  .refine((text) => /^[0-9]{1,5}$/.test(text) && Number(text) <= 65535, 'must be a port from 0 (any free one) to 65535')
  .transform(Number)

// It goes into scripts that iPXE reads, so it has nothing that iPXE could take for anything else.
const url = z
  .string()
  .regex(
    /^https?:\/\/(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:\/[A-Za-z0-9._~-]+)*$/,
    'must be a URL such as http://10.0.0.1:9080, without a slash at the end',
  )

const path = z.string().refine((text) => !text.includes('\0'), 'must be a path')

const options = z.string().transform((text, issues): Record<string, unknown> => {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return { ...parsed }
  } catch {
    // Not the parser's message: it quotes the text, and this may hold keys of a bucket.
  }
  issues.addIssue('must be a JSON object')
  return z.NEVER
})

/** The one schema. `default` in a field's notes is shown where the default is worked out and not a text. */
const schema = z.object({
  MUSTER_CONFIG: path.optional().meta({ description: 'YAML file with settings, each under the name of its variable' }),
  MUSTER_HOST: z
    .string()
    .regex(/^[A-Za-z0-9.:%_-]+$/, 'must be an address or a host name')
    .optional()
    .meta({ description: 'address to listen on', default: 'all' }),
  MUSTER_PORT: port.prefault('9080').meta({ description: 'port to listen on' }),
  MUSTER_URL: url.optional().meta({
    description: 'where nodes reach the service, when that is not the first address of the head node',
    default: '`http://ADDRESS:PORT`',
  }),
  MUSTER_DATA: path.optional().meta({
    description: 'folder with the registry, the blobs and the admin token; made with mode 0700',
    default: '`./var` of the project',
  }),
  MUSTER_SITE: path.optional().meta({
    description: 'folder whose files shadow those of `boot-assets/`',
    default: '`$MUSTER_DATA/site`',
  }),
  MUSTER_CLUSTER: z
    .string()
    .regex(/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/, 'must be a name of letters, digits, dots, dashes and _')
    .prefault('cluster')
    .meta({ description: 'name of the cluster, for templates' }),
  MUSTER_TOKEN_FILE: path.optional().meta({
    description: 'file with the admin token: the service writes it, the command line reads it',
    default: '`$MUSTER_DATA/admin.token`',
  }),
  MUSTER_BLOBS: z
    .string()
    .refine((name) => Object.hasOwn(builtinDrivers, name), 'must be fs or the name of an unstorage driver')
    .prefault('fs')
    .meta({ description: 'where blobs are kept: `fs` (files below `$MUSTER_DATA/blobs`) or an unstorage driver' }),
  MUSTER_BLOBS_OPTIONS: options.prefault('{}').meta({ description: 'options of that driver, as JSON' }),
  MUSTER_HOT_BLOBS: size.prefault('256M').meta({ description: 'memory for blobs that many nodes ask for at once' }),
  MUSTER_COLLECT_EVERY: z
    .union([z.literal('never'), duration('10m', '14d')], 'must be never, or a duration from 10m to 14d such as 24h')
    .prefault('24h')
    .meta({ description: 'how often blobs are deleted that nobody refers to, or `never`' }),
  MUSTER_COLLECT_GRACE: duration('10m', '3650d').prefault('24h').meta({
    description: 'for how long such blobs are kept; longer than an import takes',
  }),
  MUSTER_FILES: path.optional().meta({
    description: 'folder whose files overlay templates may include; links in it are followed',
    default: '`$MUSTER_DATA/files`',
  }),
  MUSTER_SECRET_KEY_FILE: path.optional().meta({
    description:
      'file with the key that secrets are sealed with (64 hex digits): made with mode 0600 when it is not there',
    default: '`secret.key` among the systemd credentials, else `$MUSTER_DATA/secret.key`',
  }),
  MUSTER_PRIVATE_TO: z.enum(['node', 'ticket'], 'must be node or ticket').prefault('node').meta({
    description:
      "who gets overlays' private files: `node` is root at an address of the node, `ticket` whoever has its ticket or token (for NAT and proxies)",
  }),
  MUSTER_LOG: z
    .enum(['error', 'warn', 'info'], 'must be error, warn or info')
    .prefault('info')
    .meta({ description: 'the least that is logged: `error`, `warn` or `info`' }),
  MUSTER_SERVER: z.string().optional().meta({
    description: 'command line only: where the service is',
    default: '`http://127.0.0.1:9080`',
  }),
  MUSTER_TOKEN: z.string().optional().meta({ description: 'command line only: the token itself' }),
})

type Variable = keyof typeof schema.shape

/** Variables that belong to one shell, not to a file. */
const environmentOnly: readonly string[] = ['MUSTER_CONFIG', 'MUSTER_SERVER', 'MUSTER_TOKEN'] satisfies Variable[]

type Fault = { field: string; message: string }

/**
 * Reads the settings from the environment and the file that it names. Relative paths in the file start at its folder,
 * those of the environment at `cwd`. Throws `REQUEST_INVALID` with every fault at once, and without any secret.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>, cwd: string): Config {
  const faults: Fault[] = []
  const given = Object.entries(env).filter(([name, text]) => name.startsWith('MUSTER_') && text !== '')
  const file = env.MUSTER_CONFIG ? resolve(cwd, env.MUSTER_CONFIG) : undefined
  const fromFile = file === undefined ? {} : readFile(file, faults)
  const settings: Record<string, string | undefined> = { ...fromFile, ...Object.fromEntries(given) }

  for (const name of Object.keys(settings)) {
    if (!Object.hasOwn(schema.shape, name)) faults.push({ field: name, message: `is not a setting${meant(name)}` })
  }
  const parsed = schema.safeParse(settings)
  for (const {
    path: [field],
    message,
  } of parsed.error?.issues ?? []) {
    faults.push({ field: String(field), message: `${message}${shown(String(field), settings)}` })
  }
  if (faults.length > 0 || !parsed.success) throw refusal(faults)

  const known = parsed.data
  const at = (name: Variable) => (env[name] ? cwd : dirname(file ?? cwd))
  const pathOf = (
    name: 'MUSTER_DATA' | 'MUSTER_SITE' | 'MUSTER_TOKEN_FILE' | 'MUSTER_FILES' | 'MUSTER_SECRET_KEY_FILE',
    fallback: string,
  ) => {
    const text = known[name]
    if (text === undefined) return fallback
    return resolve(at(name), text.replace(/^~(?=\/|$)/, homedir()))
  }
  const data = pathOf('MUSTER_DATA', join(root, 'var'))
  return {
    host: known.MUSTER_HOST === '::' || known.MUSTER_HOST === 'all' ? undefined : known.MUSTER_HOST,
    port: known.MUSTER_PORT,
    url: known.MUSTER_URL,
    data,
    site: pathOf('MUSTER_SITE', join(data, 'site')),
    cluster: known.MUSTER_CLUSTER,
    tokenFile: pathOf('MUSTER_TOKEN_FILE', join(data, 'admin.token')),
    blobs: { driver: known.MUSTER_BLOBS, options: known.MUSTER_BLOBS_OPTIONS },
    hotBlobs: known.MUSTER_HOT_BLOBS,
    collectEvery: known.MUSTER_COLLECT_EVERY === 'never' ? undefined : known.MUSTER_COLLECT_EVERY * 1000,
    collectGrace: known.MUSTER_COLLECT_GRACE,
    files: pathOf('MUSTER_FILES', join(data, 'files')),
    // systemd.exec(5): LoadCredential= puts files there.
    secretKeyFile: pathOf('MUSTER_SECRET_KEY_FILE', credential(env, 'secret.key') ?? join(data, 'secret.key')),
    privateTo: known.MUSTER_PRIVATE_TO,
    log: known.MUSTER_LOG,
  }
}

/** The path of a systemd credential that is there. */
function credential(env: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  const path = env.CREDENTIALS_DIRECTORY && join(env.CREDENTIALS_DIRECTORY, name)
  return path && existsSync(path) ? path : undefined
}

/** Every setting for the README's table: markdown, a default as it is shown. */
export function settingsTable(): { variable: string; default: string; meaning: string }[] {
  return Object.entries(schema.shape).map(([variable, field]) => {
    const notes = field.meta()
    const shownDefault = 'defaultValue' in field.def ? `\`${String(field.def.defaultValue)}\`` : notes?.default
    return { variable, default: String(shownDefault ?? ''), meaning: String(notes?.description) }
  })
}

/** Settings of the file as text, as if they stood in the environment. */
function readFile(file: string, faults: Fault[]): Record<string, string> {
  const fault = (message: string) => {
    faults.push({ field: 'MUSTER_CONFIG', message: `${file} ${message}` })
    return {}
  }
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    return fault(`cannot be read (${error instanceof Error && 'code' in error ? error.code : error})`)
  }
  const document = parseDocument(text, { prettyErrors: false })
  const [broken] = document.errors
  if (broken) return fault(`is not YAML: ${broken.code} at character ${broken.pos[0]}`)
  const content: unknown = document.toJS() ?? {}
  if (typeof content !== 'object' || content === null || Array.isArray(content)) return fault('must be a map')
  const settings: Record<string, string> = {}
  for (const [name, value] of Object.entries(content)) {
    if (environmentOnly.includes(name))
      faults.push({ field: name, message: 'belongs in the environment, not in a file' })
    else if (value !== null) settings[name] = typeof value === 'object' ? JSON.stringify(value) : String(value)
  }
  return settings
}

function meant(name: string): string {
  // Without the prefix, which every name has and which would make all of them look alike.
  const bare = (one: string) => one.replace(/^MUSTER_/, '')
  const known = nearest(bare(name), Object.keys(schema.shape).map(bare))
  return known === undefined ? '' : `: did you mean MUSTER_${known}?`
}

/** The value, unless it may be a secret. */
const shown = (name: string, settings: Record<string, string | undefined>): string =>
  ['MUSTER_TOKEN', 'MUSTER_BLOBS_OPTIONS'].includes(name) ? '' : `, not ${JSON.stringify(settings[name])}`

function refusal(faults: Fault[]): AppError {
  const [first] = faults
  const message =
    faults.length === 1 && first ? `${first.field} ${first.message}` : `${faults.length} settings are wrong`
  return new AppError('REQUEST_INVALID', message, { faults })
}
