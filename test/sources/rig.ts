/** What tests of sources share: options that know nothing of this machine's own logins, and programs that must be there. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll } from 'vitest'
import type { ImageSource, SourceOptions } from '../../src/sources/source.ts'

/** The Debian package of each program that a test runs. */
const packages = {
  'docker-registry': 'docker-registry',
  skopeo: 'skopeo',
  buildah: 'buildah',
  htpasswd: 'apache2-utils',
  openssl: 'openssl',
  xz: 'xz-utils',
  bzip2: 'bzip2',
  zstd: 'zstd',
  tar: 'tar',
}

/** Fails, with the way out, where a program is missing. */
export function need(...programs: (keyof typeof packages)[]): void {
  const missing = programs.filter((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0)
  if (missing.length === 0) return
  throw new Error(`install ${missing.map((name) => packages[name]).join(' ')}: these tests run ${missing.join(', ')}`)
}

/** Runs a program and gives its stdout; throws with its stderr when it fails. */
export const run = (program: string, args: string[], options: { cwd?: string; input?: Uint8Array } = {}): Buffer =>
  execFileSync(program, args, { maxBuffer: 2 ** 28, stdio: ['pipe', 'pipe', 'pipe'], ...options })

/** skopeo without this machine's policy, and with the bytes as they are. */
export const skopeo = (...args: string[]): void =>
  void run('skopeo', ['--insecure-policy', 'copy', '--quiet', '--preserve-digests', ...args])

/** A fresh directory; gone when the file's tests are done. */
export function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'muster-sources-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Options of somebody who has no logins, and does not like to wait: the pauses are told, not made. */
export function optionsIn(
  cwd: string,
  given: Partial<SourceOptions> = {},
): SourceOptions & { complaints: string[]; pauses: number[] } {
  const complaints: string[] = []
  const pauses: number[] = []
  return {
    env: { PATH: process.env.PATH, HOME: cwd, TMPDIR: cwd },
    cwd,
    stdin: Object.assign(Readable.from([]), { isTTY: true }),
    complain: (line) => void complaints.push(line),
    pause: async (time) => void pauses.push(time),
    complaints,
    pauses,
    ...given,
  }
}

/** Everything that a source says and holds: layers as bytes, each read to its end. */
export async function contentsOf(source: ImageSource) {
  try {
    const layers: Buffer[] = []
    for (const layer of source.layers) layers.push(Buffer.concat(await all(layer.open())))
    return { ...source, sourceDigest: source.sourceDigest, layers, sizes: source.layers.map(({ size }) => size) }
  } finally {
    await source.close()
  }
}

/** Everything that comes. */
export async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = []
  for await (const item of items) found.push(item)
  return found
}

/** Files of a folder that this process has open, their names gone or not. */
export const openFilesIn = (place: string): string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`)
      return path.startsWith(place) ? [path] : []
    } catch {
      return []
    }
  })
