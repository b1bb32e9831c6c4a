/** Overlays on the wire. What the fields mean is said in `overlays/manifest.ts` and in docs/overlays.md. */
import { z } from '@hono/zod-openapi'
import { fromBase64, toBase64 } from '../archive/base64.ts'
import type { LayeredOverlay } from '../overlays/layers.ts'
import { type OverlayEntry, type Reload, type SecretKind, secretKinds } from '../overlays/manifest.ts'
import type { SourceFile } from '../overlays/parse.ts'
import type { OverlayVersion } from '../registry/overlays.ts'
import { digestText } from './image-schemas.ts'
import { wholeNumber } from './page.ts'
import { time } from './schemas.ts'

/** Bytes of a request's body: what base64 makes of an overlay of the greatest size, and the rest of the document. */
export const overlayBodyLimit = 32 * 1024 * 1024

const originSchema = z.enum(['shipped', 'site', 'both']).openapi({
  description: 'shipped came with Muster, site was pushed; both: files of the site shadow shipped ones',
})
/** Permission bits in octal. */
export const modeText = z.string().openapi({ example: '0644' })
/** Which version of the site's. */
export const siteVersion = z
  .int()
  .nullable()
  .openapi({ description: "The site's version; null when it is only shipped" })

/** `reload` in the words of overlay.yaml. */
export const reloadSchema = z
  .array(z.union([z.object({ unit: z.string() }), z.object({ run: z.array(z.string()) })]))
  .openapi({
    description: 'What is done on the node when it came, changed or went',
    example: [{ unit: 'chronyd.service' }],
  })
/** Marks what its node alone may have. */
export const isPrivate = z.literal(true).openapi({ description: 'There when only its node may have it' })
/** What stands at a path. */
export const entryTypes = z.enum(['file', 'link', 'directory', 'removal'])

/** A git checkout's state. */
export const gitSchema = z
  .strictObject({
    commit: z.string().regex(/^[0-9a-f]{40}(?:[0-9a-f]{24})?$/, 'must be a full commit id in lower-case hex'),
    dirty: z.boolean().openapi({ description: 'Files differed from the commit' }),
  })
  .openapi('GitState')

/** Who lists an overlay in settings of their own. */
const usesSchema = z
  .object({
    byDefault: z.boolean().openapi({ description: 'Nodes have it when nothing is set' }),
    profiles: z.array(z.string()),
    nodes: z.array(z.string()).openapi({ description: 'Nodes with lists of their own; the first hundred' }),
  })
  .openapi('OverlayUses')

/** An overlay in a list. */
export const listedOverlaySchema = z
  .object({
    name: z.string(),
    origin: originSchema,
    version: siteVersion,
    description: z.string().nullable(),
    files: z.int().openapi({ description: 'How many files, links and directories it speaks of' }),
    digest: digestText.nullable().openapi({ description: 'null when it cannot be read: see the description' }),
    git: gitSchema.nullable(),
    profiles: z.int().openapi({ description: 'Profiles that list it' }),
    nodes: z.int().openapi({ description: 'Nodes that list it in settings of their own' }),
  })
  .openapi('ListedOverlay')

/** One entry of an overlay. */
const entrySchema = z
  .object({
    path: z.string().openapi({ example: '/etc/hosts' }),
    mode: modeText,
    uid: z.int(),
    gid: z.int(),
    template: z.boolean(),
    each: z.string().optional(),
    when: z.string().optional(),
    private: isPrivate.optional(),
    reload: reloadSchema.optional(),
    type: entryTypes,
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
    version: siteVersion,
    digest: digestText,
    description: z.string().nullable(),
    entries: z.array(entrySchema),
    secrets: z
      .record(z.string(), z.enum(secretKinds))
      .openapi({ description: 'Secrets that are made for a node which has none of that name' }),
    usedBy: usesSchema,
    message: z.string().optional(),
    author: z.string().optional(),
    createdAt: time.optional(),
    git: gitSchema.nullable().optional(),
  })
  .openapi('Overlay')

