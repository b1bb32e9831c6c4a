/** OCI layouts for tests (image-spec image-layout.md), and what umoci makes of them. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { byteString } from '../../src/archive/byte-string.ts'
import { fileType } from '../../src/archive/cpio.ts'
import type { Contents } from '../../src/images/contents.ts'
import type { Inode, Tree } from '../../src/images/tree.ts'

/** Writes a layout of one image, tagged `latest`, whose layers are these tars; lowest first. */
export function writeLayout(folder: string, tars: Uint8Array[]): void {
  const blobs = join(folder, 'blobs', 'sha256')
  mkdirSync(blobs, { recursive: true })
  const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
  const put = (bytes: Uint8Array, mediaType: string) => {
    const hex = digestOf(bytes)
    writeFileSync(join(blobs, hex), bytes)
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length }
  }
  const json = (value: unknown) => Buffer.from(JSON.stringify(value))
  const layers = tars.map((tar) => put(gzipSync(tar, { level: 1 }), 'application/vnd.oci.image.layer.v1.tar+gzip'))
  const config = put(
    json({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: tars.map((tar) => `sha256:${digestOf(tar)}`) },
    }),
    'application/vnd.oci.image.config.v1+json',
  )
  const manifest = put(json({ schemaVersion: 2, config, layers }), 'application/vnd.oci.image.manifest.v1+json')
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' }
  writeFileSync(join(folder, 'index.json'), json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }))
  writeFileSync(join(folder, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }))
}

/** Unpacks the image of a layout by umoci, as root, into a folder that is not there yet. */
export function unpackByUmoci(layout: string, root: string): void {
  execFileSync('umoci', ['raw', 'unpack', '--image', `${layout}:latest`, root], { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** One entry, as text that can be compared. */
export type Facts = Record<string, string | number>

/** The facts of a folder, by path. Names that share a file have the first of them under `same`. */
export function factsOfFolder(root: string): Map<string, Facts> {
  const xattrs = xattrsOf(root)
  const first = new Map<number, string>()
  const paths = ['', ...namesBelow(root, '')].sort(byBytes)
  return new Map(
    paths.map((path) => {
      const full = Buffer.from(path === '' ? root : `${root}/${path}`, 'latin1')
      const found = lstatSync(full)
      const type = typeOf(found.mode)
      const facts: Facts = { type, owner: `${found.uid}:${found.gid}`, mtime: Math.floor(found.mtimeMs / 1000) }
      if (type !== 'link') facts.mode = (found.mode & 0o7777).toString(8)
      if (type === 'file') facts.content = readFileSync(full).toString('latin1')
      if (type === 'link') facts.target = readlinkSync(full, { encoding: 'latin1' })
      if (type === 'character' || type === 'block') facts.device = `${(found.rdev >> 8) & 0xfff}:${found.rdev & 0xff}`
      if (type !== 'directory') {
        facts.links = found.nlink
        facts.same = first.get(found.ino) ?? path
        first.set(found.ino, facts.same)
      }
      const attributes = xattrs.get(path || '.')
      if (attributes) facts.xattrs = attributes
      return [path, facts]
    }),
  )
}

/** Every path below a folder, no links followed: `readdir` follows them when it is recursive. */
function namesBelow(root: string, above: string): string[] {
  const names = readdirSync(Buffer.from(root + above, 'latin1'), { encoding: 'latin1' })
  return names.flatMap((name) => {
    const path = `${above}/${name}`
    const isDirectory = lstatSync(Buffer.from(root + path, 'latin1')).isDirectory()
    return [path.slice(1), ...(isDirectory ? namesBelow(root, path) : [])]
  })
}

/** The facts of a tree, in the form of {@link factsOfFolder}. */
export async function factsOfTree(tree: Tree, contents: Contents): Promise<Map<string, Facts>> {
  const first = new Map<Inode, string>()
  const all = new Map<string, Facts>()
  for (const path of tree.paths) {
    const inode = tree.get(path)!
    const facts: Facts = { type: inode.type, owner: `${inode.uid}:${inode.gid}`, mtime: inode.mtime }
    // Linux gives every symbolic link mode 777, whatever the archive says.
    if (inode.type !== 'link') facts.mode = inode.mode.toString(8)
    if (inode.type === 'file') {
      facts.content = ''
      for await (const chunk of contents.read(inode)) facts.content += byteString(chunk)
    }
    if (inode.type === 'link') facts.target = inode.target
    if (inode.type === 'character' || inode.type === 'block') facts.device = `${inode.major}:${inode.minor}`
    if (inode.type !== 'directory') {
      facts.links = inode.links
      facts.same = first.get(inode) ?? path
      first.set(inode, facts.same)
    }
    if (inode.xattrs)
      facts.xattrs = [...inode.xattrs]
        .map(([name, value]) => `${name}=0s${btoa(byteString(value))}`)
        .sort()
        .join('\n')
    all.set(path, facts)
  }
  return all
}

/** What getfattr(1) says of every entry that has attributes, by path. */
function xattrsOf(root: string): Map<string, string> {
  const dump = execFileSync('getfattr', ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'base64', '.'], {
    cwd: root,
    encoding: 'latin1',
  })
  const blocks = dump.split('\n\n').filter((block) => block.trim() !== '')
  return new Map(
    blocks.map((block) => {
      const [head = '', ...lines] = block.trim().split('\n')
      return [head.replace(/^# file: (?:\.\/)?/, ''), lines.sort().join('\n')]
    }),
  )
}

const typeOf = (mode: number): string =>
  Object.entries(fileType).find(([, bits]) => bits === (mode & 0o170000))?.[0] ?? 'unknown'

const byBytes = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)
