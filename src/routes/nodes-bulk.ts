/** `/api/nodes` for many at once: create a range, patch or delete what a selector means, all or none, as one revision. */
import { createRoute, z } from '@hono/zod-openapi'
import { AppError } from '../errors.ts'
import { checkRevision, memberInputSchema, patchMember, refuseNodeFields } from '../registry/members.ts'
import { changeNodes, unknownNode } from '../registry/nodes.ts'
import type { Change } from '../registry/revisions.ts'
import { selectForEdit } from '../registry/select.ts'
import { expandNames } from '../registry/selector.ts'
import { settingsSchema } from '../registry/settings.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { clearQuery, dryRunQuery, editorOf, editQuery } from './editor.ts'
import { wholeNumber } from './page.ts'
import { bulkSchema, changeBody, json, jsonRequest, memberPatch, refusals, selectParameter } from './schemas.ts'

const tried = editQuery.extend(dryRunQuery)
const selected = tried.extend({
  select: selectParameter,
  expect: wholeNumber(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .openapi({ description: "The registry's revision of the dry run: 412 when there were edits since" }),
})

const create = createRoute({
  method: 'post',
  path: '/',
  summary: 'Create nodes',
  request: {
    query: tried,
    body: jsonRequest(
      memberInputSchema.extend({ names: z.string().openapi({ example: 'n[001-010],login' }) }).openapi('NewNodes'),
      'Their names, and what they have in common',
    ),
  },
  responses: {
    200: json(bulkSchema, 'What the edit would do'),
    201: json(bulkSchema, 'The nodes, created'),
    ...refusals(
      'SELECTOR_INVALID',
      'SETTINGS_INVALID',
      'NAME_INVALID',
      'NODE_EXISTS',
      'MAC_TAKEN',
      'ADDRESS_TAKEN',
      'PROFILE_UNKNOWN',
    ),
  },
})

const patch = createRoute({
  method: 'patch',
  path: '/',
  summary: 'Change all nodes that a selector means',
  request: { query: selected.extend(clearQuery), body: jsonRequest(memberPatch, 'A merge patch for each of them') },
  responses: {
    200: json(bulkSchema, 'The nodes, changed'),
    ...refusals(
      'SELECTOR_INVALID',
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
  path: '/',
  summary: 'Delete all nodes that a selector means',
  request: { query: selected },
  responses: {
    200: json(bulkSchema, 'The nodes, deleted'),
    ...refusals('SELECTOR_INVALID', 'NODE_UNKNOWN', 'REVISION_CONFLICT'),
  },
})

/** Mounted at `/api/nodes`. */
export const nodeBulkRoutes = (services: Pick<Services, 'registry' | 'now'>) => {
  const { registry } = services
  return apiRoutes()
    .openapi(create, async (c) => {
      const { dryRun = false } = c.req.valid('query')
      const { names: text, ...input } = c.req.valid('json')
      const names = expandNames(text)
      if (names.length > 1) refuseNodeFields(input.settings)
      const edit = await changeNodes(
        registry,
        { ...editorOf(c, services), dryRun },
        async () => names,
        (name, before) => {
          if (before) throw new AppError('NODE_EXISTS', `there is a node ${name} already`)
          return input
        },
      )
      c.header('X-Revision', String(edit.revision))
      return dryRun ? c.json(bulkBody(edit, names, true), 200) : c.json(bulkBody(edit, names, false), 201)
    })
    .openapi(patch, async (c) => {
      const { select, expect, dryRun = false, clear = [] } = c.req.valid('query')
      const wanted = c.req.valid('json')
      let names: string[] = []
      const edit = await changeNodes(
        registry,
        { ...editorOf(c, services), dryRun },
        async (current) => {
          checkRevision('the registry', { revision: current }, expect)
          names = await selectForEdit(registry, select)
          if (names.length > 1) refuseNodeFields(settingsSchema.safeParse(wanted.settings).data ?? {})
          return names
        },
        (name, before) => {
          if (!before) throw unknownNode(name)
          return patchMember(before, wanted, clear)
        },
      )
      c.header('X-Revision', String(edit.revision))
      return c.json(bulkBody(edit, names, dryRun), 200)
    })
    .openapi(remove, async (c) => {
      const { select, expect, dryRun = false } = c.req.valid('query')
      let names: string[] = []
      const edit = await changeNodes(
        registry,
        { ...editorOf(c, services), dryRun },
        async (current) => {
          checkRevision('the registry', { revision: current }, expect)
          names = await selectForEdit(registry, select)
          return names
        },
        () => undefined,
      )
      c.header('X-Revision', String(edit.revision))
      return c.json(bulkBody(edit, names, dryRun), 200)
    })
}

const bulkBody = (
  { revision, changes }: { revision: number; changes: Change[] },
  nodes: string[],
  dryRun: boolean,
): z.infer<typeof bulkSchema> => ({ revision, nodes, ...(dryRun && { changes: changes.map(changeBody) }) })
