/** `/api/images/{name}/versions` and what concerns them: tags, pruning. Their files are `image-files.ts`. */
import { createRoute, z } from '@hono/zod-openapi'
import { AppError } from '../errors.ts'
import { readManifest } from '../images/read-manifest.ts'
import { deleteVersion, pruneVersions } from '../registry/image-removal.ts'
import { deleteTag, setTag } from '../registry/image-tags.ts'
import { getImage, listVersions, resolveImage, tagsOf } from '../registry/images.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { dryRunQuery, editorOf, editQuery } from './editor.ts'
import { etagOf, ifMatch } from './etag.ts'
import {
  imageBody,
  imageSchema,
  imageVersionSchema,
  manifestSchema,
  versionBody,
  versionText,
} from './image-schemas.ts'
import { changeBody, dryRunSchema, json, jsonRequest, nameParam, refusals } from './schemas.ts'

const versionParam = nameParam.extend({ version: versionText })
const tagParam = nameParam.extend({ tag: z.string().min(1).max(256) })

const list = createRoute({
  method: 'get',
  path: '/{name}/versions',
  summary: 'List the versions of an image, newest first',
  request: { params: nameParam },
  responses: { 200: json(z.array(imageVersionSchema), 'Every version'), ...refusals('IMAGE_UNKNOWN') },
})

const read = createRoute({
  method: 'get',
  path: '/{name}/versions/{version}',
  summary: 'Show a version of an image with its whole manifest',
  request: { params: versionParam },
  responses: {
    200: json(
      imageVersionSchema.extend({ manifest: manifestSchema }).openapi('ImageVersionWithManifest'),
      'The version',
    ),
    ...refusals('IMAGE_UNKNOWN', 'BLOB_CORRUPT'),
  },
})

const remove = createRoute({
  method: 'delete',
  path: '/{name}/versions/{version}',
  summary: 'Delete a version of an image that nobody uses',
  description: 'Its number is never given again. The blobs that no other version has become garbage.',
  request: { params: versionParam, query: editQuery.extend(dryRunQuery) },
  responses: {
    200: json(dryRunSchema, 'What the edit would change'),
    204: { description: 'It is gone' },
    ...refusals('IMAGE_UNKNOWN', 'IMAGE_USED', 'REVISION_CONFLICT'),
  },
})

const prune = createRoute({
  method: 'post',
  path: '/{name}/prune',
  summary: 'Delete the older versions of an image that nobody uses',
  request: {
    params: nameParam,
    query: editQuery.extend(dryRunQuery),
    body: jsonRequest(
      z.strictObject({ keep: z.int().min(1).max(1_000_000) }),
      'How many of the newest versions stay whatever they are used for',
    ),
  },
  responses: {
    200: json(
      z
        .object({
          revision: z.int(),
          deleted: z.array(z.int()).openapi({ description: 'Numbers, the oldest first' }),
          kept: z
            .array(z.object({ number: z.int(), users: z.string() }))
            .openapi({ description: 'Older ones that stay, and who needs them' }),
          changes: dryRunSchema.shape.changes.optional().openapi({ description: 'In the answer to a dry run' }),
        })
        .openapi('PrunedImage'),
      'What was deleted, or with dryRun would be',
    ),
    ...refusals('IMAGE_UNKNOWN', 'REVISION_CONFLICT'),
  },
})

const putTag = createRoute({
  method: 'put',
  path: '/{name}/tags/{tag}',
  summary: 'Give a version of an image a tag, or move the tag to it',
  request: {
    params: tagParam,
    query: editQuery.extend(dryRunQuery),
    body: jsonRequest(
      z.strictObject({ version: z.union([z.int().min(1), versionText]) }),
      'The version: its number, another tag or its digest',
    ),
  },
  responses: {
    200: json(z.union([imageSchema, dryRunSchema]), 'The image, or what the edit would change'),
    ...refusals('NAME_INVALID', 'IMAGE_UNKNOWN', 'REVISION_CONFLICT'),
  },
})

