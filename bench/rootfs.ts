/** A root tree of the size of a real image, made of this machine's own files, as layers in files. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './command.ts'

/** A layer in a file. Sizes are in bytes. */
export type LayerFile = {
  file: string
  /** Of the file. */
  digest: string
  size: number
  /** Of the uncompressed tar. */
  diffId: string
  unpackedSize: number
}

/** A file of this machine that is part of the root. */
export type RootFile = { path: string; size: number }

const kernelVersion = '6.1.0-0-bench'
/** A shell, and the tool that makes segments zstd and not gzip. */
const always = ['usr/bin/dash', 'usr/bin/sh', 'usr/bin/zstd']
/** Larger ones are debugging symbols and browsers, which no image has. */
const largestFile = 64 * 2 ** 20

/**
 * Files below `/usr` and `/etc`, about `bytes` of them, chosen by a hash of their path, so that the same machine gives the
 * same ones, of all kinds.
 */
export async function chooseFiles(bytes: number): Promise<RootFile[]> {
  const all: (RootFile & { key: string })[] = []
  const walk = async (folder: string): Promise<void> => {
    for (const entry of await readdir(join('/', folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`
      if (entry.isDirectory()) await walk(path)
      else if (entry.isSymbolicLink()) all.push({ path, size: 0, key: keyOf(path) })
      else if (entry.isFile()) {
        const { size } = await stat(join('/', path))
        if (size <= largestFile) all.push({ path, size, key: keyOf(path) })
      }
    }
  }
  await walk('usr')
  await walk('etc')
  for (const one of all) if (always.includes(one.path)) one.key = ''
  all.sort((one, other) => (one.key < other.key ? -1 : 1))
  const chosen: RootFile[] = []
  let sum = 0
  for (const { path, size } of all) {
    if (sum >= bytes) break
    chosen.push({ path, size })
    sum += size
  }
  return chosen.sort((one, other) => (one.path < other.path ? -1 : 1))
}

/** What every image needs, in a folder of its own: a kernel, its modules' folder, and the links of a merged `/usr`. */
export async function makeBasics(folder: string): Promise<string[]> {
  await mkdir(join(folder, 'boot'), { recursive: true })
  const kernel = Buffer.alloc(11_000_000)
  for (let at = 0; at < kernel.length; at += 32) createHash('sha256').update(String(at)).digest().copy(kernel, at)
  kernel.write('HdrS', 0x202)
  kernel.writeUInt16LE(0x3000, 0x20e)
  kernel.write(`${kernelVersion} (bench)\0`, 0x200 + 0x3000)
  await writeFile(join(folder, `boot/vmlinuz-${kernelVersion}`), kernel)
  await mkdir(join(folder, `usr/lib/modules/${kernelVersion}`), { recursive: true })
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) await symlink(`usr/${name}`, join(folder, name))
  return ['boot', `boot/vmlinuz-${kernelVersion}`, 'bin', 'sbin', 'lib', 'lib64', `usr/lib/modules/${kernelVersion}`]
}

/** What goes into a tar: paths, each list below a folder. */
export type TarPart = { folder: string; paths: readonly string[] }

/** Writes a tar of the parts, gzipped when its name says so. */
export async function writeLayer(file: string, parts: readonly TarPart[]): Promise<LayerFile> {
  const options: string[] = []
  for (const [at, { folder, paths }] of parts.entries()) {
    const list = `${file}.${at}.list`
    await writeFile(list, paths.map((path) => `${path}\0`).join(''))
    options.push('-C', folder, '--null', '--verbatim-files-from', '-T', list)
  }
  const tar = file.replace(/\.gz$/, '')
  await run('tar', ['--format=posix', '--numeric-owner', '--no-recursion', '-cf', tar, ...options])
  const diffId = await digestOf(tar)
  const { size: unpackedSize } = await stat(tar)
  if (file.endsWith('.gz')) await run('pigz', ['-n', '-6', tar])
  const { size } = await stat(file)
  return { file, digest: await digestOf(file), size, diffId, unpackedSize }
}

/** Bytes of a file that become others here and there, as those of a program that was built anew. */
export async function perturb(from: string, to: string): Promise<number> {
  const { size } = await stat(from)
  const source = await open(from)
  const target = await open(to, 'w', 0o755)
  const bytes = Buffer.alloc(size)
  await source.read(bytes, 0, size, 0)
  for (let at = 0; at < size; at += 16_384) createHash('sha256').update(`${to} ${at}`).digest().copy(bytes, at)
  await target.write(bytes)
  await Promise.all([source.close(), target.close()])
  return size
}

const keyOf = (path: string): string => createHash('sha256').update(path).digest('hex')

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) hash.update(chunk)
  return `sha256:${hash.digest('hex')}`
}
