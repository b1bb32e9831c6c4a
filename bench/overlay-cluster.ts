/** A registry of nodes with overlays, and clients with tokens, for the measurements of overlays. */
import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { agents } from '../src/activity/schema.ts'
import { openActivity } from '../src/activity/sqlite.ts'
import { createToken } from '../src/auth/tokens.ts'
import type { Digest } from '../src/blobs/digest.ts'
import type { OpenedImage } from '../src/images/opened-image.ts'
import { type Inode, impliedDirectory, treeOf } from '../src/images/tree.ts'
import { parseOverlay } from '../src/overlays/parse.ts'
import { addVersion } from '../src/registry/images.ts'
import { changeNodes } from '../src/registry/nodes.ts'
import { pushOverlay } from '../src/registry/overlays.ts'
import { changeProfile } from '../src/registry/profiles.ts'
import type { RegistryDatabase } from '../src/registry/schema.ts'
import { openRegistry } from '../src/registry/sqlite.ts'

/** Who edits. */
export const editor = { author: 'bench', at: new Date() }

/** Overlays that come with Muster, by name. */
export const shipped = (): string[] => readdirSync(new URL('../boot-assets/overlays', import.meta.url)).sort()

/** Twelve files of a node as admins write them: seven are its own, two are all nodes' and three are constant. */
export const dozen: Record<string, string> = {
  'files/etc/hostname.mustache': '{{node.name}}\n',
  'files/etc/hosts.mustache':
    '127.0.0.1 localhost\n{{#nodes}}\n{{#primary}}{{#ip}}\n{{ip}} {{fqdn}} {{hostname}}\n{{/ip}}{{/primary}}\n{{/nodes}}\n',
  'files/etc/resolv.conf.mustache': '{{#dns.servers}}\nnameserver {{.}}\n{{/dns.servers}}\n',
  'files/etc/motd.mustache': 'This is {{node.fqdn}} with {{image.name}}@{{image.version}}\n',
  'files/etc/issue.mustache': '{{node.name}} {{#primary}}{{ip}}{{/primary}}\n',
  'files/etc/machine-info.mustache': 'DEPLOYMENT={{cluster}}\nLOCATION={{#tags.rack}}{{tags.rack}}{{/tags.rack}}\n',
  'files/etc/slurm/node.conf.mustache': 'NodeName={{node.hostname}} {{#tags.gpu}}Gres=gpu:{{tags.gpu}}{{/tags.gpu}}\n',
  'files/etc/systemd/network/10-muster.network.mustache':
    '{{#primary}}[Match]\nMACAddress={{mac}}\n[Network]\nAddress={{address}}\n{{#gateway}}Gateway={{gateway}}\n{{/gateway}}{{/primary}}',
  'files/etc/exports.mustache': '{{#primary}}/scratch {{network}}/{{prefix}}(rw)\n{{/primary}}',
  'files/etc/profile.d/site.sh': 'umask 027\n',
  'files/etc/security/limits.d/site.conf': '* hard memlock unlimited\n',
  'files/etc/sysctl.d/90-site.conf': 'vm.swappiness = 1\n',
}

/** Pushes an overlay. */
export async function push(registry: RegistryDatabase, name: string, files: Record<string, string>): Promise<void> {
  const sources = Object.entries(files).map(([path, text]) => ({
    path,
    content: new TextEncoder().encode(text),
    executable: false,
  }))
  await pushOverlay(registry, editor, { name, git: undefined, ...(await parseOverlay(name, sources)) })
}

/** So many nodes, whose system list is `overlays`; each has an address, every fourth a GPU. */
export async function seedNodes(registry: RegistryDatabase, nodes: number, overlays: string[]): Promise<void> {
  const blob = (digit: string, size: number) => ({ digest: `sha256:${digit.repeat(64)}` as const, size })
  await addVersion(registry, editor, {
    image: 'rocky9',
    source: 'bench',
    current: true,
    digest: blob('4', 0).digest,
    provenance: {},
    summary: {
      schema: 1,
      architecture: 'x86_64',
      kernels: [{ ...blob('1', 14e6), version: '5.14.0-570.el9.x86_64', path: '/boot/vmlinuz-5.14.0-570.el9.x86_64' }],
      compression: 'zstd',
      segments: 1200,
      size: 7e8,
      index: { ...blob('3', 9e5), unpackedSize: 6e6 },
      entries: 40_000,
      unpackedSize: 2e9,
      warnings: [],
    },
  })
  await push(registry, 'dozen', dozen)
  await changeProfile(registry, editor, 'all', () => ({
    profiles: [],
    settings: {
      image: 'rocky9',
      domain: 'cluster.example',
      nameservers: ['10.0.0.1'],
      overlays: { system: overlays, runtime: ['dozen'] },
      netdevs: { default: { gateway: '10.0.0.1' } },
    },
  }))
  const names = Array.from({ length: nodes }, (_, at) => nameOf(at))
  await changeNodes(
    registry,
    editor,
    async () => names,
    (name) => ({ profiles: ['all'], settings: settingsOf(Number(name.slice(1))) }),
  )
}

