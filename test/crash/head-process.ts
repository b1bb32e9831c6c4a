/** A real service in a process of its own, so that it can be killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'

/** A running service. */
export type HeadProcess = {
  url: string
  token: string
  /** SIGKILL, and gone when it resolves. */
  kill(): Promise<void>
  /** Everything that it printed, for messages of failing tests. */
  output(): string
}

/** What is started: the service as everybody has it. */
const served = [new URL('../../bin/muster', import.meta.url).pathname, 'serve']

/** Starts `muster serve`, or another command that serves, on a data folder and waits until it answers. */
export async function startHeadProcess(data: string, port: number, command = served): Promise<HeadProcess> {
  const [program = '', ...args] = command
  const child = spawn(program, args, {
    env: {
      ...process.env,
      MUSTER_DATA: data,
      MUSTER_HOST: '127.0.0.1',
      MUSTER_PORT: String(port),
      MUSTER_URL: `http://127.0.0.1:${port}`,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stderr.on('data', (chunk) => (output += chunk))
  const url = `http://127.0.0.1:${port}`
  await answering(url, child, () => output)
  return {
    url,
    token: (await readFile(join(data, 'admin.token'), 'utf8')).trim(),
    output: () => output,
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

async function answering(url: string, child: ChildProcess, output: () => string): Promise<void> {
  for (let wait = 0; wait < 400; wait++) {
    if (child.exitCode !== null) throw new Error(`muster serve ended with ${child.exitCode}:\n${output()}`)
    const ok = await fetch(`${url}/healthz`).then(
      (response) => response.ok,
      () => false,
    )
    if (ok) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`muster serve does not answer on ${url}:\n${output()}`)
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
