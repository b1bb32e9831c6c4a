/** `/api/images`: images by name, and which of their versions is the current one. Their versions are `image-versions.ts`. */
import { createRoute, z } from '@hono/zod-openapi'
import { AppError } from '../errors.ts'
import { copyImage, renameImage } from '../registry/image-names.ts'
import { deleteImage } from '../registry/image-removal.ts'
import {
  countVersions,
  currentVersions,
  getImage,
  type Image,
  listImages,
  setCurrent,
  tagsOf,
} from '../registry/images.ts'
import { historyOf } from '../registry/revisions.ts'
import { nameSchema } from '../registry/settings.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { dryRunQuery, editorOf, editQuery } from './editor.ts'
import { etagOf, ifMatch } from './etag.ts'
import {
  imageBody,
  imageSchema,
  imageVersionSchema,
  listedImageBody,
  listedImageSchema,
  versionBody,
  versionText,
} from './image-schemas.ts'
import { defaultLimit, pageOf, pageQuery, revisionPageQuery } from './page.ts'
import {
  changeBody,
  dryRunSchema,
  fullRevisionBody,
  fullRevisionSchema,
  json,
  jsonRequest,
  namePage,
  nameParam,
  refusals,
  revisionPage,
} from './schemas.ts'

const list = createRoute({
  method: 'get',
  path: '/',
  summary: 'List images, by name, with what their current versions are',
  request: { query: pageQuery },
  responses: { 200: json(namePage(listedImageSchema), 'A page of images') },
})

const read = createRoute({
  method: 'get',
  path: '/{name}',
  summary: 'Show an image with its current version',
  request: { params: nameParam },
  responses: {
    200: json(
      imageSchema.extend({ versions: z.int(), version: imageVersionSchema.nullable() }).openapi('ImageWithVersion'),
      'The image',
    ),
    ...refusals('IMAGE_UNKNOWN'),
  },
})

const readHistory = createRoute({
  method: 'get',
  path: '/{name}/history',
  summary: 'List the revisions that changed an image, newest first',
  description:
    'Also of an image that is deleted. What happened to a version is a change of `name@number` in its revision.',
  request: { params: nameParam, query: revisionPageQuery },
  responses: { 200: json(revisionPage(fullRevisionSchema), 'Revisions, each with its change of this image') },
})

const patch = createRoute({
  method: 'patch',
  path: '/{name}',
  summary: 'Choose the current version of an image: the way forward and the way back',
  request: {
    params: nameParam,
    query: editQuery.extend(dryRunQuery),
    body: jsonRequest(
      z.strictObject({ current: z.union([z.int().min(1), versionText]) }),
      'The version that nodes get from their next boot on: its number, a tag or its digest',
    ),
  },
  responses: {
    200: json(z.union([imageSchema, dryRunSchema]), 'The image, or what the edit would change'),
    ...refusals('IMAGE_UNKNOWN', 'REVISION_CONFLICT'),
  },
})

const rename = createRoute({
  method: 'post',
  path: '/{name}/rename',
  summary: 'Rename an image, also where nodes and profiles name it',
  request: {
    params: nameParam,
    query: editQuery.extend(dryRunQuery),
    body: jsonRequest(z.strictObject({ to: nameSchema }), 'The new name'),
  },
  responses: {
    200: json(
      z.union([
        imageSchema.extend({ nodes: z.int(), profiles: z.int() }).openapi('RenamedImage', {
          description: 'The image, and how many settings followed it',
        }),
        dryRunSchema,
      ]),
      'The image, or what the edit would change',
    ),
    ...refusals('NAME_INVALID', 'IMAGE_UNKNOWN', 'IMAGE_EXISTS', 'ROLLOUT_ACTIVE', 'REVISION_CONFLICT'),
  },
})

const copy = createRoute({
  method: 'post',
  path: '/{name}/copy',
  summary: 'Make a new image of a version of this one',
  description: 'The version becomes version 1 of the new image. No blob is copied.',
  request: {
    params: nameParam,
    query: editQuery.extend(dryRunQuery),
    body: jsonRequest(
      z.strictObject({
        to: nameSchema,
        version: z
          .union([z.int().min(1), versionText])
          .optional()
          .openapi({ description: 'Else the current one' }),
        history: z.boolean().optional().openapi({ description: 'All versions under the same numbers, and the tags' }),
      }),
      'The new image',
    ),
  },
  responses: {
    200: json(dryRunSchema, 'What the edit would change'),
    201: json(imageSchema, 'The new image'),
    ...refusals('NAME_INVALID', 'IMAGE_UNKNOWN', 'IMAGE_EXISTS'),
  },
})

