/**
 * The blob store on R2 inside a Worker, where bodies stream: `PUT /put/<digest>/<size>` and `PUT /add`, beside the blob
 * route itself. Errors are answered as their code and message.
 */
import { Hono } from 'hono'
import { parseDigest } from '../../src/blobs/digest.ts'
import { type BlobBucket, r2BlobStore } from '../../src/blobs/r2.ts'
import type { Bytes } from '../../src/blobs/store.ts'
import { AppError, statusOf } from '../../src/errors.ts'
import { blobRoutes } from '../../src/routes/blobs.ts'

const bodyOf = (request: Request): Bytes => request.body ?? new Blob([]).stream()

export default {
  fetch(request: Request, env: { BLOBS: BlobBucket }): Response | Promise<Response> {
    const blobs = r2BlobStore(env.BLOBS, { limit: 1_000_000 })
    return new Hono()
      .route('/blobs', blobRoutes({ blobs }))
      .put('/put/:digest/:size', async (c) => {
        const blob = { digest: parseDigest(c.req.param('digest')), size: Number(c.req.param('size')) }
        await blobs.put(blob, bodyOf(c.req.raw))
        return c.json(blob)
      })
      .put('/broken/:digest/:size', async (c) => {
        const blob = { digest: parseDigest(c.req.param('digest')), size: Number(c.req.param('size')) }
        const body: Bytes = new ReadableStream({
          pull: (controller) => controller.error(new AppError('REQUEST_INVALID', 'the sender went away')),
        })
        await blobs.put(blob, body)
        return c.json(blob)
      })
      .put('/add', async (c) => c.json(await blobs.add(bodyOf(c.req.raw))))
      .onError((error, c) => {
        const code = error instanceof AppError ? error.code : 'INTERNAL'
        return c.json({ code, message: error.message }, statusOf[code])
      })
      .fetch(request)
  },
}
