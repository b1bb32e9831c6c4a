/** `/api/images`: images, their versions, and the way in for a root tree. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { AppError } from '../errors.ts'
import {
  addVersion,
  countVersions,
  deleteImage,
  getImage,
  type Image,
  type ImageVersion,
  listImages,
  listVersions,
  refuseImageName,
  resolveImage,
  setCurrent,
} from '../registry/images.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { editorOf, editQuery } from './editor.ts'
import { etagOf, ifMatch } from './etag.ts'
import { imageSchema, imageVersionSchema, importedSchema, manifestSchema } from './image-schemas.ts'
import { defaultLimit, flag, pageOf, pageQuery } from './page.ts'
import { json, jsonRequest, namePage, nameParam, refusals } from './schemas.ts'

const list = createRoute({
  method: 'get',
  path: '/',
  summary: 'List images, by name',
  request: { query: pageQuery },
  responses: {
    200: json(namePage(imageSchema.extend({ versions: z.int() }).openapi('ListedImage')), 'A page of images'),
  },
})

const read = createRoute({
  method: 'get',
  path: '/{name}',
  summary: 'Show an image with the manifest of its current version',
  request: { params: nameParam },
  responses: {
    200: json(imageSchema.extend({ manifest: manifestSchema.nullable() }).openapi('ImageWithManifest'), 'The image'),
    ...refusals('IMAGE_UNKNOWN'),
  },
})

const readVersions = createRoute({
  method: 'get',
  path: '/{name}/versions',
  summary: 'List the versions of an image, newest first',
  request: { params: nameParam },
  responses: { 200: json(z.array(imageVersionSchema), 'Every version'), ...refusals('IMAGE_UNKNOWN') },
})

const upload = createRoute({
  method: 'post',
  path: '/{name}/versions',
  summary: 'Import a root tree as a new version',
  description: 'The same content as the newest version again makes no new one.',
  request: {
    params: nameParam,
    query: editQuery.extend({
      source: z.string().max(1024).optional().openapi({ description: 'Where it comes from, for people' }),
      current: flag
        .optional()
        .openapi({ description: 'Nodes get it from their next boot on; true unless said otherwise' }),
    }),
    body: {
      description: 'A tar of the root file system, plain or gzip, of any size',
      required: true,
      content: { 'application/x-tar': { schema: { type: 'string', format: 'binary' } } },
    },
  },
  responses: {
    200: json(importedSchema, 'The newest version has this content already'),
    201: json(importedSchema, 'The version, created'),
    ...refusals('NAME_INVALID', 'ARCHIVE_INVALID', 'ARCHIVE_LIMIT', 'IMAGE_UNBOOTABLE', 'UNSUPPORTED'),
  },
})

const patch = createRoute({
  method: 'patch',
  path: '/{name}',
  summary: 'Choose the current version of an image: the way forward and the way back',
  request: {
    params: nameParam,
    query: editQuery,
    body: jsonRequest(
      z.strictObject({ current: z.int().min(1) }),
      'The version that nodes get from their next boot on',
    ),
  },
  responses: { 200: json(imageSchema, 'The image'), ...refusals('IMAGE_UNKNOWN', 'REVISION_CONFLICT') },
})

const remove = createRoute({
  method: 'delete',
  path: '/{name}',
  summary: 'Delete an image that nobody uses, with its versions',
  request: { params: nameParam, query: editQuery },
  responses: {
    204: { description: 'It is gone' },
    ...refusals('IMAGE_UNKNOWN', 'IMAGE_USED', 'REVISION_CONFLICT'),
  },
})

/** Mounted at `/api/images`. */
export const imageRoutes = (services: Pick<Services, 'registry' | 'now' | 'importer'>) => {
  const { registry, importer } = services
  return apiRoutes()
    .openapi(list, async (c) => {
      const { after, limit = defaultLimit } = c.req.valid('query')
      const found = await listImages(registry, { limit: limit + 1, ...(after !== undefined && { after }) })
      const counts = await countVersions(registry)
      const items = found.map((image) => ({ ...imageBody(image), versions: counts.get(image.name) ?? 0 }))
      return c.json(
        pageOf(items, limit, (image) => image.name),
        200,
      )
    })
    .openapi(read, async (c) => {
      const image = await getImage(registry, c.req.valid('param').name)
      c.header('ETag', etagOf(image.revision))
      const version = image.current === null ? undefined : await resolveImage(registry, image.name)
      return c.json({ ...imageBody(image), manifest: version?.manifest ?? null }, 200)
    })
    .openapi(readVersions, async (c) => {
      const versions = await listVersions(registry, c.req.valid('param').name)
      return c.json(versions.map(versionBody), 200)
    })
    .openapi(upload, async (c) => {
      if (!importer) throw new AppError('UNSUPPORTED', 'images are imported on a head node, which has a file system')
      const { name } = c.req.valid('param')
      const { source = '', current = true } = c.req.valid('query')
      refuseImageName(name)
      const editor = editorOf(c, services)
      const manifest = await importer.importTar(tarIn(c))
      const wanted = { image: name, manifest, source, current }
      const { revision, version, created } = await addVersion(registry, { ...editor, at: services.now() }, wanted)
      c.header('X-Revision', String(revision))
      const { number, digest } = version
      return created
        ? c.json({ number, digest, created, manifest }, 201)
        : c.json({ number, digest, created, manifest }, 200)
    })
    .openapi(patch, async (c) => {
      const { name } = c.req.valid('param')
      const { current } = c.req.valid('json')
      const { revision, result } = await setCurrent(registry, editorOf(c, services), name, current, ifMatch(c))
      c.header('X-Revision', String(revision))
      c.header('ETag', etagOf(result.revision))
      return c.json(imageBody(result), 200)
    })
    .openapi(remove, async (c) => {
      const { name } = c.req.valid('param')
      const { revision } = await deleteImage(registry, editorOf(c, services), name, ifMatch(c))
      c.header('X-Revision', String(revision))
      return c.body(null, 204)
    })
}

/** The request's body, which nobody has read. Throws `REQUEST_INVALID` for a body that says it is something else. */
function tarIn(c: Context): ReadableStream<Uint8Array<ArrayBuffer>> {
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase()
  const known = ['application/x-tar', 'application/gzip', 'application/x-gzip', 'application/octet-stream']
  if (type !== undefined && !known.includes(type))
    throw new AppError('REQUEST_INVALID', `send a tar: Content-Type: application/x-tar (this is ${type.slice(0, 100)})`)
  if (!c.req.raw.body) throw new AppError('REQUEST_INVALID', 'send a tar as the body')
  return c.req.raw.body
}

const imageBody = ({ name, current, newest, revision, changedAt }: Image) => ({
  name,
  current,
  newest,
  revision,
  changedAt: changedAt.toISOString(),
})

const versionBody = ({ number, digest, source, author, createdAt, manifest }: ImageVersion) => ({
  number,
  digest,
  source,
  author,
  createdAt: createdAt.toISOString(),
  manifest,
})
