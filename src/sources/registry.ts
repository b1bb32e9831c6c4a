/** Images in registries: `docker://`. Node only. The API is that of the OCI distribution spec, "Pull". */
import { setTimeout as wait } from 'node:timers/promises'
import { type Digest, digestOf } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import { type Credentials, findCredentials } from './credentials.ts'
import { codeOf, type Document, faultOf, type Http, isNoTls, openHttp, type Reply, received } from './http.ts'
import { imageOf, type Store } from './image.ts'
import { fieldsOf, invalid, listAt, mostDocument, parseJson } from './json.ts'
import { type Login, logIn, refused } from './login.ts'
import { manifestTypes, parseManifest } from './manifest.ts'
import { type Outcome, pauseAfter, persist } from './persist.ts'
import { hostOf, type Reference, referenceText } from './reference.ts'
import type { ImageSource, SourceOptions } from './source.ts'
import { collect } from './verified.ts'

/** Bytes after which a download that broke off counts as having got on: the tries are then counted anew. */
const progress = 2 ** 20

/** Opens an image in a registry: finds the one for the platform and reads its manifest and config. */
export async function openRegistry(reference: Reference, options: SourceOptions): Promise<ImageSource> {
  const http = await openHttp(options)
  try {
    const repository = await openRepository(reference, http, options)
    const root = await repository.root()
    const image = await imageOf(repository.store, root, options)
    return {
      source: `docker://${referenceText(reference)}`,
      whiteouts: 'oci',
      ...image,
      close: async () => http.close(),
    }
  } catch (error) {
    http.close()
    throw error
  }
}

type Repository = {
  store: Store
  /** The manifest that the reference names. */
  root(): Promise<{ manifest: ReturnType<typeof parseManifest>; digest: Digest }>
}

async function openRepository(reference: Reference, http: Http, options: SourceOptions): Promise<Repository> {
  const name = referenceText(reference)
  const pause = options.pause ?? ((time) => wait(time, undefined, options.signal ? { signal: options.signal } : {}))
  const base = await baseOf(reference, http, options.insecure === true)
  const ask = asker(reference, http, { base, pause, options })
  const accept = manifestTypes.join(', ')

  const getManifest = (path: string): Promise<Document> =>
    persist(async () => {
      const outcome = await ask(path, { accept })
      if ('fault' in outcome) return outcome
      const reply = outcome.value
      if (reply.status !== 200) throw await absence(reply, reference, ask)
      return received(reply, mostDocument, name, options.signal)
    }, pause)

  return {
    store: {
      what: name,
      async *manifest({ digest }) {
        yield (await getManifest(`manifests/${digest}`)).bytes
      },
      blob: ({ digest, size }) => download({ ask, pause, name, signal: options.signal }, digest, size),
    },
    async root() {
      const { bytes, headers } = await getManifest(`manifests/${reference.digest ?? reference.tag}`)
      const digest = await digestOf(bytes)
      const said = headers['docker-content-digest']
      const expected = reference.digest ?? (typeof said === 'string' && said.startsWith('sha256:') ? said : digest)
      if (digest !== expected) throw invalid(name, `its manifest is ${digest} and should be ${expected}`)
      const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase()
      return { manifest: parseManifest(bytes, type, name), digest }
    },
  }
}

/** The root of the registry's API. Only --insecure makes it another than https, where TLS is not spoken. */
async function baseOf({ registry }: Reference, http: Http, insecure: boolean): Promise<URL> {
  const secure = new URL(`https://${hostOf(registry)}/v2/`)
  if (!insecure) return secure
  try {
    const outcome = await http.ask(secure)
    if ('value' in outcome) outcome.value.body.destroy()
    return secure
  } catch (error) {
    const code = error instanceof AppError ? codeOf(error.cause) : undefined
    if (isNoTls(code) || code === 'ECONNREFUSED') return new URL(`http://${hostOf(registry)}/v2/`)
    throw error
  }
}

/** One try of a request below the repository, with a login when the registry wants one. */
type Asker = (path: string, headers: Record<string, string>) => Promise<Outcome<Reply>>

