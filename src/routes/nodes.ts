/** `/api/nodes/{name}` and the list: what the registry knows of each node. Edits of many at once are `nodes-bulk.ts`. */
import { createRoute, z } from '@hono/zod-openapi'
import { AppError } from '../errors.ts'
import { explain, inherit } from '../registry/inherit.ts'
import { checkRevision, memberInputSchema, patchMember } from '../registry/members.ts'
import { changeNodes, getNode, listNodes, unknownNode } from '../registry/nodes.ts'
import { profileMap } from '../registry/profiles.ts'
import { historyOf } from '../registry/revisions.ts'
import { selectNodes } from '../registry/select.ts'
import { settingsSchema } from '../registry/settings.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { clearQuery, dryRunQuery, editorOf, editQuery } from './editor.ts'
import { etagOf, ifMatch } from './etag.ts'
import { defaultLimit, flag, pageOf, pageQuery, revisionPageQuery } from './page.ts'
import {
  changeBody,
  dryRunSchema,
  explanationSchema,
  fullRevisionBody,
  fullRevisionSchema,
  json,
  jsonRequest,
  memberBody,
  memberPatch,
  memberSchema,
  namePage,
  nameParam,
  refusals,
  revisionPage,
  selectParameter,
} from './schemas.ts'

const listQuery = pageQuery.extend({
  select: selectParameter.optional(),
  effective: flag.optional().openapi({ description: 'With the settings that hold after inheritance' }),
})

const listedNode = memberSchema.extend({ effective: settingsSchema.optional() }).openapi('ListedNode')

const list = createRoute({
  method: 'get',
  path: '/',
  summary: 'List nodes, by name',
  request: { query: listQuery },
  responses: {
    200: json(namePage(listedNode), 'A page of nodes'),
    ...refusals('SELECTOR_INVALID'),
  },
})

const read = createRoute({
  method: 'get',
  path: '/{name}',
  summary: 'Show a node',
  request: { params: nameParam },
  responses: { 200: json(memberSchema, 'The node'), ...refusals('NODE_UNKNOWN') },
})

const put = createRoute({
  method: 'put',
  path: '/{name}',
  summary: 'Create or replace a node',
  description: '`If-None-Match: *` only creates; `If-Match` only replaces what the caller saw.',
  request: {
    params: nameParam,
    query: editQuery.extend(dryRunQuery),
    body: jsonRequest(memberInputSchema, 'The node'),
  },
  responses: {
    200: json(z.union([memberSchema, dryRunSchema]), 'The node as stored, or what the edit would change'),
    201: json(memberSchema, 'The node, created'),
    ...refusals(
      'SETTINGS_INVALID',
      'NAME_INVALID',
      'NODE_EXISTS',
      'MAC_TAKEN',
      'ADDRESS_TAKEN',
      'PROFILE_UNKNOWN',
      'REVISION_CONFLICT',
    ),
  },
})

const patch = createRoute({
  method: 'patch',
  path: '/{name}',
  summary: 'Change a node',
  request: {
    params: nameParam,
    query: editQuery.extend(dryRunQuery).extend(clearQuery),
    body: jsonRequest(memberPatch, 'A merge patch (RFC 7396)'),
  },
  responses: {
    200: json(z.union([memberSchema, dryRunSchema]), 'The node as stored, or what the edit would change'),
    ...refusals(
      'SETTINGS_INVALID',
      'NODE_UNKNOWN',
      'MAC_TAKEN',
      'ADDRESS_TAKEN',
      'PROFILE_UNKNOWN',
      'REVISION_CONFLICT',
    ),
  },
})

const remove = createRoute({
  method: 'delete',
  path: '/{name}',
  summary: 'Delete a node',
  request: { params: nameParam, query: editQuery },
  responses: { 204: { description: 'It is gone' }, ...refusals('NODE_UNKNOWN', 'REVISION_CONFLICT') },
})

const readEffective = createRoute({
  method: 'get',
  path: '/{name}/effective',
  summary: 'Show the settings that hold for a node, after inheritance',
  request: { params: nameParam },
  responses: { 200: json(settingsSchema, 'Settings without any null'), ...refusals('NODE_UNKNOWN') },
})

const readExplanation = createRoute({
  method: 'get',
  path: '/{name}/explain',
  summary: 'Show where each setting of a node comes from',
  request: {
    params: nameParam,
    query: z.object({ field: z.string().optional().openapi({ description: 'Only this field and what is below it' }) }),
  },
  responses: { 200: json(z.array(explanationSchema), 'Settings by field'), ...refusals('NODE_UNKNOWN') },
})

