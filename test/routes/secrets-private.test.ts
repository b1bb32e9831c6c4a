/** A secret's way: into the registry, through overlays, to its node alone. */
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSecretKey } from '../../src/secrets/seal.ts'
import { addImage, type TestApp, testApp } from '../harness.ts'
import { type BootedNode, bootNode } from './booted-node.ts'

const canary = 'kanarienvogel-c0de'
const bmc = 'kanarienvogel-beef'
const mac = '52:54:00:00:00:02'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
  await addImage(test, 'rocky9')
  const files = {
    'overlay.yaml': 'secrets: { host: ssh-ed25519 }\nfiles:\n  /etc/link: { link: "/{{secrets.munge}}" }\n',
    'files/etc/munge.key.mustache': '{{secrets.munge}}\n',
    'files/etc/host.mustache': '{{secrets.host}}',
    'files/etc/host.pub.mustache': '{{secrets.host_pub}}\n',
    'files/etc/bmc.mustache': '{{#bmc}}{{#password}}{{.}}{{/password}}{{/bmc}}\n',
    'files/etc/debug.mustache': '{{view}}\n',
  }
  await test.call('PUT', '/api/overlays/keys', {
    body: {
      files: Object.entries(files).map(([path, text]) => ({ path, content: Buffer.from(text).toString('base64') })),
    },
  })
  await test.call('PUT', '/api/nodes/n2', {
    body: {
      settings: {
        image: 'rocky9',
        netdevs: { default: { mac, address: '10.0.0.2/24' } },
        bmc: { address: '10.1.0.2', password: 'secret:bmc' },
        overlays: { system: ['keys'], runtime: ['keys'] },
      },
    },
  })
  await test.call('PUT', '/api/secrets/cluster/munge', { body: { value: canary } })
  await test.call('PUT', '/api/secrets/node:n2/bmc', { body: { value: bmc } })
})
afterEach(() => test.close())

/** The contents that the node gets of a list, by path. */
async function filesOf(node: BootedNode, list: 'system' | 'runtime' = 'runtime'): Promise<Map<string, string>> {
  const { text, etag } = await node.list(list)
  const files = new Map<string, string>()
  for (const [at, line] of text.split('\n').entries()) {
    const [, path = ''] = /^[fl] [0-7]{4} 0 0 [0-9a-f]{64} \S+ (.*)$/.exec(line) ?? []
    if (path === '') continue
    const answer = await node.ask(`/self/overlays/${list}/archive?lines=${at + 1}`, { headers: { 'if-match': etag } })
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    const tar = new Uint8Array(await answer.arrayBuffer())
    const size = Number.parseInt(new TextDecoder().decode(tar.subarray(124, 136)), 8)
    files.set(path, new TextDecoder().decode(tar.subarray(512, 512 + size)))
  }
  return files
}

