import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { setCurrent } from '../../src/registry/images.ts'
import { stepRollouts } from '../../src/rollouts/run.ts'
import { addImage, startOfTests, type TestApp, testApp, tester } from '../harness.ts'
import { muster, type Setting } from './muster.ts'

let app: TestApp
let digest: string
let attempts = 0
const minutes = (count: number) => new Date(startOfTests.getTime() + count * 60_000)
const all = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, at) => `n${String(from + at).padStart(3, '0')}`)

/** Each test goes on where the one before stopped: what an admin sees of one rollout after the other. */
beforeAll(async () => {
  app = await testApp()
  for (const text of ['one', 'two']) await addImage(app, 'rocky9', text)
  const { version } = await addImage(app, 'rocky9', 'three')
  digest = version.digest
  await setCurrent(app.services.registry, tester, 'rocky9', 2)
  await app.call('PUT', '/api/profiles/default', { body: { settings: { image: 'rocky9' } } })
  await app.call('POST', '/api/nodes', { body: { names: 'n[001-040]', profiles: ['default'] } })
})
afterAll(() => app.close())

/** Nodes boot the version that rollouts give them. */
function boot(nodes: string[], at: number, ...kinds: ('stage' | 'failed' | 'ready')[]): void {
  const { journal } = app.services
  for (const node of nodes) {
    const id = String(attempts++).padStart(32, '0')
    const plan = { image: { name: 'rocky9', version: 3, digest } }
    journal.record({ type: 'attempt', id, node, mac: '52:54:00:00:00:01', at: minutes(at), plan })
    for (const kind of kinds) journal.record({ type: 'event', attempt: id, at: minutes(at), kind, detail: {} })
  }
}
const step = (at: number) => {
  app.at(minutes(at))
  return stepRollouts(app.services)
}
const golden = async (file: string, argv: string[], setting: Setting = {}) => {
  const { code, out, err } = await muster(app, argv, setting)
  expect(code).toBe(0)
  await expect(`$ muster ${argv.join(' ')}\n${out}`).toMatchFileSnapshot(`../golden/cli/${file}.txt`)
  return err
}

