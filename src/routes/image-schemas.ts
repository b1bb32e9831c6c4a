/** Images on the wire. What the fields mean is said in `images/manifest.ts`. */
import { z } from '@hono/zod-openapi'
import type { Image, ImageTags, ImageVersion } from '../registry/images.ts'
import { time } from './schemas.ts'

/** A digest on the wire. */
export const digestText = z.string().openapi({
  description: 'sha256: and 64 hexadecimal digits',
  example: `sha256:${'0'.repeat(64)}`,
})

const blobSchema = z.object({ digest: digestText, size: z.int().openapi({ description: 'Bytes' }) })

/** Which version, in a path or a body. */
export const versionText = z
  .string()
  .min(1)
  .max(128)
  .openapi({ description: 'A number, a tag or sha256:…', example: '3' })

/** A kernel on the wire. */
const kernelSchema = blobSchema
  .extend({ version: z.string().openapi({ example: '5.14.0-570.12.1.el9_6.x86_64' }), path: z.string() })
  .openapi('Kernel')

const segmentSchema = blobSchema
  .extend({ unpackedSize: z.int().openapi({ description: 'Bytes of the tar' }), entries: z.int() })
  .openapi('Segment')

/** What a version consists of, without the list of segments. */
export const summarySchema = z
  .object({
    schema: z.literal(1),
    architecture: z.enum(['x86_64', 'aarch64', 'riscv64', 'ppc64le', 's390x']),
    os: z.object({ id: z.string(), version: z.string().optional(), name: z.string() }).optional(),
    kernels: z.array(kernelSchema).openapi({ description: 'Newest first' }),
    compression: z.enum(['zstd', 'gzip']).openapi({ description: 'Of the segments' }),
    segments: z.int().openapi({ description: 'How many' }),
    size: z.int().openapi({ description: 'Bytes of all segments, compressed' }),
    index: blobSchema.extend({ unpackedSize: z.int() }),
    entries: z.int().openapi({ description: 'Names in the tree' }),
    unpackedSize: z.int().openapi({ description: 'Bytes of all files' }),
    warnings: z.array(z.string()),
  })
  .openapi('ImageSummary')

/** What a version consists of: the document whose digest is the version's. */
export const manifestSchema = summarySchema
  .omit({ size: true })
  .extend({ segments: z.array(segmentSchema).openapi({ description: 'In the order of the paths in them' }) })
  .openapi('ImageManifest')

/** Where a version came from, as the importer's caller said. */
export const provenanceSchema = z
  .object({
    sourceDigest: z.string().optional().openapi({ description: "Of the source's own manifest, or of the archive" }),
    platform: z.string().optional().openapi({ example: 'linux/arm64' }),
    labels: z.record(z.string(), z.string()).optional().openapi({ description: 'Of the OCI config' }),
    git: z.object({ commit: z.string(), dirty: z.boolean() }).optional(),
    containerfile: digestText.optional(),
    base: z.string().optional().openapi({ description: 'The version that it was made from', example: 'rocky9@3' }),
    layers: z.array(digestText).optional().openapi({ description: 'Of the uncompressed layers, lowest first' }),
  })
  .openapi('Provenance')

/** Tags, each with the number of its version. */
export const tagsSchema = z.record(z.string(), z.int()).openapi({ example: { tested: 3 } })

/** An image. */
export const imageSchema = z
  .object({
    name: z.string().openapi({ example: 'rocky9' }),
    current: z.int().nullable().openapi({ description: 'The version of nodes that ask for none' }),
    newest: z.int().openapi({ description: 'The newest number ever given' }),
    tags: tagsSchema,
    revision: z.int().openapi({ description: 'The revision that last changed it: its ETag' }),
    changedAt: time,
  })
  .openapi('Image')

/** An image in the list, with what its current version is. */
export const listedImageSchema = imageSchema
  .extend({
    versions: z.int().openapi({ description: 'How many there are' }),
    architecture: z.string().nullable(),
    os: z.string().nullable().openapi({ example: 'Rocky Linux 9.6' }),
    kernel: z.string().nullable().openapi({ description: 'The newest that it holds' }),
    size: z.int().nullable().openapi({ description: 'Bytes of all segments, compressed' }),
    unpackedSize: z.int().nullable(),
  })
  .openapi('ListedImage')

/** A version of an image. */
export const imageVersionSchema = z
  .object({
    image: z.string(),
    number: z.int(),
    digest: digestText,
    current: z.boolean(),
    tags: z.array(z.string()),
    source: z.string(),
    provenance: provenanceSchema,
    message: z.string(),
    author: z.string(),
    revision: z.int().openapi({ description: 'The revision that made it' }),
    createdAt: time,
    summary: summarySchema,
  })
  .openapi('ImageVersion')

/** What an import made. */
export const importedSchema = z
  .object({
    number: z.int(),
    digest: digestText,
    created: z.boolean(),
    current: z.int().openapi({ description: 'Number of the version that nodes get who name none' }),
    before: z.int().nullable().openapi({ description: 'The one that they got until then' }),
    summary: summarySchema,
    warnings: z.array(z.string()).openapi({ description: 'What a boot in a single stage will lack' }),
  })
  .openapi('ImportedImage')

/** An image on the wire. */
export const imageBody = ({ name, current, newest, revision, changedAt }: Image, tags: ImageTags = {}) => ({
  name,
  current,
  newest,
  tags,
  revision,
  changedAt: changedAt.toISOString(),
})

/** An image in the list on the wire. */
export const listedImageBody = (
  image: Image,
  { tags, versions, current }: { tags?: ImageTags | undefined; versions: number; current?: ImageVersion | undefined },
): z.infer<typeof listedImageSchema> => ({
  ...imageBody(image, tags),
  versions,
  architecture: current?.summary.architecture ?? null,
  os: current?.summary.os?.name ?? null,
  kernel: current?.summary.kernels[0]?.version ?? null,
  size: current?.summary.size ?? null,
  unpackedSize: current?.summary.unpackedSize ?? null,
})

/** A version on the wire. */
export const versionBody = (
  version: ImageVersion,
  image: Image,
  tags: ImageTags = {},
): z.infer<typeof imageVersionSchema> => ({
  image: version.image,
  number: version.number,
  digest: version.digest,
  current: version.number === image.current,
  tags: Object.entries(tags).flatMap(([tag, number]) => (number === version.number ? [tag] : [])),
  source: version.source,
  provenance: version.provenance,
  message: version.message,
  author: version.author,
  revision: version.revision,
  createdAt: version.createdAt.toISOString(),
  summary: version.summary,
})