describe('secrets in overlays', () => {
  it('come to root on their node, those that are made included, and are the same at every boot', async () => {
    const first = await filesOf(await bootNode(test, mac))
    expect(first.get('/etc/munge.key')).toBe(`${canary}\n`)
    expect(first.get('/etc/link')).toBe(`/${canary}`)
    expect(first.get('/etc/bmc')).toBe(`${bmc}\n`)
    expect(first.get('/etc/host')).toMatch(/^-----BEGIN OPENSSH PRIVATE KEY-----\n/)
    expect(first.get('/etc/host.pub')).toMatch(/^ssh-ed25519 \S+ root@n2\n$/)
    test.at(new Date('2026-02-01T12:00:00Z'))
    expect(await filesOf(await bootNode(test, mac), 'system')).toEqual(first)
  })

  it('change on the node when they are set again, and when a nearer owner has one', async () => {
    const node = await bootNode(test, mac)
    const before = (await node.list('runtime')).etag
    await test.call('PUT', '/api/secrets/cluster/munge', { body: { value: 'second' } })
    expect((await node.list('runtime')).etag).not.toBe(before)
    expect((await filesOf(node)).get('/etc/munge.key')).toBe('second\n')
    await test.call('PUT', '/api/secrets/node:n2/munge', { body: { value: 'its own' } })
    expect((await filesOf(node)).get('/etc/munge.key')).toBe('its own\n')
    await test.send('DELETE', '/api/secrets/node:n2/munge')
    await test.call('PUT', '/api/secrets/cluster/munge', { body: { value: canary } })
    expect((await node.list('runtime')).etag).toBe(before)
  })

  it('that nobody has set are an error that names them, and nothing is sent', async () => {
    const node = await bootNode(test, mac)
    await test.send('DELETE', '/api/secrets/cluster/munge')
    const answer = await node.ask('/self/overlays/runtime')
    const { code, message } = (await answer.json()) as { code: string; message: string }
    expect([answer.status, code]).toEqual([422, 'TEMPLATE_INVALID'])
    expect(message).toContain('secrets.munge')
  })

  it('are in nothing that anybody else can get: by MAC, from another address or port, as an admin, in files or logs', async () => {
    const node = await bootNode(test, mac)
    const host = (await filesOf(node)).get('/etc/host')?.split('\n')[3] ?? ''
    expect(host).toHaveLength(70)
    const said: string[] = []
    const keep = async (answer: Response) =>
      void said.push(JSON.stringify([...answer.headers]), Buffer.from(await answer.arrayBuffer()).toString('latin1'))
    for (const path of [`/boot/${mac}`, `/boot/${mac}/grub.cfg`]) await keep(await test.app.request(path))
    for (const file of ['system.cpio', 'runtime.cpio', 'ticket.cpio'])
      await keep(await test.app.request(`${node.attempt}/${file}`))
    for (const list of ['system', 'runtime'] as const) {
      const { etag } = await node.list(list)
      for (const asking of [{ port: 40_000 }, { address: '10.0.0.3' }, { bearer: 'a'.repeat(64) }]) {
        for (const path of ['', '/archive?lines=2-9']) {
          const answer = await node.ask(`/self/overlays/${list}${path}`, { ...asking, headers: { 'if-match': etag } })
          expect(answer.status).toBeGreaterThanOrEqual(400)
          await keep(answer)
        }
      }
    }
    for (const path of [
      'overlays/keys/render?node=n2',
      'nodes/n2/files',
      'nodes/n2/effective',
      'nodes/n2/explain',
      'boot/n2',
      'boot/n2/log',
      'drift',
      'secrets?node=n2',
      'revisions',
      'overlays/keys',
    ]) {
      const answer = await test.send('GET', `/api/${path}`, { scope: 'admin' })
      expect([path, answer.status]).toEqual([path, 200])
      await keep(answer)
    }
    await test.services.journal.flush()
    const client = (test.services.registry as unknown as { $client: Sqlite.Database }).$client
    const folder = dirname(client.name)
    for (const name of (await readdir(folder)).filter((one) => /\.db(?:-wal)?$/.test(one)))
      said.push(await readFile(join(folder, name), 'latin1'))
    const everything = [...said, JSON.stringify(test.logged)].join('\n')
    expect(everything).toContain('/etc/debug')
    for (const secret of [canary, bmc, host, node.token, btoa(canary)]) expect(everything).not.toContain(secret)
  })

  it('are refused to a node while the key is missing, and everything that needs none goes on', async () => {
    const node = await bootNode(test, mac)
    const other = await testApp({
      registry: test.services.registry,
      activity: test.services.activity,
      roots: test.services.roots,
      journal: test.services.journal,
      secretKey: await createSecretKey(new Uint8Array(32).fill(8), '/etc/muster/other.key'),
    })
    const headers = { authorization: `Bearer ${node.token}` }
    const connection = { incoming: { socket: { remoteAddress: '10.0.0.2', remotePort: 700 } } }
    const answer = await other.app.request('/self/overlays/runtime', { headers }, connection)
    const { code, message } = (await answer.json()) as { code: string; message: string }
    expect([answer.status, code]).toEqual([500, 'SECRET_LOCKED'])
    expect(message).toContain('/etc/muster/other.key')
    // The machine boots, with every file that is not private, and its log says why.
    const files = await (await bootNode(other, mac)).archive('system')
    expect([files.has('etc/debug'), files.has('etc/munge.key')]).toEqual([true, false])
    await test.services.journal.flush()
    expect(JSON.stringify(await test.call('GET', '/api/boot/n2/log'))).toContain('/etc/muster/other.key')
    await other.close()
  })
})
