/**
 * Logging in at a registry: what its challenge asks for becomes an Authorization header. Basic (RFC 7617) and the token
 * protocol of registries (distribution spec "Token Authentication Specification", and its OAuth 2 form for identity tokens).
 */
import { AppError } from '../errors.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Credentials } from './credentials.ts'
import { type Http, type Reply, received } from './http.ts'
import { fieldsOf, parseJson, textAt } from './json.ts'
import { type Outcome, persist } from './persist.ts'

/** What a login works with. */
export type Login = {
  http: Http
  /** For messages: `registry.example.com`. */
  registry: string
  /** What is asked for when the challenge does not say: `repository:library/rockylinux:pull`. */
  scope: string
  credentials: () => Promise<Credentials | undefined>
  pause: (milliseconds: number) => Promise<void>
  signal: AbortSignal | undefined
}

/** Bytes of a token server's answer. */
const mostAnswer = 2 ** 20

/**
 * The Authorization header that a challenge asks for. Credentials go to the registry that asks (Basic), or to the realm that
 * its challenge names (Bearer), nowhere else. Throws `SOURCE_DENIED`.
 */
export async function logIn(header: string | undefined, login: Login): Promise<string> {
  const challenges = parseChallenges(header ?? '')
  const bearer = challenges.find(({ scheme, params }) => scheme === 'bearer' && params.has('realm'))
  if (bearer) return `Bearer ${await tokenOf(bearer, login)}`
  if (!challenges.some(({ scheme }) => scheme === 'basic')) {
    throw denied(`${login.registry} wants a login of a kind that Muster does not know`)
  }
  const credentials = await login.credentials()
  if (!credentials) throw denied(`${login.registry} wants a login: ${way(login)}`)
  return basicOf(credentials, login)
}

/** How to get a login. */
export const way = ({ registry }: Pick<Login, 'registry'>): string =>
  `log in with \`podman login ${registry}\` or \`docker login ${registry}\`, or name a file with --authfile`

function basicOf(credentials: Credentials, { registry }: Pick<Login, 'registry'>): string {
  if ('identityToken' in credentials) {
    throw denied(`${credentials.from} has a token for ${registry}, which wants a user and a password`)
  }
  const bytes = new TextEncoder().encode(`${credentials.username}:${credentials.password}`)
  return `Basic ${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))}`
}

async function tokenOf({ params }: Challenge, login: Login): Promise<string> {
  const realm = params.get('realm') ?? ''
  if (!URL.canParse(realm)) throw denied(`${login.registry} names a token server that is no URL`)
  const url = new URL(realm)
  const credentials = await login.credentials()
  const asked = { service: params.get('service'), scope: params.get('scope') ?? login.scope }
  const what = `the token of ${url.host}`
  const answer = await persist(async () => {
    const outcome = await askToken(url, asked, credentials, login)
    return 'fault' in outcome ? outcome : received(outcome.value, mostAnswer, what, login.signal)
  }, login.pause)
  if (answer.status === 401 || answer.status === 403) {
    const who = credentials ? `does not take the login from ${credentials.from}` : `wants a login: ${way(login)}`
    throw denied(`${url.host}, which guards ${login.registry}, ${who}`)
  }
  if (answer.status !== 200) {
    throw denied(`${url.host}, which guards ${login.registry}, answered ${answer.status}`)
  }
  const fields = fieldsOf(parseJson(answer.bytes, what), what)
  const token = textAt(fields, 'token', what) ?? textAt(fields, 'access_token', what)
  if (token === undefined || !/^[\x21-\x7e]+$/.test(token)) throw denied(`${url.host} answered without a token`)
  return token
}

/** Asks the token server: GET with Basic or nobody's name, POST with an identity token, which must not be in a URL. */
async function askToken(
  url: URL,
  { service, scope }: { service: string | undefined; scope: string },
  credentials: Credentials | undefined,
  login: Login,
): Promise<Outcome<Reply>> {
  if (credentials && 'identityToken' in credentials) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: 'muster',
      ...(service !== undefined && { service }),
      scope,
      refresh_token: credentials.identityToken,
    })
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    return login.http.ask(url, { method: 'POST', headers, body: form.toString() })
  }
  const asking = new URL(url)
  if (service !== undefined) asking.searchParams.set('service', service)
  // A challenge can name several, parted by spaces: each is a parameter of its own.
  for (const one of scope.split(' ')) if (one !== '') asking.searchParams.append('scope', one)
  const headers = credentials ? { authorization: basicOf(credentials, login) } : {}
  return login.http.ask(asking, { headers })
}

/** What a registry that was logged in to says no with. */
export const refused = (
  { status }: Pick<Reply, 'status'>,
  name: string,
  login: Login,
  from: string | undefined,
): AppError => {
  const who = from === undefined ? `: ${way(login)}` : ` to the login from ${from}`
  const what = status === 401 ? 'is not there, or is closed' : 'is closed'
  return denied(`${name} ${what}${who}`)
}

const denied = (message: string): AppError => new AppError('SOURCE_DENIED', message)
