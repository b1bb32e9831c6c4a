/** The outer tar of an archive of images: what lies in it where, so that its members can be read in any order. Node only. */
import type { FileHandle } from 'node:fs/promises'
import { type ByteString, readable } from '../archive/byte-string.ts'
import { type ArchiveLimits, defaultLimits } from '../archive/limits.ts'
import { readTar } from '../archive/tar.ts'
import { AppError } from '../errors.ts'
import { invalid, mostDocument } from './json.ts'

/** An archive of images, indexed. Names are as {@link plainName} writes them. */
export type ArchiveFile = {
  /** Whether there is such a file. */
  has(name: string): boolean
  /** Bytes of a file. Throws `SOURCE_INVALID` when it is not there. */
  size(name: string): number
  /** A file's bytes, as often as one likes. */
  open(name: string): AsyncIterable<Uint8Array>
  /** A file of at most {@link mostDocument} bytes. */
  read(name: string): Promise<Uint8Array<ArrayBuffer>>
}

/** One member. A link's target is a name in the archive. */
type Member = { offset: number; size: number } | { target: string } | { fault: string }

const gibi = 2 ** 30
/** An archive of images has a handful of files for each layer, and its layers are as large as they like. */
const limits: ArchiveLimits = { ...defaultLimits, entries: 100_000, file: 512 * gibi, total: 1024 * gibi }
/** Links to links: `docker save` writes one. */
const mostLinks = 8
const chunkSize = 2 ** 20

/** Reads the tar's headers. `what` names it in messages. Throws `SOURCE_INVALID` when it is no tar. */
export async function indexArchive(handle: FileHandle, what: string): Promise<ArchiveFile> {
  const members = await membersOf(handle, what)
  const find = (name: string): Exclude<Member, { target: string } | { fault: string }> => {
    let at = name
    for (let hops = 0; hops <= mostLinks; hops++) {
      const member = members.get(at)
      if (!member) throw invalid(what, `${readable(name)} is not in it`)
      if ('fault' in member) throw invalid(what, `${readable(at)} ${member.fault}`)
      if ('size' in member) return member
      at = member.target
    }
    throw invalid(what, `${readable(name)} is a link to a link, more than ${mostLinks} times`)
  }
  return {
    has: (name) => members.has(name),
    size: (name) => find(name).size,
    open: (name) => range(handle, find(name), what),
    async read(name) {
      const member = find(name)
      if (member.size > mostDocument) {
        throw invalid(what, `${readable(name)} has ${member.size} bytes (the limit is ${mostDocument})`)
      }
      const bytes = new Uint8Array(member.size)
      let filled = 0
      for await (const chunk of range(handle, member, what)) {
        bytes.set(chunk, filled)
        filled += chunk.length
      }
      return bytes
    },
  }
}

async function membersOf(handle: FileHandle, what: string): Promise<Map<string, Member>> {
  const members = new Map<string, Member>()
  try {
    const { size } = await handle.stat()
    for await (const entry of readTar(range(handle, { offset: 0, size }, what), limits)) {
      const name = plainName(entry.path)
      if (name === undefined || entry.type === 'directory') continue
      const known = members.has(name)
      // Readers differ in which of two they take, so that one archive would be two images.
      if (known) members.set(name, { fault: 'is in it twice' })
      else if (entry.type === 'file') members.set(name, fileOf(entry))
      else if (entry.type === 'link') members.set(name, targetOf(relative(name, entry.target)))
      else if (entry.type === 'hardlink') members.set(name, targetOf(plainName(entry.target)))
      else members.set(name, { fault: `is a ${entry.type}` })
    }
  } catch (error) {
    if (!(error instanceof AppError) || !error.code.startsWith('ARCHIVE_')) throw error
    throw new AppError('SOURCE_INVALID', `${what}: ${error.message}`, { cause: error })
  }
  return members
}

function fileOf({
  size,
  extents,
}: {
  size: number
  extents: { at: number; offset: number; length: number }[]
}): Member {
  const [first] = extents
  if (size === 0) return { offset: 0, size }
  if (extents.length !== 1 || !first || first.length !== size)
    return { fault: 'is stored with holes: tar it without -S' }
  return { offset: first.offset, size }
}

const targetOf = (target: string | undefined): Member =>
  target === undefined ? { fault: 'links to a place outside of the archive' } : { target }

/** Where a symbolic link at `name` leads. */
const relative = (name: string, target: ByteString): string | undefined =>
  target.startsWith('/') ? undefined : plainName(`${name.slice(0, name.lastIndexOf('/') + 1)}${target}`)

/** A path without `.`, `..` and empty parts; `undefined` when it leads out, or is the archive's own root. */
export function plainName(path: ByteString): string | undefined {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) return undefined
  }
  return parts.length === 0 ? undefined : parts.join('/')
}

async function* range(
  handle: FileHandle,
  { offset, size }: { offset: number; size: number },
  what: string,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < size; ) {
    // A buffer of its own for each: whoever reads may still hold the last one.
    const buffer = new Uint8Array(Math.min(chunkSize, size - at))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset + at)
    if (bytesRead === 0) throw invalid(what, 'became shorter while it was read')
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}
