/** Rollouts as admins and machines see them: scripts are asked for, tickets fetched, and events told, as nodes do it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createApp } from '../../src/app.ts'
import { setCurrent } from '../../src/registry/images.ts'
import { stepRollouts } from '../../src/rollouts/run.ts'
import { cpioFiles } from '../boot-plan/cpio-files.ts'
import { type TestServices, testServices } from '../boot-plan/fixtures.ts'

let test: TestServices
let app: ReturnType<typeof createApp>
let token: string
const macOf = (name: string) => `52:54:00:00:00:${name.slice(-2)}`
const all = ['n01', 'n02', 'n03', 'n04']

beforeEach(async () => {
  test = await testServices()
  app = createApp(test.services)
  token = await test.seedToken('edit')
  for (let number = 1; number <= 4; number++) await test.seedImage('rocky9', { entries: number })
  await setCurrent(test.services.registry, { author: 'test', at: test.clock.now() }, 'rocky9', 3)
  await test.seedProfile('compute', { image: 'rocky9' })
  for (const name of all) await test.seedNode(name, macOf(name), { tags: { rack: 'r1' } }, ['compute'])
})
afterEach(() => test.close())

const send = (method: string, path: string, body?: unknown) =>
  app.request(`/api${path}`, {
    method,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
const call = async (method: string, path: string, body?: unknown): Promise<any> => {
  const answer = await send(method, path, body)
  const document = await answer.json()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(document)}`)
  return document
}
const refusal = async (answer: Response | Promise<Response>) => {
  const { code, message } = (await (await answer).json()) as { code: string; message: string }
  return [(await answer).status, code, message]
}
const codeOf = async (answer: Response | Promise<Response>) => (await refusal(answer)).slice(0, 2)
const start = (rest: object = {}) =>
  call('POST', '/rollouts', { image: 'rocky9@4', nodes: 'n*', waves: ['1', '50%'], ...rest })
const step = () => stepRollouts(test.services)
const scriptOf = async (name: string) => (await app.request(`/boot/${macOf(name)}`)).text()
const bootedImage = async (name: string) => / boots (rocky9@\d+)/.exec(await scriptOf(name))?.[1]
const statesOf = async (id: number) => {
  const { state, waves } = await call('GET', `/rollouts/${id}`)
  const nodes = waves.flatMap((wave: { nodes: { name: string; state: string }[] }) => wave.nodes)
  return [state, ...nodes.map((node: { state: string }) => node.state)]
}
const ownImage = async (name: string) => (await call('GET', `/nodes/${name}`)).settings.image

/** A node boots: it asks for its script, fetches its ticket and tells what happens. */
async function boot(name: string, ...kinds: ('init' | 'stage' | 'failed' | 'ready')[]): Promise<void> {
  const path = /\/boot\/[0-9a-f:]+\/[0-9a-f]{32}/.exec(await scriptOf(name))?.[0] ?? ''
  const archive = await app.request(`${path}/ticket.cpio`)
  const ticket = cpioFiles(new Uint8Array(await archive.arrayBuffer())).get('muster/ticket')?.content
  for (const kind of kinds) {
    const answer = await app.request('/self/events', {
      method: 'POST',
      headers: { Authorization: `Bearer ${new TextDecoder().decode(ticket).trim()}` },
      body: JSON.stringify({ kind }),
    })
    expect(answer.status).toBe(204)
  }
}

