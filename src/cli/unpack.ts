/** A version of an image as a directory: its segments, fetched, checked and unpacked, a few at a time. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { uncompressed } from '../archive/uncompress.ts'
import { AppError, statusOf } from '../errors.ts'
import type { Answer } from './client.ts'
import { unpackTar } from './gnu-tar.ts'
import type { oneOf } from './image-reference.ts'
import type { Meter } from './progress.ts'
import type { Session } from './session.ts'
import { bytesText } from './table.ts'

/** A version as the service tells it, with its whole manifest. */
export type Version = Answer<Awaited<ReturnType<ReturnType<typeof oneOf>['versions'][':version']['$get']>>>
type Segment = Version['manifest']['segments'][number]

/** Segments that are fetched and unpacked at the same time. */
const atOnce = 4
/** How often one is asked for, and the pause before the second time in milliseconds, which doubles. */
const attempts = 5
const firstPause = 250
/** What a name takes on a file system, at most as a rule: ext4 has inodes of 256 bytes and blocks of 4 KiB. */
const bytesPerName = 4096

/**
 * Unpacks a version into the directory `into`, as root. `scratch` is a directory of the same file system for what has been
 * fetched and not yet been checked. Directories are left without the times that they had. Throws `BLOB_CORRUPT` when the
 * service keeps sending other bytes than the manifest names, `INTERNAL` when there is no room, and what the service says.
 */
export async function unpackVersion(
  session: Session,
  meter: Meter,
  { manifest }: Version,
  { into, scratch }: { into: string; scratch: string },
): Promise<void> {
  await checkRoom(manifest, into)
  meter.begin(
    'unpacking',
    manifest.segments.reduce((sum, { size }) => sum + size, 0),
  )
  const end = new AbortController()
  const left = manifest.segments.values()
  const work = async () => {
    for (const segment of left) {
      if (end.signal.aborted) return
      await unpackSegment(session, meter, segment, { into, scratch })
    }
  }
  // The first that fails ends the others; theirs are then no reasons of their own.
  await Promise.all(
    Array.from({ length: atOnce }, () =>
      work().catch((error: unknown) => {
        end.abort(error)
      }),
    ),
  ).finally(() => meter.end())
  if (end.signal.aborted) throw end.signal.reason
}

async function unpackSegment(
  session: Session,
  meter: Meter,
  segment: Segment,
  { into, scratch }: { into: string; scratch: string },
): Promise<void> {
  const { io, err } = session
  const file = join(scratch, segment.digest.replace(':', '-'))
  try {
    await fetchBlob(session, meter, segment, file)
    // What has the manifest's digest was packed by the service: it needs no limits.
    const bytes = uncompressed(createReadStream(file), { ratio: Number.POSITIVE_INFINITY, ratioFree: 0 })
    await unpackTar(into, bytes, { env: io.env, signal: io.signal, complain: (line) => err.line(line) })
  } finally {
    await rm(file, { force: true })
  }
}

/** Throws `INTERNAL` when the file system has too little room for the tree. */
async function checkRoom({ unpackedSize, entries }: Version['manifest'], directory: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory)
  const needed = unpackedSize + entries * bytesPerName
  if (bavail * bsize >= needed) return
  throw new AppError(
    'INTERNAL',
    `the image needs ${bytesText(needed)} and ${directory} has ${bytesText(bavail * bsize)} left: name another directory with --tmp`,
  )
}

/**
 * Fetches a blob into a file, which is whole and checked when this returns. A transfer that broke off goes on where it
 * stopped (RFC 9110, section 14); bytes that do not match their digest are fetched once more.
 */
async function fetchBlob({ api, io }: Session, meter: Meter, { digest, size }: Segment, file: string): Promise<void> {
  const target = await open(file, 'w', 0o600)
  let hash = createHash('sha256')
  let done = 0
  const startAgain = async () => {
    await target.truncate(0)
    hash = createHash('sha256')
    done = 0
  }
  const fetchRest = async () => {
    const headers: Record<string, string> = done > 0 ? { range: `bytes=${done}-` } : {}
    const response = await api.request(`/blobs/${digest.replace(':', '/')}`, { headers })
    if (done > 0 && response.status !== 206) await startAgain()
    if (!response.body) return
    for await (const chunk of meter.counted(response.body)) {
      if (done + chunk.length > size) break
      await target.write(chunk, 0, chunk.length, done)
      hash.update(chunk)
      done += chunk.length
    }
  }
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        if (done < size) await fetchRest()
        if (done === size && `sha256:${hash.copy().digest('hex')}` === digest) return
        if (done === size) await startAgain()
        throw new AppError('BLOB_CORRUPT', `${api.server} sends other bytes than those of ${digest}`)
      } catch (error) {
        if (io.signal?.aborted) throw io.signal.reason
        if (!isPassing(error) || attempt === attempts) throw error
        // Not all at the same moment: whoever comes back to a busy service comes back with others.
        await sleep(firstPause * 2 ** (attempt - 1) * (0.5 + Math.random()), undefined, {
          ...(io.signal && { signal: io.signal }),
        })
      }
    }
  } finally {
    await target.close()
  }
}

/** Whether the same request may go better next time: an outage of the service, or a connection that broke off. */
function isPassing(error: unknown): boolean {
  if (error instanceof AppError) return statusOf[error.code] >= 500
  // What fetch throws when a body breaks off (fetch standard, "terminated").
  return error instanceof TypeError
}
