/** One import: layers come in, in any order and at the same time, and a version is made of them. Node only. */
import type { ArchiveLimits } from '../archive/limits.ts'
import type { Digest } from '../blobs/digest.ts'
import type { BlobStore, Bytes } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import { keepLayerIndexes } from '../registry/image-layers.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import { attended } from './attended.ts'
import { buildVersion, type MadeVersion } from './build-version.ts'
import type { ExpectedLayer, ImageImport, ImportProgress, ImportRequest } from './importer.ts'
import type { Layer } from './layer.ts'
import { readLayer, storeLayer } from './layer-blobs.ts'
import { packLayer, unpackLayer } from './layer-index.ts'
import type { Segment } from './manifest.ts'
import type { ReceivedLayer, Spool } from './spool.ts'

/** What an import is given by its importer. */
export type SessionOptions = {
  id: string
  request: ImportRequest
  /** Where the entries of layers are that were imported before, by position. */
  known: ReadonlyMap<number, Digest>
  /** Blobs of the base, which must not be collected meanwhile. */
  held: Iterable<Digest>
  spool: Spool
  blobs: BlobStore
  registry: RegistryDatabase
  limits: ArchiveLimits
  now: () => Date
  /** Called at every sign of life. */
  touch: () => void
  /** Called once, when it has given its space back. */
  onClose: () => void
}

/** A layer on its way in. */
type LayerState = {
  expected: ExpectedLayer
  /** The blob of its entries, from an earlier import. */
  index?: Digest
  /** What came. Its entries are packed, so that what is in memory while an import waits and packs is small. */
  received?: Omit<ReceivedLayer, 'entries'> & { packed: Uint8Array<ArrayBuffer> }
  /** Bytes that came, of the newest attempt. */
  bytes: number
  /** The attempt under way. */
  receiving?: { stop: AbortController; ended: Promise<unknown> }
}

