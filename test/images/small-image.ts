/** Small images for tests: what an import needs to see, and nothing else. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { ArchiveLimits } from '../../src/archive/limits.ts'
import { fsBlobStore } from '../../src/blobs/fs.ts'
import type { Bytes, Descriptor } from '../../src/blobs/store.ts'
import { createImporter } from '../../src/images/import.ts'
import type { ImageManifest } from '../../src/images/manifest.ts'
import { type CpioMember, readCpio } from '../archive/cpio-reader.ts'
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

/** An importer on folders of its own, and ways to look at what it leaves. */
export function rig(limits: Partial<ArchiveLimits & { root: number }> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'muster-import-'))
  const spool = join(folder, 'spool')
  const blobs = fsBlobStore(join(folder, 'blobs'))
  const importer = createImporter({ blobs, spool, limits })
  const read = async ({ digest }: Pick<Descriptor, 'digest'>): Promise<Uint8Array<ArrayBuffer>> =>
    new Uint8Array(await new Response(await blobs.open(digest)).arrayBuffer())
  return {
    folder,
    spool,
    blobs,
    importer,
    read,
    import: (tar: Uint8Array, chunk?: number) => importer.importTar(streamOfBytes(tar, chunk)),
    /** The entries of an image's root archive. */
    root: async (image: ImageManifest): Promise<CpioMember[]> =>
      readCpio(new Uint8Array(gunzipSync(await read(image.root)))),
    /** What is still open or lies about in the folder. */
    leftovers: () => [
      ...readdirSync(spool),
      ...(readdirSync(folder).includes('blobs') ? readdirSync(join(folder, 'blobs', 'incoming')) : []),
      ...readdirSync('/proc/self/fd').flatMap((fd) => {
        try {
          const path = readlinkSync(`/proc/self/fd/${fd}`)
          return path.startsWith(folder) ? [path] : []
        } catch {
          return []
        }
      }),
    ],
    remove: () => rmSync(folder, { recursive: true }),
  }
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
