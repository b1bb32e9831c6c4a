/** `/api/rollouts`: versions of images on their way to nodes, wave by wave. */
import { createRoute, z } from '@hono/zod-openapi'
import { getRollout, listRollouts, type Rollout } from '../registry/rollouts.ts'
import { pauseRollout, resumeRollout, revertRollout, skipNodes } from '../rollouts/acts.ts'
import { judgeNewest } from '../rollouts/known.ts'
import { stepRollout } from '../rollouts/run.ts'
import { startRollout } from '../rollouts/start.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { dryRunQuery, editorOf, editQuery } from './editor.ts'
import { defaultLimit, pageOf, revisionPageQuery, wholeNumber } from './page.ts'
import {
  headBody,
  headSchema,
  newRolloutSchema,
  rolloutBody,
  rolloutSchema,
  startedSchema,
  triedSchema,
} from './rollout-schemas.ts'
import { changeBody, dryRunSchema, json, jsonRequest, refusals, revisionPage, selectParameter } from './schemas.ts'

const list = createRoute({
  method: 'get',
  path: '/',
  summary: 'List rollouts, newest first',
  request: { query: revisionPageQuery },
  responses: { 200: json(revisionPage(headSchema), 'A page of rollouts') },
})

const start = createRoute({
  method: 'post',
  path: '/',
  summary: 'Begin a rollout and its first wave',
  description:
    'A wave is an edit of its nodes: the version becomes their own `image`. The next one begins when every node of it has reported ready.',
  request: {
    query: editQuery.extend(dryRunQuery).extend({
      expect: wholeNumber(0, Number.MAX_SAFE_INTEGER)
        .optional()
        .openapi({ description: "The registry's revision of the dry run: 412 when there were edits since" }),
    }),
    body: jsonRequest(newRolloutSchema, 'Which version, to which nodes, how carefully'),
  },
  responses: {
    200: json(triedSchema, 'What it would do'),
    201: json(startedSchema, 'The rollout'),
    ...refusals('SELECTOR_INVALID', 'NODE_UNKNOWN', 'IMAGE_UNKNOWN', 'ROLLOUT_ACTIVE', 'REVISION_CONFLICT'),
  },
})

const params = z.object({ id: wholeNumber(1, Number.MAX_SAFE_INTEGER) })

const read = createRoute({
  method: 'get',
  path: '/{id}',
  summary: 'Show a rollout and how each of its nodes is doing',
  request: { params },
  responses: { 200: json(rolloutSchema, 'The rollout'), ...refusals('ROLLOUT_UNKNOWN') },
})

const pause = createRoute({
  method: 'post',
  path: '/{id}/pause',
  summary: 'Begin no further wave; failures still take everything back',
  request: { params, query: editQuery },
  responses: { 200: json(rolloutSchema, 'The rollout'), ...refusals('ROLLOUT_UNKNOWN', 'ROLLOUT_ENDED') },
})

const resume = createRoute({
  method: 'post',
  path: '/{id}/resume',
  summary: 'Go on with a rollout that was paused',
  request: { params, query: editQuery },
  responses: { 200: json(rolloutSchema, 'The rollout'), ...refusals('ROLLOUT_UNKNOWN', 'ROLLOUT_ENDED') },
})

const revert = createRoute({
  method: 'post',
  path: '/{id}/revert',
  summary: 'Give all nodes back what they had before, also after the end',
  request: { params, query: editQuery.extend(dryRunQuery) },
  responses: {
    200: json(z.union([rolloutSchema, dryRunSchema]), 'The rollout, or what the edit would change'),
    ...refusals('ROLLOUT_UNKNOWN', 'ROLLOUT_ACTIVE', 'IMAGE_UNKNOWN'),
  },
})

const skip = createRoute({
  method: 'post',
  path: '/{id}/skip',
  summary: 'Wait for some nodes no longer, and do not count their failure',
  description: 'For nodes that are switched off or under repair. They have the version at their next boot.',
  request: { params, query: editQuery, body: jsonRequest(z.strictObject({ nodes: selectParameter }), 'Which nodes') },
  responses: {
    200: json(rolloutSchema, 'The rollout'),
    ...refusals('ROLLOUT_UNKNOWN', 'ROLLOUT_ENDED', 'NODE_UNKNOWN', 'SELECTOR_INVALID'),
  },
})

/** Mounted at `/api/rollouts`. */
export const rolloutRoutes = (services: Pick<Services, 'registry' | 'activity' | 'journal' | 'now'>) => {
  const { registry } = services

  const bodyOf = async (rollout: Rollout) => rolloutBody(rollout, await judgeNewest(services, rollout))

  return apiRoutes()
    .openapi(list, async (c) => {
      const { limit = defaultLimit, before } = c.req.valid('query')
      const found = await listRollouts(registry, { limit: limit + 1, ...(before !== undefined && { before }) })
      return c.json(
        pageOf(found.map(headBody), limit, (rollout) => rollout.id),
        200,
      )
    })
    .openapi(start, async (c) => {
      const { dryRun = false, expect } = c.req.valid('query')
      const request = c.req.valid('json')
      const editor = { ...editorOf(c, services), dryRun }
      const begun = await startRollout(registry, editor, request, expect)
      const { revision, changes, notes, result } = begun
      c.header('X-Revision', String(revision))
      if (!dryRun) return c.json({ ...(await bodyOf(result)), notes }, 201)
      const rollout = { ...rolloutBody(result, []), notes }
      return c.json({ revision, changes: changes.map(changeBody), rollout }, 200)
    })
    .openapi(read, async (c) => c.json(await bodyOf(await getRollout(registry, c.req.valid('param').id)), 200))
    .openapi(pause, async (c) => {
      const { revision, result } = await pauseRollout(registry, editorOf(c, services), c.req.valid('param').id)
      c.header('X-Revision', String(revision))
      return c.json(await bodyOf(result), 200)
    })
    .openapi(resume, async (c) => {
      const { revision, result } = await resumeRollout(registry, editorOf(c, services), c.req.valid('param').id)
      const moved = await stepRollout(services, result)
      c.header('X-Revision', String(Math.max(revision, moved.revision)))
      return c.json(await bodyOf(moved), 200)
    })
    .openapi(revert, async (c) => {
      const { dryRun = false } = c.req.valid('query')
      const editor = { ...editorOf(c, services), dryRun }
      const { revision, changes, result } = await revertRollout(services, editor, c.req.valid('param').id)
      c.header('X-Revision', String(revision))
      if (dryRun) return c.json({ revision, changes: changes.map(changeBody) }, 200)
      return c.json(await bodyOf(result), 200)
    })
    .openapi(skip, async (c) => {
      const { nodes } = c.req.valid('json')
      const { revision, result } = await skipNodes(registry, editorOf(c, services), c.req.valid('param').id, nodes)
      const moved = await stepRollout(services, result)
      c.header('X-Revision', String(Math.max(revision, moved.revision)))
      return c.json(await bodyOf(moved), 200)
    })
}
