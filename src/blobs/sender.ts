/**
 * Sends the bodies of blob responses, in place of @hono/node-server. Node only; wrapped round `app.fetch` by `head.ts`.
 *
 * node-server makes a new buffer for every piece of a body and reports a body that breaks as text at its end. Here
 * bodies are written from memory that is used again (`hot.ts`), each write waits for the one before, and a body that
 * breaks takes its connection along, so that no client takes a part for the whole.
 *
 * The route returns an ordinary response with a null body, so that every middleware sees one; its headers are written
 * here, outside of Hono, and node-server gets the one constant by which it knows that nothing is left to do. That
 * constant must be the exported one, and imported before `serve()` replaces the global Response.
 */
import type { Http2Bindings, HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Log } from '../log.ts'
import type { Digest } from './digest.ts'
import { type HotBlobs, hotBlobs } from './hot.ts'
import type { Parcel, SendBlob } from './parcel.ts'
import { sourceOf } from './source.ts'

/** A transfer that has ended, well or not. */
export type Sent = {
  digest: Digest
  /** The client's address, when it was still known. */
  address: string | undefined
  /** The slice that was to be sent. */
  offset: number
  length: number
  /** Bytes that the kernel took for the client. When the transfer broke, it may have taken part of one more write. */
  sent: number
  /** Whether the kernel took all of them. What it then could not deliver is not known here. */
  complete: boolean
  /** 200 or 206, or 500 when the first bytes could not be read. */
  status: number
  startedAt: Date
  /** Duration in milliseconds. */
  ms: number
}

/** Settings of {@link withBlobSender}. */
export type BlobSenderOptions = {
  /** Called once for every transfer, when it has ended and its memory and file are given back. Must not throw. */
  onSent?: (sent: Sent) => void
  /** Told why a transfer failed on our side. Clients that go away are not failures. */
  log?: Log
  /** Memory for pieces; 256 MiB at most when not given. */
  hot?: HotBlobs
}

/** What the app finds in `c.env` behind {@link withBlobSender}. */
export type SenderBindings = HttpBindings & { sendBlob: SendBlob }

type AppFetch = (request: Request, env: SenderBindings) => Response | Promise<Response>
type ServerFetch = (request: Request, env: HttpBindings | Http2Bindings) => Response | Promise<Response>

/** Gives the app `c.env.sendBlob`, and sends what it is given. The result is the `fetch` of `serve()`, over HTTP/1. */
export function withBlobSender(fetch: AppFetch, options: BlobSenderOptions = {}): ServerFetch {
  const hot = options.hot ?? hotBlobs()
  return (request, bindings) => {
    let parcel: Parcel | undefined
    const sendBlob: SendBlob = (given) => {
      parcel = given
    }
    // serve() speaks HTTP/2 only when it is given such a server, and this one is not
    const env = Object.assign(bindings as HttpBindings, { sendBlob })
    const finish = (response: Response) => (parcel ? send(parcel, response, env, hot, options) : response)
    const response = fetch(request, env)
    return response instanceof Promise ? response.then(finish) : finish(response) // node-server is faster when it is none
  }
}

async function send(
  parcel: Parcel,
  response: Response,
  { incoming, outgoing }: HttpBindings,
  hot: HotBlobs,
  { onSent, log }: BlobSenderOptions,
): Promise<Response> {
  if (response.body !== null || (response.status !== 200 && response.status !== 206)) {
    if ('body' in parcel) await parcel.body.cancel()
    return response // something above the route answers otherwise
  }
  const { socket } = incoming
  const { digest, offset, length } = parcel
  const outcome = { address: socket.remoteAddress, sent: 0, complete: false, status: response.status }
  const startedAt = new Date()
  const began = performance.now()
  const source = sourceOf(parcel, hot, socket)

  let giveUp = () => {}
  const whenClosed = () => giveUp()
  socket.once('close', whenClosed)
  /** Resolves when the kernel has taken the bytes. A dead connection may never call back, but it closes. */
  const write = (bytes: Uint8Array, last: boolean) =>
    new Promise<boolean>((resolve) => {
      giveUp = () => resolve(false)
      const done = (error?: Error | null) => resolve(!error)
      if (last) outgoing.end(bytes, done)
      else outgoing.write(bytes, done)
    })

  try {
    while (!outcome.complete && !socket.destroyed) {
      const bytes = await source.next()
      if (socket.destroyed) break
      if (!outgoing.headersSent) outgoing.writeHead(response.status, [...response.headers].flat())
      const last = outcome.sent + bytes.length === length
      if (!(await write(bytes, last))) break
      outcome.sent += bytes.length
      outcome.complete = last
    }
  } catch (error) {
    if (!socket.destroyed) log?.('error', `cannot send ${digest}`, { error, sent: outcome.sent, length })
    if (outgoing.headersSent) outgoing.destroy()
    else outcome.status = 500
  } finally {
    socket.off('close', whenClosed)
    await source.close()
    onSent?.({ digest, offset, length, ...outcome, startedAt, ms: performance.now() - began })
  }
  if (outcome.status !== 500 || socket.destroyed) return RESPONSE_ALREADY_SENT
  const problem = { code: 'INTERNAL', message: `this is Muster's own fault: its log says why it cannot send ${digest}` }
  return Response.json(problem, { status: 500, headers: { 'Cache-Control': 'no-store' } })
}
