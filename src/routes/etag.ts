/** ETags: the number of the revision that last changed a thing, in quotes (RFC 9110 §8.8.3, §13). */
import type { Context, MiddlewareHandler } from 'hono'
import { AppError } from '../errors.ts'

/** The revision as an ETag. */
export const etagOf = (revision: number): string => `"${revision}"`

/**
 * The revision that `If-Match` asks for: a number, `'*'` for any, `undefined` without the header. Throws `REQUEST_INVALID`
 * for what is no single ETag of ours, because ignoring it would overwrite what the caller meant to protect.
 */
export function ifMatch(c: Context): number | '*' | undefined {
  const header = c.req.header('if-match')?.trim()
  if (header === undefined || header === '*') return header
  const number = /^"([0-9]{1,15})"$/.exec(header)?.[1]
  if (number === undefined)
    throw new AppError('REQUEST_INVALID', 'If-Match must be one ETag as GET gave it, such as "7"', {
      field: 'If-Match',
    })
  return Number(number)
}

/** Whether `If-None-Match` names an ETag; the comparison is weak (RFC 9110 §13.1.2). */
export const namesEtag = (header: string | undefined, etag: string): boolean =>
  (header ?? '').split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag)

/** Answers 304 to a GET whose answer has an ETag that the caller named. */
export const notModified: MiddlewareHandler = async (c, next) => {
  await next()
  const wanted = c.req.header('if-none-match')
  const etag = c.res.headers.get('etag')
  if (wanted === undefined || etag === null || c.res.status !== 200) return
  if (c.req.method !== 'GET' && c.req.method !== 'HEAD') return
  if (namesEtag(wanted, etag)) c.res = new Response(null, { status: 304 }) // hono keeps the headers
}
