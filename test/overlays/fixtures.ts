/** Nodes of three kinds, overlays from disk, and assets of a folder, for the tests of overlays. */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { AssetFile, Assets } from '../../src/assets/assets.ts'
import type { Inputs } from '../../src/overlays/inputs.ts'
import type { LayeredOverlay } from '../../src/overlays/layers.ts'
import { parseOverlay, type SourceFile } from '../../src/overlays/parse.ts'
import type { RenderedFile } from '../../src/overlays/render.ts'
import type { NamedSettings, ViewInput } from '../../src/overlays/view.ts'

export const bootAssets = fileURLToPath(new URL('../../boot-assets', import.meta.url))

/** One Ethernet device with a fixed address. */
export const plain: NamedSettings = {
  name: 'n2',
  settings: {
    domain: 'cluster.example',
    nameservers: ['10.0.0.1'],
    netdevs: {
      default: {
        mac: '52:54:00:00:00:02',
        address: '10.0.0.2/24',
        gateway: '10.0.0.1',
      },
    },
    resources: { sshAuthorizedKeys: ['ssh-ed25519 AAAAC3Nza root@head', 'ssh-rsa AAAAB3Nza admin@head'] },
  },
}

/** Two devices in a bond, a VLAN on it, both IP families, routes by tags, resolvers of its own, large frames. */
export const bonded: NamedSettings = {
  name: 'n10',
  settings: {
    domain: 'cluster.example',
    nameservers: ['10.0.0.1', 'fd00::1'],
    search: ['cluster.example', 'example'],
    netdevs: {
      default: {
        type: 'bond',
        device: 'bond0',
        bond: { mode: '802.3ad', members: ['port1', 'port2'], miimon: 50 },
        address: '10.0.0.10/16',
        address6: 'fd00:0:0::10/64',
        gateway: '10.0.0.1',
        gateway6: 'fd00::1',
        mtu: 9000,
        dns: ['10.0.0.53'],
        tags: {
          route1: '10.8.0.0/16,10.0.0.8',
          route2: '10.9.0.0/16, 10.0.0.9, 200',
          route10: 'fd08::/32,fd00::8',
          xmit_hash_policy: 'layer3+4',
        },
      },
      port1: { mac: '52:54:00:00:10:01', mtu: 9000 },
      port2: { mac: '52:54:00:00:10:02', mtu: 9000 },
      storage: { type: 'vlan', device: 'bond0.100', vlan: { id: 100, parent: 'default' }, address: '172.16.0.10/20' },
    },
  },
}

/** InfiniBand that asks for its address; its name has a domain. */
export const infiniband: NamedSettings = {
  name: 'ib1.fabric.example',
  settings: {
    netdevs: {
      ib0: {
        type: 'infiniband',
        device: 'ib0',
        mac: '80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:0a:2f:c1',
        mtu: 2044,
      },
      manage: { mac: '52:54:00:00:00:21' },
    },
  },
}

export const cluster = [bonded, infiniband, plain]

/** What rendering may ask for, as texts by path or name. */
export type Given = {
  image?: Record<string, string>
  head?: Record<string, string>
  secrets?: Record<string, string>
  stamp?: string
}

/** Inputs that are all at hand. */
export const inputsOf = (
  nodes: NamedSettings[],
  { image = {}, head = {}, secrets = {}, stamp }: Given = {},
): Inputs => ({
  nodes: () => nodes,
  nodesStamp: stamp ?? nodes.map(({ name }) => name).join(' '),
  imageFile: (path) => bytesOf(image, path),
  headFile: (path) => bytesOf(head, path),
  secrets: () => new Map(Object.entries(secrets)),
})

/** What a view is made of, for one of the nodes. */
export const inputOf = (node: NamedSettings, nodes: NamedSettings[] = cluster, given: Given = {}): ViewInput => ({
  node: { profiles: ['default'], ...node },
  image: { name: 'rocky9', version: 3, digest: `sha256:${'a'.repeat(64)}`, architecture: 'x86_64' },
  kernel: { version: '5.14.0-570.el9.x86_64', args: ['quiet', 'console=ttyS0'] },
  root: { kind: 'tmpfs', size: '50%' },
  init: '/sbin/init',
  onFailure: 'retry',
  runtimeInterval: 60,
  cluster: 'green',
  head: { url: 'http://10.0.0.1:9873' },
  private: false,
  inputs: inputsOf(nodes, given),
})

function bytesOf(files: Record<string, string>, path: string): Uint8Array<ArrayBuffer> | undefined {
  const text = Object.hasOwn(files, path) ? files[path] : undefined
  return text === undefined ? undefined : new TextEncoder().encode(text)
}

/** A text as the file of an overlay. */
export const sourceFile = (path: string, text: string, executable = false): SourceFile => ({
  path,
  content: new TextEncoder().encode(text),
  executable,
})

/** An overlay made of texts by path. */
export async function overlayOf(name: string, texts: Record<string, string>): Promise<LayeredOverlay> {
  const parsed = await parseOverlay(
    name,
    Object.entries(texts).map(([path, text]) => sourceFile(path, text)),
  )
  return { name, layers: [{ origin: 'shipped', ...parsed }], digest: `sha256:${'0'.repeat(64)}` }
}

/** The files of a shipped overlay, read from `boot-assets/overlays`. */
export function shippedFiles(name: string): SourceFile[] {
  const folder = join(bootAssets, 'overlays', name)
  return walk(folder).map((file): SourceFile => {
    const path = join(folder, file.path)
    if ('link' in file) return { path: file.path, content: new Uint8Array(), executable: false, link: file.link }
    return { path: file.path, content: Uint8Array.from(readFileSync(path)), executable: file.executable }
  })
}

/** A shipped overlay. */
export async function shippedOverlay(name: string): Promise<LayeredOverlay> {
  return {
    name,
    layers: [{ origin: 'shipped', ...(await parseOverlay(name, shippedFiles(name))) }],
    digest: `sha256:${'0'.repeat(64)}`,
  }
}

/** The contract of assets, over a folder. */
export function folderAssets(root: string): Assets & { touch(): void; reads: string[] } {
  let version = 1
  const reads: string[] = []
  const read = (path: string) => {
    reads.push(path)
    return Uint8Array.from(readFileSync(join(root, path)))
  }
  return {
    reads,
    touch: () => {
      version++
    },
    text: async (path) => new TextDecoder().decode(read(path)),
    bytes: async (path) => read(path),
    list: async (folder) => (statSync(join(root, folder), { throwIfNoEntry: false }) ? walk(join(root, folder)) : []),
    version: () => String(version),
  }
}

/** Rendered files as one text: a line that names each, then what is in it. */
export const printed = (files: RenderedFile[]): string =>
  files
    .map((file) => {
      const head = `--- ${file.path} ${file.mode.toString(8).padStart(4, '0')} ${file.uid}:${file.gid}`
      if (file.type === 'directory' || file.type === 'removal') return `${head} ${file.type}\n`
      return file.type === 'link' ? `${head} -> ${file.target}\n` : `${head}\n${textOf(file)}`
    })
    .join('')

/** The text of a rendered file. */
export function textOf(file: RenderedFile | undefined): string {
  if (file?.type !== 'file') throw new Error(`not a file: ${file?.path}`)
  return new TextDecoder().decode(file.content)
}

function walk(folder: string): AssetFile[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry): AssetFile => {
      const full = join(entry.parentPath, entry.name)
      const path = relative(folder, full)
      if (entry.isSymbolicLink()) return { path, link: readlinkSync(full) }
      return { path, executable: (statSync(full).mode & 0o100) !== 0 }
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}
