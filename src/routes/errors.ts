/** The one place that turns a failure into an answer, and the one that logs what was nobody's request. */
import type { Context, ErrorHandler, NotFoundHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { AppError, statusOf } from '../errors.ts'
import type { Services } from '../services.ts'

/**
 * Answers `{ code, message, field?, faults? }` with the code's status. What is not an `AppError` is a bug or an outage:
 * it is logged once, with its causes, and answered `INTERNAL` without detail. `X-Request-Id` is in the answer and the log.
 */
export const onError =
  ({ log }: Pick<Services, 'log'>): ErrorHandler =>
  (error, c) => {
    const id = requestId(c)
    c.header('X-Request-Id', id)
    const refusal = refusalOf(error)
    // Whoever asked can do something about it, and whoever runs the disk must know as well.
    if (refusal && isEverybodys(refusal)) log('error', refusal.message, { id, faults: refusal.faults })
    if (refusal) return answer(c, refusal)
    log('error', 'a request failed', { id, method: c.req.method, path: c.req.path, error: causesOf(error) })
    return answer(c, new AppError('INTERNAL', `this is Muster's own fault: its log has more under ${id}`))
  }

/** Answers `ROUTE_UNKNOWN`. */
export const onNotFound: NotFoundHandler = (c) => {
  c.header('X-Request-Id', requestId(c))
  return answer(c, new AppError('ROUTE_UNKNOWN', `nothing is at ${c.req.method} ${c.req.path}: see /api/docs`))
}

/** Answers `METHOD_UNKNOWN` with the methods that the path has. */
export function onMethodNotAllowed(c: Context, methods: string[]): Response {
  c.header('Allow', methods.join(', '))
  c.header('X-Request-Id', requestId(c))
  return answer(c, new AppError('METHOD_UNKNOWN', `${c.req.path} has no ${c.req.method}, only ${methods.join(', ')}`))
}

function answer(c: Context, { code, message, field, faults }: AppError): Response {
  const challenge = challenges[code]
  if (challenge) c.header('WWW-Authenticate', challenge)
  const pause = pauses[code]
  if (pause) c.header('Retry-After', pause)
  c.header('Cache-Control', 'no-store')
  return c.json({ code, message, field, faults }, statusOf[code])
}

/** Seconds after which what cannot be done now may be done (RFC 9110 §10.2.3). */
const pauses: { [code in AppError['code']]?: string } = {
  REGISTRY_BUSY: '1',
  IMAGE_PREPARING: '10',
  IMPORT_LIMIT: '30',
}

/** What a bearer needs to be told (RFC 6750 §3). */
const challenges: { [code in AppError['code']]?: string } = {
  TOKEN_MISSING: 'Bearer realm="muster"',
  TOKEN_INVALID: 'Bearer realm="muster", error="invalid_token"',
  TOKEN_SCOPE: 'Bearer realm="muster", error="insufficient_scope"',
}

/** Faults of ours that are told whole: what is in the way out is no secret. */
const isEverybodys = ({ code }: AppError): boolean => code === 'BLOB_CORRUPT' || code === 'SECRET_LOCKED'

/** The error as something to tell the caller, or `undefined` when it is none of the caller's business. */
function refusalOf(error: unknown): AppError | undefined {
  if (error instanceof AppError) return statusOf[error.code] === 500 && !isEverybodys(error) ? undefined : error
  // Hono's own refusals: a body that is no JSON, a media type that the route does not take.
  if (error instanceof HTTPException && error.status < 500)
    return new AppError(
      'REQUEST_INVALID',
      error.status === 415 ? 'send JSON: Content-Type: application/json' : error.message,
    )
  return undefined
}

/** The caller's own id when it is short and plain enough for a log line, else a new one. */
function requestId(c: Context): string {
  const given = c.req.header('x-request-id')
  return given && /^[\w.=-]{1,64}$/.test(given) ? given : crypto.randomUUID()
}

/** The error and its causes, for the log. A failed query is told without its parameters: they may be secrets. */
function causesOf(error: unknown): string[] {
  const causes: string[] = []
  for (let cause = error; cause && causes.length < 8; ) {
    if (cause instanceof Error && 'query' in cause && 'params' in cause)
      causes.push(`failed query: ${String(cause.query)}`)
    else causes.push(cause instanceof Error ? (cause.stack ?? cause.message) : String(cause))
    cause = cause instanceof Error ? cause.cause : undefined
  }
  return causes
}
