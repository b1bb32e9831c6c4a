/** `/api/images/{name}/imports`: the way in for images, layer by layer; and for a root tree in one request. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { AppError } from '../errors.ts'
import type { ImageImport, Importer } from '../images/importer.ts'
import { summaryOf } from '../images/manifest.ts'
import { relativesOf } from '../registry/image-layers.ts'
import { imageReferrers } from '../registry/image-users.ts'
import { addVersion, type ImageVersion, type NewVersion, refuseImageName, resolveImage } from '../registry/images.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { editorOf, editQuery } from './editor.ts'
import type { ApiEnv } from './guard.ts'
import { importedSchema, provenanceSchema } from './image-schemas.ts'
import { bodyOf, expectedLayer, importRequestSchema, mostLayers, provenanceOf } from './import-request.ts'
import { flag, wholeNumber } from './page.ts'
import { json, jsonRequest, nameParam, refusals } from './schemas.ts'

/** A head node's passwd and group are in the request that begins an import, an image's labels in the one that ends it. */
const bodyLimit = 16 * 2 ** 20

const importParam = nameParam.extend({ id: z.string().max(64) })
const size = z.int().min(0)

const begin = createRoute({
  method: 'post',
  path: '/{name}/imports',
  summary: 'Begin an import',
  description:
    'Then send the layers that are needed, in any order, and finish. An import that nobody touches for an hour is closed.',
  request: {
    params: nameParam,
    body: jsonRequest(importRequestSchema, 'What will be sent'),
  },
  responses: {
    201: json(
      z.object({ id: z.string(), needed: z.array(z.int()) }).openapi('Import'),
      'The import, and the positions of the layers that must be sent',
    ),
    ...refusals('NAME_INVALID', 'DIGEST_INVALID', 'IMAGE_UNKNOWN', 'IMPORT_LIMIT', 'UNSUPPORTED'),
  },
})

const layer = createRoute({
  method: 'put',
  path: '/{name}/imports/{id}/layers/{position}',
  summary: 'Send a layer',
  description: 'A layer that was refused or cut off can be sent again.',
  request: {
    params: importParam.extend({ position: wholeNumber(0, mostLayers - 1) }),
    body: {
      description: 'A tar, plain, gzip or zstd, of any size',
      required: true,
      content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
    },
  },
  responses: {
    204: { description: 'It is there' },
    ...refusals('IMPORT_UNKNOWN', 'ARCHIVE_INVALID', 'ARCHIVE_LIMIT', 'DIGEST_MISMATCH', 'UNSUPPORTED'),
  },
})

const read = createRoute({
  method: 'get',
  path: '/{name}/imports/{id}',
  summary: 'How far an import is',
  request: { params: importParam },
  responses: {
    200: json(
      z
        .object({
          phase: z.enum(['receiving', 'packing', 'done']),
          bytes: size.openapi({ description: 'As they were sent, then as they are read to be packed' }),
          total: size.optional(),
          needed: z.array(z.int()).openapi({ description: 'Positions of the layers that must be sent' }),
        })
        .openapi('ImportProgress'),
      'The progress',
    ),
    ...refusals('IMPORT_UNKNOWN', 'UNSUPPORTED'),
  },
})

const finish = createRoute({
  method: 'post',
  path: '/{name}/imports/{id}/finish',
  summary: 'Make a version of what was sent',
  description:
    'The same content as a version of the image makes no new one. A layer that was known may turn out to be needed: then the answer is IMPORT_INCOMPLETE. After any refusal the import can be finished again.',
  request: {
    params: importParam,
    query: editQuery,
    body: jsonRequest(
      z
        .strictObject({
          source: z.string().max(1024).openapi({ description: 'Where it comes from, for people' }),
          provenance: provenanceSchema.omit({ base: true, layers: true }).strict().optional(),
          current: z
            .boolean()
            .optional()
            .openapi({ description: 'Nodes get it from their next boot on; true unless said otherwise' }),
        })
        .openapi('ImportFinish'),
      'What to say of it',
    ),
  },
  responses: {
    200: json(importedSchema, 'A version of the image has this content already'),
    201: json(importedSchema, 'The version, created'),
    ...refusals(
      'IMPORT_UNKNOWN',
      'IMPORT_INCOMPLETE',
      'ARCHIVE_INVALID',
      'ARCHIVE_LIMIT',
      'IMAGE_UNBOOTABLE',
      'SYNCUSER_CONFLICT',
      'UNSUPPORTED',
    ),
  },
})

const remove = createRoute({
  method: 'delete',
  path: '/{name}/imports/{id}',
  summary: 'Give an import up',
  request: { params: importParam },
  responses: { 204: { description: 'It is closed' }, ...refusals('IMPORT_UNKNOWN', 'UNSUPPORTED') },
})

