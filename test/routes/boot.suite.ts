/**
 * What machines get from the boot routes and from `/self`, through whatever serves them: the app on a head node, a Worker.
 * Every kind of script stands whole in `test/golden/boot`: settings and request above, the answer below.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { Settings } from '../../src/registry/settings.ts'
import { digestOfBytes } from '../blobs/bytes.ts'
import { cpioFiles } from '../boot-plan/cpio-files.ts'
import type { Seeds } from '../boot-plan/fixtures.ts'

/** A service under test: how to ask it, what it calls itself, and how to fill its registry (`seedsFor`). */
export type BootService = Seeds & {
  request(path: string, init?: RequestInit): Promise<Response>
  /** Where it tells nodes that it is. */
  url: string
  close?(): Promise<void>
}

type Case = {
  about: string
  profiles?: Record<string, Settings>
  node?: { name: string; mac: string; settings?: Settings; profiles?: string[] }
  ask: string
}

const golden = fileURLToPath(new URL('../golden/boot/', import.meta.url))
const mac = '52:54:00:00:01:01'

/** Runs the contract against the service that `create` makes. */
export function bootRouteSuite(name: string, create: () => Promise<BootService>): void {
  describe(`${name}: boot routes`, () => {
    let service: BootService
    let token: string
    beforeAll(async () => {
      service = await create()
      await service.seedImage('rocky9')
      await service.seedImage('grace', { architecture: 'aarch64' })
      await service.seedNode('n101', mac, { image: 'rocky9', overlays: { system: ['base', 'hostname'] } })
      token = await service.seedToken('edit')
    })
    afterAll(() => service.close?.())

    const get = (path: string, init?: RequestInit) => service.request(path, init)
    const api = async (path: string, init: RequestInit = {}) => {
      const answer = await get(`/api${path}`, { ...init, headers: { Authorization: `Bearer ${token}` } })
      return (await answer.json()) as never
    }
    /** Asks for the script of n101 and answers the path of its attempt. */
    const startAttempt = async () => {
      const script = await (await get(`/boot/${mac}`)).text()
      return /\/boot\/[0-9a-f:]+\/[0-9a-f]{32}/.exec(script)?.[0] ?? ''
    }
    const ticketOf = async (answer: Response) => {
      const content = cpioFiles(new Uint8Array(await answer.arrayBuffer())).get('muster/ticket')?.content
      return new TextDecoder().decode(content).trim()
    }
    const report = (ticket: string, body: unknown = { kind: 'init', detail: { uptime: 3 } }) =>
      get('/self/events', {
        method: 'POST',
        headers: { Authorization: `Bearer ${ticket}` },
        body: JSON.stringify(body),
      })
    const codeOf = async (answer: Response) => [answer.status, ((await answer.json()) as { code: string }).code]

    describe('scripts', () => {
      test.each(readdirSync(golden).map((file) => [file.replace('.txt', ''), file]))(
        'are as in %s',
        async (_, file) => {
          const [input = ''] = readFileSync(golden + file, 'utf8').split('----------\n')
          const { profiles = {}, node, ask } = parse(input) as Case
          for (const [profile, settings] of Object.entries(profiles)) await service.seedProfile(profile, settings)
          if (node) await service.seedNode(node.name, node.mac, node.settings, node.profiles)
          const answer = await get(ask)
          const script = await answer.text()
          expect(answer.status).toBe(200)
          expect(script.length).toBeLessThan(4096)
          await expect(`${input}----------\n${shownText(script, service.url)}`).toMatchFileSnapshot(golden + file)
        },
      )

      test('come with their length, for one client, and are neither encoded nor redirected', async () => {
        for (const path of ['/boot.ipxe', `/boot/${mac}`, '/boot/52:54:00:00:0f:ff', '/boot/nonsense']) {
          const answer = await get(path, { redirect: 'manual', headers: { 'Accept-Encoding': 'gzip' } })
          const body = new Uint8Array(await answer.arrayBuffer())
          expect(answer.status).toBe(200)
          expect(Object.fromEntries(answer.headers)).toMatchObject({
            'content-type': 'text/plain; charset=utf-8',
            'content-length': String(body.length),
            'cache-control': 'no-store',
          })
          expect(answer.headers.has('content-encoding')).toBe(false)
          expect(answer.headers.has('transfer-encoding')).toBe(false)
        }
      })

      test.each([
        ['colons', mac],
        ['dashes', mac.replaceAll(':', '-')],
        ['encoded colons', mac.replaceAll(':', '%3A')],
        ['encoded colons in lower case', mac.replaceAll(':', '%3a')],
        ['a slash too many', `/${mac}`],
        ['a slash at the end', `${mac}/`],
      ])('are found by a MAC with %s', async (_, path) => {
        const answer = await get(`/boot/${path}`, { redirect: 'manual' })
        expect(await answer.text()).toContain(': n101 boots rocky9@1')
      })

      test('are found by a MAC in upper case', async () => {
        await service.seedNode('n102', 'aa:bb:cc:00:00:01', { image: 'rocky9' })
        expect(await (await get('/boot/AA-BB-CC-00-00-01')).text()).toContain(': n102 boots')
      })

      test('say so when nothing is below an attempt, and never 200', async () => {
        const attempt = await startAttempt()
        for (const path of [`${attempt}/secret.cpio`, attempt, `${attempt}/ticket.cpio/more`, `/boot/${mac}/boot.cfg`])
          expect(await codeOf(await get(path))).toEqual([404, 'ROUTE_UNKNOWN'])
      })
    })

    describe('attempts', () => {
      test('begin with a script, under an id of 128 bits', async () => {
        expect(await startAttempt()).toMatch(/^\/boot\/52:54:00:00:01:01\/[0-9a-f]{32}$/)
      })

      test('go on when the machine asks again, until it has its ticket or boots something else', async () => {
        const one = await startAttempt()
        expect(await startAttempt()).toBe(one)
        await get(`${one}/ticket.cpio`)
        const two = await startAttempt()
        expect(two).not.toBe(one)
        await service.seedNode('n101', mac, { image: 'grace', overlays: { system: ['base', 'hostname'] } })
        expect(await startAttempt()).not.toBe(two)
        await service.seedNode('n101', mac, { image: 'rocky9', overlays: { system: ['base', 'hostname'] } })
      })

      test('belong to one MAC', async () => {
        const attempt = await startAttempt()
        const foreign = attempt.replace(mac, '52:54:00:00:01:02')
        for (const path of [`${foreign}/ticket.cpio`, `${foreign}/system.cpio`, `${foreign}/beacon`])
          expect(await codeOf(await get(path))).toEqual([404, 'ATTEMPT_UNKNOWN'])
      })

      test('that nobody opened are unknown', async () => {
        for (const id of ['0'.repeat(32), 'x', '%00', "'"])
          expect(await codeOf(await get(`/boot/${mac}/${id}/ticket.cpio`))).toEqual([404, 'ATTEMPT_UNKNOWN'])
      })

      test('have a timeline: what was fetched, what went wrong, what the node said', async () => {
        await get(`${await startAttempt()}/ticket.cpio`)
        const attempt = await startAttempt()
        await get(`${attempt}/system.cpio`)
        const beacon = await get(`${attempt}/beacon?stage=root.img&errno=2d0c613b%0a`)
        // An answer without a length would keep old iPXE waiting.
        expect([beacon.status, beacon.headers.get('content-length')]).toEqual([200, '0'])
        const ticket = await ticketOf(await get(`${attempt}/ticket.cpio`))
        expect((await report(ticket)).status).toBe(204)
        expect((await report(ticket, { kind: 'ready' })).status).toBe(204)
        const [newest] = (await api('/boot/n101/log?limit=1')) as { id: string; mac: string; events: object[] }[]
        expect(newest).toMatchObject({
          id: attempt.split('/').at(-1),
          mac,
          outcome: 'ready',
          plan: { image: { name: 'rocky9', version: 1 } },
          events: [
            { kind: 'script' },
            { kind: 'overlay', detail: { list: 'system', unchanged: false } },
            { kind: 'beacon', detail: { stage: 'root.img', errno: '2d0c613b' } },
            { kind: 'init', detail: { uptime: 3 } },
            { kind: 'ready', detail: {} },
          ],
        })
      })
    })

    describe('tickets', () => {
      test('arrive as a file that root alone can read', async () => {
        const answer = await get(`${await startAttempt()}/ticket.cpio`)
        const bytes = new Uint8Array(await answer.arrayBuffer())
        expect(Object.fromEntries(answer.headers)).toMatchObject({
          'cache-control': 'no-store',
          'content-length': String(bytes.length),
        })
        expect(bytes.length % 4).toBe(0)
        const files = cpioFiles(bytes)
        expect([...files.keys()]).toEqual(['muster', 'muster/ticket'])
        expect(files.get('muster')).toMatchObject({ mode: 0o40755, uid: 0, gid: 0 })
        expect(files.get('muster/ticket')).toMatchObject({ mode: 0o100600, uid: 0, gid: 0 })
        expect(new TextDecoder().decode(files.get('muster/ticket')?.content)).toMatch(/^[0-9a-f]{64}\n$/)
      })

      test('are new each time that they are fetched, and the ones before are worth nothing', async () => {
        const attempt = await startAttempt()
        const first = await ticketOf(await get(`${attempt}/ticket.cpio`))
        const second = await ticketOf(await get(`${attempt}/ticket.cpio`))
        expect(second).not.toBe(first)
        expect(await codeOf(await report(first))).toEqual([401, 'TICKET_INVALID'])
        expect((await report(second)).status).toBe(204)
      })

      test('cannot be fetched once one was used, nor with the same MAC and another attempt of that boot', async () => {
        const attempt = await startAttempt()
        const ticket = await ticketOf(await get(`${attempt}/ticket.cpio`))
        expect((await report(ticket)).status).toBe(204)
        expect(await codeOf(await get(`${attempt}/ticket.cpio`))).toEqual([410, 'TICKET_SPENT'])
        expect((await report(ticket, { kind: 'stage', detail: { name: 'root' } })).status).toBe(204)
      })

      test('are the only thing that /self takes', async () => {
        for (const ticket of ['', 'x', '0'.repeat(64), 'f'.repeat(63)])
          expect(await codeOf(await report(ticket))).toEqual([401, 'TICKET_INVALID'])
        expect(await codeOf(await get('/self/events', { method: 'POST', body: '{}' }))).toEqual([401, 'TICKET_INVALID'])
      })

      test('do not appear in scripts or in the log', async () => {
        const attempt = await startAttempt()
        const ticket = await ticketOf(await get(`${attempt}/ticket.cpio`))
        await report(ticket)
        expect(JSON.stringify(await api('/boot/n101/log?limit=50'))).not.toContain(ticket)
        expect(await (await get(`/boot/${mac}`)).text()).not.toContain(ticket)
      })
    })

    describe('overlay archives', () => {
      test('are the files of the node and the list of them, named by the digest of that', async () => {
        const answer = await get(`${await startAttempt()}/system.cpio`)
        const bytes = new Uint8Array(await answer.arrayBuffer())
        expect(Object.fromEntries(answer.headers)).toMatchObject({
          'content-length': String(bytes.length),
          'content-type': 'application/octet-stream',
          'cache-control': 'no-store',
        })
        const files = cpioFiles(bytes)
        const list = files.get('muster/overlays/system')
        expect(list).toMatchObject({ mode: 0o100600, uid: 0, gid: 0 })
        expect(answer.headers.get('etag')).toBe(`"${digestOfBytes(list?.content ?? new Uint8Array())}"`)
        expect(new TextDecoder().decode(list?.content)).toMatch(/^f 0644 0 0 [0-9a-f]{64} - \/etc\/hostname$/m)
        expect(new TextDecoder().decode(files.get('muster/config')?.content)).toContain('node=n101\n')
        expect(new TextDecoder().decode(files.get('etc/hostname')?.content)).toBe('n101\n')
      })

      test('are not sent again to whoever has them', async () => {
        const attempt = await startAttempt()
        const etag = (await get(`${attempt}/system.cpio`)).headers.get('etag') ?? ''
        for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
          const answer = await get(`${attempt}/system.cpio`, { headers: { 'If-None-Match': tag } })
          expect([answer.status, await answer.text(), answer.headers.get('etag')]).toEqual([304, '', etag])
        }
        const other = await get(`${attempt}/system.cpio`, { headers: { 'If-None-Match': '"x"' } })
        expect(other.status).toBe(200)
        await other.arrayBuffer()
      })

      test('know all nodes in /etc/hosts, also those that were made a moment ago', async () => {
        await service.seedNode('n103', '52:54:00:00:01:03', {
          image: 'rocky9',
          overlays: { system: ['hosts'] },
          netdevs: { default: { address: '10.9.0.103/24' } },
        })
        const hosts = async () => {
          const script = await (await get('/boot/52:54:00:00:01:03')).text()
          const attempt = /\/boot\/[0-9a-f:]+\/[0-9a-f]{32}/.exec(script)?.[0]
          const bytes = new Uint8Array(await (await get(`${attempt}/system.cpio`)).arrayBuffer())
          return new TextDecoder().decode(cpioFiles(bytes).get('etc/hosts')?.content)
        }
        expect(await hosts()).toMatch(/^10\.9\.0\.103 .*\bn103\b/m)
        await service.seedNode('n104', '52:54:00:00:01:04', { netdevs: { default: { address: '10.9.0.104/24' } } })
        expect(await hosts()).toMatch(/^10\.9\.0\.104 .*\bn104\b/m)
      })
    })

    test('a machine that nobody knows is recorded, and boots once it is approved', async () => {
      const stranger = '52:54:00:00:02:01'
      const ask = `/boot/${stranger}?macs=${stranger},52-54-00-00-02-02,,,&serial=S%0a1&product=${'x'.repeat(300)}`
      expect(await (await get(ask)).text()).toContain(`muster discovered approve ${stranger} NAME`)
      await get(ask)
      const found = ((await api('/discovered')) as { mac: string }[]).find((machine) => machine.mac === stranger)
      expect(found).toMatchObject({
        facts: { macs: `${stranger},52:54:00:00:02:02`, serial: 'S1', product: 'x'.repeat(128) },
        // The second one came too soon after the first to be noted again.
        requests: 1,
      })
      const made = await get(`/api/discovered/${stranger}/approve`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({ name: 'n201', settings: { image: 'rocky9' } }),
      })
      expect(made.status).toBe(201)
      expect(await (await get(`/boot/${stranger}`)).text()).toContain(': n201 boots rocky9@1')
    })
  })
}

/** A script without what is different each time. */
const shownText = (script: string, url: string): string =>
  script
    .replaceAll(url.replace('http://', '(http,'), '(http,HEAD')
    .replaceAll(url, 'http://HEAD')
    .replaceAll(/(\/boot\/[0-9a-f:]+\/)[0-9a-f]{32}\//g, '$1ATTEMPT/')
    .replaceAll(/^sleep '?\d+'?/gm, 'sleep SECONDS')
    .replaceAll(/in \d+ seconds/g, 'in SECONDS seconds')