/** An import that can take layers. */
export function openSession(options: SessionOptions): ImageImport {
  const { id, request, spool, blobs, registry, limits, now, touch, onClose } = options
  const layers: LayerState[] = request.layers.map((expected, position) => {
    const index = options.known.get(position)
    return { expected, bytes: 0, ...(index && { index }) }
  })
  const held = new Set(options.held)
  const packed = new Map<Digest, Segment>()
  const closing = new AbortController()
  const working = new Set<Promise<unknown>>()
  let finishing: Promise<MadeVersion & { layers: Digest[] }> | undefined
  let closed: Promise<void> | undefined
  let packing: { bytes: number; total: number } | undefined
  let done = false

  const needed = (): number[] => [...layers.keys()].filter((at) => !layers[at]?.received && !layers[at]?.index)

  /** Runs what `close` has to wait for. */
  async function busy<T>(work: Promise<T>): Promise<T> {
    working.add(work)
    try {
      return await work
    } finally {
      working.delete(work)
      touch()
    }
  }

  async function receiveInto(layer: LayerState, position: number, body: Bytes, stop: AbortSignal): Promise<void> {
    const what = `layer ${position}`
    layer.bytes = 0
    const watched = attended(body, what, AbortSignal.any([stop, closing.signal]), (bytes) => {
      layer.bytes += bytes
      touch()
    })
    const { size } = layer.expected
    const { entries, ...received } = await spool.receive(watched, layer.expected, what)
    if (size !== undefined && size !== received.size)
      throw new AppError('DIGEST_MISMATCH', `${what} has ${received.size} bytes, not the ${size} that were announced`)
    layer.received = { ...received, packed: await packLayer({ entries, whiteouts: request.whiteouts }) }
  }

  /** The layers, lowest first. One that was known and is gone is needed from now on. */
  async function loadLayers(): Promise<Layer[]> {
    const loaded: Layer[] = []
    for (const layer of layers) {
      const known = layer.received
        ? await unpackLayer(layer.received.packed)
        : layer.index && (await readLayer(blobs, layer.index))
      if (known) loaded.push({ entries: known.entries, whiteouts: request.whiteouts })
      else delete layer.index
    }
    refuseIncomplete()
    return loaded
  }

  function refuseIncomplete(): void {
    const missing = needed()
    if (missing.length === 0) return
    throw new AppError(
      'IMPORT_INCOMPLETE',
      `${missing.length} of ${layers.length} layers must be sent: ask GET …/imports/${id} which, send them, and finish again`,
      {
        faults: missing.map((position) => ({
          field: `layers.${position}`,
          message: `must be sent${layers[position]?.expected.diffId ? `: ${layers[position].expected.diffId}` : ''}`,
        })),
      },
    )
  }

  /** Layers that are known by their entries alone, and have files whose bytes nobody has, are needed from now on. */
  async function askFor(lost: ReadonlySet<Digest>): Promise<void> {
    const loaded = await loadLayers()
    const open = new Set(lost)
    for (const at of [...layers.keys()].reverse()) {
      const layer = layers[at]
      if (!layer || layer.received) continue
      let asked = false
      for (const entry of loaded[at]?.entries ?? [])
        if (entry.type === 'file' && open.delete(entry.digest)) asked = true
      if (asked) delete layer.index
    }
    refuseIncomplete()
  }

  async function finish(): Promise<MadeVersion & { layers: Digest[] }> {
    refuseIncomplete()
    const progress = { bytes: 0, total: 0 }
    packing = progress
    const made = await buildVersion({
      request,
      load: loadLayers,
      blobs,
      limits,
      sent: spool.contents,
      packed,
      signal: closing.signal,
      hold: (digest) => void held.add(digest),
      onTotal(bytes) {
        progress.total = bytes
      },
      onRead(bytes) {
        progress.bytes += bytes
        touch()
      },
      onLost: askFor,
    })
    const layersMade = layers.map(({ received, expected }) => received?.diffId ?? expected.diffId)
    await remember()
    done = true
    return { ...made, layers: layersMade.filter((diffId) => diffId !== undefined) }
  }

  /** Keeps the entries of the layers that can come again: those that were announced by the digest of their tar. */
  async function remember(): Promise<void> {
    const indexes = new Map<Digest, Digest>()
    for (const { expected, index, received } of layers) {
      const stored = expected.diffId && received ? await storeLayer(blobs, received.packed) : index
      if (!expected.diffId || !stored) continue
      held.add(stored)
      indexes.set(expected.diffId, stored)
    }
    await keepLayerIndexes(registry, indexes, now())
  }

  function refuseClosed(): void {
    if (closed) throw new AppError('IMPORT_UNKNOWN', `the import ${id} was closed: begin another`)
  }

  return {
    id,
    needed,
    async receive(position, body) {
      const layer = layers[position]
      if (closed || !layer) {
        await body.cancel().catch(() => {})
        refuseClosed()
        throw new AppError('REQUEST_INVALID', `the import has layers 0 to ${layers.length - 1}, not ${position}`)
      }
      touch()
      // Who sends a layer again has given the first attempt up, even if its connection has not ended here yet.
      while (layer.receiving) {
        layer.receiving.stop.abort(new AppError('REQUEST_INVALID', `layer ${position} was sent anew meanwhile`))
        await layer.receiving.ended
      }
      const stop = new AbortController()
      const work = receiveInto(layer, position, body, stop.signal)
      const receiving = { stop, ended: work.catch(() => {}) }
      layer.receiving = receiving
      try {
        await busy(work)
      } finally {
        if (layer.receiving === receiving) delete layer.receiving
      }
    },
    async finish() {
      refuseClosed()
      touch()
      finishing ??= busy(finish()).finally(() => {
        finishing = undefined
        packing = undefined
      })
      return finishing
    },
    progress: (): ImportProgress => {
      if (packing) return { phase: 'packing', ...packing }
      const awaited = layers.filter(({ index, received }) => !index || received)
      const sizes = awaited.map(({ expected, received }) => received?.size ?? expected.size)
      const bytes = awaited.reduce((sum, layer) => sum + layer.bytes, 0)
      const total = sizes.reduce(
        (sum: number | undefined, size) => (sum === undefined || size === undefined ? undefined : sum + size),
        0,
      )
      return { phase: done ? 'done' : 'receiving', bytes, ...(total !== undefined && { total }) }
    },
    held: () => held,
    close() {
      closed ??= (async () => {
        closing.abort(new AppError('IMPORT_UNKNOWN', `the import ${id} was closed while it was under way`))
        await Promise.allSettled(working)
        await spool.close()
        onClose()
      })()
      return closed
    },
  }
}
