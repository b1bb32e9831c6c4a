/** `/blobs/sha256/:hex`: immutable bytes under their digest, for nodes, caches and mirrors. No token. */
import { Hono } from 'hono'
import { parseDigest } from '../blobs/digest.ts'
import type { SendBlob } from '../blobs/parcel.ts'
import { select } from '../blobs/range.ts'
import type { BlobStore, Bytes, Descriptor, Slice } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import type { Services } from '../services.ts'

/** What the server may put into `c.env`, which is absent when there is no server. */
type Env = { Bindings: { sendBlob?: SendBlob } }

const immutable = 'public, max-age=31536000, immutable'

/** Mounted at `/blobs`. GET and HEAD, with ranges and conditions; throws `BLOB_UNKNOWN` and `RANGE_INVALID`. */
export const blobRoutes = ({ blobs }: Pick<Services, 'blobs'>) =>
  new Hono<Env>().get('/sha256/:hex', async (c) => {
    const blob = await describe(blobs, c.req.param('hex'))
    const etag = `"${blob.digest}"`
    const conditions = {
      method: c.req.method,
      ifNoneMatch: c.req.header('if-none-match'),
      ifRange: c.req.header('if-range'),
      range: c.req.header('range'),
    }
    const selection = select(conditions, etag, blob.size)
    if (selection.status === 304) return c.body(null, 304, { ETag: etag, 'Cache-Control': immutable })
    if (selection.status === 416) {
      c.header('Content-Range', `bytes */${blob.size}`) // goes out with the error
      throw new AppError('RANGE_INVALID', `no such range: ${blob.digest} has ${blob.size} bytes`)
    }
    const { status, slice } = selection
    const silent = c.req.method === 'HEAD' || slice.length === 0
    const body = silent ? null : await take(c.env?.sendBlob, blobs, blob, slice)
    return c.newResponse(body, status, {
      ETag: etag,
      'Cache-Control': immutable,
      'Accept-Ranges': 'bytes',
      'Content-Type': 'application/octet-stream',
      'X-Content-Type-Options': 'nosniff',
      'Content-Length': String(slice.length),
      ...(status === 206 && { 'Content-Range': rangeOf(slice, blob.size) }),
    })
  })

const rangeOf = ({ offset, length }: Slice, size: number): string => `bytes ${offset}-${offset + length - 1}/${size}`

/** The blob that the URL names. What is no digest is no blob, and the store is not asked for it. */
async function describe(blobs: BlobStore, digits: string): Promise<Descriptor> {
  if (!/^[0-9a-f]{64}$/.test(digits)) {
    throw new AppError('BLOB_UNKNOWN', 'no such blob: a blob is named by 64 lower-case hexadecimal digits')
  }
  const digest = parseDigest(`sha256:${digits}`)
  const blob = await blobs.stat(digest)
  if (!blob) throw new AppError('BLOB_UNKNOWN', `no blob ${digest}`)
  return blob
}

/** The bytes as a stream, or nothing when the server sends them by itself. */
async function take(
  sendBlob: SendBlob | undefined,
  blobs: BlobStore,
  blob: Descriptor,
  slice: Slice,
): Promise<Bytes | null> {
  if (sendBlob && blobs.file) {
    sendBlob({ ...blob, ...slice, path: blobs.file(blob.digest) })
    return null
  }
  const body = await blobs.open(blob.digest, slice)
  if (!body) throw new AppError('BLOB_UNKNOWN', `no blob ${blob.digest}`)
  if (!sendBlob) return body
  sendBlob({ ...blob, ...slice, body })
  return null
}
