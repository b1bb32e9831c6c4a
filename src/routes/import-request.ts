/** What requests that import images carry: the document that begins an import, and layers. */
import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { parseDigest } from '../blobs/digest.ts'
import type { Bytes } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import type { Provenance } from '../images/manifest.ts'
import { digestText, type provenanceSchema } from './image-schemas.ts'

/** Layers of one import. OCI images have at most 127, the most that overlayfs takes. */
export const mostLayers = 500
const size = z.int().min(0)

/** What an import is begun with. */
export const importRequestSchema = z
  .strictObject({
    layers: z
      .array(
        z.strictObject({
          digest: digestText.optional().openapi({ description: 'Of the bytes as they will be sent' }),
          diffId: digestText.optional().openapi({ description: 'Of the uncompressed tar' }),
          size: size.optional().openapi({ description: 'Bytes as they will be sent' }),
        }),
      )
      .min(1)
      .max(mostLayers)
      .openapi({ description: 'Lowest first; what is said of one is checked' }),
    whiteouts: z
      .enum(['oci', 'overlayfs', 'none'])
      .openapi({ description: 'How a layer says what it removes; none for a plain root tree' }),
    base: z
      .string()
      .max(512)
      .optional()
      .openapi({ description: 'The version that the layers are laid on', example: 'rocky9@3' }),
    syncUsers: z
      .strictObject({ mode: z.enum(['check', 'write']), passwd: z.string(), group: z.string() })
      .optional()
      .openapi({ description: "Users and groups that win over the image's: passwd(5) and group(5) as text" }),
  })
  .openapi('ImportRequest')

/** A layer as the importer wants it. Throws `DIGEST_INVALID`. */
export const expectedLayer = (told: {
  digest?: string | undefined
  diffId?: string | undefined
  size?: number | undefined
}) => ({
  ...(told.digest !== undefined && { digest: parseDigest(told.digest) }),
  ...(told.diffId !== undefined && { diffId: parseDigest(told.diffId) }),
  ...(told.size !== undefined && { size: told.size }),
})

/** What was said, without what was not: members that are `undefined` are none. Throws `DIGEST_INVALID`. */
export const provenanceOf = ({
  sourceDigest,
  platform,
  labels,
  git,
  containerfile,
}: z.infer<typeof provenanceSchema>): Provenance => ({
  ...(sourceDigest !== undefined && { sourceDigest }),
  ...(platform !== undefined && { platform }),
  ...(labels && { labels }),
  ...(git && { git }),
  ...(containerfile !== undefined && { containerfile: parseDigest(containerfile) }),
})

/** What a body of layers may say that it is. */
const archiveTypes = [
  'application/octet-stream',
  'application/x-tar',
  'application/gzip',
  'application/x-gzip',
  'application/zstd',
]

/** The request's body, which nobody has read. Throws `REQUEST_INVALID` for a body that says it is something else. */
export function bodyOf(c: Context): Bytes {
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type !== undefined && !archiveTypes.includes(type))
    throw new AppError('REQUEST_INVALID', `send a tar: Content-Type: application/x-tar (this is ${type.slice(0, 100)})`)
  if (!c.req.raw.body) throw new AppError('REQUEST_INVALID', 'send a tar as the body')
  return c.req.raw.body
}
