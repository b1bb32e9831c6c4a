/** `/api/tokens`: who may use the API. Needs scope `admin`. */
import { createRoute, z } from '@hono/zod-openapi'
import { createToken, deleteToken, listTokens, type TokenRecord } from '../auth/tokens.ts'
import { scopes } from '../registry/schema.ts'
import { nameSchema } from '../registry/settings.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { editorOf, editQuery } from './editor.ts'
import { json, jsonRequest, nameParam, refusals, time } from './schemas.ts'

const tokenSchema = z
  .object({
    name: z.string(),
    scope: z.enum(scopes).openapi({ description: 'read sees; edit changes too; admin makes tokens too' }),
    createdAt: time,
    expiresAt: time.nullable().openapi({ description: 'null: never' }),
  })
  .openapi('Token')

const list = createRoute({
  method: 'get',
  path: '/',
  summary: 'List tokens, by name',
  responses: { 200: json(z.array(tokenSchema), 'Every token, without the secrets') },
})

const create = createRoute({
  method: 'post',
  path: '/',
  summary: 'Create a token',
  request: {
    query: editQuery,
    body: jsonRequest(
      z.strictObject({
        name: nameSchema,
        scope: z.enum(scopes),
        expiresAt: z.iso.datetime({ offset: true }).optional().openapi({ description: 'Absent: never' }),
      }),
      'The token',
    ),
  },
  responses: {
    201: json(tokenSchema.extend({ token: z.string() }), 'The token with its secret, which is never shown again'),
    ...refusals('TOKEN_EXISTS'),
  },
})

const remove = createRoute({
  method: 'delete',
  path: '/{name}',
  summary: 'Revoke a token at once',
  request: { params: nameParam, query: editQuery },
  responses: { 204: { description: 'It is gone' }, ...refusals('TOKEN_UNKNOWN') },
})

/** Mounted at `/api/tokens`. */
export const tokenRoutes = (services: Pick<Services, 'registry' | 'now'>) => {
  const { registry } = services
  return apiRoutes()
    .openapi(list, async (c) => c.json((await listTokens(registry)).map(tokenBody), 200))
    .openapi(create, async (c) => {
      const { name, scope, expiresAt } = c.req.valid('json')
      const wanted = { name, scope, ...(expiresAt !== undefined && { expiresAt: new Date(expiresAt) }) }
      const made = await createToken(registry, wanted, editorOf(c, services))
      c.header('X-Revision', String(made.revision))
      return c.json({ ...tokenBody(made), token: made.token }, 201)
    })
    .openapi(remove, async (c) => {
      const { revision } = await deleteToken(registry, c.req.valid('param').name, editorOf(c, services))
      c.header('X-Revision', String(revision))
      return c.body(null, 204)
    })
}

const tokenBody = ({ name, scope, createdAt, expiresAt }: TokenRecord) => ({
  name,
  scope,
  createdAt: createdAt.toISOString(),
  expiresAt: expiresAt?.toISOString() ?? null,
})
