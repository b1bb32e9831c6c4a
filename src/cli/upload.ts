/** Layers to the service, where they become a version of an image. Whoever brings layers uses this: `import`, `shell`, `exec`. */
import { AppError } from '../errors.ts'
import type { SourceLayer } from '../sources/source.ts'
import { type Answer, type Api, answer, openApi, segment } from './client.ts'
import type { Meter } from './progress.ts'
import type { Session } from './session.ts'

/** The imports of an image, as the app declares them. */
type Imports = Api['client']['api']['images'][':name']['imports']
type Opening = Parameters<Imports['$post']>[0]['json']
type Finishing = Parameters<Imports[':id']['finish']['$post']>[0]['json']
/** What the service says of the version. */
export type Uploaded = Answer<Awaited<ReturnType<Imports[':id']['finish']['$post']>>>

/** What is sent, and what is said of it. */
export type Upload = {
  /** The image that gets the version. */
  image: string
  /** Lowest first. They are read when the service needs them, two at a time, perhaps not at all. */
  layers: SourceLayer[]
  /** How the layers are to be understood. */
  opening: Omit<Opening, 'layers'>
  /** What is kept with the version; read when all layers were sent. */
  finishing: () => Finishing
}

/** Layers that are sent at the same time: one is read from afar while the other is written. */
const atOnce = 2
/** How often a service that knew a layer, and then did not, is believed. */
const mostRounds = 3
/** Between two questions how far the packing is, in milliseconds. */
const pollEvery = 250

/**
 * Makes a version of the layers. When reading fails or Ctrl-C comes, the request breaks off in the middle of its body, so
 * that the service knows it incomplete; the import is then deleted, and nothing is left of it.
 */
export async function upload(
  session: Session,
  meter: Meter,
  { image, layers, opening, finishing }: Upload,
): Promise<Uploaded> {
  const imports = session.api.client.api.images[':name'].imports
  const expected = layers.map(({ digest, diffId, size }) => ({
    ...(digest && { digest }),
    ...(diffId && { diffId }),
    ...(size !== undefined && { size }),
  }))
  const param = { name: segment(image) }
  const { id, needed } = await answer(imports.$post({ param, json: { ...opening, layers: expected } }))
  const one = { name: param.name, id: segment(id) }
  try {
    let missing = needed
    for (let round = 1; ; round++) {
      await sendLayers(session, meter, one, layers, missing)
      const finished = await finish(session, meter, one, finishing()).catch((error: unknown) => {
        if (!(error instanceof AppError) || error.code !== 'IMPORT_INCOMPLETE' || round === mostRounds) throw error
        return undefined
      })
      if (finished) return finished
      missing = (await answer(imports[':id'].$get({ param: one }))).needed
    }
  } catch (error) {
    await abandon(session, one)
    throw error
  } finally {
    meter.end()
  }
}

type One = { name: string; id: string }

/** Sends the layers at the positions. The first that fails ends the others. */
async function sendLayers(
  session: Session,
  meter: Meter,
  one: One,
  layers: SourceLayer[],
  positions: number[],
): Promise<void> {
  const sizes = positions.map((position) => layers[position]?.size)
  const total = sizes.reduce((sum, size) => (sum === undefined || size === undefined ? undefined : sum + size), 0)
  meter.begin('sending', total)
  const end = new AbortController()
  const left = positions.values()
  const work = async () => {
    for (const position of left) {
      const layer = layers[position]
      if (!layer)
        throw new AppError('INTERNAL', `the service asks for layer ${position}, which there is not: is it Muster?`)
      await sendLayer(session, meter, { ...one, position }, layer, end.signal)
    }
  }
  const workers = Array.from({ length: atOnce }, () =>
    work().catch((error: unknown) => {
      // Those that are ended now fail too, but for no reason of their own: the first reason is the one that counts.
      if (!end.signal.aborted) end.abort(error)
    }),
  )
  await Promise.all(workers)
  if (end.signal.aborted) throw end.signal.reason
}

async function sendLayer(
  { api }: Session,
  meter: Meter,
  { name, id, position }: One & { position: number },
  layer: SourceLayer,
  signal: AbortSignal,
): Promise<void> {
  let failure: { reason: unknown } | undefined
  const bytes = meter.counted(layer.open())
  const body = streamOf(bytes, (reason) => {
    failure = { reason }
  })
  // `duplex` is what fetch asks for with a streamed body (fetch standard §5.3); TypeScript's own types do not know it.
  const init: RequestInit & { duplex: 'half' } = {
    method: 'PUT',
    headers: { 'content-type': 'application/octet-stream' },
    body,
    duplex: 'half',
    signal,
  }
  try {
    const response = await api.request(`/api/images/${name}/imports/${id}/layers/${position}`, init)
    await response.body?.cancel()
  } catch (error) {
    throw failure ? failure.reason : error
  } finally {
    // Nobody cancels the body of a request that was never made. Not awaited: a source that stalls would hold back the end.
    bytes.return(undefined).catch(() => undefined)
  }
}

/** Lets the service pack, and shows how far it is to whoever looks. */
async function finish({ api, why }: Session, meter: Meter, param: One, json: Finishing): Promise<Uploaded> {
  const one = api.client.api.images[':name'].imports[':id']
  const packed = answer(one.finish.$post({ param, query: why, json }))
  if (!meter.watched) return packed
  const done = new AbortController()
  const watching = watch(meter, done.signal, () => answer(one.$get({ param })))
  return await packed.finally(async () => {
    done.abort()
    await watching
  })
}

async function watch(
  meter: Meter,
  signal: AbortSignal,
  look: () => Promise<{ phase: string; bytes: number; total?: number | undefined }>,
): Promise<void> {
  let packing = false
  while (!signal.aborted) {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pollEvery)
      signal.addEventListener('abort', () => {
        clearTimeout(timer)
        resolve()
      })
    })
    if (signal.aborted) return
    // How far it is is worth no failure: what `finish` answers is.
    const found = await look().catch(() => undefined)
    if (found?.phase !== 'packing' || signal.aborted) continue
    if (!packing) meter.begin('packing', found.total)
    packing = true
    meter.at(found.bytes, found.total)
  }
}

/** Takes the import back, also after Ctrl-C, which has ended every other request. */
async function abandon({ io, api }: Session, param: One): Promise<void> {
  const { signal: _ended, ...rest } = io
  try {
    const last = await openApi({ ...rest, signal: AbortSignal.timeout(5000) }, { server: api.server })
    await answer(last.client.api.images[':name'].imports[':id'].$delete({ param }))
  } catch {
    // The service closes imports that nobody touches; what made us give up is the message that matters.
  }
}

/** The bytes as a stream that is read no faster than it is sent. `failed` hears why it broke off. */
function streamOf(
  bytes: AsyncGenerator<Uint8Array<ArrayBuffer>>,
  failed: (reason: unknown) => void,
): ReadableStream<Uint8Array<ArrayBuffer>> {
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
