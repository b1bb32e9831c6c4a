import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { fsBlobStore } from '../src/blobs/fs.ts'
import { greeting } from '../src/cli/serve.ts'
import { readConfig } from '../src/config.ts'
import { firstAddress } from '../src/head/addresses.ts'
import { type Head, startHead } from '../src/head.ts'
import type { Log } from '../src/log.ts'
import { openRegistry } from '../src/registry/sqlite.ts'
import { bytesOf, streamOfBytes } from './blobs/bytes.ts'
import { seedsFor } from './boot-plan/fixtures.ts'

let folder: string
let data: string
let heads: Head[]
const log = vi.fn<Log>()
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-head-'))
  data = join(folder, 'data')
  heads = []
  log.mockClear()
})
afterEach(async () => {
  for (const head of heads) await head.close()
  rmSync(folder, { recursive: true })
})

const config = (env: Record<string, string> = {}) =>
  readConfig({ MUSTER_DATA: data, MUSTER_HOST: '127.0.0.1', MUSTER_PORT: '0', ...env }, folder)
const start = async (env?: Record<string, string>, grace = 30_000) => {
  const head = await startHead(config(env), { log, grace })
  heads.push(head)
  return { ...head, base: `http://127.0.0.1:${head.port}` }
}
const stop = async (head: Head) => {
  heads = heads.filter((one) => one.port !== head.port)
  await head.close()
}
const tokenIn = (file = join(data, 'admin.token')) => readFileSync(file, 'utf8').trim()
const list = (base: string, token: string) =>
  fetch(`${base}/api/nodes`, { headers: { authorization: `Bearer ${token}` } })
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)
const seed = async (plant: (seeds: ReturnType<typeof seedsFor>) => Promise<void>) => {
  mkdirSync(data, { recursive: true, mode: 0o700 })
  const registry = openRegistry(join(data, 'registry.db'))
  await plant(seedsFor(registry.database))
  registry.close()
}

