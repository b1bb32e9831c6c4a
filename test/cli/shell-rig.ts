/** What tests of `muster image shell` work with: a service on loopback with an image of busybox, and the command as a process. */
import { execFile, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, link, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { serve } from '@hono/node-server'
import { type TestApp, testApp } from '../harness.ts'
import { bzImage } from '../images/small-image.ts'

const run = promisify(execFile)

/** What a command left behind. */
export type Ran = { code: number | null; out: string; err: string }

/** A service with images, and the command line at it. */
export type ShellRig = TestApp & {
  url: string
  /** What the command line finds the service with. */
  env: Record<string, string | undefined>
  /** For whatever a test puts on the disk. */
  folder: string
  /** Where trees are unpacked: nothing else is in it. */
  tmp: string
  /** Stands before the service: what it answers is the answer. */
  between: { answer?: ((request: Request) => Promise<Response | undefined>) | undefined }
  /** Imports a directory as a version. */
  importTree(name: string, directory: string): Promise<{ number: number; digest: string }>
  /** `muster image …` with `--tmp`, as a process without a terminal. */
  image(...args: string[]): Promise<Ran>
  start(args: string[], options?: SpawnOptions): ReturnType<typeof spawn>
  /** A file of a version. */
  file(reference: string, path: string): Promise<string>
  /** Entries of a version by path. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
  files(reference: string): Promise<Record<string, any>>
  /** Digests of a version's segments. */
  segments(reference: string): Promise<string[]>
}

const programs = ['unshare', 'setpriv', 'flock', 'script', 'setfattr', 'getfattr', 'tar', 'chroot']

/** Why the suites cannot run; they must where this is Linux, so whoever asks throws it. */
export async function missing(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'these tests must be run as root'
  const lacking: string[] = []
  for (const name of programs) await run('which', [name]).catch(() => lacking.push(name))
  await readFile('/bin/busybox').catch(() => lacking.push('busybox-static'))
  if (lacking.length > 0)
    return `these tests need ${lacking.join(', ')} (Debian: util-linux bsdutils attr busybox-static)`
  const overlay = (await readFile('/proc/filesystems', 'utf8')).includes('\toverlay\n')
  return overlay ? undefined : 'these tests need a kernel with overlayfs'
}

/** Starts it. `folder` is for whatever the tests put on the disk; it is gone after `close`. */
export async function shellRig(): Promise<ShellRig> {
  const reason = await missing()
  if (reason) throw new Error(reason)
  // Not in /tmp, which may be a tmpfs: those cannot hold user attributes on older kernels.
  const folder = await mkdtemp('/var/tmp/muster-shelltest-')
  const tmp = join(folder, 'tmp')
  await mkdir(tmp)
  const app = await testApp()
  const between: ShellRig['between'] = {}
  const server = serve({
    fetch: async (request, env) => (await between.answer?.(request)) ?? app.app.fetch(request, env),
    port: 0,
    hostname: '127.0.0.1',
  })
  if (!server.listening) await once(server, 'listening')
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  const env = { ...process.env, MUSTER_SERVER: url, MUSTER_TOKEN: app.tokens.edit }
  const start: ShellRig['start'] = (args, options = {}) =>
    spawn('bin/muster', args, { env, stdio: ['ignore', 'pipe', 'pipe'], ...options })

  return {
    ...app,
    folder,
    url,
    env,
    tmp,
    between,
    start,
    async importTree(name, directory) {
      const tar = spawn('tar', ['-C', directory, '--xattrs', '--xattrs-include=*', '--numeric-owner', '-c', '.'])
      const chunks: Uint8Array[] = []
      for await (const chunk of tar.stdout) chunks.push(chunk)
      return app.call('POST', `/api/images/${name}/versions?source=test`, {
        body: new Uint8Array(Buffer.concat(chunks)),
        headers: { 'content-type': 'application/x-tar' },
      })
    },
    async image(verb, ...args) {
      const child = start(['image', verb!, '--tmp', tmp, ...args])
      return ended(child)
    },
    async file(reference, path) {
      const query = new URLSearchParams({ path })
      const response = await app.send('GET', `/api/images/${versionOf(reference)}/file?${query}`)
      if (!response.ok) throw new Error(await response.text())
      return response.text()
    },
    async files(reference) {
      const { items } = await app.call('GET', `/api/images/${versionOf(reference)}/files?limit=1000`)
      return Object.fromEntries(items.map((item: { path: string }) => [item.path, item]))
    },
    async segments(reference) {
      const { manifest } = await app.call('GET', `/api/images/${versionOf(reference)}`)
      return manifest.segments.map((segment: { digest: string }) => segment.digest)
    },
    async close() {
      server.close()
      await app.close()
      await rm(folder, { recursive: true })
    },
  }
}

/** Waits for a process. */
export async function ended(child: ReturnType<typeof spawn>): Promise<Ran> {
  const [out, err, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'close')])
  return { code, out, err }
}

/** A root tree: busybox, a kernel, and enough of other files for several segments. */
export async function makeTree(directory: string): Promise<string> {
  const at = (path: string) => join(directory, path)
  for (const folder of [
    'bin',
    'sbin',
    'etc',
    'boot',
    'root',
    'tmp',
    'usr/lib/data',
    'lib/modules/6.1.0-18-amd64',
    'opt/old',
  ])
    await mkdir(at(folder), { recursive: true })
  await chmod(at('tmp'), 0o1777)
  await copyFile('/bin/busybox', at('bin/busybox'))
  for (const name of [
    'sh',
    'cat',
    'ls',
    'mv',
    'rm',
    'ln',
    'id',
    'mkdir',
    'chmod',
    'chown',
    'touch',
    'tty',
    'sleep',
    'env',
    'mount',
    'echo',
    'ps',
    'umount',
    'mknod',
    'setfattr',
  ])
    await symlink('busybox', at(`bin/${name}`))
  await symlink('../bin/busybox', at('sbin/init'))
  await writeFile(at('boot/vmlinuz-6.1.0-18-amd64'), bzImage('6.1.0-18-amd64'))
  await writeFile(at('etc/os-release'), 'ID=box\nVERSION_ID=1\nPRETTY_NAME="Box 1"\n')
  await writeFile(at('etc/motd'), 'hello\n')
  await writeFile(at('usr/lib/one'), 'linked\n')
  await link(at('usr/lib/one'), at('usr/lib/two'))
  for (const name of ['a', 'b', 'c']) await writeFile(at(`opt/old/${name}`), name)
  for (let number = 10; number < 50; number++) await writeFile(at(`usr/lib/data/${number}`), noise(number, 150_000))
  return directory
}

/** Bytes that do not shrink, the same for the same number (xorshift32, Marsaglia 2003). */
function noise(seed: number, size: number): Uint8Array {
  const words = new Uint32Array(size / 4)
  let state = seed * 2_654_435_761
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[at] = state
  }
  return new Uint8Array(words.buffer)
}

const versionOf = (reference: string): string => reference.replace('@', '/versions/')

/** What of ours is mounted or lies about in `tmp`. */
export async function leftovers({ tmp, folder }: { tmp: string; folder: string }): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').filter((line) => line.includes(folder))
  return [...mounts, ...(await readdir(tmp))]
}
