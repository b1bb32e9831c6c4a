/** The API, typed by the app itself: which service, with which token, and what its refusals mean here. */
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ClientResponse } from 'hono/client'
import { hc } from 'hono/client'
import type { SuccessStatusCode } from 'hono/utils/http-status'
import type { App } from '../app.ts'
import { AppError, type ErrorCode, statusOf } from '../errors.ts'
import type { Io } from './io.ts'

/** Where the service is unless MUSTER_SERVER or --server says otherwise. */
const defaultServer = 'http://127.0.0.1:9080'

/** What a command asks the API with. */
export type Api = {
  /** Typed calls. Path parameters go through {@link segment} first. */
  client: ReturnType<typeof hc<App>>
  /** The service's URL, no slash at the end. */
  server: string
  /** A request that the typed client cannot make: a streamed body. Same token, same errors. */
  request(path: string, init: RequestInit): Promise<Response>
}

/** The API at the service that the options or the environment name. Throws `REQUEST_INVALID` when that is no URL. */
export async function openApi(io: Io, options: { server?: string }): Promise<Api> {
  const server = serverOf(options.server ?? io.env.MUSTER_SERVER ?? defaultServer)
  const token = await tokenOf(io)
  if (token.value !== undefined && !/^[\w.~+/-]+=*$/.test(token.value)) {
    throw new AppError('REQUEST_INVALID', `${token.source} and it does not look like one`)
  }
  const send = sender(io, server, token.source)
  const headers: Record<string, string> = token.value === undefined ? {} : { authorization: `Bearer ${token.value}` }
  return {
    server,
    client: hc<App>(server, { headers, fetch: send }),
    request: async (path, init) => send(`${server}${path}`, { ...init, headers: { ...headers, ...init.headers } }),
  }
}

/** The answer's document. What is typed is what the route declares for its successes. */
export async function answer<R extends ClientResponse<unknown>>(response: Promise<R>): Promise<Answer<R>> {
  const received = await response
  const text = await received.text().catch((cause: unknown) => {
    throw new AppError('INTERNAL', 'the answer broke off: try again', { cause })
  })
  if (text === '') return undefined as Answer<R>
  const type = received.headers.get('content-type') ?? ''
  if (type.startsWith('text/plain')) return text as Answer<R>
  try {
    return JSON.parse(text) as Answer<R>
  } catch (cause) {
    throw new AppError('INTERNAL', `the answer is no JSON but ${type || 'of no type'}: is it Muster?`, { cause })
  }
}

/** The document of a response type's successes. */
export type Answer<R> =
  R extends ClientResponse<infer Document, infer Status, infer _Format>
    ? Status extends SuccessStatusCode
      ? Document
      : never
    : never

/** A name as one segment of a path. Throws `REQUEST_INVALID` for what a URL would swallow: nothing, `.` and `..`. */
export function segment(name: string): string {
  if (/^\.{0,2}$/.test(name)) throw new AppError('REQUEST_INVALID', `"${name}" is not a name`)
  return encodeURIComponent(name)
}

/** Sends a request and turns every refusal, and every way of not arriving, into an `AppError`. */
function sender(io: Io, server: string, tokenSource: string) {
  return async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const signal = io.signal && init.signal ? AbortSignal.any([io.signal, init.signal]) : (init.signal ?? io.signal)
    let response: Response
    try {
      response = await (io.fetch ?? fetch)(input, { ...init, ...(signal && { signal }) })
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      throw unreachable(server, error)
    }
    if (!response.ok) throw await refusal(response, server, tokenSource)
    return response
  }
}

/** What the service said no with, as an `AppError` that also says what to do about a token. */
async function refusal(response: Response, server: string, tokenSource: string): Promise<AppError> {
  const body: unknown = await response.json().catch(() => undefined)
  const { code, message, field, faults } = (body ?? {}) as Partial<AppError>
  if (typeof message !== 'string' || !isCode(code)) {
    const what = `${server} answered ${response.status} and not as Muster does: is it Muster?`
    return new AppError('INTERNAL', what)
  }
  const hint = response.status === 401 ? ` (${tokenSource})` : ''
  return new AppError(code, `${message}${hint}`, { ...(field && { field }), ...(faults && { faults }) })
}

function unreachable(server: string, error: unknown): AppError {
  const code = reasonOf(error)
  const refused = code === 'ECONNREFUSED'
  const way = refused ? 'start the service with `muster serve`, or name' : 'name'
  return new AppError(
    'INTERNAL',
    `cannot reach ${server} (${refused ? 'connection refused' : code}): ${way} another with --server or MUSTER_SERVER`,
    { cause: error },
  )
}

/** The innermost reason that a failed fetch gives: a system's error code when there is one. */
function reasonOf(error: unknown): string {
  let reason = String(error)
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    reason = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message
  }
  return reason
}

const isCode = (code: unknown): code is ErrorCode => typeof code === 'string' && Object.hasOwn(statusOf, code)

function serverOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:'
  if (!url || !isHttp) throw new AppError('REQUEST_INVALID', `the server must be a URL such as ${defaultServer}`)
  if (url.username || url.password) {
    throw new AppError('REQUEST_INVALID', 'the server URL must not carry a password: tokens come from MUSTER_TOKEN')
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
}

/** The token and, for a refusal, where it came from. Never an option: everybody can read a process's arguments. */
async function tokenOf(io: Io): Promise<{ value?: string; source: string }> {
  if (io.env.MUSTER_TOKEN) return { value: io.env.MUSTER_TOKEN.trim(), source: 'the token is that of MUSTER_TOKEN' }
  if (io.env.MUSTER_TOKEN_FILE) {
    const file = resolve(io.cwd, io.env.MUSTER_TOKEN_FILE)
    const value = await contentOf(file)
    if (value === undefined)
      throw new AppError('REQUEST_INVALID', `MUSTER_TOKEN_FILE names ${file}, which does not exist`)
    return { value, source: `the token is that of ${file}` }
  }
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const data = io.env.MUSTER_DATA
    ? resolve(io.cwd, io.env.MUSTER_DATA.replace(/^~(?=\/|$)/, homedir()))
    : join(root, 'var')
  const file = join(data, 'admin.token')
  const value = await contentOf(file)
  if (value !== undefined) return { value, source: `the token is that of ${file}` }
  const ways = `set MUSTER_TOKEN or MUSTER_TOKEN_FILE; on the head node the service writes one to ${file}`
  return { source: ways }
}

/** The file's one line; `undefined` when there is no such file. Throws when it may not be read. */
async function contentOf(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new AppError(
      'REQUEST_INVALID',
      `cannot read the token in ${file} (${code}): set MUSTER_TOKEN or MUSTER_TOKEN_FILE`,
    )
  }
}
