/**
 * `npm run demo`: one machine boots before your eyes. Starts the service on a temporary folder, imports a small image,
 * defines a node, and boots it in QEMU with its console on this terminal. Needs no privileges and leaves
 * nothing behind but the kernel that it fetched, in `~/.cache/muster-demo`.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeBusyboxRoot } from './busybox-root.ts'
import { debianKernel, findKernel, type KernelFiles } from './debian-kernel.ts'

const muster = join(import.meta.dirname, '../bin/muster')
const mac = '52:54:00:00:00:01'

/** What to install, by the names of the packages: Debian and Ubuntu, RHEL and its kin, SUSE. */
const needed = {
  'qemu-system-x86_64': ['qemu-system-x86', 'qemu-kvm-core', 'qemu-x86'],
  busybox: ['busybox-static', 'busybox (of EPEL)', 'busybox-static'],
  depmod: ['kmod', 'kmod', 'kmod'],
  tar: ['tar', 'tar', 'tar'],
} as const

/** Ends the demo with a sentence; nothing went wrong in the program itself. */
class Unready extends Error {
  override readonly name = 'Unready'
}

// depmod, and RHEL's qemu-kvm, stand where a user's PATH may not look.
process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin:/usr/libexec`

const children: ChildProcess[] = []
const folder = mkdtempSync(join(tmpdir(), 'muster-demo-'))
process.on('exit', cleanUp)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))

try {
  await demo()
  // The service and the machine still run; they end with this process.
  process.exit(0)
} catch (error) {
  if (!(error instanceof Unready)) throw error
  console.error(`\n${error.message}`)
  process.exit(1)
}

async function demo(): Promise<void> {
  checkCommands()
  const kernel = await kernelForDemo()

  step('Making a root of busybox and the drivers of a virtual machine')
  const tar = join(folder, 'busybox.tar')
  await writeBusyboxRoot(
    { busybox: pathOf('busybox') ?? '', kernel, rc: ['echo', 'echo "MUSTER DEMO: $(hostname) is up"'] },
    tar,
  )

  const port = await freePort()
  const env = serviceEnvironment(port)
  step('Starting the service', 'muster serve')
  const service = start(muster, ['serve'], env)
  await answered(service, `http://127.0.0.1:${port}/healthz`)

  const run = (...args: string[]) => {
    step(undefined, `muster ${args.map((arg) => (arg.includes(' ') ? `'${arg}'` : arg)).join(' ')}`)
    execFileSync(muster, ['--yes', ...args], { env, stdio: 'inherit' })
  }
  step('Importing the root as an image, and defining a node that boots it')
  run('image', 'import', tar, 'busybox')
  run('node', 'add', 'n001', '--image', 'busybox', '--root', 'tmpfs', '--mac', mac)
  run('node', 'set', 'n001', '--kernel-args', 'console=ttyS0,115200 no_timer_check quiet')

  step('Powering on the machine: firmware, DHCP, iPXE, the boot script, kernel, image, overlays', undefined)
  console.log('It is an emulated one, and takes about 15 seconds. Its console:\n')
  await bootedOn(env.MUSTER_URL)

  step('It is up. What it told the service on its way')
  await new Promise((resolve) => setTimeout(resolve, 3000))
  run('boot', 'log', 'n001')
  console.log('\nThe first node on real hardware: docs/first-node.md')
}

/** Throws with what to install when a command is missing. */
function checkCommands(): void {
  const names = Object.keys(needed) as (keyof typeof needed)[]
  const missing = names.filter((name) => {
    const path = name === 'qemu-system-x86_64' ? qemuPath() : pathOf(name)
    return path === undefined || (name === 'busybox' && !isStatic(path))
  })
  if (missing.length === 0) return
  const lines = ['Debian, Ubuntu:', 'RHEL, Rocky, Alma:', 'SUSE:'].map(
    (distribution, at) => `  ${distribution.padEnd(20)} ${missing.map((name) => needed[name][at]).join(', ')}`,
  )
  throw new Unready(`The demo needs ${missing.join(', ')}. Install:\n${lines.join('\n')}`)
}