/** A pushed version of an overlay. */
export const overlayVersionSchema = z
  .object({
    number: z.int(),
    digest: digestText,
    message: z.string(),
    author: z.string(),
    createdAt: time,
    git: gitSchema.nullable().openapi({ description: 'The checkout that it was pushed from' }),
  })
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

/** A file of an overlay's directory as it is given back. */
export const directoryFileSchema = sourceFileSchema
  .extend({
    private: z.literal(true).optional().openapi({ description: 'Its content is itself a secret: not to be shown' }),
  })
  .openapi('OverlayDirectoryFile')

/** What lint has to say. */
export const findingSchema = z
  .object({
    level: z.enum(['error', 'warning']).openapi({ description: 'An error keeps the overlay from being pushed' }),
    path: z.string().openapi({
      description: 'A path in the directory; empty for the whole overlay',
      example: 'files/etc/motd.mustache',
    }),
    line: z.int().optional(),
    message: z.string(),
  })
  .openapi('OverlayFinding')

/** What lint found. */
export const lintedSchema = z
  .object({
    findings: z.array(findingSchema),
    private: z.array(z.string()).openapi({ description: 'Paths whose content is itself a secret: not to be shown' }),
  })
  .openapi('LintedOverlay')

/** Query of what is asked of one version. */
export const versionQuery = z.object({
  version: wholeNumber(1, Number.MAX_SAFE_INTEGER)
    .optional()
    .openapi({ description: 'A pushed version; the current overlay unless said otherwise' }),
})

/** Query of what is asked of one version's directory. */
export const directoryQuery = z.object({
  version: z
    .union([z.literal('shipped'), wholeNumber(1, Number.MAX_SAFE_INTEGER)])
    .optional()
    .openapi({
      type: 'string',
      description: 'A pushed version, or `shipped`; the current overlay unless said otherwise',
      example: '3',
    }),
})

/** What a push made. */
export const pushedSchema = z
  .object({
    name: z.string(),
    version: z.int(),
    digest: digestText,
    created: z.boolean(),
    warnings: z.array(findingSchema).openapi({ description: 'What lint has to say of it' }),
  })
  .openapi('PushedOverlay')

/** The entries of an overlay: those of the site's layer hide shipped ones of the same path. */
export function entriesOf({ layers }: LayeredOverlay): OverlayEntry[] {
  const byPath = new Map(layers.flatMap(({ manifest }) => manifest.entries.map((entry) => [entry.path, entry])))
  return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** An entry on the wire. Of a file that is itself a secret there is no digest: it would tell whoever guesses a short one. */
export function entryBody({ mode, reload, ...entry }: OverlayEntry): z.infer<typeof entrySchema> {
  const body = { ...entry, mode: octal(mode), ...(reload && { reload: reload.map(reloadBody) }) }
  return entry.private && !entry.template ? { ...body, digest: undefined } : body
}

/** What is done on the node, in the words of overlay.yaml. */
export const reloadBody = (one: Reload) => ('unit' in one ? one : { run: one.argv })

/** The description that counts, and where the overlay comes from. */
export function headOf({ name, layers }: LayeredOverlay) {
  const site = layers.find((layer) => layer.origin === 'site')
  const origin = !site ? ('shipped' as const) : layers.length > 1 ? ('both' as const) : ('site' as const)
  const described = layers.findLast(({ manifest }) => manifest.description !== undefined)
  return { name, origin, version: site?.version ?? null, description: described?.manifest.description ?? null }
}

/** A version on the wire. */
export const overlayVersionBody = ({ number, digest, message, author, createdAt, git }: OverlayVersion) => ({
  number,
  digest,
  message,
  author,
  createdAt: createdAt.toISOString(),
  git,
})

/** Secrets that an overlay declares: the site's layer above the shipped one. */
export const secretsIn = ({ layers }: LayeredOverlay): Record<string, SecretKind> =>
  Object.assign({}, ...layers.map(({ manifest }) => manifest.secrets ?? {}))

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

/** Permission bits as admins write them. */
export const octal = (mode: number): string => `0${mode.toString(8).padStart(3, '0')}`
