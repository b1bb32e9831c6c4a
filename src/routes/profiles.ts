/** `/api/profiles`: settings that nodes share. */
import { createRoute, z } from '@hono/zod-openapi'
import { AppError } from '../errors.ts'
import { checkRevision, memberInputSchema, patchMember } from '../registry/members.ts'
import { changeProfile, getProfile, listProfiles, usersOf } from '../registry/profiles.ts'
import { historyOf } from '../registry/revisions.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { clearQuery, dryRunQuery, editorOf, editQuery } from './editor.ts'
import { etagOf, ifMatch } from './etag.ts'
import { defaultLimit, pageOf, pageQuery, revisionPageQuery } from './page.ts'
import {
  changeBody,
  dryRunSchema,
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
} from './schemas.ts'

const list = createRoute({
  method: 'get',
  path: '/',
  summary: 'List profiles, by name',
  request: { query: pageQuery },
  responses: { 200: json(namePage(memberSchema), 'A page of profiles') },
})

const read = createRoute({
  method: 'get',
  path: '/{name}',
  summary: 'Show a profile',
  request: { params: nameParam },
  responses: { 200: json(memberSchema, 'The profile'), ...refusals('PROFILE_UNKNOWN') },
})

const put = createRoute({
  method: 'put',
  path: '/{name}',
  summary: 'Create or replace a profile',
  description: '`If-None-Match: *` only creates (412 when it exists); `If-Match` only replaces what the caller saw.',
  request: {
    params: nameParam,
    query: editQuery.extend(dryRunQuery),
    body: jsonRequest(memberInputSchema, 'The profile; its `profiles` are its parents'),
  },
  responses: {
    200: json(z.union([memberSchema, dryRunSchema]), 'The profile as stored, or what the edit would change'),
    201: json(memberSchema, 'The profile, created'),
    ...refusals('SETTINGS_INVALID', 'NAME_INVALID', 'PROFILE_UNKNOWN', 'PROFILE_CYCLE', 'REVISION_CONFLICT'),
  },
})

const patch = createRoute({
  method: 'patch',
  path: '/{name}',
  summary: 'Change a profile',
  request: {
    params: nameParam,
    query: editQuery.extend(dryRunQuery).extend(clearQuery),
    body: jsonRequest(memberPatch, 'A merge patch (RFC 7396)'),
  },
  responses: {
    200: json(z.union([memberSchema, dryRunSchema]), 'The profile as stored, or what the edit would change'),
    ...refusals('SETTINGS_INVALID', 'PROFILE_UNKNOWN', 'PROFILE_CYCLE', 'REVISION_CONFLICT'),
  },
})

const remove = createRoute({
  method: 'delete',
  path: '/{name}',
  summary: 'Delete a profile that nobody uses',
  request: { params: nameParam, query: editQuery },
  responses: {
    204: { description: 'It is gone' },
    ...refusals('PROFILE_UNKNOWN', 'PROFILE_USED', 'REVISION_CONFLICT'),
  },
})

const readUsers = createRoute({
  method: 'get',
  path: '/{name}/users',
  summary: 'List who names a profile',
  request: { params: nameParam },
  responses: {
    200: json(z.object({ nodes: z.array(z.string()), profiles: z.array(z.string()) }), 'Names, at most 1000 of each'),
    ...refusals('PROFILE_UNKNOWN'),
  },
})

const readHistory = createRoute({
  method: 'get',
  path: '/{name}/history',
  summary: 'List the revisions that changed a profile, newest first',
  description: 'Also of a profile that is deleted.',
  request: { params: nameParam, query: revisionPageQuery },
  responses: { 200: json(revisionPage(fullRevisionSchema), 'Revisions, each with its change of this profile') },
})

/** Mounted at `/api/profiles`. */
export const profileRoutes = (services: Pick<Services, 'registry' | 'now'>) => {
  const { registry } = services
  return apiRoutes()
    .openapi(list, async (c) => {
      const { after, limit = defaultLimit } = c.req.valid('query')
      const found = await listProfiles(registry, { limit: limit + 1, ...(after !== undefined && { after }) })
      return c.json(
        pageOf(found.map(memberBody), limit, (profile) => profile.name),
        200,
      )
    })
    .openapi(read, async (c) => {
      const profile = await getProfile(registry, c.req.valid('param').name)
      c.header('ETag', etagOf(profile.revision))
      return c.json(memberBody(profile), 200)
    })
    .openapi(put, async (c) => {
      const { name } = c.req.valid('param')
      const { dryRun = false } = c.req.valid('query')
      const input = c.req.valid('json')
      const expected = ifMatch(c)
      const { revision, changes, result } = await changeProfile(
        registry,
        { ...editorOf(c, services), dryRun },
        name,
        (before) => {
          if (before && c.req.header('if-none-match') === '*')
            throw new AppError('REVISION_CONFLICT', `there is a profile ${name} already`)
          checkRevision(`profile ${name}`, before, expected)
          return input
        },
      )
      c.header('X-Revision', String(revision))
      if (dryRun) return c.json({ revision, changes: changes.map(changeBody) }, 200)
      const profile = result ?? (await getProfile(registry, name))
      c.header('ETag', etagOf(profile.revision))
      return changes[0]?.before === null ? c.json(memberBody(profile), 201) : c.json(memberBody(profile), 200)
    })
    .openapi(patch, async (c) => {
      const { name } = c.req.valid('param')
      const { dryRun = false, clear = [] } = c.req.valid('query')
      const wanted = c.req.valid('json')
      const expected = ifMatch(c)
      const { revision, changes, result } = await changeProfile(
        registry,
        { ...editorOf(c, services), dryRun },
        name,
        (before) => {
          if (!before) throw unknownProfile(name)
          checkRevision(`profile ${name}`, before, expected)
          return patchMember(before, wanted, clear)
        },
      )
      c.header('X-Revision', String(revision))
      if (dryRun) return c.json({ revision, changes: changes.map(changeBody) }, 200)
      const profile = result ?? (await getProfile(registry, name))
      c.header('ETag', etagOf(profile.revision))
      return c.json(memberBody(profile), 200)
    })
    .openapi(remove, async (c) => {
      const { name } = c.req.valid('param')
      const expected = ifMatch(c)
      const { revision } = await changeProfile(registry, editorOf(c, services), name, (before) => {
        if (!before) throw unknownProfile(name)
        checkRevision(`profile ${name}`, before, expected)
        return undefined
      })
      c.header('X-Revision', String(revision))
      return c.body(null, 204)
    })
    .openapi(readUsers, async (c) => {
      const { name } = await getProfile(registry, c.req.valid('param').name)
      return c.json(await usersOf(registry, name, 1000), 200)
    })
    .openapi(readHistory, async (c) => {
      const { name } = c.req.valid('param')
      const { limit = defaultLimit, before } = c.req.valid('query')
      const page = { limit: limit + 1, ...(before !== undefined && { before }) }
      const found = await historyOf(registry, 'profile', name, page)
      return c.json(
        pageOf(found.map(fullRevisionBody), limit, (one) => one.id),
        200,
      )
    })
}

const unknownProfile = (name: string): AppError => new AppError('PROFILE_UNKNOWN', `no profile ${name}`)
