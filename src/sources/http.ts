/** HTTP to strangers: authorities and proxies of this machine, redirects that take no credentials along. Node only. */
import { readFile } from 'node:fs/promises'
import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http'
import { Agent, request } from 'node:https'
import { resolve } from 'node:path'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { AppError } from '../errors.ts'
import { type Outcome, retryAfter } from './persist.ts'
import type { SourceOptions } from './source.ts'
import { collect } from './verified.ts'

/** What is asked. */
export type Ask = { method?: 'GET' | 'POST'; headers?: Record<string, string>; body?: string }

/** What came back, its body not yet read. `url` is where it came from in the end. */
export type Reply = { status: number; headers: IncomingMessage['headers']; body: IncomingMessage; url: URL }

/** An answer whose body was read. */
export type Document = { status: number; headers: Reply['headers']; bytes: Uint8Array<ArrayBuffer> }

/** Asks servers. */
export type Http = {
  /**
   * One try. Follows redirects; what came from the credentials (`authorization`) goes to the URL's own origin only. Faults
   * that may pass (429, 5xx, a broken connection) are given; others, such as a certificate that is not trusted, are thrown:
   * `SOURCE_UNREACHABLE`.
   */
  ask(url: URL, ask?: Ask): Promise<Outcome<Reply>>
  close(): void
}

/** Milliseconds without a byte, after which a connection counts as broken. */
const idle = 60_000
const mostRedirects = 5
const redirects = [301, 302, 303, 307, 308]
/** Statuses of servers that are busy or being restarted. */
const passing = [429, 500, 502, 503, 504]
/** Ways in which a connection breaks that may work the next time. */
const breaks = ['ECONNRESET', 'ETIMEDOUT', 'EPIPE', 'EAI_AGAIN', 'ECONNABORTED', 'HPE_INVALID_EOF_STATE']

/** A client. Reads the file of authorities; throws `REQUEST_INVALID` when there are none in it. */
export async function openHttp({
  ca,
  insecure = false,
  cwd,
  env,
  signal,
}: Pick<SourceOptions, 'ca' | 'insecure' | 'cwd' | 'env' | 'signal'>): Promise<Http> {
  const { secure, plain } = agents(env, {
    secureContext: trust(ca === undefined ? undefined : await readAuthorities(resolve(cwd, ca))),
    rejectUnauthorized: !insecure,
  })

  const exchange = (url: URL, { method = 'GET', headers = {}, body }: Ask): Promise<IncomingMessage> =>
    new Promise((done, failed) => {
      const options = { method, headers: { 'user-agent': 'muster', ...headers }, ...(signal && { signal }) }
      const sent =
        url.protocol === 'https:'
          ? request(url, { ...options, agent: secure }, done)
          : plainRequest(url, { ...options, agent: plain }, done)
      sent.setTimeout(idle, () => {
        sent.destroy(Object.assign(new Error(`nothing came for ${idle / 1000} s`), { code: 'ETIMEDOUT' }))
      })
      sent.once('error', failed)
      sent.end(body)
    })

  const follow = async (first: URL, ask: Ask): Promise<Reply> => {
    let url = first
    for (let hops = 0; ; hops++) {
      refuseScheme(url, insecure)
      const { authorization, ...open } = ask.headers ?? {}
      const headers = url.origin === first.origin ? (ask.headers ?? {}) : open
      const body = await exchange(url, { ...ask, headers })
      const status = body.statusCode ?? 0
      const target = body.headers.location
      if (!redirects.includes(status) || target === undefined || ask.method === 'POST') {
        return { status, headers: body.headers, body, url }
      }
      body.destroy()
      if (hops === mostRedirects) throw unreachable(`${first.host} sends us on more than ${mostRedirects} times`)
      if (!URL.canParse(target, url)) throw unreachable(`${url.host} sends us on to what is no URL`)
      url = new URL(target, url)
    }
  }

  return {
    async ask(url, ask = {}) {
      let reply: Reply
      try {
        reply = await follow(url, ask)
      } catch (error) {
        return faultOf(error, url, signal)
      }
      if (!passing.includes(reply.status)) return { value: reply }
      reply.body.destroy()
      const afterSeconds = retryAfter(reply.headers['retry-after'], Date.now())
      const fault = unreachable(`${reply.url.host} answered ${reply.status}`)
      return { fault, ...(afterSeconds !== undefined && { afterSeconds }) }
    },
    close() {
      secure.destroy()
      plain.destroy()
    },
  }
}

