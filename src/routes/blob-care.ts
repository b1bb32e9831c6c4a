/** `/api/blobs`: collecting those that nobody needs, and verifying those that are there. */
import { createRoute, z } from '@hono/zod-openapi'
import { parseDigest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import { collect } from '../images/collect.ts'
import { verify } from '../images/verify.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { digestText } from './image-schemas.ts'
import { json, jsonRequest, refusals } from './schemas.ts'

const mebibyte = 2 ** 20
const largestStep = 64 * 1024 * mebibyte
/** Seconds: a day, and what an import of another process may take between its first blob and its version. */
const usualGrace = { usual: 86_400, least: 600 }

const collectRoute = createRoute({
  method: 'post',
  path: '/collect',
  summary: 'Delete the blobs that nobody refers to',
  description:
    'Spares what was stored or used within the grace, what imports under way and boots of the last day need, and everything when a version cannot be read. The head node does the same once a day.',
  request: {
    body: jsonRequest(
      z.strictObject({
        dryRun: z.boolean().optional().openapi({ description: 'Delete nothing, say what would be' }),
        grace: z.int().min(0).max(315_360_000).optional().openapi({
          description:
            'Seconds for which a blob is spared after it was last stored or used: MUSTER_COLLECT_GRACE unless said otherwise, 600 at least',
        }),
      }),
      'How',
    ),
  },
  responses: {
    200: json(
      z
        .object({
          kept: z.int().openapi({ description: 'Blobs that somebody refers to' }),
          young: z.int().openapi({ description: 'Blobs that nobody refers to, within the grace' }),
          deleted: z.int().openapi({ description: 'Blobs that were deleted, or would be' }),
          bytes: z.int().openapi({ description: 'Bytes of those' }),
          garbage: z
            .array(z.object({ digest: digestText, size: z.int() }))
            .optional()
            .openapi({ description: 'The first thousand of them, of a dry run' }),
        })
        .openapi('Collection'),
      'What was deleted',
    ),
    ...refusals('REQUEST_INVALID', 'BLOB_CORRUPT'),
  },
})

const verifyRoute = createRoute({
  method: 'post',
  path: '/verify',
  summary: 'Read blobs through, and take damaged ones out of service',
  description:
    'One step of many: repeat it with `after` set to `next` until there is no `next`. Digests are spread evenly, so the first digits of `next` tell how far it is. A damaged blob is never served again; importing the same source again puts it anew.',
  request: {
    body: jsonRequest(
      z.strictObject({
        after: digestText.optional().openapi({ description: '`next` of the step before' }),
        image: z.string().min(1).max(512).optional().openapi({
          description: 'One version alone: its manifest, index, segments, kernels and root archive',
          example: 'rocky9@3',
        }),
        bytes: z.int().min(1).max(largestStep).optional().openapi({
          description: 'Bytes after which the step ends; 256 MiB unless said otherwise',
        }),
        rate: z.int().min(1_000_000).max(largestStep).optional().openapi({
          description: 'Bytes a second at most; 100 MiB unless said otherwise, so that nodes can boot meanwhile',
        }),
      }),
      'What, and how far',
    ),
  },
  responses: {
    200: json(
      z
        .object({
          checked: z.int().openapi({ description: 'Blobs that were read through in this step' }),
          bytes: z.int(),
          bad: z.array(
            z
              .object({
                digest: digestText,
                fault: z.enum(['missing', 'wrong']),
                part: z.enum(['manifest', 'index', 'segment', 'kernel', 'root archive', 'layer', 'unused']).openapi({
                  description: 'What it is. A root archive or a layer is made again when it is needed',
                }),
                versions: z.array(z.string()).openapi({ description: 'Versions that it hurts', example: ['rocky9@3'] }),
                quarantined: z.boolean().openapi({ description: 'It was taken out of service by this step' }),
              })
              .openapi('BadBlob'),
          ),
          next: digestText.optional().openapi({ description: '`after` of the next step; absent after the last' }),
        })
        .openapi('Verification'),
      'What was found',
    ),
    ...refusals('REQUEST_INVALID', 'DIGEST_INVALID', 'IMAGE_UNKNOWN'),
  },
})

/** Mounted at `/api/blobs`. */
export const blobCareRoutes = (
  services: Pick<Services, 'registry' | 'activity' | 'journal' | 'blobs' | 'importer' | 'now' | 'grace'>,
) => {
  const { usual, least } = services.grace ?? usualGrace
  return apiRoutes()
    .openapi(collectRoute, async (c) => {
      const { grace = usual, dryRun = false } = c.req.valid('json')
      if (grace < least)
        throw new AppError('REQUEST_INVALID', `grace must be ${least} seconds at least: imports need that time`, {
          field: 'grace',
        })
      return c.json(await collect(services, { grace, dryRun }), 200)
    })
    .openapi(verifyRoute, async (c) => {
      const { after, image, bytes = 256 * mebibyte, rate = 100 * mebibyte } = c.req.valid('json')
      const step = { image, bytes, rate, ...(after !== undefined && { after: parseDigest(after) }) }
      return c.json(await verify(services, step), 200)
    })
}