function asker(
  reference: Reference,
  http: Http,
  { base, pause, options }: { base: URL; pause: Login['pause']; options: SourceOptions },
): Asker {
  let credentials: Promise<Credentials | undefined> | undefined
  let authorization: Promise<string> | undefined
  const login: Login = {
    http,
    registry: reference.registry,
    scope: `repository:${reference.repository}:pull`,
    credentials: () => (credentials ??= findCredentials(reference, options)),
    pause,
    signal: options.signal,
  }
  return async (path, headers) => {
    const url = new URL(`${reference.repository}/${path}`, base)
    const used = authorization
    const first = await http.ask(url, { headers: { ...headers, ...(used && { authorization: await used }) } })
    // A redirect's target may not ask for a login: it is somebody else.
    if ('fault' in first || first.value.status !== 401 || first.value.url.origin !== url.origin) return first
    first.value.body.destroy()
    // Tokens live for minutes and downloads for longer. Whoever finds one expired gets the next, for all.
    const other = authorization === used ? undefined : authorization
    const renewed = other ?? logIn(first.value.headers['www-authenticate'], login)
    authorization = renewed
    const again = await http.ask(url, { headers: { ...headers, authorization: await renewed } })
    if ('fault' in again || ![401, 403].includes(again.value.status)) return again
    again.value.body.destroy()
    throw refused(again.value, referenceText(reference), login, (await login.credentials())?.from)
  }
}

/** A blob's bytes. A download that breaks off goes on where it broke (RFC 9110 §14.2). */
async function* download(
  { ask, pause, name, signal }: { ask: Asker; pause: Login['pause']; name: string; signal: AbortSignal | undefined },
  digest: Digest,
  size: number,
): AsyncGenerator<Uint8Array> {
  let [at, mark, failures] = [0, 0, 0]
  for (;;) {
    let outcome: Outcome<Reply> = await ask(`blobs/${digest}`, at > 0 ? { range: `bytes=${at}-` } : {})
    if ('value' in outcome) {
      const { status, headers, body, url } = outcome.value
      let skip = skipped(status, headers['content-range'], at, `${name}: ${digest}`)
      try {
        for await (const chunk of body as AsyncIterable<Uint8Array>) {
          const part = chunk.subarray(skip)
          skip -= chunk.length - part.length
          at += part.length
          if (part.length > 0) yield part
        }
        if (at >= size) return
        outcome = {
          fault: new AppError('SOURCE_UNREACHABLE', `${url.host} ended ${digest} after ${at} of ${size} bytes`),
        }
      } catch (error) {
        outcome = faultOf(error, url, signal)
      } finally {
        body.destroy()
      }
    }
    if (at - mark >= progress) [mark, failures] = [at, 0]
    failures++
    await pause(pauseAfter(outcome, failures))
  }
}

/** How many of the bytes that come are there already. Throws when the answer is none that goes on at `at`. */
function skipped(status: number, range: string | undefined, at: number, what: string): number {
  if (status === 200) return at
  if (status === 206 && at > 0 && range?.startsWith(`bytes ${at}-`)) return 0
  if (status === 404) throw new AppError('SOURCE_UNKNOWN', `${what}: the registry does not have it`)
  throw new AppError('SOURCE_UNREACHABLE', `${what}: the registry answered ${status} where a blob was asked for`)
}

/** What there is instead of a manifest that is not there. */
async function absence(reply: Reply, reference: Reference, ask: Asker): Promise<AppError> {
  reply.body.destroy()
  const name = referenceText(reference)
  if (reply.status === 403) return new AppError('SOURCE_DENIED', `${name} is closed`)
  if (reply.status !== 404) return new AppError('SOURCE_UNREACHABLE', `${name}: the registry answered ${reply.status}`)
  const tags = reference.digest === undefined ? await someTags(ask).catch(() => []) : []
  const there = tags.length > 0 ? `: there is ${tags.join(', ')}` : ''
  return new AppError('SOURCE_UNKNOWN', `${name} is not there${there}`)
}

/** A few of the repository's tags, for a message: worth no failure of their own. */
async function someTags(ask: Asker): Promise<string[]> {
  const outcome = await ask('tags/list?n=20', {})
  if ('fault' in outcome || outcome.value.status !== 200) return []
  const fields = fieldsOf(parseJson(await collect(outcome.value.body, mostDocument, 'tags'), 'tags'), 'tags')
  return listAt(fields, 'tags', 'tags', 10_000)
    .filter((tag) => typeof tag === 'string')
    .slice(0, 20)
}
