/** A spool: layers as they come in, uncompressed, in temporary files; entries and digests of them, and their files' bytes. Node only. */
import { createHash, randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type ArchiveLimits, exceeded } from '../archive/limits.ts'
import { readTar, type TarEntry } from '../archive/tar.ts'
import { compressionOf, uncompressed } from '../archive/uncompress.ts'
import type { Digest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import type { Contents } from './contents.ts'
import { createFileDigester } from './file-digester.ts'
import { createIndexLimit, type IndexWeight } from './index-limit.ts'
import type { LayerEntry } from './layer.ts'
import { createSpoolContents, type StoredFiles } from './spool-contents.ts'
import { openSpoolFile, type SpoolFile } from './spool-file.ts'

/** A layer that is in the spool. */
export type ReceivedLayer = {
  /** In the order of the archive. */
  entries: LayerEntry[]
  /** Digest and number of the bytes as they were sent. */
  digest: Digest
  size: number
  /** Digest and number of the bytes of the uncompressed tar. */
  diffId: Digest
  unpackedSize: number
}

/** Layers on their way. */
export type Spool = {
  /**
   * Takes a layer: a tar, plain, gzip or zstd, told by its first bytes. Several can come at the same time. Throws `ARCHIVE_INVALID`,
   * `ARCHIVE_LIMIT`, or `DIGEST_MISMATCH` when it is not what was expected, and then keeps nothing of it. `what` names it.
   */
  receive(
    body: AsyncIterable<Uint8Array>,
    expected?: { digest?: Digest; diffId?: Digest },
    what?: string,
  ): Promise<ReceivedLayer>
  /** The files of all layers that were received. */
  contents: Contents
  /** Gives the space back. A second time does nothing. */
  close(): Promise<void>
}

const prefix = 'import-'

/** Makes the folder, and removes what an import left there that was killed before its file lost its name. */
export function prepareSpool(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(folder)) if (name.startsWith(prefix)) rmSync(join(folder, name))
}

/** A spool in a folder that {@link prepareSpool} made. `limits` are for each layer, those on entries and names for all. */
export async function openSpool(folder: string, limits: ArchiveLimits): Promise<Spool> {
  const contents = createSpoolContents()
  const files: SpoolFile[] = []
  let weight: IndexWeight = { entries: 0, bytes: 0 }
  let isClosed = false

  /** Reads a layer through, into a file; what it answers besides the layer is where the bytes of its files are. */
  async function read(sent: Sent, file: SpoolFile, what: string) {
    const entries: LayerEntry[] = []
    const stored: StoredFiles = { digests: [], offsets: [], extents: new Map() }
    const tar = createHash('sha256')
    const files = createFileDigester()
    const index = createIndexLimit(limits, weight)
    let unpackedSize = 0
    let last: TarEntry | undefined

    async function* kept() {
      for await (const chunk of uncompressed(sent.bytes, limits, what)) {
        tar.update(chunk)
        unpackedSize += chunk.length
        await file.append(chunk)
        yield chunk
      }
    }
    /** An entry counts once its data has gone by. */
    async function keepLast(): Promise<void> {
      if (last?.type !== 'file') {
        if (last) entries.push(last)
        return
      }
      const { extents, ...entry } = last
      const digest = await files.end()
      entries.push({ ...entry, digest })
      const isWhole = entry.size === 0 || extents[0]?.length === entry.size
      if (!isWhole) stored.extents.set(stored.digests.length, extents)
      stored.digests.push(digest)
      stored.offsets.push(extents[0]?.offset ?? 0)
    }
    for await (const entry of readTar(kept(), limits, files.look)) {
      await keepLast()
      index.add(entry.path, entry)
      if (entry.type === 'file') files.begin(entry)
      last = entry
    }
    await keepLast()
    await file.flush()
    const diffId: Digest = `sha256:${tar.digest('hex')}`
    const layer: ReceivedLayer = { entries, ...(await sent.end(diffId)), diffId, unpackedSize }
    return { layer, stored, weight: index.spent() }
  }

  return {
    contents,
    async receive(body, expected = {}, what = 'the layer') {
      const file = await openSpoolFile(join(folder, `${prefix}${randomUUID()}.tar`))
      const sent = createSent(body, limits, what)
      try {
        const before = weight
        const { layer, stored, weight: after } = await read(sent, file, what)
        check(layer, expected, what)
        if (isClosed) throw new Error('the spool was closed while a layer came in')
        weight = {
          entries: weight.entries + after.entries - before.entries,
          bytes: weight.bytes + after.bytes - before.bytes,
        }
        contents.add(file, stored)
        files.push(file)
        return layer
      } catch (error) {
        sent.leave()
        await file.close()
        throw error
      }
    },
    async close() {
      isClosed = true
      await Promise.all(files.splice(0).map((file) => file.close()))
    },
  }
}

/** The bytes of a layer as they are sent. */
type Sent = {
  bytes: AsyncIterable<Uint8Array>
  /** Reads what follows the archive, and answers digest and number of all bytes. */
  end(diffId: Digest): Promise<{ digest: Digest; size: number }>
  /** Lets go of the sender. */
  leave(): void
}

function createSent(body: AsyncIterable<Uint8Array>, limits: ArchiveLimits, what: string): Sent {
  const chunks = body[Symbol.asyncIterator]()
  const sum = createHash('sha256')
  let size = 0
  /** Whether the bytes are the tar itself, whose digest is made anyway. */
  let isTar = false

  function count(chunk: Uint8Array): void {
    if (size === 0) isTar = chunk.length >= 6 && compressionOf(chunk) === undefined
    size += chunk.length
    if (size > limits.total) throw exceeded(what, 'has too many bytes', limits.total)
    if (!isTar) sum.update(chunk)
  }
  async function* pass() {
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
      count(next.value)
      yield next.value
    }
  }
  return {
    bytes: { [Symbol.asyncIterator]: pass },
    async end(diffId) {
      // Padding of a gzip is left unread by who uncompresses it; the digest is of everything.
      for (let next = await chunks.next(); !next.done; next = await chunks.next()) count(next.value)
      return { digest: isTar ? diffId : `sha256:${sum.digest('hex')}`, size }
    },
    leave() {
      // Not awaited: a sender that stalls would hold back the answer.
      chunks.return?.().catch(() => {})
    },
  }
}

function check(layer: ReceivedLayer, expected: { digest?: Digest; diffId?: Digest }, what: string): void {
  if (expected.digest && expected.digest !== layer.digest)
    throw new AppError('DIGEST_MISMATCH', `${what}: expected ${expected.digest}, got ${layer.digest}: send it again`)
  if (expected.diffId && expected.diffId !== layer.diffId)
    throw new AppError(
      'DIGEST_MISMATCH',
      `${what}: expected a tar of digest ${expected.diffId}, got one of ${layer.diffId}: the image's own list is wrong`,
    )
}
