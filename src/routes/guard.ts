/** Who may do what under `/api`: bearer tokens (RFC 6750) and their scopes. */
import type { MiddlewareHandler } from 'hono'
import { type Bearer, includes, tokenVerifier } from '../auth/tokens.ts'
import { AppError } from '../errors.ts'
import type { Scope } from '../registry/schema.ts'
import type { Services } from '../services.ts'

/** What the guard leaves for the routes behind it. */
export type ApiEnv = { Variables: { bearer: Bearer } }

/** What a request needs; `undefined` for the API's own description, which is everybody's. */
export function scopeNeeded(method: string, path: string): Scope | undefined {
  if (path === '/api/openapi.json' || path === '/api/docs') return undefined
  if (path === '/api/tokens' || path.startsWith('/api/tokens/')) return 'admin'
  return method === 'GET' || method === 'HEAD' ? 'read' : 'edit'
}

/**
 * Lets a request pass whose token may do it, and remembers whose it is. Every request asks the registry, so a revoked
 * token is refused at once. Throws `TOKEN_MISSING`, `TOKEN_INVALID`, `TOKEN_SCOPE`.
 */
export function guard({ registry, now }: Pick<Services, 'registry' | 'now'>): MiddlewareHandler<ApiEnv> {
  const verify = tokenVerifier(registry, now)
  return async (c, next) => {
    const needed = scopeNeeded(c.req.method, c.req.path)
    if (needed) {
      const bearer = await verify(tokenIn(c.req.header('authorization')))
      if (!includes(bearer.scope, needed))
        throw new AppError('TOKEN_SCOPE', `token ${bearer.name} may ${bearer.scope}, and this needs ${needed}`)
      c.set('bearer', bearer)
      c.header('Cache-Control', 'no-store')
    }
    await next()
  }
}

function tokenIn(header: string | undefined): string {
  const token = /^bearer +([\w.~+/-]+=*) *$/i.exec(header ?? '')?.[1]
  if (token === undefined) throw new AppError('TOKEN_MISSING', 'send a token: Authorization: Bearer TOKEN')
  return token
}