/** A whole answer; one that breaks off may come whole the next time. Throws `SOURCE_INVALID` when it is longer than `most`. */
export async function received(
  { status, body, headers, url }: Reply,
  most: number,
  what: string,
  signal: AbortSignal | undefined,
): Promise<Outcome<Document>> {
  try {
    return { value: { status, headers, bytes: await collect(body, most, what) } }
  } catch (error) {
    return faultOf(error, url, signal)
  } finally {
    body.destroy()
  }
}

/** Refuses what is not HTTP, what is not encrypted, and URLs that carry credentials of somebody else's choice. */
function refuseScheme(url: URL, insecure: boolean): void {
  if (url.username !== '' || url.password !== '') throw unreachable(`${url.host} is named with a password in its URL`)
  if (url.protocol === 'https:' || (insecure && url.protocol === 'http:')) return
  throw unreachable(`${url.protocol}//${url.host} is not https: --insecure allows http`)
}

/** What a failed connection means: given when it may pass, else thrown. */
export function faultOf(error: unknown, url: URL, signal: AbortSignal | undefined): { fault: AppError } {
  if (signal?.aborted) throw signal.reason
  if (error instanceof AppError) throw error
  const code = codeOf(error)
  if (code !== undefined && breaks.includes(code))
    return { fault: unreachable(`the connection to ${url.host} broke (${code})`, error) }
  if (isUntrusted(code)) {
    const own = code === 'CERT_HAS_EXPIRED' || code === 'ERR_TLS_CERT_ALTNAME_INVALID'
    const way = own ? '' : ": give its authority's certificate with --ca FILE"
    throw unreachable(`the certificate of ${url.host} is not trusted (${code})${way}`, error)
  }
  if (isNoTls(code)) throw unreachable(`${url.host} does not speak TLS (${code}): --insecure allows http`, error)
  throw unreachable(`cannot reach ${url.host} (${code ?? String(error)})`, error)
}

/** The code that Node and OpenSSL give an error, the first one of several that a name with several addresses has. */
export function codeOf(error: unknown): string | undefined {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0])
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

const isUntrusted = (code = ''): boolean => /CERT|SIGNATURE/.test(code)

/** Whether the other side does not speak TLS at all: plain HTTP, most likely. */
export const isNoTls = (code = ''): boolean => code === 'EPROTO' || /WRONG_VERSION_NUMBER|PACKET_LENGTH/.test(code)

const unreachable = (message: string, cause?: unknown): AppError =>
  new AppError('SOURCE_UNREACHABLE', message, cause === undefined ? {} : { cause })

/** Agents that go through the proxies of the environment: HTTPS_PROXY, HTTP_PROXY, NO_PROXY. */
function agents(env: SourceOptions['env'], tls: { secureContext: SecureContext; rejectUnauthorized: boolean }) {
  try {
    const shared = { keepAlive: true, proxyEnv: env }
    return { secure: new Agent({ ...shared, ...tls }), plain: new PlainAgent(shared) }
  } catch (cause) {
    throw new AppError('REQUEST_INVALID', 'HTTPS_PROXY or HTTP_PROXY names no proxy: it must be a URL', { cause })
  }
}

/** Whom we trust. Node knows Mozilla's authorities; a site's own is where the system keeps them, or in the file. */
function trust(own: { file: string; text: string } | undefined): SecureContext {
  const known = [...getCACertificates('default'), ...getCACertificates('system')]
  try {
    return createSecureContext({ ca: [...new Set(known), ...(own ? [own.text] : [])] })
  } catch (cause) {
    throw new AppError('REQUEST_INVALID', `${own?.file} holds a certificate that is damaged`, { cause })
  }
}

async function readAuthorities(file: string): Promise<{ file: string; text: string }> {
  const text = await readFile(file, 'latin1')
  if (text.includes('-----BEGIN CERTIFICATE-----')) return { file, text }
  throw new AppError('REQUEST_INVALID', `${file} holds no certificate in PEM form`)
}
