/** `/api/images/{name}/versions/{version}/diff`: what a version changes against another. */
import { createRoute, z } from '@hono/zod-openapi'
import { AppError } from '../errors.ts'
import { aspects, diffTrees, type FileDifference, transferOf } from '../images/diff.ts'
import { openedImages } from '../images/opened-images.ts'
import { diffPackages } from '../images/packages/diff.ts'
import { bytesText, pathOf, pathText } from '../images/path-text.ts'
import type { Inode } from '../images/tree.ts'
import { type ImageVersion, listVersions, resolveImage } from '../registry/images.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { digestText, versionText } from './image-schemas.ts'
import { pageOf, wholeNumber } from './page.ts'
import { json, nameParam, refusals } from './schemas.ts'

const defaultLimit = 1000

const entrySchema = z
  .object({
    type: z.enum(['file', 'directory', 'link', 'character', 'block', 'fifo']),
    mode: z.string().openapi({ description: 'Octal', example: '0755' }),
    uid: z.int(),
    gid: z.int(),
    size: z.int().optional().openapi({ description: 'Bytes; of a file' }),
    digest: digestText.optional(),
    links: z.int().optional(),
    target: z.string().optional(),
    device: z.tuple([z.int(), z.int()]).optional(),
    xattrs: z.array(z.string()).optional().openapi({ description: 'Names' }),
  })
  .openapi('ImageDiffEntry')

const fileSchema = z
  .object({
    path: z.string(),
    change: z.enum(['added', 'removed', 'changed']),
    what: z.array(z.enum(aspects)).openapi({ description: 'What differs, of what both have' }),
    before: entrySchema.nullable(),
    after: entrySchema.nullable(),
    entries: z.int().openapi({ description: 'How many entries are below a directory that is wholly new or gone' }),
  })
  .openapi('ImageFileDifference')

const versionSchema = z.object({ image: z.string(), number: z.int(), digest: digestText })

const diff = createRoute({
  method: 'get',
  path: '/{name}/versions/{version}/diff',
  summary: 'Compare a version of an image with another',
  description: 'Files, installed packages, and what a node that has the other version would have to fetch.',
  request: {
    params: nameParam.extend({ version: versionText }),
    query: z.object({
      from: z.string().max(512).optional().openapi({
        description: 'The other version, of this image or another; the one before it unless said otherwise',
        example: 'rocky9@3',
      }),
      after: z
        .string()
        .max(4096)
        .optional()
        .openapi({ description: 'Files after this path: `next` of the page before' }),
      limit: wholeNumber(1, 10_000)
        .optional()
        .openapi({ description: `At most so many files, ${defaultLimit} unless said otherwise` }),
    }),
  },
  responses: {
    200: json(
      z
        .object({
          from: versionSchema,
          to: versionSchema,
          files: z.object({
            added: z.int(),
            removed: z.int(),
            changed: z.int(),
            touched: z.int().openapi({ description: 'Entries of which only the time differs' }),
            items: z.array(fileSchema),
            next: z.string().nullable(),
          }),
          packages: z.array(
            z.object({
              name: z.string(),
              architecture: z.string(),
              manager: z.enum(['rpm', 'dpkg']),
              before: z.array(z.string()),
              after: z.array(z.string()),
              change: z.enum(['added', 'removed', 'upgraded', 'downgraded']),
            }),
          ),
          transfer: z
            .object({ segments: z.int(), bytes: z.int(), kernelBytes: z.int(), totalBytes: z.int() })
            .openapi({ description: 'What is fetched by whoever has the other version: a node with a disk, a mirror' }),
          warnings: z.array(z.string()),
        })
        .openapi('ImageDiff'),
      'What differs',
    ),
    ...refusals('IMAGE_UNKNOWN', 'UNSUPPORTED'),
  },
})

/** Mounted at `/api/images`. */
export const imageDiffRoutes = ({ registry, openImage, readPackages }: Services) => {
  const open = openImage && openedImages(openImage)

  /** The version that another is compared with when nobody says: the newest that is older. */
  async function before({ image, number }: ImageVersion): Promise<ImageVersion> {
    const older = (await listVersions(registry, image)).find((version) => version.number < number)
    if (older) return older
    throw new AppError(
      'IMAGE_UNKNOWN',
      `${image}@${number} is the oldest version of ${image}: say what to compare it with`,
      {
        field: 'from',
      },
    )
  }

  return apiRoutes().openapi(diff, async (c) => {
    if (!open || !readPackages)
      throw new AppError('UNSUPPORTED', 'images are compared on a head node, which has zstd to read them')
    const { name, version } = c.req.valid('param')
    const { from, after, limit = defaultLimit } = c.req.valid('query')
    const to = await resolveImage(registry, `${name}@${version}`)
    const other = from === undefined ? await before(to) : await resolveImage(registry, from)
    const [one, two] = await Promise.all([open(other.digest), open(to.digest)])
    const { files, ...counts } = diffTrees(one.tree, two.tree)
    const behind = after === undefined ? undefined : pathOf(one.tree, after)
    const rest = files.filter(({ path }) => behind === undefined || path > behind)
    const page = pageOf(rest, limit, ({ path }) => pathText(path))
    const [had, has] = await Promise.all([readPackages(one), readPackages(two)])
    return c.json(
      {
        from: versionBody(other),
        to: versionBody(to),
        files: { ...counts, items: page.items.map(fileBody), next: page.next },
        packages: diffPackages(had.packages, has.packages),
        transfer: transferOf(one.manifest, two.manifest),
        warnings: [...new Set([...had.warnings, ...has.warnings])],
      },
      200,
    )
  })
}

const versionBody = ({ image, number, digest }: ImageVersion) => ({ image, number, digest })

const fileBody = (file: FileDifference) => ({
  path: pathText(file.path),
  change: file.change,
  what: file.change === 'changed' ? file.what : [],
  before: file.change === 'added' ? null : entryBody(file.before),
  after: file.change === 'removed' ? null : entryBody(file.after),
  entries: file.change === 'changed' ? 0 : file.entries,
})

const entryBody = (inode: Inode) => ({
  type: inode.type,
  mode: inode.mode.toString(8).padStart(4, '0'),
  uid: inode.uid,
  gid: inode.gid,
  ...(inode.type === 'file' && { size: inode.size, digest: inode.digest, links: inode.links }),
  ...(inode.type === 'link' && { target: bytesText(inode.target) }),
  ...('major' in inode && { device: [inode.major, inode.minor] as [number, number] }),
  ...(inode.xattrs && { xattrs: [...inode.xattrs.keys()].map(bytesText).sort() }),
})