describe('a head node', () => {
  it('makes its data folder and an admin token that nobody else can read, and never tells the token', async () => {
    const { base } = await start()
    expect((await fetch(`${base}/healthz`)).status).toBe(200)
    expect([modeOf(data), modeOf(join(data, 'admin.token')), modeOf(join(data, 'registry.db'))]).toEqual([
      '700',
      '600',
      '600',
    ])
    expect((await list(base, tokenIn())).status).toBe(200)
    expect(JSON.stringify(log.mock.calls)).not.toContain(tokenIn())
    expect(JSON.stringify(log.mock.calls)).toContain('admin.token')
  })

  it('keeps the token from one start to the next', async () => {
    await stop(await start())
    const token = tokenIn()
    log.mockClear()
    const { base } = await start()
    expect(tokenIn()).toBe(token)
    expect((await list(base, token)).status).toBe(200)
    expect(log).not.toHaveBeenCalled()
  })

  it.each([
    ['is gone', () => rmSync(join(data, 'admin.token'))],
    ['is of another registry', () => writeFileSync(join(data, 'admin.token'), `muster_${'0'.repeat(64)}\n`)],
  ])('makes a new token when its file %s; the old one stops working', async (_label, spoil) => {
    await stop(await start())
    const old = tokenIn()
    spoil()
    const { base } = await start()
    expect((await list(base, old)).status).toBe(401)
    expect((await list(base, tokenIn())).status).toBe(200)
    expect(modeOf(join(data, 'admin.token'))).toBe('600')
    expect(log).toHaveBeenCalledWith('info', expect.stringContaining('new admin token'), expect.anything())
  })

  it('writes the token where it is told', async () => {
    const file = join(folder, 'elsewhere/token')
    const { base } = await start({ MUSTER_TOKEN_FILE: file })
    expect((await list(base, tokenIn(file))).status).toBe(200)
    expect(existsSync(join(data, 'admin.token'))).toBe(false)
  })

  it('warns of a data folder that others can read, and leaves its mode alone', async () => {
    mkdirSync(data, { mode: 0o755 })
    await start()
    expect(modeOf(data)).toBe('755')
    expect(log).toHaveBeenCalledWith('warn', expect.stringContaining('others can read'), { folder: data })
  })

  it('prints where it listens, where the token is, and what DHCP needs', () => {
    const lines = greeting(
      { url: 'http://10.0.0.1:9080', port: 9080 },
      { host: undefined, tokenFile: '/d/admin.token' },
    )
    expect(lines.join('\n')).toMatchInlineSnapshot(`
      "Muster listens on port 9080 of every address; nodes reach it at http://10.0.0.1:9080
      The admin token is in /d/admin.token

      For dnsmasq, which also serves iPXE itself by TFTP (undionly.kpxe in place of snponly.efi for BIOS machines):

        dhcp-match=set:ipxe,175
        dhcp-boot=tag:ipxe,http://10.0.0.1:9080/boot.ipxe
        dhcp-boot=tag:!ipxe,snponly.efi

      The same for ISC dhcpd and Kea is in docs/first-node.md."
    `)
  })

  it('tells nodes the URL of the config, else the first address of the machine', async () => {
    const given = await start({ MUSTER_URL: 'http://boot.example.org' })
    expect(given.url).toBe('http://boot.example.org')
    await stop(given)
    const found = await start()
    expect(found.url).toMatch(new RegExp(`^http://[0-9.]+:${found.port}$`))
    const address = (ip: string, internal = false, family = 'IPv4') => ({ address: ip, internal, family })
    expect(
      firstAddress({
        lo: [address('127.0.0.1', true)],
        eth0: [address('fd00::1', false, 'IPv6'), address('10.0.0.1')],
      }),
    ).toBe('10.0.0.1')
    expect(firstAddress({ lo: [address('127.0.0.1', true)] })).toBe('127.0.0.1')
  })

  it('serves the assets of the site above the shipped ones', async () => {
    mkdirSync(join(data, 'site/ipxe'), { recursive: true, mode: 0o700 })
    writeFileSync(join(data, 'site/ipxe/boot.ipxe'), '#!ipxe\necho of the site\n')
    const { base } = await start()
    expect(await (await fetch(`${base}/boot.ipxe`)).text()).toContain('of the site')
  })

  it('tells a download to the boot that is going on at its address', async () => {
    await seed(async ({ seedNode, seedImage }) => {
      await seedImage('rocky9')
      await seedNode('n001', '52:54:00:00:00:01', { image: 'rocky9', root: { kind: 'tmpfs' } })
    })
    const { digest } = await fsBlobStore(join(data, 'blobs')).add(streamOfBytes(bytesOf(300_000)))
    const { base } = await start({ MUSTER_HOST: '::' })
    const path = `${base}/blobs/${digest.replace(':', '/')}`
    await (await fetch(path)).arrayBuffer()
    expect(await (await fetch(`${base}/boot/52:54:00:00:00:01`)).text()).toContain('#!ipxe')
    await (await fetch(path)).arrayBuffer()
    await (await fetch(path, { headers: { range: 'bytes=10-19' } })).arrayBuffer()
    const headers = { authorization: `Bearer ${tokenIn()}` }
    await vi.waitFor(async () => {
      const attempts = await (await fetch(`${base}/api/boot/n001/log`, { headers })).json()
      const [{ events }] = Array.isArray(attempts) ? attempts : attempts.attempts
      const blobs = events.filter(({ kind }: { kind: string }) => kind === 'blob')
      expect(blobs.map(({ detail }: { detail: object }) => detail)).toEqual([
        { digest, offset: 0, length: 300_000, sent: 300_000, complete: true, status: 200, ms: expect.any(Number) },
        { digest, offset: 10, length: 10, sent: 10, complete: true, status: 206, ms: expect.any(Number) },
      ])
    })
  })
})

describe('a head node that cannot start', () => {
  it('says which port is in use and leaves the data alone', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    await expect(start({ MUSTER_PORT: String(port) })).rejects.toThrow(
      `port ${port} is in use: stop what listens there, or set MUSTER_PORT`,
    )
    expect(existsSync(join(data, 'registry.db'))).toBe(false)
    other.close()
  })

  it('says which address the machine does not have', async () => {
    await expect(start({ MUSTER_HOST: '203.0.113.7' })).rejects.toThrow('does not have the address 203.0.113.7')
  })

  it('says which folder it cannot use', async () => {
    writeFileSync(data, 'a file')
    await expect(start()).rejects.toThrow(`cannot use ${data} (EEXIST): set MUSTER_DATA`)
  })

  it('says what a blob driver lacks, and not with which options', async () => {
    await expect(start({ MUSTER_BLOBS: 'mongodb', MUSTER_BLOBS_OPTIONS: '{"key":"secret"}' })).rejects.toThrow(
      /^the blob driver mongodb (?!.*secret)/,
    )
  })

  it('refuses the registry of a newer program, and gives the port back', async () => {
    await stop(await start())
    const newer = new Sqlite(join(data, 'registry.db'))
    newer.exec("insert into __drizzle_migrations (hash, created_at) values ('later', 4102444800000)")
    newer.close()
    const before = process.getActiveResourcesInfo().filter((one) => one === 'TCPServerWrap').length
    await expect(start()).rejects.toMatchObject({ code: 'REGISTRY_NEWER' })
    expect(process.getActiveResourcesInfo().filter((one) => one === 'TCPServerWrap').length).toBe(before)
  })
})

