/** Head nodes that are down, busy or of another mind, and what they are told. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { damaged, flipped } from './damage.ts'
import type { Node } from './scene.ts'
import { useCluster } from './setup.ts'

const { cluster, boot } = useCluster()
/** The file in which the client keeps something, as a number. */
const kept = (node: Node, key: string): number =>
  Number(readFileSync(join(node.root, 'run/muster/client', key), 'utf8'))
const forgetPause = (node: Node) => rmSync(join(node.root, 'run/muster/client/wait'), { force: true })
const uptime = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
const motd = (node: Node): string => readFileSync(join(node.root, 'etc/motd'), 'utf8')

describe('a head node', () => {
  it('that is down is waited for, longer each time, and asked again when it is back', async () => {
    await cluster().push({ '/etc/motd': 'one\n' })
    const node = await boot()
    await cluster().push({ '/etc/motd': 'two\n' })
    await cluster().stop()
    const ended = await node.client('run')
    expect(ended).toMatchObject({ status: 0, output: expect.stringContaining(`no whole answer from ${cluster().url}`) })
    expect(kept(node, 'wait')).toBeLessThanOrEqual(uptime() + 121)
    forgetPause(node)
    // The same is not said again.
    expect(await node.client('run')).toEqual({ status: 0, output: '' })
    expect(kept(node, 'failures')).toBe(2)
    expect((await node.client('status')).output).toContain('failure  no whole answer')
    await cluster().start()
    writeFileSync(join(node.root, 'run/muster/client/wait'), String(Math.floor(uptime()) + 1000))
    expect(await node.client('run')).toEqual({ status: 0, output: '' })
    expect(cluster().asksFor('/self/overlays')).toEqual([])
    // A person does not wait.
    expect((await node.client('apply')).output).toContain('all is well again')
    expect(motd(node)).toBe('two\n')
    expect(cluster().reports('ready')).toHaveLength(1)
    expect(existsSync(join(node.root, 'run/muster/client/wait'))).toBe(false)
  })

  it('that is busy is left alone for as long as it says, and somewhat more', async () => {
    const node = await boot()
    cluster().around = async (request, answer) =>
      request.url.includes('/overlays/')
        ? new Response('busy', { status: 503, headers: { 'retry-after': '100' } })
        : answer()
    const before = Math.floor(uptime())
    expect(await node.client('run')).toMatchObject({ status: 0, output: expect.stringContaining('busy') })
    expect(kept(node, 'wait')).toBeGreaterThanOrEqual(before + 100)
    expect(kept(node, 'wait')).toBeLessThanOrEqual(uptime() + 152)
    cluster().asked.length = 0
    await node.client('run')
    expect(cluster().asked).toEqual([])
  })

  it('that answers nonsense changes nothing', async () => {
    await cluster().push({ '/etc/motd': 'one\n' })
    const node = await boot()
    cluster().around = async () => new Response('<html>a portal</html>', { headers: { 'content-length': '21' } })
    const ended = await node.client('run')
    expect(ended.output).toContain('altered on its way and is refused')
    expect(motd(node)).toBe('one\n')
    expect(existsSync(join(node.root, 'run/muster/token'))).toBe(false)
  })

  it('that forgot the token is asked for another one while there is a ticket', async () => {
    const node = await boot()
    writeFileSync(join(node.root, 'run/muster/token'), `muster_agent_${'0'.repeat(64)}\n`)
    expect((await node.client('run')).output).toContain('asking for another one')
    forgetPause(node)
    await node.client('run')
    writeFileSync(join(node.root, 'run/muster/token'), `muster_agent_${'0'.repeat(64)}\n`)
    const ended = await node.client('run')
    expect(ended).toMatchObject({ status: 1, output: expect.stringContaining('reboot this node') })
  })

  it('is told that the node is ready until it takes that, and a failure once', async () => {
    const node = await boot()
    cluster().around = async (request, answer) =>
      request.url.endsWith('/events') ? new Response('no', { status: 500 }) : answer()
    await node.client('run')
    cluster().around = undefined
    await node.client('run')
    await node.client('run')
    const told = cluster()
      .asked.filter(({ path }) => path === '/self/events')
      .map(({ status }) => status)
    expect(told).toEqual([500, 204])
    await cluster().push({ '/etc/motd': `${Math.random()}` })
    cluster().around = async (request, answer) =>
      request.url.endsWith('/runtime')
        ? damaged(
            await answer(),
            flipped(() => 3),
          )
        : answer()
    for (const _ of [1, 2, 3]) {
      forgetPause(node)
      await node.client('run')
    }
    expect(cluster().reports('failed')).toHaveLength(1)
  })

  it('hears now and then that the node is alive, and what it runs', async () => {
    await cluster().push({ '/etc/motd': 'one\n' })
    const node = await boot({ settings: { kernel: { args: ['quiet', 'a="b c"'] } } })
    await node.client('run')
    expect(kept(node, 'alive')).toBeGreaterThanOrEqual(uptime() + 449)
    expect(kept(node, 'alive')).toBeLessThanOrEqual(uptime() + 751)
    writeFileSync(join(node.root, 'run/muster/client/alive'), '1')
    await node.client('run')
    const digest = execFileSync('sha256sum', [join(node.root, 'muster/overlays/runtime')], { encoding: 'utf8' })
    for (const kind of ['ready', 'alive'])
      expect(cluster().reports(kind)).toEqual([
        {
          uptime: expect.any(Number),
          memTotalKiB: expect.any(Number),
          memAvailableKiB: expect.any(Number),
          rootKind: 'initramfs',
          rootSizeKiB: expect.any(Number),
          rootUsedKiB: expect.any(Number),
          image: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
          kernel: execFileSync('uname', ['-r'], { encoding: 'utf8' }).trim(),
          args: 'quiet a="b c"',
          system: expect.stringMatching(/^[0-9a-f]{64}$/),
          runtime: digest.slice(0, 64),
        },
      ])
    expect(
      cluster()
        .asked.filter(({ path }) => path === '/self/events')
        .map(({ status }) => status),
    ).toEqual([204, 204])
  })
})
