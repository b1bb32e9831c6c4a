/** What is asked of a JSON body before anything looks into it: that it is small, UTF-8, and not a tower of brackets. */
import type { MiddlewareHandler } from 'hono'
import { AppError } from '../errors.ts'

const depthAtMost = 64

/**
 * Reads JSON bodies, counting, and hands them on; bodies of other types pass unread. What is counted is what arrives:
 * neither `Content-Length` nor chunks can make the limit look the other way. Throws `BODY_TOO_LARGE`, `REQUEST_INVALID`.
 */
export const jsonBody =
  (limit: number): MiddlewareHandler =>
  async (c, next) => {
    const { raw } = c.req
    if (raw.body && /^application\/(?:[\w.-]+\+)?json\b/i.test(c.req.header('content-type') ?? '')) {
      const text = decode(await readAtMost(raw.body, limit))
      refuseDeep(text)
      c.req.raw = new Request(raw.url, { method: raw.method, headers: raw.headers, body: text })
    }
    await next()
  }

/** All bytes of a stream. Throws `BODY_TOO_LARGE` as soon as there are more than `limit`. */
export async function readAtMost(body: ReadableStream<Uint8Array>, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let size = 0
  const reader = body.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    size += value.length
    if (size > limit) {
      await reader.cancel()
      throw new AppError('BODY_TOO_LARGE', `the body is larger than ${limit} bytes`)
    }
    chunks.push(value)
  }
  const bytes = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new AppError('REQUEST_INVALID', 'the body is not UTF-8', { cause })
  }
}

/** Counts brackets before `JSON.parse` and the schemas recurse into them. */
function refuseDeep(text: string): void {
  let depth = 0
  let inString = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (inString) {
      if (code === backslash) at++
      else if (code === quote) inString = false
    } else if (code === quote) inString = true
    else if (code === openBrace || code === openBracket) {
      if (++depth > depthAtMost)
        throw new AppError('REQUEST_INVALID', `the body is nested more than ${depthAtMost} levels deep`)
    } else if (code === closeBrace || code === closeBracket) depth--
  }
}

const quote = 0x22
const backslash = 0x5c
const openBracket = 0x5b
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d