/** Debian's kernel for virtual machines where there is apt, else this machine's own. */
async function kernelForDemo(): Promise<KernelFiles> {
  const reasons: string[] = []
  if (pathOf('apt-get') && pathOf('dpkg')) {
    step('Fetching a kernel: the package linux-image-cloud-amd64, unpacked and not installed')
    try {
      return await debianKernel(join(homedir(), '.cache/muster-demo'))
    } catch (error) {
      reasons.push(`apt-get: ${error instanceof Error ? error.message.split('\n')[0] : error}`)
    }
  }
  const own = await findKernel('/')
  if (own !== undefined) return own
  reasons.push(
    "/boot has no kernel that you may read with its modules in /lib/modules (Debian's are readable, RHEL's need root)",
  )
  throw new Unready(`The demo needs a kernel, and found none:\n${reasons.map((reason) => `  ${reason}`).join('\n')}`)
}

/** Settings of the service. Machines in QEMU's own network see this machine's loopback as 10.0.2.2. */
function serviceEnvironment(port: number) {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('MUSTER_'))
  return {
    ...Object.fromEntries(inherited),
    MUSTER_DATA: folder,
    MUSTER_HOST: '127.0.0.1',
    MUSTER_PORT: String(port),
    MUSTER_URL: `http://10.0.2.2:${port}`,
    // QEMU's own network hides from which port the machine asks.
    MUSTER_PRIVATE_TO: 'ticket',
    MUSTER_SERVER: `http://127.0.0.1:${port}`,
    MUSTER_TOKEN_FILE: join(folder, 'admin.token'),
  }
}

/** Runs the machine until its marker, its console on this terminal. */
async function bootedOn(url: string): Promise<void> {
  const machine = start(qemuPath() ?? '', [
    ...['-accel', 'tcg', '-machine', 'pc,graphics=off', '-cpu', 'qemu64,+rdrand', '-m', '256', '-nodefaults'],
    ...['-display', 'none', '-serial', 'stdio', '-no-reboot'],
    ...[
      '-netdev',
      `user,id=n0,bootfile=${url}/boot.ipxe`,
      '-device',
      `virtio-net-pci,netdev=n0,mac=${mac},bootindex=1`,
    ],
  ])
  let said = ''
  await new Promise<void>((resolve, reject) => {
    machine.stdout?.on('data', (bytes: Buffer) => {
      process.stdout.write(bytes)
      said = (said + bytes.toString()).slice(-4096)
      if (/MUSTER DEMO: \S+ is up/.test(said)) resolve()
    })
    machine.once('exit', (status) => reject(new Unready(`QEMU ended with status ${status} before the node was up`)))
    setTimeout(() => reject(new Unready('The node was not up within three minutes')), 180_000).unref()
  })
}

function start(program: string, args: string[], env: NodeJS.ProcessEnv = process.env): ChildProcess {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  return child
}

async function answered(service: ChildProcess, url: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (service.exitCode !== null) throw new Unready('The service did not start: its reason stands above')
    if ((await fetch(url).catch(() => undefined))?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Unready(`The service did not answer at ${url} within 20 seconds`)
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      )
    })
  })
}

function step(what?: string, command?: string): void {
  if (what !== undefined) console.log(`\n== ${what}`)
  if (command !== undefined) console.log(`$ ${command}`)
}

function cleanUp(): void {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}

/** Whether a program names no loader (PT_INTERP, which stands before its first page): only then it runs in a root alone. */
function isStatic(path: string): boolean {
  return !readFileSync(path).subarray(0, 4096).includes('/ld-')
}

/** QEMU by its name, or by the one that RHEL gives it. */
function qemuPath(): string | undefined {
  return pathOf('qemu-system-x86_64') ?? pathOf('qemu-kvm')
}

/** Absolute path of a command. */
function pathOf(name: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(':')
  return folders
    .map((at) => join(at, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}
