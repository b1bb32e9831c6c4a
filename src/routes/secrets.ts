/** `/api/secrets`: what is known of secrets, and how they are set. No answer has a secret's text in it. */
import { createRoute, z } from '@hono/zod-openapi'
import { secretKinds } from '../overlays/manifest.ts'
import { heldBy, ownersOf } from '../registry/node-secrets.ts'
import { getNode } from '../registry/nodes.ts'
import { profileMap } from '../registry/profiles.ts'
import { secretNameSchema, secretOwnerSchema } from '../registry/secret-names.ts'
import { listSecrets, recordOf, type SecretRecord, secretPlace } from '../registry/secret-records.ts'
import { deleteSecret, generateSecret, secretAtMost, setSecret } from '../registry/secrets.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { editorOf, editQuery } from './editor.ts'
import { defaultLimit, pageOf, pageQuery } from './page.ts'
import { json, jsonRequest, namePage, refusals, time } from './schemas.ts'

const secretSchema = z
  .object({
    owner: z.string().openapi({ description: 'Whose it is: cluster, profile:NAME or node:NAME', example: 'node:n001' }),
    name: z.string().openapi({ example: 'ssh_host_ed25519_key' }),
    generated: z.boolean().openapi({ description: 'Made because an overlay declares it and nobody has set it' }),
    public: z.string().nullable().openapi({ description: 'The public half of a key pair, one line' }),
    revision: z.int().openapi({ description: 'The revision that set it; 0 of what was generated' }),
    changedAt: time,
  })
  .openapi('Secret')

const params = z.object({
  owner: secretOwnerSchema.openapi({ type: 'string', example: 'profile:gpu' }),
  name: secretNameSchema,
})

const list = createRoute({
  method: 'get',
  path: '/',
  summary: 'List secrets, by owner and name, without their texts',
  request: {
    query: pageQuery.extend({
      after: z
        .string()
        .max(400)
        .optional()
        .openapi({ description: 'Begin after this place: `next` of the page before' }),
      owner: secretOwnerSchema.optional().openapi({ type: 'string', description: 'Only secrets of this one' }),
      node: z.string().max(256).optional().openapi({
        description: 'What this node gets, and whose it is: all of it on one page. Hidden ones are left out',
      }),
    }),
  },
  responses: { 200: json(namePage(secretSchema), 'A page of secrets'), ...refusals('NODE_UNKNOWN') },
})

const put = createRoute({
  method: 'put',
  path: '/{owner}/{name}',
  summary: 'Set a secret',
  description: 'Replaces the one that there is. Nothing shows the text again.',
  request: {
    params,
    query: editQuery,
    body: jsonRequest(
      z.strictObject({
        value: z.string().openapi({ description: `The text, at most ${secretAtMost} bytes`, format: 'password' }),
      }),
      'The secret',
    ),
  },
  responses: {
    200: json(secretSchema, 'The secret, without its text'),
    ...refusals('SECRET_INVALID', 'NODE_UNKNOWN', 'PROFILE_UNKNOWN', 'SECRET_LOCKED', 'UNSUPPORTED'),
  },
})

const generate = createRoute({
  method: 'post',
  path: '/{owner}/{name}/generate',
  summary: 'Make a secret and set it',
  description: 'Replaces the one that there is. Of a key pair the answer has the public half.',
  request: {
    params,
    query: editQuery,
    body: jsonRequest(
      z.strictObject({
        kind: z
          .enum(secretKinds)
          .openapi({ description: 'random is 32 random bytes as base64; ssh-rsa has 3072 bits' }),
      }),
      'What to make',
    ),
  },
  responses: {
    200: json(secretSchema, 'The secret, without its text'),
    ...refusals('NODE_UNKNOWN', 'PROFILE_UNKNOWN', 'SECRET_LOCKED', 'UNSUPPORTED'),
  },
})

const remove = createRoute({
  method: 'delete',
  path: '/{owner}/{name}',
  summary: 'Delete a secret',
  description: 'Where none is set, the one that was generated goes, and another is made when the node needs it.',
  request: { params, query: editQuery },
  responses: { 204: { description: 'It is gone' }, ...refusals('SECRET_UNKNOWN') },
})

/** Mounted at `/api/secrets`. */
export const secretRoutes = (services: Pick<Services, 'registry' | 'now' | 'secretKey'>) => {
  const { registry } = services
  const find = heldBy(registry)
  return apiRoutes()
    .openapi(list, async (c) => {
      const { node, owner, after, limit = defaultLimit } = c.req.valid('query')
      if (node !== undefined) {
        const owners = ownersOf(await getNode(registry, node), { profiles: await profileMap(registry) })
        const held = [...(await find(owners)).values()].map(recordOf)
        const items = held.filter((secret) => owner === undefined || secret.owner === owner)
        return c.json({ items: items.map(secretBody), next: null }, 200)
      }
      const found = await listSecrets(registry, {
        limit: limit + 1,
        ...(owner !== undefined && { owner }),
        ...(after !== undefined && { after }),
      })
      const page = pageOf(found, limit, secretPlace)
      return c.json({ items: page.items.map(secretBody), next: page.next }, 200)
    })
    .openapi(put, async (c) => {
      const secret = { ...c.req.valid('param'), ...c.req.valid('json') }
      const { revision, result } = await setSecret(services, editorOf(c, services), secret)
      c.header('X-Revision', String(revision))
      return c.json(secretBody(result), 200)
    })
    .openapi(generate, async (c) => {
      const secret = { ...c.req.valid('param'), ...c.req.valid('json') }
      const { revision, result } = await generateSecret(services, editorOf(c, services), secret)
      c.header('X-Revision', String(revision))
      return c.json(secretBody(result), 200)
    })
    .openapi(remove, async (c) => {
      const { revision } = await deleteSecret(registry, editorOf(c, services), c.req.valid('param'))
      c.header('X-Revision', String(revision))
      return c.body(null, 204)
    })
}

const secretBody = ({ owner, name, generated, public: half, revision, changedAt }: SecretRecord) => ({
  owner: owner as string,
  name,
  generated,
  public: half,
  revision,
  changedAt: changedAt.toISOString(),
})