const readHistory = createRoute({
  method: 'get',
  path: '/{name}/history',
  summary: 'List the revisions that changed a node, newest first',
  description: 'Also of a node that is deleted.',
  request: { params: nameParam, query: revisionPageQuery },
  responses: { 200: json(revisionPage(fullRevisionSchema), 'Revisions, each with its change of this node') },
})

/** Mounted at `/api/nodes`. */
export const nodeRoutes = (services: Pick<Services, 'registry' | 'now'>) => {
  const { registry } = services
  return apiRoutes()
    .openapi(list, async (c) => {
      const { select, effective, after, limit = defaultLimit } = c.req.valid('query')
      const page = { limit: limit + 1, ...(after !== undefined && { after }) }
      const found = await (select === undefined ? listNodes(registry, page) : selectNodes(registry, select, page))
      const profiles = effective ? await profileMap(registry) : undefined
      const items = found.map((node) => ({
        ...memberBody(node),
        ...(profiles && { effective: inherit(node, profiles) }),
      }))
      return c.json(
        pageOf(items, limit, (node) => node.name),
        200,
      )
    })
    .openapi(read, async (c) => {
      const node = await getNode(registry, c.req.valid('param').name)
      c.header('ETag', etagOf(node.revision))
      return c.json(memberBody(node), 200)
    })
    .openapi(put, async (c) => {
      const { name } = c.req.valid('param')
      const { dryRun = false } = c.req.valid('query')
      const input = c.req.valid('json')
      const expected = ifMatch(c)
      const { revision, changes, result } = await changeNodes(
        registry,
        { ...editorOf(c, services), dryRun },
        async () => [name],
        (_name, before) => {
          if (before && c.req.header('if-none-match') === '*')
            throw new AppError('NODE_EXISTS', `there is a node ${name} already`)
          checkRevision(`node ${name}`, before, expected)
          return input
        },
      )
      c.header('X-Revision', String(revision))
      if (dryRun) return c.json({ revision, changes: changes.map(changeBody) }, 200)
      const node = result[0] ?? (await getNode(registry, name))
      c.header('ETag', etagOf(node.revision))
      return changes[0]?.before === null ? c.json(memberBody(node), 201) : c.json(memberBody(node), 200)
    })
    .openapi(patch, async (c) => {
      const { name } = c.req.valid('param')
      const { dryRun = false, clear = [] } = c.req.valid('query')
      const wanted = c.req.valid('json')
      const expected = ifMatch(c)
      const { revision, changes, result } = await changeNodes(
        registry,
        { ...editorOf(c, services), dryRun },
        async () => [name],
        (_name, before) => {
          if (!before) throw unknownNode(name)
          checkRevision(`node ${name}`, before, expected)
          return patchMember(before, wanted, clear)
        },
      )
      c.header('X-Revision', String(revision))
      if (dryRun) return c.json({ revision, changes: changes.map(changeBody) }, 200)
      const node = result[0] ?? (await getNode(registry, name))
      c.header('ETag', etagOf(node.revision))
      return c.json(memberBody(node), 200)
    })
    .openapi(remove, async (c) => {
      const { name } = c.req.valid('param')
      const expected = ifMatch(c)
      const { revision } = await changeNodes(
        registry,
        editorOf(c, services),
        async () => [name],
        (_name, before) => {
          if (!before) throw unknownNode(name)
          checkRevision(`node ${name}`, before, expected)
          return undefined
        },
      )
      c.header('X-Revision', String(revision))
      return c.body(null, 204)
    })
    .openapi(readEffective, async (c) => {
      const node = await getNode(registry, c.req.valid('param').name)
      return c.json(inherit(node, await profileMap(registry)), 200)
    })
    .openapi(readExplanation, async (c) => {
      const { field } = c.req.valid('query')
      const node = await getNode(registry, c.req.valid('param').name)
      const all = explain(node, await profileMap(registry))
      const wanted = all.filter((one) => !field || one.field === field || one.field.startsWith(`${field}.`))
      return c.json(wanted, 200)
    })
    .openapi(readHistory, async (c) => {
      const { name } = c.req.valid('param')
      const { limit = defaultLimit, before } = c.req.valid('query')
      const page = { limit: limit + 1, ...(before !== undefined && { before }) }
      const found = await historyOf(registry, 'node', name, page)
      return c.json(
        pageOf(found.map(fullRevisionBody), limit, (one) => one.id),
        200,
      )
    })
}