const upload = createRoute({
  method: 'post',
  path: '/{name}/versions',
  summary: 'Import a root tree as a new version, in one request',
  description: 'The same content as a version of the image makes no new one.',
  request: {
    params: nameParam,
    query: editQuery.extend({
      source: z.string().max(1024).optional().openapi({ description: 'Where it comes from, for people' }),
      current: flag
        .optional()
        .openapi({ description: 'Nodes get it from their next boot on; true unless said otherwise' }),
    }),
    body: {
      description: 'A tar of the root file system, plain, gzip or zstd, of any size',
      required: true,
      content: { 'application/x-tar': { schema: { type: 'string', format: 'binary' } } },
    },
  },
  responses: {
    200: json(importedSchema, 'A version of the image has this content already'),
    201: json(importedSchema, 'The version, created'),
    ...refusals('NAME_INVALID', 'ARCHIVE_INVALID', 'ARCHIVE_LIMIT', 'IMAGE_UNBOOTABLE', 'IMPORT_LIMIT', 'UNSUPPORTED'),
  },
})

/** What an import is for, and what its version is said to be made from. */
type Purpose = { image: string; base?: string }

/** Mounted at `/api/images`. */
export const importRoutes = (services: Pick<Services, 'registry' | 'now' | 'importer' | 'roots' | 'log'>) => {
  const { registry, roots, log } = services
  const purposes = new WeakMap<ImageImport, Purpose>()

  const importerOf = (): Importer => {
    if (services.importer) return services.importer
    throw new AppError('UNSUPPORTED', 'images are imported on a head node, which has a file system')
  }

  /** The import of that id, if it is one for that image. Throws `IMPORT_UNKNOWN`. */
  function find({ name, id }: { name: string; id: string }): { session: ImageImport; purpose: Purpose } {
    const session = importerOf().find(id)
    const purpose = purposes.get(session)
    if (purpose?.image !== name) throw new AppError('IMPORT_UNKNOWN', `no import ${id} for the image ${name}`)
    return { session, purpose }
  }

  /** Finishes an import, adds its version, and closes it. After a failure it is as it was. */
  async function commit(
    c: Context<ApiEnv>,
    session: ImageImport,
    wanted: Pick<NewVersion, 'image' | 'source' | 'provenance' | 'current'>,
  ) {
    const editor = editorOf(c, services)
    const { manifest, digest, layers, rootWarnings: warnings } = await session.finish()
    const { revision, version, created, current, before } = await addVersion(
      registry,
      { ...editor, at: services.now() },
      {
        ...wanted,
        digest,
        summary: summaryOf(manifest),
        provenance: { ...wanted.provenance, layers },
      },
    )
    await session.close()
    if (wanted.current) await prepare(version)
    c.header('X-Revision', String(revision))
    return { number: version.number, digest, created, current, before, summary: version.summary, warnings }
  }

  /** Has a version that nodes get at their next boot made ready for it, without making anybody wait. */
  async function prepare({ image, number, digest }: ImageVersion): Promise<void> {
    if ((await imageReferrers(registry, image)).length === 0) return
    roots.make(digest).catch((error: unknown) => {
      // The first node that asks for it is told the same.
      log('warn', 'a version cannot be prepared for boots in a single stage', { version: `${image}@${number}`, error })
    })
  }

  return apiRoutes({ bodyLimit })
    .openapi(begin, async (c) => {
      const importer = importerOf()
      const { name } = c.req.valid('param')
      const { layers, whiteouts, base, syncUsers } = c.req.valid('json')
      refuseImageName(name)
      const expected = layers.map(expectedLayer)
      const diffIds = expected.flatMap(({ diffId }) => (diffId ? [diffId] : []))
      const version = base === undefined ? undefined : await resolveImage(registry, base)
      const session = await importer.begin({
        layers: expected,
        whiteouts,
        relatives: await relativesOf(registry, name, diffIds),
        ...(version && { base: version.digest }),
        ...(syncUsers && {
          syncUsers: { mode: syncUsers.mode, host: { passwd: syncUsers.passwd, group: syncUsers.group } },
        }),
      })
      purposes.set(session, { image: name, ...(version && { base: `${version.image}@${version.number}` }) })
      return c.json({ id: session.id, needed: session.needed() }, 201)
    })
    .openapi(layer, async (c) => {
      const { position, ...param } = c.req.valid('param')
      const { session } = find(param)
      await session.receive(position, bodyOf(c))
      return c.body(null, 204)
    })
    .openapi(read, async (c) => {
      const { session } = find(c.req.valid('param'))
      return c.json({ ...session.progress(), needed: session.needed() }, 200)
    })
    .openapi(finish, async (c) => {
      const { session, purpose } = find(c.req.valid('param'))
      const { source, provenance = {}, current = true } = c.req.valid('json')
      const { image, base } = purpose
      const told = provenanceOf(provenance)
      const made = await commit(c, session, { image, source, provenance: { ...told, ...(base && { base }) }, current })
      return made.created ? c.json(made, 201) : c.json(made, 200)
    })
    .openapi(remove, async (c) => {
      await find(c.req.valid('param')).session.close()
      return c.body(null, 204)
    })
    .openapi(upload, async (c) => {
      const { name } = c.req.valid('param')
      const { source = '', current = true } = c.req.valid('query')
      const importer = importerOf()
      refuseImageName(name)
      const body = bodyOf(c)
      const session = await importer.begin({
        layers: [{}],
        whiteouts: 'none',
        relatives: await relativesOf(registry, name, []),
      })
      try {
        await session.receive(0, body)
        const made = await commit(c, session, { image: name, source, provenance: {}, current })
        return made.created ? c.json(made, 201) : c.json(made, 200)
      } finally {
        await session.close()
      }
    })
}
