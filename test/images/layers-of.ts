/** Layers for tests, by the way that real ones take: through a spool. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { byteString } from '../../src/archive/byte-string.ts'
import { type ArchiveLimits, defaultLimits } from '../../src/archive/limits.ts'
import type { Digest } from '../../src/blobs/digest.ts'
import type { Contents } from '../../src/images/contents.ts'
import type { Layer, Whiteouts } from '../../src/images/layer.ts'
import { mergeLayers } from '../../src/images/merge.ts'
import { openSpool, prepareSpool } from '../../src/images/spool.ts'
import type { Tree } from '../../src/images/tree.ts'
import { archive, type Member, member, source } from '../archive/tar-writer.ts'

/** Members of a tar, or bytes where something stands before a member. */
export type Parts = (Member | Uint8Array)[]

/** A tar of members. */
export const tarOf = (parts: Parts): Uint8Array<ArrayBuffer> =>
  archive(...parts.map((part) => (part instanceof Uint8Array ? part : member(part))))

export const dir = (name: string, more: Partial<Member> = {}): Member => ({ name, flag: '5', mode: 0o755, ...more })
export const link = (name: string, to: string): Member => ({ name, flag: '2', link: to, mode: 0o777 })
export const hard = (name: string, to: string): Member => ({ name, flag: '1', link: to })

/** The layer of members. */
export async function layerOf(
  parts: Parts,
  whiteouts: Whiteouts = 'oci',
  limits: Partial<ArchiveLimits> = {},
): Promise<Layer> {
  const bench = await spoolBench(limits)
  try {
    return { entries: (await bench.receive(tarOf(parts))).entries, whiteouts }
  } finally {
    await bench.remove()
  }
}

/** The tree of layers of members, lowest first. */
export async function treeOfLayers(stack: Parts[], whiteouts: Whiteouts = 'oci'): Promise<Tree> {
  return mergeLayers(await Promise.all(stack.map((parts) => layerOf(parts, whiteouts))))
}

/** A spool in a folder of its own, and ways to look at what it leaves. */
export async function spoolBench(limits: Partial<ArchiveLimits> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'muster-spool-'))
  prepareSpool(folder)
  const spool = await openSpool(folder, { ...defaultLimits, ...limits })
  return {
    folder,
    spool,
    receive: (bytes: Uint8Array, expected: { digest?: Digest; diffId?: Digest } = {}, chunk = 65_536) =>
      spool.receive(source(bytes, chunk), expected),
    /** Files of the folder that somebody has open, and what has a name in it. */
    leftovers: () => [
      ...readdirSync(folder),
      ...readdirSync('/proc/self/fd').flatMap((fd) => {
        try {
          const path = readlinkSync(`/proc/self/fd/${fd}`)
          return path.startsWith(folder) ? [path] : []
        } catch {
          return []
        }
      }),
    ],
    remove: async () => {
      await spool.close()
      rmSync(folder, { recursive: true })
    },
  }
}

/** A file's bytes as text of one character a byte. */
export async function textOf(contents: Contents, tree: Tree, path: string): Promise<string> {
  const inode = tree.get(path)
  if (inode?.type !== 'file') throw new Error(`${path} is no file`)
  let text = ''
  for await (const chunk of contents.read(inode)) text += byteString(chunk)
  return text
}

/** What a tree has, in lines that a test can compare: type, mode, owner, links, path and what is particular. */
export function listing(tree: Tree): string[] {
  return tree.paths.map((path) => {
    const inode = tree.get(path)
    if (!inode) throw new Error(`${path} is listed and not there`)
    const what = inode.type === 'link' ? ` -> ${inode.target}` : inode.type === 'file' ? ` ${inode.size}` : ''
    return `${inode.type} ${inode.mode.toString(8)} ${inode.uid}:${inode.gid} ${inode.links} ${path || '.'}${what}`
  })
}