describe('a head node that stops', () => {
  const size = 64 * 1024 * 1024

  /** A download that has begun, and of which nothing is read yet. */
  async function download(base: string) {
    const { digest } = await fsBlobStore(join(data, 'blobs')).add(streamOfBytes(bytesOf(size)))
    const asked = request(`${base}/blobs/${digest.replace(':', '/')}`)
    asked.end()
    const [response] = await once(asked, 'response')
    return response as NodeJS.ReadableStream
  }
  async function lengthOf(stream: NodeJS.ReadableStream) {
    let length = 0
    for await (const chunk of stream) length += chunk.length
    return length
  }

  it('lets a running transfer end, takes no new connection, and is gone then', async () => {
    const head = await start()
    const stream = await download(head.base)
    const idle = connect(head.port, '127.0.0.1')
    await once(idle, 'connect')
    const stopped = stop(head)
    await expect(fetch(`${head.base}/healthz`)).rejects.toThrow()
    expect(await lengthOf(stream)).toBe(size)
    await stopped
    idle.destroy()
    expect(log).not.toHaveBeenCalledWith('warn', expect.anything(), expect.anything())
  })

  it('cuts a transfer that does not end in time', async () => {
    const head = await start({}, 200)
    const stream = await download(head.base)
    await stop(head)
    expect(log).toHaveBeenCalledWith('warn', expect.stringContaining('did not end in time'), {
      cut: 1,
      milliseconds: 200,
    })
    await expect(lengthOf(stream)).rejects.toThrow()
  })

  it('leaves its databases whole and everything that it was told in them', async () => {
    const head = await start()
    await fetch(`${head.base}/boot/52:54:00:00:00:09?manufacturer=QEMU`)
    await stop(head)
    expect(existsSync(join(data, 'registry.db-wal')) || existsSync(join(data, 'activity.db-wal'))).toBe(false)
    const activity = new Sqlite(join(data, 'activity.db'), { readonly: true })
    expect(activity.prepare('select mac from machines').pluck().all()).toEqual(['52:54:00:00:00:09'])
    activity.close()
  })
})

describe('muster serve', () => {
  const run = (env: Record<string, string>) =>
    spawn(join(import.meta.dirname, '../bin/muster'), ['serve'], {
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        MUSTER_DATA: data,
        MUSTER_HOST: '127.0.0.1',
        MUSTER_PORT: '0',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  const ended = async (child: ReturnType<typeof run>) => {
    const told = { stdout: '', stderr: '' }
    child.stdout.on('data', (chunk) => {
      told.stdout += chunk
    })
    child.stderr.on('data', (chunk) => {
      told.stderr += chunk
    })
    const [code] = await once(child, 'close')
    return { code, ...told }
  }

  it('lists every fault of its settings and ends with 2', async () => {
    const { code, stderr } = await ended(run({ MUSTER_PROT: '1', MUSTER_URL: 'x' }))
    expect(stderr).toBe(
      'muster: 2 settings are wrong\n' +
        '  MUSTER_PROT: is not a setting: did you mean MUSTER_PORT?\n' +
        '  MUSTER_URL: must be a URL such as http://10.0.0.1:9080, without a slash at the end, not "x"\n',
    )
    expect(code).toBe(2)
    expect(existsSync(data)).toBe(false)
  })

  it('ends with 1 and one line when it cannot start', async () => {
    writeFileSync(data, 'a file')
    const { code, stderr } = await ended(run({}))
    expect(stderr).toBe(`muster: cannot use ${data} (EEXIST): set MUSTER_DATA to a folder to write in\n`)
    expect(code).toBe(1)
  })

  it.each(['SIGTERM', 'SIGINT'] as const)('serves until %s, and ends with 0', async (signal) => {
    const child = run({ MUSTER_URL: 'http://10.0.0.1' })
    const end = ended(child)
    const [greeted] = await once(child.stdout, 'data')
    const port = /port (\d+)/.exec(String(greeted))?.[1]
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)
    child.kill(signal)
    const { code, stdout, stderr } = await end
    expect(code).toBe(0)
    expect(stdout).toContain('dhcp-boot=tag:ipxe,http://10.0.0.1/boot.ipxe')
    expect(stdout + stderr).not.toContain(tokenIn())
    expect(existsSync(join(data, 'registry.db-wal'))).toBe(false)
  })
})