const remove = createRoute({
  method: 'delete',
  path: '/{name}',
  summary: 'Delete an image that nobody uses, with its versions',
  request: { params: nameParam, query: editQuery.extend(dryRunQuery) },
  responses: {
    200: json(dryRunSchema, 'What the edit would change'),
    204: { description: 'It is gone' },
    ...refusals('IMAGE_UNKNOWN', 'IMAGE_USED', 'REVISION_CONFLICT'),
  },
})

/** Mounted at `/api/images`. */
export const imageRoutes = (services: Pick<Services, 'registry' | 'now'>) => {
  const { registry } = services

  const bodyOf = async (image: Image) => imageBody(image, (await tagsOf(registry, [image.name])).get(image.name))

  return apiRoutes()
    .openapi(list, async (c) => {
      const { after, limit = defaultLimit } = c.req.valid('query')
      const found = await listImages(registry, { limit: limit + 1, ...(after !== undefined && { after }) })
      const names = found.map(({ name }) => name)
      const [counts, current, tags] = await Promise.all([
        countVersions(registry),
        currentVersions(registry, names),
        tagsOf(registry, names),
      ])
      const items = found.map((image) => {
        const { name } = image
        return listedImageBody(image, {
          tags: tags.get(name),
          versions: counts.get(name) ?? 0,
          current: current.get(name),
        })
      })
      return c.json(
        pageOf(items, limit, (image) => image.name),
        200,
      )
    })
    .openapi(read, async (c) => {
      const image = await getImage(registry, c.req.valid('param').name)
      const [tags, current, counts] = await Promise.all([
        tagsOf(registry, [image.name]).then((found) => found.get(image.name)),
        currentVersions(registry, [image.name]).then((found) => found.get(image.name)),
        countVersions(registry),
      ])
      c.header('ETag', etagOf(image.revision))
      const version = current ? versionBody(current, image, tags) : null
      return c.json({ ...imageBody(image, tags), versions: counts.get(image.name) ?? 0, version }, 200)
    })
    .openapi(readHistory, async (c) => {
      const { name } = c.req.valid('param')
      const { limit = defaultLimit, before } = c.req.valid('query')
      const page = { limit: limit + 1, ...(before !== undefined && { before }) }
      const found = await historyOf(registry, 'image', name, page)
      return c.json(
        pageOf(found.map(fullRevisionBody), limit, (one) => one.id),
        200,
      )
    })
    .openapi(patch, async (c) => {
      const { name } = c.req.valid('param')
      const { dryRun = false } = c.req.valid('query')
      const { current } = c.req.valid('json')
      const editor = { ...editorOf(c, services), dryRun }
      const { revision, changes, result } = await setCurrent(registry, editor, name, current, ifMatch(c))
      c.header('X-Revision', String(revision))
      if (dryRun) return c.json({ revision, changes: changes.map(changeBody) }, 200)
      c.header('ETag', etagOf(result.revision))
      return c.json(await bodyOf(result), 200)
    })
    .openapi(rename, async (c) => {
      const { name } = c.req.valid('param')
      const { dryRun = false } = c.req.valid('query')
      const { to } = c.req.valid('json')
      const wanted = { from: name, to, expected: ifMatch(c) }
      const { revision, changes, result } = await renameImage(registry, { ...editorOf(c, services), dryRun }, wanted)
      c.header('X-Revision', String(revision))
      if (dryRun) return c.json({ revision, changes: changes.map(changeBody) }, 200)
      const { image, nodes, profiles } = result
      c.header('ETag', etagOf(image.revision))
      return c.json({ ...(await bodyOf(image)), nodes, profiles }, 200)
    })
    .openapi(copy, async (c) => {
      const { name } = c.req.valid('param')
      const { dryRun = false } = c.req.valid('query')
      const { to, version, history = false } = c.req.valid('json')
      if (history && version !== undefined)
        throw new AppError('REQUEST_INVALID', 'history copies every version: name none', { field: 'version' })
      const wanted = { from: name, to, version, history }
      const { revision, changes, result } = await copyImage(registry, { ...editorOf(c, services), dryRun }, wanted)
      c.header('X-Revision', String(revision))
      if (dryRun) return c.json({ revision, changes: changes.map(changeBody) }, 200)
      c.header('ETag', etagOf(result.revision))
      return c.json(await bodyOf(result), 201)
    })
    .openapi(remove, async (c) => {
      const { name } = c.req.valid('param')
      const { dryRun = false } = c.req.valid('query')
      const editor = { ...editorOf(c, services), dryRun }
      const { revision, changes } = await deleteImage(registry, editor, name, ifMatch(c))
      c.header('X-Revision', String(revision))
      if (dryRun) return c.json({ revision, changes: changes.map(changeBody) }, 200)
      return c.body(null, 204)
    })
}
