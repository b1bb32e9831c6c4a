/** Small images for tests: what an import needs to see, and nothing else. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Digest } from '../../src/blobs/digest.ts'
import { fsBlobStore } from '../../src/blobs/fs.ts'
import type { BlobStore, Bytes, Descriptor } from '../../src/blobs/store.ts'
import type { Content, Contents } from '../../src/images/contents.ts'
import { createImporter, type ImporterOptions } from '../../src/images/import.ts'
import type { ImportRequest } from '../../src/images/importer.ts'
import type { ImageManifest } from '../../src/images/manifest.ts'
import { openImage } from '../../src/images/open.ts'
import type { OpenedImage } from '../../src/images/opened-image.ts'
import type { Inode } from '../../src/images/tree.ts'
import { openRegistry } from '../../src/registry/sqlite.ts'
import { archive, bytes, type Member, member } from '../archive/tar-writer.ts'

/** An ELF header of a 64-bit little-endian program for `machine` (62 is x86-64), and some more. */
export function elf(machine = 62, { bits = 2, order = 1 } = {}): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(128)
  head.set([0x7f, 0x45, 0x4c, 0x46, bits, order, 1])
  new DataView(head.buffer).setUint16(18, machine, order === 1)
  return head
}

/** An x86 kernel as far as its header goes; `version` is what uname would say. */
export function bzImage(version: string, filling = 0): Uint8Array<ArrayBuffer> {
  const kernel = new Uint8Array(20_000).fill(filling)
  kernel.set(bytes('HdrS'), 0x202)
  new DataView(kernel.buffer).setUint16(0x20e, 0x3000, true)
  kernel.set(bytes(`${version} (builder@example) #1 SMP\0`), 0x200 + 0x3000)
  return kernel
}

/** An arm64 kernel as far as its header goes. */
export function arm64Image(size = 4096): Uint8Array<ArrayBuffer> {
  const kernel = new Uint8Array(size)
  kernel.set(bytes('ARM\x64'), 0x38)
  return kernel
}

/** What every image here has: a shell, an init, a kernel and a folder for its modules. */
export const basics: Member[] = [
  { name: 'bin/sh', mode: 0o755, data: elf() },
  { name: 'sbin/init', flag: '2', link: '../bin/sh' },
  { name: 'boot/vmlinuz-6.1.0-18-amd64', data: bzImage('6.1.0-18-amd64') },
  { name: 'lib/modules/6.1.0-18-amd64', flag: '5', mode: 0o755 },
]

/** A tar of members, or of bytes where something stands before a member. */
export const tarOf = (members: (Member | Uint8Array)[]): Uint8Array<ArrayBuffer> =>
  archive(...members.map((part) => (part instanceof Uint8Array ? part : member(part))))

/** What a test may want otherwise. */
export type RigOptions = Omit<Partial<ImporterOptions>, 'blobs' | 'spool' | 'registry'> & {
  /** Stands between the importer and the store. */
  around?: (blobs: BlobStore) => BlobStore
}

/** An importer on folders of its own, and ways to look at what it leaves. */
export function rig({ around = (blobs) => blobs, ...options }: RigOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'muster-import-'))
  const spool = join(folder, 'spool')
  const registry = openRegistry(join(folder, 'registry.db'))
  const blobs = fsBlobStore(join(folder, 'blobs'))
  const stores = { blobs: around(blobs), spool, registry: registry.database }
  const importer = createImporter({ ...stores, ...options })
  const read = async ({ digest }: Pick<Descriptor, 'digest'>): Promise<Uint8Array<ArrayBuffer>> =>
    new Uint8Array(await new Response(await blobs.open(digest)).arrayBuffer())

  /** Sends what is needed of the layers, each in chunks, and finishes. */
  async function make(layers: Uint8Array[], { chunk, ...request }: Partial<ImportRequest> & { chunk?: number } = {}) {
    const session = await importer.begin({ layers: layers.map(() => ({})), whiteouts: 'oci', ...request })
    try {
      const sent = session.needed()
      for (const at of sent) await session.receive(at, streamOfBytes(layers[at]!, chunk))
      return { ...(await session.finish()), sent }
    } finally {
      await session.close()
    }
  }

  return {
    folder,
    spool,
    blobs,
    registry: registry.database,
    stores,
    importer,
    read,
    make,
    /** Imports one root tree. */
    import: async (tar: Uint8Array, chunk = 65_536): Promise<ImageManifest> =>
      (await make([tar], { whiteouts: 'none', chunk })).manifest,
    open: (digest: Digest): Promise<OpenedImage> => openImage(blobs, digest),
    /** What lies about in the folder, or is still open there. */
    leftovers: () => [
      ...[...importer.running()].map(({ id }) => `import ${id}`),
      ...readdirSync(spool),
      ...(readdirSync(folder).includes('blobs') ? readdirSync(join(folder, 'blobs', 'incoming')) : []),
      ...readdirSync('/proc/self/fd').flatMap((fd) => {
        try {
          const path = readlinkSync(`/proc/self/fd/${fd}`)
          return path.startsWith(folder) && !path.includes('registry.db') ? [path] : []
        } catch {
          return []
        }
      }),
    ],
    remove() {
      registry.close()
      rmSync(folder, { recursive: true })
    },
  }
}

/** Everything in a version, a line each: type, mode, owner, what it is; files by the digest of their bytes as they are read. */
export async function inventory({ tree, contents }: Pick<OpenedImage, 'tree' | 'contents'>): Promise<string[]> {
  const first = new Map<Inode, string>()
  const lines: string[] = []
  for (const path of tree.paths) {
    const inode = tree.get(path)!
    const { type, mode, uid, gid, mtime, links } = inode
    const before = first.get(inode)
    first.set(inode, path)
    const what =
      before !== undefined
        ? `= ${before}`
        : inode.type === 'file'
          ? `${mtime} ${inode.size} ${await digestIn(contents, inode)}`
          : inode.type === 'link'
            ? `-> ${inode.target}`
            : 'major' in inode
              ? `${inode.major}:${inode.minor}`
              : ''
    const xattrs = [...(inode.xattrs ?? [])].sort().map(([name, value]) => ` ${name}=${[...value]}`)
    lines.push(`${path} ${type} ${mode.toString(8)} ${uid}:${gid} ${links} ${what}${xattrs.join('')}`)
  }
  return lines
}

async function digestIn(contents: Contents, file: Content): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of contents.read(file)) hash.update(chunk)
  return hash.digest('hex')
}

/** Bytes as a request's body would bring them. */
export function streamOfBytes(all: Uint8Array, chunk = 65_536): Bytes {
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at < all.length) controller.enqueue(new Uint8Array(all.subarray(at, at + chunk)))
      at += chunk
      if (at >= all.length) controller.close()
    },
  })
}

/** Bytes that do not compress; another seed gives others. */
export function noise(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(size)
  let state = seed
  for (let at = 0; at < size; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    out[at] = state
  }
  return out
}