const removeTag = createRoute({
  method: 'delete',
  path: '/{name}/tags/{tag}',
  summary: 'Take a tag of an image away; its version stays',
  request: { params: tagParam, query: editQuery.extend(dryRunQuery) },
  responses: {
    200: json(z.union([imageSchema, dryRunSchema]), 'The image, or what the edit would change'),
    ...refusals('IMAGE_UNKNOWN', 'IMAGE_USED', 'REVISION_CONFLICT'),
  },
})

/** Mounted at `/api/images`. */
export const imageVersionRoutes = (services: Pick<Services, 'registry' | 'now' | 'blobs'>) => {
  const { registry, blobs } = services

  const tagged = async (name: string) => {
    const image = await getImage(registry, name)
    return imageBody(image, (await tagsOf(registry, [name])).get(name))
  }

  return apiRoutes()
    .openapi(list, async (c) => {
      const { name } = c.req.valid('param')
      const [image, versions, tags] = await Promise.all([
        getImage(registry, name),
        listVersions(registry, name),
        tagsOf(registry, [name]).then((found) => found.get(name)),
      ])
      return c.json(
        versions.map((version) => versionBody(version, image, tags)),
        200,
      )
    })
    .openapi(read, async (c) => {
      const { name, version } = c.req.valid('param')
      const found = await resolveImage(registry, `${name}@${version}`)
      const [image, tags, manifest] = await Promise.all([
        getImage(registry, name),
        tagsOf(registry, [name]).then((all) => all.get(name)),
        readManifest(blobs, found.digest),
      ])
      if (!manifest)
        throw new AppError(
          'IMAGE_UNKNOWN',
          `the manifest of ${name}@${found.number} is not in the blob store: import its source again`,
        )
      return c.json({ ...versionBody(found, image, tags), manifest }, 200)
    })
    .openapi(remove, async (c) => {
      const { name, version } = c.req.valid('param')
      const { dryRun = false } = c.req.valid('query')
      const wanted = { image: name, version, expected: ifMatch(c) }
      const { revision, changes } = await deleteVersion(registry, { ...editorOf(c, services), dryRun }, wanted)
      c.header('X-Revision', String(revision))
      if (dryRun) return c.json({ revision, changes: changes.map(changeBody) }, 200)
      return c.body(null, 204)
    })
    .openapi(prune, async (c) => {
      const { name } = c.req.valid('param')
      const { dryRun = false } = c.req.valid('query')
      const wanted = { image: name, ...c.req.valid('json'), expected: ifMatch(c) }
      const { revision, changes, result } = await pruneVersions(registry, { ...editorOf(c, services), dryRun }, wanted)
      c.header('X-Revision', String(revision))
      return c.json({ revision, ...result, ...(dryRun && { changes: changes.map(changeBody) }) }, 200)
    })
    .openapi(putTag, async (c) => {
      const { name, tag } = c.req.valid('param')
      const { dryRun = false } = c.req.valid('query')
      const wanted = { image: name, tag, ...c.req.valid('json'), expected: ifMatch(c) }
      const { revision, changes } = await setTag(registry, { ...editorOf(c, services), dryRun }, wanted)
      c.header('X-Revision', String(revision))
      if (dryRun) return c.json({ revision, changes: changes.map(changeBody) }, 200)
      const image = await tagged(name)
      c.header('ETag', etagOf(image.revision))
      return c.json(image, 200)
    })
    .openapi(removeTag, async (c) => {
      const { name, tag } = c.req.valid('param')
      const { dryRun = false } = c.req.valid('query')
      const wanted = { image: name, tag, expected: ifMatch(c) }
      const { revision, changes } = await deleteTag(registry, { ...editorOf(c, services), dryRun }, wanted)
      c.header('X-Revision', String(revision))
      if (dryRun) return c.json({ revision, changes: changes.map(changeBody) }, 200)
      const image = await tagged(name)
      c.header('ETag', etagOf(image.revision))
      return c.json(image, 200)
    })
}