describe('a rollout', () => {
  it('goes to the next wave when a node said that it is ready, and to all in the end', async () => {
    const { id, notes } = await start()
    expect(notes).toEqual([])
    expect(await Promise.all(all.map(bootedImage))).toEqual(['rocky9@4', 'rocky9@3', 'rocky9@3', 'rocky9@3'])
    test.clock.forward(5)
    await boot('n01', 'init')
    await step()
    expect(await statesOf(id)).toEqual(['running', 'booting', 'queued', 'queued', 'queued'])
    test.clock.forward(1)
    await boot('n01', 'init', 'ready')
    await step()
    expect(await statesOf(id)).toEqual(['running', 'ready', 'waiting', 'queued', 'queued'])
    await boot('n02', 'ready')
    await step()
    // Its settings say what it boots, as if somebody had typed it.
    const [explained] = await call('GET', '/nodes/n03/explain?field=image')
    expect(explained).toMatchObject({ value: 'rocky9@4', from: ['node:n03'], hidden: [{ from: 'profile:compute' }] })
    await boot('n03', 'ready')
    await boot('n04', 'ready')
    await step()
    expect(await statesOf(id)).toEqual(['finished', 'ready', 'ready', 'ready', 'ready'])
    expect(await call('GET', '/images/rocky9')).toMatchObject({ current: 4 })
    expect(await Promise.all(all.map(ownImage))).toEqual([undefined, undefined, undefined, undefined])
    expect(await Promise.all(all.map(bootedImage))).toEqual(all.map(() => 'rocky9@4'))
  })

  it('is not moved on by boots from before its wave, or of another version', async () => {
    await boot('n01', 'ready')
    const { id } = await start()
    await step()
    expect(await statesOf(id)).toEqual(['running', 'waiting', 'queued', 'queued', 'queued'])
    // A node that had its script already goes on with what it was told.
    await boot('n02', 'failed')
    await step()
    expect(await statesOf(id)).toEqual(['running', 'waiting', 'queued', 'queued', 'queued'])
  })

  it.each([
    [
      'says that it failed',
      async () => {
        await boot('n01', 'init', 'failed')
      },
    ],
    [
      'is not heard of any more',
      async () => {
        await boot('n01', 'init')
        test.clock.forward(15)
      },
    ],
    [
      'asks for its script again and again',
      async () => {
        for (let time = 0; time < 3; time++) {
          await boot('n01')
          test.clock.forward(2)
        }
      },
    ],
    [
      'goes on for longer than it may',
      async () => {
        await boot('n01', 'init')
        for (let time = 0; time < 3; time++) test.clock.forward(10)
      },
    ],
  ])('takes everything back when a node %s', async (_label, happen) => {
    const { id } = await start({ readySeconds: 1500 })
    test.clock.forward(1)
    await happen()
    await step()
    const { state, reason } = await call('GET', `/rollouts/${id}`)
    expect([state, reason]).toEqual(['reverted', '1 node failed (n01), and at most 0 may'])
    expect(await ownImage('n01')).toBeUndefined()
    expect(await bootedImage('n01')).toBe('rocky9@3')
  })

  it('waits for ever for a node that is switched off, until it is skipped', async () => {
    const { id } = await start()
    test.clock.forward(60 * 24 * 30)
    await step()
    expect(await statesOf(id)).toEqual(['running', 'waiting', 'queued', 'queued', 'queued'])
    const skipped = await call('POST', `/rollouts/${id}/skip`, { nodes: 'n01' })
    expect(skipped).toMatchObject({ begun: 2, waves: [{ nodes: [{ name: 'n01', state: 'skipped' }] }, {}, {}] })
    expect(await codeOf(send('POST', `/rollouts/${id}/skip`, { nodes: 'n09' }))).toEqual([404, 'NODE_UNKNOWN'])
  })

  it('waits while it is paused, and goes on at once when it is resumed', async () => {
    const { id } = await start()
    expect(await call('POST', `/rollouts/${id}/pause?message=lunch`)).toMatchObject({ state: 'paused' })
    await boot('n01', 'ready')
    await step()
    expect(await statesOf(id)).toEqual(['paused', 'ready', 'queued', 'queued', 'queued'])
    expect(await call('POST', `/rollouts/${id}/pause`)).toMatchObject({ state: 'paused' })
    expect(await call('POST', `/rollouts/${id}/resume`)).toMatchObject({ state: 'running', begun: 2 })
  })

  it('leaves nodes alone that somebody edited, and says so', async () => {
    const { id } = await start({ waves: ['100%'] })
    await call('PATCH', '/nodes/n02', { settings: { image: 'rocky9@2' } })
    await call('PATCH', '/nodes/n03', { settings: { tags: { rack: 'r2' } } })
    await send('DELETE', '/nodes/n04')
    expect(await statesOf(id)).toEqual(['running', 'waiting', 'left', 'waiting', 'left'])
    const { waves, reason } = await call('POST', `/rollouts/${id}/revert?message=it+smells`)
    expect(reason).toBe('edit took it back: it smells')
    expect(waves[0].nodes.filter((node: { state: string }) => node.state === 'left')).toEqual([
      { name: 'n02', state: 'left', why: "its own image is rocky9@2 by somebody else's hand" },
      { name: 'n04', state: 'left', why: 'it was deleted' },
    ])
    expect(await Promise.all(['n01', 'n02', 'n03'].map(ownImage))).toEqual([undefined, 'rocky9@2', undefined])
    expect((await call('GET', '/nodes/n03')).settings.tags).toEqual({ rack: 'r2' })
  })

  it('can be taken back after its end, and the image goes back with it', async () => {
    const { id } = await start({ waves: ['100%'] })
    for (const name of all) await boot(name, 'ready')
    await step()
    expect(await call('GET', '/images/rocky9')).toMatchObject({ current: 4 })
    const tried = await call('POST', `/rollouts/${id}/revert?dryRun=true`)
    expect(tried.changes).toMatchObject([
      { noun: 'rollout', name: String(id), after: { state: 'reverted' } },
      { noun: 'image', name: 'rocky9', before: { current: 4 }, after: { current: 3 } },
    ])
    expect(await call('GET', '/images/rocky9')).toMatchObject({ current: 4 })
    await call('POST', `/rollouts/${id}/revert`)
    expect(await call('GET', '/images/rocky9')).toMatchObject({ current: 3 })
    expect(await Promise.all(all.map(bootedImage))).toEqual(all.map(() => 'rocky9@3'))
    expect(await call('POST', `/rollouts/${id}/revert`)).toMatchObject({ state: 'reverted' })
  })

  it('keeps the version as its nodes’ own when others use the image, and says so before and after', async () => {
    const { id, notes } = await start({ nodes: 'n[01-02]', waves: ['100%'] })
    expect(notes).toEqual([
      'n[03-04] use rocky9 without a version and are not in it: at the end 3 stays the current version, and the nodes keep rocky9@4 of their own',
    ])
    for (const name of ['n01', 'n02']) await boot(name, 'ready')
    await step()
    expect(await call('GET', `/rollouts/${id}`)).toMatchObject({
      state: 'finished',
      reason: 'rocky9@4 stays the own image of its nodes: n[03-04] use rocky9 without a version, too',
    })
    expect(await Promise.all(all.map(ownImage))).toEqual(['rocky9@4', 'rocky9@4', undefined, undefined])
    await call('POST', `/rollouts/${id}/revert`)
    expect(await Promise.all(all.map(ownImage))).toEqual([undefined, undefined, undefined, undefined])
  })

  it('can be tried: what it would do is answered, and nothing is done', async () => {
    const path = '/rollouts?dryRun=true'
    const tried = await call('POST', path, { image: 'rocky9@4', nodes: 'n*' })
    expect(tried.rollout).toMatchObject({
      sizes: [1, 1, 2],
      maxFailed: 0,
      readySeconds: 1800,
      waves: [{ nodes: [{ name: 'n01', state: 'waiting' }] }, {}, {}],
    })
    expect(tried.changes).toMatchObject([
      { noun: 'rollout', before: null, after: { image: 'rocky9@4', wave: '1 of 3' } },
      { noun: 'node', name: 'n01', after: { settings: { image: 'rocky9@4' } } },
    ])
    expect((await call('GET', '/rollouts')).items).toEqual([])
    await call('PATCH', '/nodes/n04', { settings: { tags: { rack: 'r2' } } })
    const late = send('POST', `/rollouts?expect=${tried.revision}`, { image: 'rocky9@4', nodes: 'n*' })
    expect(await codeOf(late)).toEqual([412, 'REVISION_CONFLICT'])
  })

  it.each([
    [
      'one that is under way for its image',
      { nodes: 'n04' },
      409,
      'ROLLOUT_ACTIVE',
      'rollout 1 of rocky9@4 is under way',
    ],
    ['one that has a node of it', { image: 'other@1' }, 409, 'ROLLOUT_ACTIVE', 'n[01-02] are in rollout 1'],
    ['an image that nobody has', { image: 'nix@1' }, 404, 'IMAGE_UNKNOWN', 'no image nix'],
    ['a version that there is not', { image: 'rocky9@9' }, 404, 'IMAGE_UNKNOWN', 'has no version 9'],
    ['no version', { image: 'rocky9' }, 400, 'REQUEST_INVALID', 'say which version of rocky9'],
    ['a node that nobody has', { nodes: 'n09' }, 404, 'NODE_UNKNOWN', 'no node n09'],
    ['no node', { nodes: 'x*' }, 404, 'NODE_UNKNOWN', 'no node matches x*'],
    ['waves that are none', { waves: ['some'] }, 400, 'REQUEST_INVALID', 'must be a number of nodes'],
    ['waves that go down', { waves: ['50%', '10%'] }, 400, 'REQUEST_INVALID', '10% is less than the wave before it'],
    ['no time to boot', { readySeconds: 5 }, 400, 'REQUEST_INVALID', '>=60'],
  ])('is refused beside %s', async (_label, rest, status, code, message) => {
    await test.seedImage('other')
    await start({ nodes: 'n[01-02]' })
    const answer = send('POST', '/rollouts', { image: 'rocky9@4', nodes: 'n[01-04]', ...rest })
    expect(await refusal(answer)).toEqual([status, code, expect.stringContaining(message)])
  })

  it('warns of nodes that boot the version without it, and of those that boot something else', async () => {
    await test.seedImage('other')
    await call('PATCH', '/nodes/n04', { settings: { image: 'other' } })
    const tried = await call('POST', '/rollouts?dryRun=true', { image: 'rocky9@3', nodes: 'n[01-04]' })
    expect(tried.rollout.notes).toEqual([
      'n04 boot another image than rocky9 now, or none',
      '3 is the current version of rocky9 already: n[01-03] boot it without any wave, as they name no version',
    ])
  })

  it('that has ended is left as it is, and the next one can begin', async () => {
    const { id } = await start()
    await call('POST', `/rollouts/${id}/revert`)
    for (const verb of ['pause', 'resume'])
      expect(await codeOf(send('POST', `/rollouts/${id}/${verb}`))).toEqual([409, 'ROLLOUT_ENDED'])
    const skip = send('POST', `/rollouts/${id}/skip`, { nodes: 'n01' })
    expect(await codeOf(skip)).toEqual([409, 'ROLLOUT_ENDED'])
    const next = await start()
    expect(next.id).toBe(id + 1)
    const { items } = await call('GET', '/rollouts')
    expect(items.map((one: { id: number; state: string }) => [one.id, one.state])).toEqual([
      [2, 'running'],
      [1, 'reverted'],
    ])
    const page = await call('GET', '/rollouts?limit=1')
    expect([page.items.length, page.next]).toEqual([1, 2])
    expect((await call('GET', '/rollouts?limit=1&before=2')).items).toMatchObject([{ id: 1 }])
  })

  it('that is finished is not taken back under the feet of the next one', async () => {
    const { id } = await start({ waves: ['100%'] })
    for (const name of all) await boot(name, 'ready')
    await step()
    await call('POST', '/rollouts', { image: 'rocky9@2', nodes: 'n*' })
    expect(await codeOf(send('POST', `/rollouts/${id}/revert`))).toEqual([409, 'ROLLOUT_ACTIVE'])
  })

  it('keeps its image, its version and what a revert puts back from being deleted or renamed', async () => {
    await call('PATCH', '/nodes/n02', { settings: { image: 'rocky9@2' } })
    const { id } = await start()
    for (const path of ['/images/rocky9/versions/4', '/images/rocky9/versions/2', '/images/rocky9'])
      expect((await send('DELETE', path)).status).toBe(409)
    expect((await send('POST', '/images/rocky9/rename', { to: 'rocky' })).status).toBe(409)
    await call('POST', `/rollouts/${id}/revert`)
    expect((await send('DELETE', '/images/rocky9/versions/4')).status).toBeLessThan(300)
  })

  it('that is finished is not taken back to a version that was deleted since', async () => {
    const { id } = await start({ waves: ['100%'] })
    for (const name of all) await boot(name, 'ready')
    await step()
    expect((await send('DELETE', '/images/rocky9/versions/3')).status).toBeLessThan(300)
    expect(await refusal(send('POST', `/rollouts/${id}/revert`))).toEqual([
      404,
      'IMAGE_UNKNOWN',
      expect.stringContaining('rocky9@3, which a revert would put back, is gone'),
    ])
    expect(await call('GET', '/images/rocky9')).toMatchObject({ current: 4 })
  })

  it('that nobody began is unknown', async () => {
    for (const path of ['', '/pause', '/resume', '/revert'])
      expect(await codeOf(send(path === '' ? 'GET' : 'POST', `/rollouts/7${path}`))).toEqual([404, 'ROLLOUT_UNKNOWN'])
  })

  it('stands in the history of its nodes, with who began it', async () => {
    await start()
    const { items } = await call('GET', '/nodes/n01/history?limit=1')
    expect(items).toMatchObject([{ author: 'edit', changes: [{ after: { settings: { image: 'rocky9@4' } } }] }])
    const { changes } = await call('GET', `/revisions/${items[0].id}`)
    expect(changes.map(({ noun, name }: { noun: string; name: string }) => [noun, name])).toEqual([
      ['node', 'n01'],
      ['rollout', '1'],
    ])
  })
})
