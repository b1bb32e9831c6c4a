/** What admins see of boots. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createApp } from '../../src/app.ts'
import { outcomeOf } from '../../src/boot/outcome.ts'
import { type TestServices, testServices, url } from '../boot-plan/fixtures.ts'

const mac = '52:54:00:00:00:01'
let test: TestServices
let app: ReturnType<typeof createApp>
let headers: Record<string, string>
beforeEach(async () => {
  test = await testServices()
  app = createApp(test.services)
  headers = { Authorization: `Bearer ${await test.seedToken('read')}` }
  await test.seedImage('rocky9')
  await test.seedProfile('all', { image: 'rocky9', overlays: { system: ['base', 'hostname'] } })
  await test.seedNode('n001', mac, { kernel: { args: ['quiet'] } }, ['all'])
  await test.seedNode('n002', '52:54:00:00:00:02')
})
afterEach(() => test.close())

const get = async (path: string) => app.request(`/api/boot${path}`, { headers })
const answer = async (path: string) => (await get(path)).json() as never
const attemptsSoFar = async () => (await answer('/n001/log?limit=50')) as { id: string; outcome: string }[]

describe('/api/boot/:node', () => {
  it('shows the plan, where it comes from, and the archives as the node would get them', async () => {
    const shown = (await answer('/n001')) as { archives: { system: { digest: string; size: number } } }
    expect(shown).toMatchObject({
      url,
      plan: { node: 'n001', image: { name: 'rocky9', version: 1 }, args: ['quiet'], root: { mode: 'initramfs' } },
      archives: { runtime: { size: expect.any(Number) } },
    })
    expect(shown).toHaveProperty('explain')
    const script = await (await app.request(`/boot/${mac}`)).text()
    const attempt = /\/boot\/[0-9a-f:]+\/[0-9a-f]{32}/.exec(script)?.[0]
    const archive = await app.request(`${attempt}/system.cpio`)
    expect(archive.headers.get('etag')).toBe(`"${shown.archives.system.digest}"`)
    expect(archive.headers.get('content-length')).toBe(String(shown.archives.system.size))
  })

  it('says why a node cannot boot', async () => {
    const refused = await get('/n002')
    expect([refused.status, await refused.json()]).toMatchObject([
      422,
      { code: 'PLAN_IMPOSSIBLE', message: 'n002 has no image: set one with `muster node set n002 --image NAME`' },
    ])
    expect((await get('/n003')).status).toBe(404)
  })

  it('shows the script that iPXE or GRUB gets, and opens no attempt', async () => {
    const real = await (await app.request(`/boot/${mac}`)).text()
    const shown = await get('/n001/script')
    expect(shown.headers.get('content-type')).toMatch(/^text\/plain/)
    expect(await shown.text()).toBe(real.replaceAll(/[0-9a-f]{32}\//g, 'ATTEMPT/').replace(/^sleep \d+/m, 'sleep 0'))
    const grub = await get('/n001/script?loader=grub')
    expect(await grub.text()).toContain(`initrd '(http,10.0.0.1:9873)/blobs/sha256/`)
    expect(await attemptsSoFar()).toHaveLength(1)
  })

  it('refuses a script that data would change, and says which', async () => {
    await test.seedNode('n004', '52:54:00:00:00:04', { image: 'rocky9', kernel: { args: ['a=b\\'] } })
    const refused = await get('/n004/script')
    expect([refused.status, await refused.json()]).toMatchObject([422, { code: 'SCRIPT_UNSAFE', field: 'boot.args.0' }])
    expect(await (await app.request('/boot/52:54:00:00:00:04')).text()).toContain('n004 cannot boot now')
  })

  it('shows attempts newest first, as many as are wanted', async () => {
    for (let at = 0; at < 12; at++) {
      await app.request(`/boot/${mac}`)
      test.clock.forward(1)
    }
    expect(await answer('/n001/log')).toHaveLength(10)
    expect(await attemptsSoFar()).toHaveLength(12)
    const [newest] = (await answer('/n001/log?limit=1')) as { startedAt: string }[]
    const startedAt = '2026-01-31T12:11:00.000Z'
    const events = [{ at: startedAt, kind: 'script' }]
    expect(newest).toMatchObject({ startedAt, mac, outcome: 'running', events })
    expect((await get('/n001/log?limit=0')).status).toBe(400)
    expect(await answer('/nobody/log')).toEqual([])
  })

  it('is for tokens alone', async () => {
    for (const path of ['/n001', '/n001/script', '/n001/log'])
      expect((await app.request(`/api/boot${path}`)).status).toBe(401)
  })
})

describe('the outcome of a boot', () => {
  const startedAt = new Date(0)
  const at = (minutes: number) => new Date(minutes * 60_000)
  it.each([
    ['a node that said nothing yet', [], 14, 'running'],
    ['a node that said nothing for a quarter of an hour', [], 15, 'silent'],
    ['a node that fetches', [{ kind: 'overlay', at: at(14) }], 20, 'running'],
    [
      'a node that is ready',
      [
        { kind: 'init', at: at(1) },
        { kind: 'ready', at: at(2) },
      ],
      9999,
      'ready',
    ],
    [
      'a node that failed',
      [
        { kind: 'init', at: at(1) },
        { kind: 'failed', at: at(2) },
      ],
      3,
      'failed',
    ],
    [
      'a node that failed and goes on',
      [
        { kind: 'failed', at: at(1) },
        { kind: 'stage', at: at(2) },
      ],
      3,
      'running',
    ],
    ['a node whose download failed, and was tried again', [{ kind: 'beacon', at: at(1) }], 3, 'running'],
  ] as const)('of %s', (_, events, now, outcome) => {
    expect(outcomeOf({ startedAt, events }, at(now))).toBe(outcome)
  })
})
