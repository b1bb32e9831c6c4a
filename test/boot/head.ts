/** A head node of its own for a suite: `bin/muster serve` on an empty data folder, and the command line that speaks to it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const program = join(import.meta.dirname, '../../bin/muster')

/** A service that runs. */
export type Head = {
  /** Where machines reach it. */
  url: string
  /** Where the command line reaches it, and the file with its token. */
  server: string
  tokenFile: string
  /** Runs the command line; answers what it prints. Throws with its message when it fails. */
  muster(...args: string[]): Promise<string>
  /** What the service has printed. */
  log(): string
  /** Kills the service, and starts it again on the same data folder. */
  kill(): Promise<void>
  start(): Promise<void>
  stop(): Promise<void>
}

/** A boot as `muster boot log NODE --json` tells it. */
export type Attempt = { id: string; outcome: string; events: { kind: string; detail: Record<string, unknown> }[] }

/**
 * Where the service listens, and what machines call that address. QEMU's own network shows this machine's loopback as
 * 10.0.2.2. `prefix` is the beginning of every command line.
 */
export type HeadPlace = { listen: string; reach: string; port: number; prefix: readonly string[] }

const onLoopback: HeadPlace = { listen: '127.0.0.1', reach: '10.0.2.2', port: 0, prefix: [] }

/** Starts a service. It dies with this process, whatever ends it. */
export async function startHead(place: HeadPlace = onLoopback): Promise<Head> {
  const data = mkdtempSync(join(tmpdir(), 'muster-head-'))
  const port = place.port || (await freePort())
  const env = {
    ...withoutSettings(process.env),
    MUSTER_DATA: data,
    MUSTER_HOST: place.listen,
    MUSTER_PORT: String(port),
    MUSTER_URL: `http://${place.reach}:${port}`,
    MUSTER_SERVER: `http://${place.listen}:${port}`,
    MUSTER_TOKEN_FILE: join(data, 'admin.token'),
    // QEMU's own network hides from which port a machine asks.
    MUSTER_PRIVATE_TO: place === onLoopback ? 'ticket' : 'node',
  }
  const command = ['--pdeathsig', 'KILL', ...place.prefix, program, 'serve']
  let log = ''
  let service: ChildProcess | undefined
  const start = async () => {
    const from = log.length
    const started = spawn('setpriv', command, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    service = started
    for (const stream of [started.stdout, started.stderr]) {
      stream.on('data', (part: Buffer) => {
        log += part.toString()
      })
    }
    for (let tries = 0; !log.includes('Muster listens', from); tries++) {
      if (started.exitCode !== null || tries > 300) throw new Error(`the service does not start:\n${log}`)
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
  const kill = async () => {
    if (!service || service.exitCode !== null || service.signalCode !== null) return
    const gone = new Promise((resolve) => service?.once('exit', resolve))
    // What entered a namespace is a child of the program that was started.
    for (const pid of familyOf(service.pid ?? 0)) process.kill(pid, 'SIGKILL')
    await gone
  }
  await start()
  return {
    url: env.MUSTER_URL,
    server: env.MUSTER_SERVER,
    tokenFile: env.MUSTER_TOKEN_FILE,
    async muster(...args) {
      const [first = '', ...rest] = [...place.prefix, program, '--yes', ...args]
      return (await run(first, rest, { env, maxBuffer: 64 << 20 })).stdout
    },
    log: () => log,
    kill,
    start,
    async stop() {
      await kill()
      rmSync(data, { recursive: true, force: true })
    },
  }
}

/** Waits until the latest boot of a node has an event of the kind; answers that boot. */
export async function attemptWith(head: Head, node: string, kind: string, seconds = 40): Promise<Attempt> {
  const deadline = performance.now() + seconds * 1000
  while (true) {
    const text = await head.muster('--json', 'boot', 'log', node)
    const [attempt] = JSON.parse(text) as Attempt[]
    if (attempt?.events.some((event) => event.kind === kind)) return attempt
    if (performance.now() > deadline) {
      throw new Error(`no ${kind} event of ${node} within ${seconds} s: ${text}\n${head.log()}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

/** The service refuses variables of its name that it does not know, and must not take this shell's for its own. */
const withoutSettings = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('MUSTER_')))

/** A process and all below it, the lowest first (proc(5)). */
function familyOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  return [...children.flatMap(familyOf), pid]
}

/** A port that nobody has at the moment: a service on port 0 could not tell machines its URL. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      )
    })
  })
}
