/**
 * Logins for registries, as podman and docker keep them: containers-auth.json(5) and docker's config.json. Node only. What is
 * secret never gets into a message.
 */
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { AppError } from '../errors.ts'
import { askHelper } from './credential-helper.ts'
import { type Fields, fieldsOf, invalid, parseJson, textAt, textsAt } from './json.ts'
import type { Reference } from './reference.ts'
import type { SourceOptions } from './source.ts'

/** A login. `from` says where it was found, for messages. */
export type Credentials = { from: string } & (
  | { username: string; password: string }
  /** What a token server takes instead of a password. */
  | { identityToken: string }
)

/** Keys under which Docker Hub's login stands. */
const dockerHub = ['docker.io', 'index.docker.io', 'registry-1.docker.io']
const dockerHubKey = 'https://index.docker.io/v1/'

/**
 * The login for a repository, `undefined` when there is none: from `authfile` alone when it is given (or
 * $REGISTRY_AUTH_FILE), else from the first of the usual files that has one. Throws `SOURCE_DENIED` when a file or a helper
 * that should have it cannot be read.
 */
export async function findCredentials(
  reference: Pick<Reference, 'registry' | 'repository'>,
  options: Pick<SourceOptions, 'env' | 'cwd' | 'authfile' | 'signal'>,
): Promise<Credentials | undefined> {
  const { env, cwd, authfile = env.REGISTRY_AUTH_FILE } = options
  if (authfile) {
    const file = resolve(cwd, authfile)
    const config = await readConfig(file)
    if (!config) throw new AppError('SOURCE_DENIED', `${file}: there is no such file with logins`)
    return credentialsIn(config, file, reference, options)
  }
  for (const file of usualFiles(env)) {
    const config = await readConfig(file)
    const found = config && (await credentialsIn(config, file, reference, options))
    if (found) return found
  }
  return undefined
}

/** The files that hold logins, in the order in which podman asks them. */
export function usualFiles(env: SourceOptions['env']): string[] {
  const home = env.HOME ?? homedir()
  return [
    ...(env.XDG_RUNTIME_DIR ? [join(env.XDG_RUNTIME_DIR, 'containers/auth.json')] : []),
    join(env.XDG_CONFIG_HOME || join(home, '.config'), 'containers/auth.json'),
    join(env.DOCKER_CONFIG || join(home, '.docker'), 'config.json'),
  ]
}

async function readConfig(file: string): Promise<Fields | undefined> {
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw new AppError('SOURCE_DENIED', `cannot read the logins in ${file} (${error.code})`, { cause: error })
  })
  return bytes && fieldsOf(parseJson(bytes, file), file)
}

/** A file's login: of the helper for the registry, of an entry, or of the store for everything else. */
async function credentialsIn(
  config: Fields,
  file: string,
  reference: Pick<Reference, 'registry' | 'repository'>,
  options: Pick<SourceOptions, 'env' | 'signal'>,
): Promise<Credentials | undefined> {
  const server = reference.registry === 'docker.io' ? dockerHubKey : reference.registry
  const helper = matchingKey(Object.entries(textsAt(config, 'credHelpers', file)), reference)
  if (helper) return askHelper(helper, server, options)
  const auths = Object.entries(config.auths === undefined ? {} : fieldsOf(config.auths, `${file}: auths`))
  // docker leaves an empty entry behind for what it put into its store.
  const entry = matchingKey(
    auths.flatMap(([key, value]) => {
      const found = entryOf(value, `${file}: ${key}`)
      return found ? [[key, found] as const] : []
    }),
    reference,
  )
  if (entry) return { ...entry, from: file }
  const store = textAt(config, 'credsStore', file)
  return store === undefined ? undefined : askHelper(store, server, options)
}

/**
 * The value whose key fits best: the repository's own, then those of the namespaces above it, then the registry's. Keys
 * that are URLs, as docker once wrote them, count for their host. Pure.
 */
export function matchingKey<Value>(
  entries: readonly (readonly [string, Value])[],
  { registry, repository }: Pick<Reference, 'registry' | 'repository'>,
): Value | undefined {
  const byKey = new Map<string, Value>()
  // The exact key wins over another way to write it, whichever comes first.
  for (const [key, value] of entries) if (!byKey.has(normalKey(key))) byKey.set(normalKey(key), value)
  for (const [key, value] of entries) if (normalKey(key) === key) byKey.set(key, value)
  const parts = [registry, ...repository.split('/')]
  for (let length = parts.length; length > 0; length--) {
    const value = byKey.get(parts.slice(0, length).join('/'))
    if (value !== undefined) return value
  }
  return undefined
}

function normalKey(key: string): string {
  const bare = key.replace(/^https?:\/\//, '')
  const [host = '', ...path] = bare.split('/')
  const registry = dockerHub.includes(host.toLowerCase()) ? 'docker.io' : host.toLowerCase()
  const isUrl = bare !== key || /^v[12]$/.test(path[0] ?? '')
  return isUrl ? registry : [registry, ...path].join('/').replace(/\/+$/, '')
}

type Entry = { username: string; password: string } | { identityToken: string }

/** One entry of `auths`: `auth` is base64 of `user:password`. An empty one is none. */
function entryOf(value: unknown, what: string): Entry | undefined {
  const fields = fieldsOf(value ?? {}, what)
  const identityToken = textAt(fields, 'identitytoken', what)
  if (identityToken !== undefined) return { identityToken }
  const auth = textAt(fields, 'auth', what)
  if (auth === undefined) return undefined
  const text = decode(auth)
  const colon = text?.indexOf(':') ?? -1
  if (text === undefined || colon < 1) throw invalid(what, 'auth is not the base64 of USER:PASSWORD: log in again')
  // docker once padded the text with NUL.
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') }
}

function decode(text: string): string | undefined {
  try {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}
