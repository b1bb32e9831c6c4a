/** `/api/images/{name}/versions/{version}/{files,file,export}`: what is in a version. */
import { createRoute, z } from '@hono/zod-openapi'
import { toBase64 } from '../archive/base64.ts'
import { streamOf } from '../archive/stream.ts'
import { AppError } from '../errors.ts'
import { exportTar, inChunks } from '../images/export.ts'
import { fileAt, listFiles, type TreeEntry } from '../images/files.ts'
import type { OpenedImage } from '../images/opened-image.ts'
import { bytesText, pathText } from '../images/path-text.ts'
import { resolveImage } from '../registry/images.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { digestText, versionText } from './image-schemas.ts'
import { flag, pageOf, wholeNumber } from './page.ts'
import { json, namePage, nameParam, refusals } from './schemas.ts'

const params = nameParam.extend({ version: versionText })
const path = z.string().min(1).max(4096)
const defaultLimit = 1000

/** An entry of an image's tree. */
const fileSchema = z
  .object({
    path: z.string().openapi({ description: 'A byte that is not UTF-8 is \\xHH', example: '/usr/bin/bash' }),
    type: z.enum(['file', 'directory', 'link', 'character', 'block', 'fifo']),
    mode: z.string().openapi({ description: 'Octal', example: '0755' }),
    uid: z.int(),
    gid: z.int(),
    mtime: z.int().openapi({ description: 'Whole seconds since 1970' }),
    size: z.int().optional().openapi({ description: 'Bytes; of a file' }),
    digest: digestText.optional().openapi({ description: 'Of what is in a file' }),
    links: z.int().optional().openapi({ description: 'How many names a file has' }),
    target: z.string().optional().openapi({ description: 'Of a symbolic link' }),
    device: z.tuple([z.int(), z.int()]).optional().openapi({ description: 'Major and minor number' }),
    xattrs: z.record(z.string(), z.string()).optional().openapi({ description: 'Values in base64' }),
  })
  .openapi('ImageFile')

const list = createRoute({
  method: 'get',
  path: '/{name}/versions/{version}/files',
  summary: 'List what is in a version of an image, by path',
  request: {
    params,
    query: z.object({
      under: path.optional().openapi({ description: 'A directory or one entry; links are followed', example: '/etc' }),
      recursive: flag.optional().openapi({ description: 'false: only what is in the directory itself' }),
      after: path.optional().openapi({ description: 'Begin after this path: `next` of the page before' }),
      limit: wholeNumber(1, 10_000)
        .optional()
        .openapi({ description: `At most so many, ${defaultLimit} unless said otherwise` }),
    }),
  },
  responses: {
    200: json(namePage(fileSchema), 'A page of entries'),
    ...refusals('IMAGE_UNKNOWN', 'FILE_UNKNOWN', 'BLOB_CORRUPT', 'UNSUPPORTED'),
  },
})

const bytes = (description: string, type: string) => ({
  description,
  content: { [type]: { schema: { type: 'string' as const, format: 'binary' } } },
})

const read = createRoute({
  method: 'get',
  path: '/{name}/versions/{version}/file',
  summary: 'Get a file out of a version of an image',
  request: {
    params,
    query: z.object({
      path: path.openapi({ description: 'Links are followed within the image', example: '/etc/os-release' }),
    }),
  },
  responses: {
    200: bytes('Its bytes', 'application/octet-stream'),
    ...refusals('IMAGE_UNKNOWN', 'FILE_UNKNOWN', 'BLOB_CORRUPT', 'UNSUPPORTED'),
  },
})

const exportAll = createRoute({
  method: 'get',
  path: '/{name}/versions/{version}/export',
  summary: 'Get a whole version of an image as one archive',
  description: 'The same version gives the same bytes. An answer that breaks off is an archive that is not whole.',
  request: { params, query: z.object({ format: z.enum(['tar']).optional() }) },
  responses: {
    200: bytes('A pax tar (POSIX.1-2001)', 'application/x-tar'),
    ...refusals('IMAGE_UNKNOWN', 'BLOB_CORRUPT', 'UNSUPPORTED'),
  },
})

/** Mounted at `/api/images`. */
export const imageFileRoutes = ({ registry, openImage }: Pick<Services, 'registry' | 'openImage'>) => {
  const opened = async ({ name, version }: { name: string; version: string }) => {
    if (!openImage) throw new AppError('UNSUPPORTED', 'the files of images are read on a head node, which has zstd')
    const row = await resolveImage(registry, `${name}@${version}`)
    return { row, image: await openImage(row.digest) }
  }

  return apiRoutes()
    .openapi(list, async (c) => {
      const { under = '/', recursive = true, after, limit = defaultLimit } = c.req.valid('query')
      const { image } = await opened(c.req.valid('param'))
      const found = listFiles(image.tree, { under, recursive, after, limit: limit + 1 })
      return c.json(
        pageOf(found.map(fileBody), limit, (file) => file.path),
        200,
      )
    })
    .openapi(read, async (c) => {
      const { path } = c.req.valid('query')
      const { image } = await opened(c.req.valid('param'))
      const file = fileAt(image.tree, path)
      c.header('ETag', `"${file.digest}"`)
      c.header('Content-Length', String(file.size))
      c.header('Content-Type', 'application/octet-stream')
      c.header('X-Content-Type-Options', 'nosniff')
      if (c.req.method === 'HEAD') return c.body(null, 200)
      return c.body(await begun(image.contents.read(file)), 200)
    })
    .openapi(exportAll, async (c) => {
      const { row, image } = await opened(c.req.valid('param'))
      c.header('Content-Type', 'application/x-tar')
      c.header('Content-Disposition', `attachment; filename="${row.image}-${row.number}.tar"`)
      return c.body(streamOf(inChunks(exportTar(image))), 200)
    })
}

/** The bytes as a stream, once the first of them are there: what cannot be read at all is an error, not a short answer. */
async function begun(source: ReturnType<OpenedImage['contents']['read']>) {
  const first = await source.next()
  async function* whole() {
    try {
      if (first.done) return
      yield first.value
      yield* source
    } finally {
      await source.return(undefined)
    }
  }
  return streamOf(whole())
}

function fileBody({ path, inode }: TreeEntry): z.infer<typeof fileSchema> {
  const { type, mode, uid, gid, mtime, xattrs } = inode
  return {
    path: pathText(path),
    type,
    mode: mode.toString(8).padStart(4, '0'),
    uid,
    gid,
    mtime,
    ...(inode.type === 'file' && { size: inode.size, digest: inode.digest, links: inode.links }),
    ...(inode.type === 'link' && { target: bytesText(inode.target) }),
    ...('major' in inode && { device: [inode.major, inode.minor] satisfies [number, number] }),
    ...(xattrs &&
      xattrs.size > 0 && {
        xattrs: Object.fromEntries(Array.from(xattrs, ([name, value]) => [bytesText(name), toBase64(value)])),
      }),
  }
}
