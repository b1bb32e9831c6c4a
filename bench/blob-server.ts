/** Serves the blobs of a folder as the head node does, and prints its port. `node bench/blob-server.ts ROOT` */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { fsBlobStore } from '../src/blobs/fs.ts'
import { withBlobSender } from '../src/blobs/sender.ts'
import { blobRoutes } from '../src/routes/blobs.ts'

const app = new Hono().route('/blobs', blobRoutes({ blobs: fsBlobStore(process.argv[2] ?? '') }))
serve({ fetch: withBlobSender(app.fetch), port: 0, hostname: '127.0.0.1' }, ({ port }) => console.log(port))
