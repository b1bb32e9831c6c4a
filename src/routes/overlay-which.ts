/** Who writes a path, on the wire. */
import { z } from '@hono/zod-openapi'
import { byteString, readable } from '../archive/byte-string.ts'
import type { Writer } from '../boot/overlay-writers.ts'
import type { BootPlan } from '../boot/plan.ts'
import { AppError } from '../errors.ts'
import type { Services } from '../services.ts'
import { entryTypes, octal } from './overlay-schemas.ts'

const encoder = new TextEncoder()

const place = z.object({ path: z.string(), line: z.int().optional() })

const writerSchema = z
  .object({
    list: z.enum(['system', 'runtime']),
    overlay: z.string(),
    version: z.int().nullable().openapi({ description: "The site's version; null for a shipped overlay" }),
    path: z.string().openapi({ description: 'As the overlay has it: may have {{…}} in it' }),
    type: entryTypes,
    mode: z.string().openapi({ example: '0644' }),
    owner: z.string().openapi({ example: '0:0' }),
    template: z.boolean(),
    each: z.string().optional(),
    when: z.string().optional(),
    private: z.literal(true).optional(),
    source: place.openapi({ description: "The file of the overlay's directory that it was made of" }),
    modeFrom: place.optional().openapi({ description: 'The key of overlay.yaml that gave its mode' }),
    state: z.enum(['wins', 'hidden', 'off']).openapi({
      description: 'wins: the node gets this one; hidden: another one counts; off: it makes nothing on this node',
    }),
    why: z.string(),
  })
  .openapi('OverlayWriter')

const imageSchema = z
  .object({
    name: z.string(),
    version: z.int(),
    entry: z
      .object({ type: z.string(), mode: z.string(), owner: z.string(), target: z.string().optional() })
      .nullable()
      .openapi({ description: 'What the image has at the path; null when nothing' }),
    unknown: z.string().optional().openapi({ description: 'Why the image could not be looked into' }),
  })
  .openapi('WhichImage')

/** Who writes a path of a node. */
export const whichSchema = z
  .object({ node: z.string(), path: z.string(), writers: z.array(writerSchema), image: imageSchema })
  .openapi('Which')

/** A writer on the wire. */
export function writerBody({
  list,
  overlay,
  version,
  entry,
  state,
  why,
  source,
  modeFrom,
}: Writer): z.infer<typeof writerSchema> {
  const { path, type, mode, uid, gid, template, each, when } = entry
  return {
    list,
    overlay,
    version: version ?? null,
    path,
    type,
    mode: octal(mode),
    owner: `${uid}:${gid}`,
    template,
    ...(each !== undefined && { each }),
    ...(when !== undefined && { when }),
    ...(entry.private && { private: entry.private }),
    source,
    ...(modeFrom && { modeFrom }),
    state,
    why,
  }
}

/** What the node's image has at a path, links above it followed. An image that cannot be opened is told as such. */
export async function foundInImage(
  { openImage }: Pick<Services, 'openImage'>,
  { name, version, digest }: BootPlan['image'],
  path: string,
): Promise<z.infer<typeof imageSchema>> {
  if (!openImage) return { name, version, entry: null, unknown: 'images cannot be opened here: there is no zstd' }
  try {
    const { tree } = await openImage(digest)
    const at = path.lastIndexOf('/')
    const [folder, own] = [path.slice(1, Math.max(1, at)), path.slice(at + 1)].map((part) =>
      byteString(encoder.encode(part)),
    )
    const above = tree.resolve(folder ?? '')
    const inode = above === undefined ? undefined : tree.get(above === '' ? (own ?? '') : `${above}/${own}`)
    if (!inode) return { name, version, entry: null }
    const { type, mode, uid, gid } = inode
    const target = inode.type === 'link' ? { target: readable(inode.target, 4096) } : {}
    return { name, version, entry: { type, mode: octal(mode), owner: `${uid}:${gid}`, ...target } }
  } catch (error) {
    if (error instanceof AppError) return { name, version, entry: null, unknown: error.message }
    throw error
  }
}