describe('muster rollout', () => {
  it('has nothing to show before the first one', async () => {
    expect((await muster(app, ['rollout', 'status'])).out).toBe('no rollouts yet\n')
    expect(await muster(app, ['rollout', 'status', '1'])).toMatchObject({ code: 1, out: '' })
  })

  it('shows the waves and asks before it begins', async () => {
    const argv = ['rollout', 'start', 'rocky9@3', '--nodes', 'n*', '--max-failed', '2', '-m', 'new kernel']
    const declined = await muster(app, argv, { types: 'n\n' })
    expect([declined.code, declined.err]).toEqual([1, expect.stringContaining('nothing was changed')])
    expect((await muster(app, ['rollout', 'status'])).out).toBe('no rollouts yet\n')
    expect(await golden('rollout-start', argv, { types: 'y\n' })).toBe('Begin? [y/N] ')
  })

  it('says which nodes are waited for, which failed and how', async () => {
    boot(['n001'], 1, 'ready')
    await step(2)
    boot(['n002'], 3, 'ready')
    boot(['n003'], 3, 'stage', 'failed')
    await step(4)
    await golden('rollout-status', ['rollout', 'status'])
    const { out } = await muster(app, ['rollout', 'status', '1'], { terminal: true })
    expect(out).toContain('[\u001b[32m######\u001b[0m\u001b[31mxxxxxx\u001b[0m\u001b[2m........\u001b[0m]')
  })

  it('skips nodes, pauses and goes on', async () => {
    const skipped = await muster(app, ['rollout', 'skip', '1', 'n004'])
    expect(skipped.out).toContain('rollout 1  rocky9@3  running, wave 3 of 4')
    expect(await muster(app, ['rollout', 'pause', '1'])).toMatchObject({
      out: 'rollout 1 is paused, wave 3 of 4\n',
      err: '',
    })
    expect((await muster(app, ['rollout', 'resume', '1'])).out).toContain('rollout 1  rocky9@3  running, wave 3 of 4')
  })

  it('shows what a revert changes and asks, and says who was left alone', async () => {
    boot(all(5, 9), 5, 'ready')
    boot(all(10, 11), 5, 'stage')
    await app.call('PATCH', '/api/nodes/n012', { body: { settings: { image: 'rocky9@1' } } })
    const asked = await golden('rollout-revert', ['rollout', 'revert', '1'], { types: 'y\n' })
    expect(asked).toBe('Take rollout 1 back, for 19 nodes? [y/N] ')
    await golden('rollout-reverted', ['rollout', 'status', '1'])
    expect((await muster(app, ['rollout', 'revert', '1', '-y'])).out).toBe('nothing to change\n')
  })

  it('watches until the end, and fails when a rollout was taken back', async () => {
    const argv = ['rollout', 'start', 'rocky9@3', '--nodes', 'n[013-014]', '--wave', '1', '--timeout', '10m', '-y']
    expect((await muster(app, argv)).out).toContain('rollout 2 began with wave 1 of 2')
    const watch = ['rollout', 'status', '--watch', '--every', '0.01']
    let looks = 0
    const fetch: Setting['fetch'] = async (input, init) => {
      if (++looks === 4) {
        boot(['n013'], 10, 'ready')
        await step(11)
      }
      if (looks === 7) {
        boot(['n014'], 12, 'failed')
        await step(13)
      }
      return app.app.request(input as string, init)
    }
    const watched = await muster(app, watch, { fetch })
    expect([watched.code, watched.err]).toEqual([1, 'muster: rollout 2 was taken back\n'])
    const heads = watched.out.split('\n').filter((line) => line.startsWith('rollout'))
    expect(heads).toEqual([
      'rollout 2  rocky9@3  running, wave 1 of 2',
      'rollout 2  rocky9@3  running, wave 2 of 2',
      'rollout 2  rocky9@3  reverted: 1 node failed (n014), and at most 0 may',
    ])
  })

  it('draws over what it drew on a terminal', async () => {
    await muster(app, ['rollout', 'start', 'rocky9@3', '--nodes', 'n[013-014]', '--wave', '1', '-y'])
    let looks = 0
    const fetch: Setting['fetch'] = async (input, init) => {
      if (++looks === 3) await app.call('POST', '/api/rollouts/3/revert')
      return app.app.request(input as string, init)
    }
    const { out, code } = await muster(app, ['rollout', 'status', '3', '-w', '--every', '0.01'], {
      fetch,
      terminal: true,
    })
    expect(code).toBe(1)
    expect(out.split('\u001b[4A\u001b[J')).toHaveLength(2)
  })

  it('lists them, newest first', async () => {
    expect(await golden('rollout-list', ['rollout', 'list'])).toBe('')
  })

  it('prints the document with --json', async () => {
    const { out } = await muster(app, ['rollout', 'status', '1', '--json'])
    expect(JSON.parse(out)).toEqual(await app.call('GET', '/api/rollouts/1'))
    expect(JSON.parse((await muster(app, ['rollout', 'status', '--json'])).out)).toHaveLength(1)
  })

  it.each([
    [['start', 'rocky9@3'], "required option '--nodes <selector>' not specified"],
    [['start', 'rocky9@3', '--nodes', 'n*', '--timeout', 'soon'], 'soon is no time: 90s, 30m or 2h'],
    [['start', 'rocky9@3', '--nodes', 'n*', '--max-failed', 'two'], 'two is no number of nodes'],
    [['start', 'rocky9@3', '--nodes', 'n*', '--wave', '1,half'], 'must be a number of nodes such as 5'],
    [['start', 'rocky9', '--nodes', 'n*', '-y'], 'say which version of rocky9: rocky9@NUMBER'],
    [['pause', 'rocky9'], 'rocky9 is no rollout: give its number'],
    [['status', '../nodes'], '../nodes is no rollout: give its number'],
    [['status', '--every', '0'], '0 is no number of seconds'],
  ])('refuses %j', async (argv, message) => {
    const { code, out, err } = await muster(app, ['rollout', ...argv])
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain(message)
  })
})
