/** What nodes get of overlays, on the wire. */
import { z } from '@hono/zod-openapi'
import { toBase64 } from '../archive/base64.ts'
import type { RenderedFile } from '../overlays/render.ts'
import { digestText } from './image-schemas.ts'
import { entryTypes, isPrivate, modeText, octal, reloadBody, reloadSchema, siteVersion } from './overlay-schemas.ts'

/** A file as one node gets it. */
export const renderedFileSchema = z
  .object({
    path: z.string(),
    mode: modeText,
    owner: z.string().openapi({ example: '0:0' }),
    type: entryTypes,
    content: z.string().optional().openapi({ description: 'Not there when it is private' }),
    encoding: z.literal('base64').optional().openapi({ description: 'There when the content is not UTF-8' }),
    link: z.string().optional(),
    private: isPrivate.optional(),
    reload: reloadSchema.optional(),
    overlay: z.string(),
    version: siteVersion,
  })
  .openapi('RenderedFile')

/** A file as one node gets it, and by which list. */
export const mergedFileSchema = renderedFileSchema
  .extend({
    list: z.enum(['system', 'runtime']),
    digest: digestText
      .optional()
      .openapi({ description: "Of a file's content or a link's target; not there when it is private" }),
  })
  .openapi('MergedFile')

/** A rendered file on the wire. A private one has no content there, and its link no target. */
export function renderedBody(file: RenderedFile): z.infer<typeof renderedFileSchema> {
  const { path, mode, uid, gid, type, overlay, version = null, reload } = file
  const common = {
    path,
    mode: octal(mode),
    owner: `${uid}:${gid}`,
    type,
    overlay,
    version,
    ...(file.private && { private: file.private }),
    ...(reload && { reload: reload.map(reloadBody) }),
  }
  if (file.private || file.type === 'directory' || file.type === 'removal') return common
  if (file.type === 'link') return { ...common, link: file.target }
  const text = textOf(file.content)
  return text === undefined
    ? { ...common, content: toBase64(file.content), encoding: 'base64' }
    : { ...common, content: text }
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}
