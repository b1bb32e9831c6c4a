/** The real docker-registry on a loopback port. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { need, run } from './rig.ts'

/** The user and the password of a registry with a lock. */
export const user = 'admin'
export const password = 'correct horse'

/** Starts a registry that keeps its things in `folder`. */
export async function startRegistry(
  folder: string,
  { tls, locked }: { tls?: { cert: string; key: string }; locked?: boolean } = {},
): Promise<{ name: string; stop(): Promise<void> }> {
  need('docker-registry', 'htpasswd')
  const port = await freePort()
  if (locked) writeFileSync(join(folder, 'htpasswd'), run('htpasswd', ['-Bbn', user, password]))
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, 'storage') } },
    http: { addr: `127.0.0.1:${port}`, ...(tls && { tls: { certificate: tls.cert, key: tls.key } }) },
    ...(locked && { auth: { htpasswd: { realm: 'tests', path: join(folder, 'htpasswd') } } }),
  }
  // JSON is YAML.
  writeFileSync(join(folder, 'registry.yml'), JSON.stringify(config))
  const child = spawn('docker-registry', ['serve', join(folder, 'registry.yml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let complaints = ''
  child.stderr.on('data', (chunk: Buffer) => {
    complaints += chunk
  })
  const exit = once(child, 'exit')
  for (let tries = 0; !(await answers(port)); tries++) {
    if (child.exitCode !== null || tries > 200) throw new Error(`docker-registry does not start: ${complaints}`)
    await wait(50)
  }
  return {
    name: `127.0.0.1:${port}`,
    async stop() {
      child.kill()
      await exit
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return address.port
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
