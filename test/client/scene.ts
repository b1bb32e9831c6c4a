/** A head node on loopback and nodes in folders: they boot by its scripts and archives, and run the real client. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import { addImage, type TestApp, testApp } from '../harness.ts'
import { type Ended, pathOf, run, shells } from '../init/shells.ts'

/** A file of an overlay: its content, or where it links to. */
export type Site = Record<string, string | { link: string } | { executable: string }>

/** What was asked, and how it was answered. */
export type Asked = { method: string; path: string; status: number; headers: Headers; body: string; port: number }

/** A head node whose answers a test can change on their way. */
export type Cluster = {
  test: TestApp
  url: string
  asked: Asked[]
  /** Changes an answer; set by a test. */
  around: ((request: Request, answer: () => Promise<Response>) => Promise<Response>) | undefined
  /** Makes a version of the overlay `site`, or of another one. `yaml` is the `files` of its overlay.yaml. */
  push(files: Site, yaml?: string, name?: string): Promise<void>
  /** Requests of a path since the last call. */
  asksFor(path: string): Asked[]
  /** What the newest reports of a kind said. */
  reports(kind: string): Record<string, unknown>[]
  stop(): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

/** Starts one; nodes get the overlays base and client at boot, and `site` while they are up. */
export async function startCluster(): Promise<Cluster> {
  const connections = new Set<{ destroy(): void }>()
  let server: Server | undefined
  let port = 0
  const listen = async () => {
    server = createServer((request, response) => void listener(request, response))
    server.on('connection', (socket) => {
      connections.add(socket)
      socket.on('close', () => connections.delete(socket))
    })
    const opened = server
    await new Promise<void>((resolve) => opened.listen(port, '127.0.0.1', resolve))
    port = (opened.address() as AddressInfo).port
  }
  const shut = () =>
    new Promise<void>((resolve) => {
      if (!server) return resolve()
      server.close(() => resolve())
      server = undefined
      for (const socket of connections) socket.destroy()
    })

  let listener: ReturnType<typeof getRequestListener> = () => Promise.resolve()
  await listen()
  const url = `http://127.0.0.1:${port}`
  const test = await testApp({ url })
  const cluster: Cluster = {
    test,
    url,
    asked: [],
    around: undefined,
    async push(files, yaml, name = 'site') {
      const listed = Object.entries(files).map(([path, content]) => sourceOf(path, content))
      if (yaml !== undefined)
        listed.push({ path: 'overlay.yaml', content: base64(`files:\n${yaml.replace(/^(?=.)/gm, '  ')}`) })
      await test.call('PUT', `/api/overlays/${name}`, { body: { files: listed } })
    },
    asksFor: (path) => cluster.asked.filter((asked) => asked.path.startsWith(path)),
    reports: (kind) =>
      cluster.asked
        .filter(({ path, body }) => path === '/self/events' && JSON.parse(body).kind === kind)
        .map(({ body }) => JSON.parse(body).detail),
    stop: shut,
    start: listen,
    async close() {
      await shut()
      await test.close()
    },
  }
  listener = getRequestListener(
    async (request, env) => {
      const body = request.method === 'POST' ? await request.clone().text() : ''
      const answer = async () => test.app.fetch(request, env)
      const response = await (cluster.around ? cluster.around(request, answer) : answer())
      const path = request.url.slice(url.length)
      const asked = { method: request.method, path, status: response.status, headers: request.headers, body }
      cluster.asked.push({ ...asked, port: env.incoming.socket.remotePort ?? 0 })
      return response
    },
    { overrideGlobalObjects: false },
  )
  await addImage(test, 'rocky9')
  await cluster.push({})
  await test.call('PUT', '/api/profiles/all', {
    body: { settings: { image: 'rocky9', overlays: { system: ['base', 'client'], runtime: ['site'] } } },
  })
  return cluster
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')

function sourceOf(path: string, content: Site[string]) {
  if (typeof content === 'string') return { path: `files${path}`, content: base64(content) }
  if ('link' in content) return { path: `files${path}`, content: '', link: content.link }
  return { path: `files${path}`, content: base64(content.executable), executable: true }
}

/** A node in a folder. */
export type Node = {
  name: string
  /** What would be `/`. */
  root: string
  /** Its shell, and the folder of its commands. */
  shell: string[]
  path: string
  /** Runs `muster-client VERB`. */
  client(verb: string, env?: Record<string, string>): Promise<Ended>
  /** What `find` says of everything outside of what is Muster's own, sorted: type, mode, owner, target or content. */
  files(): string[]
  remove(): void
}

/**
 * How a node is: its shell as the beginning of a command line, and the commands that it has besides those of every image: a
 * name, a path, or `nc=nc.openbsd` for one that has another name here. `nc` is busybox's.
 */
export type Making = {
  shell?: string[]
  tools?: string[]
  settings?: Record<string, unknown>
  address?: string
  root?: string
}

const dash = shells.find(([name]) => name === 'dash')?.[1] ?? ['sh']

/** Commands of RHEL, Debian and SUSE images that the client may use. */
const imageCommands =
  'cat chmod chown cmp cp cut date df find grep head id ln mkdir mv readlink rm rmdir sed sha256sum sleep sort stat tail tar timeout tr uname uniq wc xargs sh'

let nodes = 0

/** Adds a node, and boots it: asks for its script, and lays out what the script says, as the kernel does. */
export async function bootNode(cluster: Cluster, making: Making = {}): Promise<Node> {
  const number = ++nodes
  const name = `n${number}`
  const mac = `52:54:00:00:${hex(number >> 8)}:${hex(number & 255)}`
  await cluster.test.call('PUT', `/api/nodes/${name}`, {
    body: { profiles: ['all'], settings: { netdevs: { eth0: { mac, address: making.address } }, ...making.settings } },
  })
  const root = making.root ?? mkdtempSync(join(tmpdir(), 'muster-node-'))
  const script = await (await fetch(`${cluster.url}/boot/${mac}`)).text()
  const attempt = /\/boot\/[0-9a-f:]+\/[0-9a-f]{32}/.exec(script)?.[0] ?? ''
  for (const archive of ['system.cpio', 'runtime.cpio', 'ticket.cpio']) {
    const answer = await fetch(`${cluster.url}${attempt}/${archive}`)
    if (!answer.ok) throw new Error(`${archive}: ${answer.status} ${await answer.text()}`)
    const input = Buffer.from(await answer.arrayBuffer())
    execFileSync('cpio', ['-idmu', '--quiet', '--no-absolute-filenames'], { cwd: root, input, stdio: 'pipe' })
  }
  // As /init does.
  mkdirSync(join(root, 'run/muster'), { recursive: true, mode: 0o700 })
  renameSync(join(root, 'muster/ticket'), join(root, 'run/muster/ticket'))
  const shell = making.shell ?? dash
  return nodeAt(name, root, shell, commands(root, making.tools ?? ['curl'], shell[0] ?? ''))
}

/** A copy of a node, with its token: the head node takes it for the same one. */
export function copyOf({ name, root, shell, path }: Node, suffix: string): Node {
  execFileSync('cp', ['-a', root, `${root}-${suffix}`])
  return nodeAt(name, `${root}-${suffix}`, shell, path)
}

function nodeAt(name: string, root: string, command: string[], path: string): Node {
  const [shell = '', ...options] = command
  return {
    name,
    root,
    shell: command,
    path,
    client: (verb, env = {}) =>
      run(
        [shell, ...options, join(root, 'usr/sbin/muster-client'), ...verb.split(' ')],
        { PATH: path, MUSTER_ROOT: root, ...env },
        120_000,
      ),
    files: () => listing(root),
    remove: () => rmSync(root, { recursive: true, force: true }),
  }
}

const hex = (byte: number): string => byte.toString(16).padStart(2, '0')

/** A folder of commands: busybox's own where its shell runs, as in an image that has nothing else. */
function commands(root: string, tools: string[], shell: string): string {
  const folder = `${root}-bin`
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  for (const name of [...imageCommands.split(' '), ...tools]) {
    if (name.includes('=')) {
      const [link = '', target = ''] = name.split('=')
      if (pathOf(target) === undefined) throw new Error(`this test needs the command ${target}: see .ci/packages`)
      symlinkSync(pathOf(target) ?? '', join(folder, link))
      continue
    }
    const busybox = name === 'nc' || (shell.endsWith('busybox') && !['curl', 'wget'].includes(name))
    const path = name.startsWith('/') ? name : pathOf(busybox ? 'busybox' : name)
    if (path === undefined) throw new Error(`this test needs the command ${name}: see .ci/packages`)
    symlinkSync(path, join(folder, name.slice(name.lastIndexOf('/') + 1)))
  }
  return folder
}

/** Everything below a root but what the base overlay, the client and the kernel have there. */
export function listing(root: string): string[] {
  const prune = ['muster', 'run', 'init', 'usr/sbin', 'etc/systemd'].flatMap((path) => ['-path', `./${path}`, '-o'])
  const script = `for path do
      case $(stat -c %F "$path") in
        *link) echo "$path link $(stat -c %u:%g "$path") $(readlink "$path")" ;;
        directory) echo "$path directory $(stat -c '%a %u:%g' "$path")" ;;
        *) echo "$path file $(stat -c '%a %u:%g' "$path") $(sha256sum <"$path" | cut -c 1-12)" ;;
      esac
    done`
  const found = execFileSync(
    'find',
    ['.', '(', ...prune.slice(0, -1), ')', '-prune', '-o', '-exec', 'sh', '-c', script, 'sh', '{}', '+'],
    { cwd: root, encoding: 'utf8' },
  )
  return found
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('. '))
    .sort()
}

/** Writes a command that a test wants on the node; answers its path. */
export function program(folder: string, name: string, ...lines: string[]): string {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, name)
  writeFileSync(path, ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o755 })
  return path
}
