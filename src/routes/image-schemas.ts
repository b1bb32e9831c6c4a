/** Images on the wire. What the fields mean is said in `images/manifest.ts`. */
import { z } from '@hono/zod-openapi'
import { time } from './schemas.ts'

/** A digest on the wire. */
export const digestText = z.string().openapi({
  description: 'sha256: and 64 hexadecimal digits',
  example: `sha256:${'0'.repeat(64)}`,
})

const blobSchema = z.object({ digest: digestText, size: z.int().openapi({ description: 'Bytes' }) })

/** A kernel on the wire. */
const kernelSchema = blobSchema
  .extend({ version: z.string().openapi({ example: '5.14.0-570.12.1.el9_6.x86_64' }), path: z.string() })
  .openapi('Kernel')

/** A root archive on the wire. */
const rootSchema = blobSchema
  .extend({
    kind: z.literal('cpio-gzip'),
    unpackedSize: z.int().openapi({ description: 'Bytes that it takes in RAM' }),
  })
  .openapi('CpioRoot')

/** What a version of an image consists of. */
export const manifestSchema = z
  .object({
    architecture: z.enum(['x86_64', 'aarch64', 'riscv64', 'ppc64le', 's390x']),
    os: z.object({ id: z.string(), version: z.string().optional(), name: z.string() }).optional(),
    kernels: z.array(kernelSchema).openapi({ description: 'Newest first' }),
    root: rootSchema,
    entries: z.int().openapi({ description: 'Entries in the tree' }),
    warnings: z.array(z.string()),
  })
  .openapi('ImageManifest')

/** An image. */
export const imageSchema = z
  .object({
    name: z.string().openapi({ example: 'rocky9' }),
    current: z.int().nullable().openapi({ description: 'The version of nodes that ask for none' }),
    newest: z.int(),
    revision: z.int(),
    changedAt: time,
  })
  .openapi('Image')

/** A version of an image. */
export const imageVersionSchema = z
  .object({
    number: z.int(),
    digest: digestText,
    source: z.string(),
    author: z.string(),
    createdAt: time,
    manifest: manifestSchema,
  })
  .openapi('ImageVersion')

/** What an import made. */
export const importedSchema = z
  .object({ number: z.int(), digest: digestText, created: z.boolean(), manifest: manifestSchema })
  .openapi('ImportedImage')
