/** A head node in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { freePort, retry } from './processes.ts'

/** A head node that runs. */
export type Served = { child: ChildProcess; pid: number; url: string }

/** Starts a head node on a data folder, and resolves when it answers. */
export async function startHeadNode(data: string): Promise<Served> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const main = new URL('../src/cli/main.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [main, 'serve'], {
    env: {
      ...process.env,
      MUSTER_DATA: data,
      MUSTER_HOST: '127.0.0.1',
      MUSTER_PORT: String(port),
      MUSTER_URL: url,
      MUSTER_LOG: 'error',
      MUSTER_COLLECT_EVERY: 'never',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  await retry(async () => {
    if ((await fetch(`${url}/healthz`)).status !== 200) throw new Error('not yet')
  })
  return { child, pid: child.pid ?? 0, url }
}
