/** Overlays on the wire. What the fields mean is said in `overlays/manifest.ts` and in docs/overlays.md. */
import { z } from '@hono/zod-openapi'
import type { LayeredOverlay } from '../overlays/layers.ts'
import type { OverlayEntry } from '../overlays/manifest.ts'
import type { SourceFile } from '../overlays/parse.ts'
import type { RenderedFile } from '../overlays/render.ts'
import { fromBase64, type OverlayVersion, toBase64 } from '../registry/overlays.ts'
import { digestText } from './image-schemas.ts'
import { wholeNumber } from './page.ts'
import { time } from './schemas.ts'

const originSchema = z.enum(['shipped', 'site', 'both']).openapi({
  description: 'shipped came with Muster, site was pushed; both: files of the site shadow shipped ones',
})
const mode = z.string().openapi({ example: '0644' })
const version = z.int().nullable().openapi({ description: "The site's version; null when it is only shipped" })

/** An overlay in a list. */
export const listedOverlaySchema = z
  .object({
    name: z.string(),
    origin: originSchema,
    version,
    description: z.string().nullable(),
    files: z.int().openapi({ description: 'How many files, links and directories it speaks of' }),
  })
  .openapi('ListedOverlay')

/** One entry of an overlay. */
const entrySchema = z
  .object({
    path: z.string().openapi({ example: '/etc/hosts' }),
    mode,
    uid: z.int(),
    gid: z.int(),
    template: z.boolean(),
    each: z.string().optional(),
    when: z.string().optional(),
    type: z.enum(['file', 'link', 'directory']),
    digest: digestText.optional(),
    size: z.int().optional(),
    target: z.string().optional(),
  })
  .openapi('OverlayEntry')

/** An overlay. */
export const overlaySchema = z
  .object({
    name: z.string(),
    origin: originSchema,
    version,
    digest: digestText,
    description: z.string().nullable(),
    entries: z.array(entrySchema),
    message: z.string().optional(),
    author: z.string().optional(),
    createdAt: time.optional(),
  })
  .openapi('Overlay')

/** A pushed version of an overlay. */
export const overlayVersionSchema = z
  .object({ number: z.int(), digest: digestText, message: z.string(), author: z.string(), createdAt: time })
  .openapi('OverlayVersion')

/** A file of an overlay's directory. */
export const sourceFileSchema = z
  .object({
    path: z.string().max(4400).openapi({ example: 'files/etc/motd' }),
    content: z.base64().openapi({ description: 'Base64; empty for a link' }),
    executable: z.boolean().optional(),
    link: z.string().optional().openapi({ description: 'Target of a symbolic link' }),
  })
  .openapi('OverlayFile')

/** A file as one node gets it. */
export const renderedFileSchema = z
  .object({
    path: z.string(),
    mode,
    owner: z.string().openapi({ example: '0:0' }),
    type: z.enum(['file', 'link', 'directory']),
    content: z.string().optional(),
    encoding: z.literal('base64').optional().openapi({ description: 'There when the content is not UTF-8' }),
    link: z.string().optional(),
    overlay: z.string(),
    version,
  })
  .openapi('RenderedFile')

/** Query of what is asked of one version. */
export const versionQuery = z.object({
  version: wholeNumber(1, Number.MAX_SAFE_INTEGER)
    .optional()
    .openapi({ description: 'A pushed version; the current overlay unless said otherwise' }),
})

/** What a push made. */
export const pushedSchema = z
  .object({ name: z.string(), version: z.int(), digest: digestText, created: z.boolean() })
  .openapi('PushedOverlay')

/** The entries of an overlay: those of the site's layer hide shipped ones of the same path. */
export function entriesOf({ layers }: LayeredOverlay): OverlayEntry[] {
  const byPath = new Map(layers.flatMap(({ manifest }) => manifest.entries.map((entry) => [entry.path, entry])))
  return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** An entry on the wire. */
export const entryBody = ({ mode, ...entry }: OverlayEntry): z.infer<typeof entrySchema> => ({
  ...entry,
  mode: octal(mode),
})

/** The description that counts, and where the overlay comes from. */
export function headOf({ name, layers }: LayeredOverlay) {
  const site = layers.find((layer) => layer.origin === 'site')
  const origin = !site ? ('shipped' as const) : layers.length > 1 ? ('both' as const) : ('site' as const)
  const described = layers.findLast(({ manifest }) => manifest.description !== undefined)
  return { name, origin, version: site?.version ?? null, description: described?.manifest.description ?? null }
}

/** A version on the wire. */
export const overlayVersionBody = ({ number, digest, message, author, createdAt }: OverlayVersion) => ({
  number,
  digest,
  message,
  author,
  createdAt: createdAt.toISOString(),
})

/** A file of an overlay's directory on the wire. */
export const sourceFileBody = ({ path, content, executable, link }: SourceFile) => ({
  path,
  content: toBase64(content),
  executable,
  ...(link !== undefined && { link }),
})

/** A file of an overlay's directory, as it came. */
export const sourceFileOf = (file: z.infer<typeof sourceFileSchema>): SourceFile => ({
  path: file.path,
  content: fromBase64(file.content),
  executable: file.executable ?? false,
  ...(file.link !== undefined && { link: file.link }),
})

/** A rendered file on the wire. */
export function renderedBody(file: RenderedFile): z.infer<typeof renderedFileSchema> {
  const { path, mode, uid, gid, type, overlay, version = null } = file
  const common = { path, mode: octal(mode), owner: `${uid}:${gid}`, type, overlay, version }
  if (file.type === 'directory') return common
  if (file.type === 'link') return { ...common, link: file.target }
  const text = textOf(file.content)
  return text === undefined
    ? { ...common, content: toBase64(file.content), encoding: 'base64' }
    : { ...common, content: text }
}

const octal = (mode: number): string => `0${mode.toString(8).padStart(3, '0')}`

function textOf(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}