/** The settings of a node, with `tags` besides its own. */
export const settingsOf = (at: number, tags: Record<string, string> = {}) => ({
  netdevs: {
    default: { mac: `52:54:${octets(at).map(hexOf).join(':')}`, address: `10.${octets(at).slice(1).join('.')}/8` },
  },
  tags: { rack: `r${Math.floor(at / 40)}`, ...(at % 4 === 0 && { gpu: 'a100' }), ...tags },
})

/** A node's name. */
export const nameOf = (at: number): string => `n${String(at).padStart(5, '0')}`
/** The token of a node's client. */
export const tokenOf = (at: number): string => `muster_agent_${hash(`token ${at}`)}`

/** An opened image with the accounts of a small system and nothing else. */
export function accountsImage(): OpenedImage {
  const files = new Map(
    Object.entries({
      'etc/passwd': 'root:x:0:0:root:/root:/bin/bash\nmunge:x:985:985::/run/munge:/sbin/nologin\n',
      'etc/group': 'root:x:0:\nmunge:x:985:\n',
      'etc/shadow': 'root:*::0:99999:7:::\nmunge:!!:19000::::::\n',
    }).map(([path, text]) => [path, new TextEncoder().encode(text)]),
  )
  const digestIn = (bytes: Uint8Array): Digest => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  const byDigest = new Map([...files.values()].map((bytes) => [digestIn(bytes), bytes]))
  const tree = treeOf(
    new Map<string, Inode>([
      ['', impliedDirectory()],
      ['etc', impliedDirectory()],
      ...Array.from(files, ([path, bytes]): [string, Inode] => [
        path,
        { type: 'file', size: bytes.length, digest: digestIn(bytes), mode: 0o644, uid: 0, gid: 0, mtime: 0, links: 1 },
      ]),
    ]),
  )
  return {
    tree,
    contents: {
      has: (digest) => byDigest.has(digest),
      async *read({ digest }) {
        const bytes = byDigest.get(digest)
        if (bytes) yield bytes
      },
    },
    digest: `sha256:${'4'.repeat(64)}`,
    segmentOf: () => undefined,
    keys: [],
    get manifest(): never {
      throw new Error('templates read files of an image, never its manifest')
    },
  }
}

/** Databases of a head node in a folder: nodes, their clients, and an admin, whose token it answers. */
export async function seedHead(folder: string, nodes: number): Promise<string> {
  const registry = openRegistry(join(folder, 'registry.db'))
  await seedNodes(registry.database, nodes, ['dozen'])
  const { token } = await createToken(registry.database, { name: 'bench', scope: 'edit' }, editor)
  registry.close()
  const activity = openActivity(join(folder, 'activity.db'))
  const at = new Date()
  for (let from = 0; from < nodes; from += 1000) {
    const rows = Array.from({ length: Math.min(1000, nodes - from) }, (_, index) => ({
      attempt: hash(`attempt ${from + index}`).slice(0, 32),
      node: nameOf(from + index),
      hash: hash(tokenOf(from + index)),
      createdAt: at,
      seenAt: at,
      // Each runs something else than it would get.
      reportedAt: at,
      report: { kernel: '5.14.0-570.el9.x86_64', rootKind: 'tmpfs', system: hash('none'), runtime: hash('none') },
    }))
    await activity.database.batch([activity.database.insert(agents).values(rows)])
  }
  activity.close()
  return token
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex')
const octets = (at: number): number[] => [24, 16, 8, 0].map((bits) => (at >>> bits) & 255)
const hexOf = (octet: number): string => octet.toString(16).padStart(2, '0')
