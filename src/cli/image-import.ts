/** An image's root tree, from a directory, a file or stdin, streamed to the service. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Answer, type Api, answer, segment } from './client.ts'
import { counted } from './progress.ts'
import type { Session } from './session.ts'
import { usageError } from './session.ts'
import { tarOf } from './tar.ts'

/** What the route answers, as the app declares it. */
type Imported = Answer<Awaited<ReturnType<Api['client']['api']['images'][':name']['versions']['$post']>>>

/**
 * Streams the source into a new version. When reading fails or Ctrl-C comes, the request breaks off in the middle of its
 * body, so that the service knows it incomplete and makes no version.
 */
export async function importImage(
  session: Session,
  { source, name, current }: { source: string; name: string; current: boolean },
): Promise<Imported> {
  const { api, err, why } = session
  // Before anything is read: a refused connection or token should not cost a whole tree's time.
  await answer(api.client.api.whoami.$get())
  const { bytes, size } = await openSource(session, source)
  let failure: unknown
  const body = streamOf(counted(bytes, err, size), (error) => {
    failure = error
  })
  const query = new URLSearchParams({ source, current: String(current), ...why })
  try {
    // `duplex` is what fetch asks for with a streamed body (fetch standard §5.3); TypeScript's own types do not know it.
    const init: RequestInit & { duplex: 'half' } = {
      method: 'POST',
      headers: { 'content-type': 'application/x-tar' },
      body,
      duplex: 'half',
    }
    const response = await api.request(`/api/images/${segment(name)}/versions?${query}`, init)
    // The typed client cannot send a stream; the answer is the one of the same route.
    return (await response.json()) as Imported
  } catch (error) {
    throw failure ?? error
  }
}

/** The bytes of a tar, and how many there will be when that is known. */
async function openSource(
  { io, err }: Session,
  source: string,
): Promise<{ bytes: AsyncIterable<Uint8Array>; size?: number }> {
  if (source === '-') {
    if (io.stdin.isTTY) throw usageError('there is nothing on stdin: pipe a tar into it')
    return { bytes: chunksOf(io.stdin) }
  }
  const path = resolve(io.cwd, source)
  const found = await stat(path)
  if (found.isDirectory()) return { bytes: tarOf(path, io, (line) => err.line(line)) }
  if (!found.isFile()) throw usageError(`${source} is neither a file nor a directory`)
  return { bytes: chunksOf(createReadStream(path, { highWaterMark: 1024 * 1024 })), size: found.size }
}

async function* chunksOf(stream: NodeJS.ReadableStream): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) yield typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk
}

/** The bytes as a stream that is read no faster than it is sent. `failed` hears why it broke off. */
function streamOf(bytes: AsyncGenerator<Uint8Array>, failed: (error: unknown) => void): ReadableStream<Uint8Array> {
  let cancelled = false
  return new ReadableStream({
    async pull(controller) {
      const next = await bytes.next().catch((error: unknown) => {
        failed(error)
        throw error
      })
      // Whoever read may have had enough while the bytes were on their way.
      if (cancelled) return
      if (next.done) controller.close()
      else controller.enqueue(next.value)
    },
    async cancel() {
      cancelled = true
      await bytes.return(undefined)
    },
  })
}
