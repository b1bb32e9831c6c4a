/** The packages that an image has installed, by the databases that rpm and dpkg keep in it. Node only. */
import { readable } from '../../archive/byte-string.ts'
import type { Contents } from '../contents.ts'
import type { FileInode, Tree } from '../tree.ts'
import { parseDpkgStatus } from './dpkg.ts'
import type { Installed, Package } from './package.ts'
import { rpmBdbHeaders } from './rpm-bdb.ts'
import { parseRpmHeader } from './rpm-header.ts'
import { rpmNdbHeaders } from './rpm-ndb.ts'
import { rpmSqliteHeaders } from './rpm-sqlite.ts'

/** Where rpm keeps its database: of old, and where new distributions moved it. */
const rpmFolders = ['usr/lib/sysimage/rpm', 'var/lib/rpm']
const dpkgStatus = 'var/lib/dpkg/status'
const dpkgFolder = 'var/lib/dpkg/status.d'
/** A database of 5,000 packages has some 200 MB. */
const largestDatabase = 512 * 2 ** 20

/** Reads the databases. One that is damaged becomes a warning: the rest of an image can be spoken of without it. */
export async function readPackages({ tree, contents }: { tree: Tree; contents: Contents }): Promise<Installed> {
  const packages: Package[] = []
  const warnings: string[] = []
  for (const { path, read } of databasesOf(tree, contents)) {
    try {
      packages.push(...(await read()))
    } catch (error) {
      if (!(error instanceof Error)) throw error
      warnings.push(`the package database /${readable(path)} cannot be read: ${error.message}`)
    }
  }
  return { packages: packages.sort(byName), warnings }
}

type Source = { path: string; read: () => Promise<Package[]> }

function databasesOf(tree: Tree, contents: Contents): Source[] {
  const bytesOf = (file: FileInode) => gathered(contents, file)
  const rpm = (path: string, headers: (bytes: Uint8Array) => Uint8Array[] | Promise<Uint8Array[]>): Source[] => {
    const file = tree.file(path)
    if (!file || file.size === 0) return []
    return [
      {
        path,
        read: async () => (await headers(await bytesOf(file))).flatMap((blob) => parseRpmHeader(blob) ?? []),
      },
    ]
  }
  // /var/lib/rpm is often a link to the other: one database counts once.
  const folders = new Set(rpmFolders.map((folder) => tree.resolve(folder)).filter((folder) => folder !== undefined))
  const rpms = [...folders].flatMap((folder) => {
    const log = tree.file(`${folder}/rpmdb.sqlite-wal`)
    const found = [
      rpm(`${folder}/rpmdb.sqlite`, async (bytes) => rpmSqliteHeaders(bytes, log && (await bytesOf(log)))),
      rpm(`${folder}/Packages.db`, rpmNdbHeaders),
      rpm(`${folder}/Packages`, rpmBdbHeaders),
    ]
    // An image that was converted may keep the old one; rpm looks for them in this order of age.
    return found.find((sources) => sources.length > 0) ?? []
  })
  const statuses = [
    dpkgStatus,
    ...tree
      .names(dpkgFolder)
      .filter(isStatus)
      .map((name) => `${dpkgFolder}/${name}`),
  ]
  const dpkgs = statuses.flatMap((path): Source[] => {
    const file = tree.file(path)
    if (!file || file.size === 0) return []
    return [{ path, read: async () => parseDpkgStatus(new TextDecoder().decode(await bytesOf(file))) }]
  })
  return [...rpms, ...dpkgs]
}

/** Beside each package distroless images have its file list. */
const isStatus = (name: string): boolean => !name.endsWith('.md5sums')

async function gathered(contents: Contents, file: FileInode): Promise<Uint8Array<ArrayBuffer>> {
  if (file.size > largestDatabase) throw new Error(`it has ${file.size} bytes`)
  const bytes = new Uint8Array(file.size)
  let at = 0
  for await (const chunk of contents.read(file)) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

const byName = (one: Package, other: Package): number =>
  one.name < other.name ? -1 : one.name > other.name ? 1 : one.version < other.version ? -1 : 1
