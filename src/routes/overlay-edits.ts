/** `/api/overlays/{name}`: new versions of an overlay, and its end. */
import { createRoute, z } from '@hono/zod-openapi'
import { AppError } from '../errors.ts'
import { directoryOf, getOverlayVersion } from '../overlays/directory.ts'
import { lintOverlay, refuseErrors } from '../overlays/lint.ts'
import { parseOverlay } from '../overlays/parse.ts'
import { shippedFiles } from '../overlays/store.ts'
import { deleteOverlay, overlayFiles, pushOverlay } from '../registry/overlays.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { editorOf, editQuery } from './editor.ts'
import { etagOf, ifMatch } from './etag.ts'
import type { Linter } from './overlay-lint.ts'
import { gitSchema, overlayBodyLimit, pushedSchema, sourceFileOf, sourceFileSchema } from './overlay-schemas.ts'
import { json, jsonRequest, nameParam, refusals } from './schemas.ts'

const push = createRoute({
  method: 'put',
  path: '/{name}',
  summary: 'Push an overlay: its directory becomes a new version',
  description:
    'The content of the current version again makes no new one. What lint calls an error is refused, with all of them in `faults`. At most 32 MiB.',
  request: {
    params: nameParam,
    query: editQuery,
    body: jsonRequest(
      z
        .strictObject({
          files: z.array(sourceFileSchema),
          message: editQuery.shape.message,
          git: gitSchema.optional().openapi({ description: 'The checkout that the directory is in' }),
        })
        .openapi('OverlayPush'),
      'Every file of the directory',
    ),
  },
  responses: {
    200: json(pushedSchema, 'The current version has this content already'),
    201: json(pushedSchema, 'The version, created'),
    ...refusals('NAME_INVALID', 'OVERLAY_INVALID', 'TEMPLATE_INVALID', 'BODY_TOO_LARGE', 'REVISION_CONFLICT'),
  },
})

const remove = createRoute({
  method: 'delete',
  path: '/{name}',
  summary: 'Delete a pushed overlay with its versions; a shipped one of that name comes into view again',
  request: { params: nameParam, query: editQuery },
  responses: {
    204: { description: 'It is gone' },
    ...refusals('OVERLAY_UNKNOWN', 'OVERLAY_USED', 'REVISION_CONFLICT'),
  },
})

const revert = createRoute({
  method: 'post',
  path: '/{name}/revert',
  summary: 'Make what an older version was the newest one',
  description:
    'A new version with the content, and the git commit, of the old one. Nothing that lint has to say keeps it back.',
  request: {
    params: nameParam,
    query: editQuery,
    body: jsonRequest(z.strictObject({ version: z.int().min(1) }).openapi('OverlayRevert'), 'The version'),
  },
  responses: {
    200: json(pushedSchema, 'The current version has this content already'),
    201: json(pushedSchema, 'The version, created'),
    ...refusals('OVERLAY_UNKNOWN', 'REVISION_CONFLICT'),
  },
})

/** Names under which the API has something else than an overlay. */
const taken = ['render', 'which']
/** Mounted at `/api/overlays`. */
export const overlayEditRoutes = (services: Services, { lint }: { lint: Linter }) => {
  const { registry, assets } = services

  return apiRoutes({ bodyLimit: overlayBodyLimit })
    .openapi(push, async (c) => {
      const { name } = c.req.valid('param')
      if (taken.includes(name))
        throw new AppError('NAME_INVALID', `the API has something else under ${name}: take another name`, {
          field: 'name',
        })
      const { files, message, git } = c.req.valid('json')
      const editor = editorOf(c, services)
      const sent = files.map(sourceFileOf)
      const parsed = await parseOverlay(name, sent)
      refuseErrors(name, lintOverlay(name, sent, parsed))
      const { revision, version, created } = await pushOverlay(
        registry,
        { ...editor, message: message ?? editor.message },
        { name, ...parsed, git, expected: ifMatch(c) },
      )
      c.header('X-Revision', String(revision))
      c.header('ETag', etagOf(version.revision))
      const warnings = (await lint(name, sent)).findings
      const pushed = { name, version: version.number, digest: version.digest, created, warnings }
      return created ? c.json(pushed, 201) : c.json(pushed, 200)
    })
    .openapi(revert, async (c) => {
      const { name } = c.req.valid('param')
      const { version: number } = c.req.valid('json')
      const editor = editorOf(c, services)
      const old = await getOverlayVersion(registry, name, number)
      const { manifest, sources } = old
      const digests = sources.flatMap((source) => ('digest' in source ? [source.digest] : []))
      const { revision, version, created } = await pushOverlay(
        registry,
        { ...editor, message: editor.message || `revert to version ${number}` },
        {
          name,
          manifest,
          sources,
          contents: await overlayFiles(registry, digests),
          git: old.git ?? undefined,
          expected: ifMatch(c),
        },
      )
      c.header('X-Revision', String(revision))
      c.header('ETag', etagOf(version.revision))
      const warnings = (await lint(name, await directoryOf(registry, old))).findings
      const pushed = { name, version: version.number, digest: version.digest, created, warnings }
      return created ? c.json(pushed, 201) : c.json(pushed, 200)
    })
    .openapi(remove, async (c) => {
      const { name } = c.req.valid('param')
      const shadows = (await shippedFiles(assets, name)).length > 0
      const { revision } = await deleteOverlay(registry, editorOf(c, services), name, { shadows, expected: ifMatch(c) })
      c.header('X-Revision', String(revision))
      return c.body(null, 204)
    })
}
