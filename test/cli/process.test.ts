import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { serve } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestApp } from '../harness.ts'
import { cluster } from './cast.ts'

let app: TestApp
let server: ReturnType<typeof serve>
let url: string
beforeAll(async () => {
  app = await cluster()
  server = serve({ fetch: app.app.fetch, port: 0, hostname: '127.0.0.1' })
  if (!server.listening) await once(server, 'listening')
  const address = server.address()
  url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
})
afterAll(async () => {
  server.close()
  await app.close()
})

const start = (argv: string[], env: Record<string, string> = {}): ChildProcess =>
  spawn('bin/muster', argv, {
    env: { ...process.env, MUSTER_SERVER: url, MUSTER_TOKEN: app.tokens.admin, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })

async function finish(child: ChildProcess): Promise<{ code: number | null; out: string; err: string }> {
  const [out, err, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'close')])
  return { code, out, err }
}

describe('bin/muster', () => {
  it('asks a real service over a real socket', async () => {
    expect(await finish(start(['node', 'list', 'gpu*']))).toEqual({
      code: 0,
      out: 'NAME  PROFILES  IMAGE     ADDRESS      MAC\ngpu1  gpu       rocky9@2  10.0.0.1/24  52:54:00:00:00:01\n',
      err: '',
    })
  })

  it('edits with -y, and not without it when there is no terminal', async () => {
    expect(await finish(start(['node', 'set', 'n001', '--init', '/x']))).toMatchObject({ code: 2 })
    expect(await finish(start(['node', 'set', 'n001', '--init', '/x', '-y']))).toMatchObject({ code: 0, err: '' })
  })

  it('says what to do when nothing listens there', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    await new Promise((resolve) => other.close(resolve))
    const { code, err } = await finish(start(['node', 'list'], { MUSTER_SERVER: `http://127.0.0.1:${port}` }))
    expect(code).toBe(1)
    expect(err).toMatch(
      /^muster: cannot reach \S+ \(connection refused\): start the service with `muster serve`, or .*\n$/,
    )
  })

  it('writes a long list whole into a pipe, and minds no reader who leaves early', async () => {
    await app.call('POST', '/api/nodes', { body: { names: 'm[00001-20000]', profiles: [], settings: {} } })
    const whole = await finish(start(['node', 'list', 'm*', '--json']))
    expect(JSON.parse(whole.out).items).toHaveLength(20_000)
    const child = start(['node', 'list', 'm*'])
    await once(child.stdout!, 'data')
    child.stdout!.destroy()
    const [err, [code]] = await Promise.all([text(child.stderr!), once(child, 'exit')])
    expect([code, err]).toEqual([0, ''])
  })

  it('loads nothing of the service for a command that only asks', async () => {
    const { out, code } = await finish(start(['version']))
    expect(code).toBe(0)
    expect(out).toMatch(/^muster \d/)
    const sources = await finish(
      spawn('node_modules/.bin/node', ['--experimental-loader', loader, 'src/cli/main.ts', 'version'], {
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    )
    const loaded = sources.out.match(/(?:src|node_modules)\/[^\n]+/g) ?? []
    expect(loaded).toContain('src/cli/main.ts')
    expect(loaded.filter((file) => /^src\/(?!cli\/|errors\.ts)/.test(file))).toEqual([])
    expect(loaded.filter((file) => /^node_modules\/(?!commander\/|hono\/)/.test(file))).toEqual([])
  })
})

/** Prints the path of every module that is loaded. */
const loader = `data:text/javascript,${encodeURIComponent(
  "import { writeSync } from 'node:fs'; export async function load(url, context, next) { const at = url.search(/(src|node_modules)\\/[^/]/); if (at > 0) writeSync(1, url.slice(at) + '\\n'); return next(url, context) }",
)}`
