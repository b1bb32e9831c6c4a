/** Private files: how they come, and what a node gets that cannot have them. */
import { existsSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { pathOf } from '../init/shells.ts'
import type { Node } from './scene.ts'
import { useCluster } from './setup.ts'

const { cluster, boot } = useCluster()
const forgetPause = (node: Node) => rmSync(join(node.root, 'run/muster/client/wait'), { force: true })
const motd = (node: Node): string => readFileSync(join(node.root, 'etc/motd'), 'utf8')

describe('private files', () => {
  const yaml = '/etc/key: { private: true }'
  beforeEach(async () => {
    await cluster().push({}, undefined, 'extra')
    await cluster().push({ '/etc/key': 'of the system\n' }, yaml, 'extra')
    await cluster().push({ '/etc/motd': 'public\n', '/etc/key2': 'of the runtime\n' }, '/etc/key2: { private: true }')
  })
  const settings = { overlays: { system: ['extra'] } }

  it('come by boot, before anything runs, and are nobody else’s to read', async () => {
    const node = await boot({ settings })
    expect(existsSync(join(node.root, 'etc/key'))).toBe(false)
    expect(await node.client('boot')).toMatchObject({ status: 0 })
    expect(readFileSync(join(node.root, 'etc/key'), 'utf8')).toBe('of the system\n')
    expect(node.files().filter((line) => line.includes('key'))).toEqual([
      expect.stringMatching(/key file 600 0:0/),
      expect.stringMatching(/key2 file 600 0:0/),
    ])
    expect(cluster().reports('ready')).toEqual([])
    await node.client('run')
    expect(cluster().reports('ready')).toHaveLength(1)
    await cluster().test.services.journal.flush()
    const { items: drifts } = await cluster().test.call('GET', `/api/drift?select=${node.name}`)
    // The kernel is this machine's.
    expect(drifts[0].reasons.map(({ what }: { what: string }) => what)).toEqual(['kernel'])
  })

  it('are left out with a word and a report when they are refused, and the rest of the boot goes on', async () => {
    const node = await boot({ settings, address: '10.9.9.9/24' })
    const ended = await node.client('boot')
    expect(ended).toMatchObject({ status: 1, output: expect.stringContaining("correct the node's netdevs") })
    expect(cluster().reports('failed')).toEqual([
      expect.objectContaining({ message: expect.stringContaining('private files were refused') }),
    ])
    expect(motd(node)).toBe('public\n')
  })

  it('come later when the head node was down at boot, also those of the system overlays', async () => {
    const node = await boot({ settings })
    await cluster().stop()
    expect(await node.client('boot')).toMatchObject({ status: 1 })
    await cluster().start()
    forgetPause(node)
    await node.client('run')
    expect(existsSync(join(node.root, 'etc/key'))).toBe(true)
    expect(existsSync(join(node.root, 'etc/key2'))).toBe(true)
    cluster().asked.length = 0
    await node.client('run')
    expect(
      cluster()
        .asksFor('/self/overlays')
        .map(({ path, status }) => [path, status]),
    ).toEqual([['/self/overlays/runtime', 304]])
  })

  it('stay away from a node whose program cannot choose a port of root’s, which gets the public ones all the same', async () => {
    const node = await boot({ settings, tools: ['wget'] })
    const refused = /private files were refused: .*put curl into the image/
    const said = expect.stringMatching(refused)
    expect(await node.client('boot')).toMatchObject({ status: 1, output: said })
    await cluster().push({ '/etc/motd': 'newer\n', '/etc/key2': 'of the runtime\n' }, '/etc/key2: { private: true }')
    expect(await node.client('run')).toEqual({ status: 0, output: 'muster: changed /etc/motd\n' })
    expect(await node.client('run')).toEqual({ status: 0, output: '' })
    expect((await node.client('apply')).output).toMatch(refused)
    expect(existsSync(join(node.root, 'etc/key'))).toBe(false)
    expect(existsSync(join(node.root, 'etc/key2'))).toBe(false)
    expect(cluster().reports('failed')).toEqual([expect.objectContaining({ message: said })])
    expect((await node.client('status')).output).toMatch(refused)

    // An admin puts curl there.
    const curl = `${node.root}-bin/curl`
    symlinkSync(pathOf('curl') ?? '', curl)
    expect((await node.client('run')).output).toContain('all is well again')
    expect(readFileSync(join(node.root, 'etc/key'), 'utf8')).toBe('of the system\n')
    expect(readFileSync(join(node.root, 'etc/key2'), 'utf8')).toBe('of the runtime\n')

    // What the node has is not taken from it because it is refused now.
    rmSync(curl)
    await cluster().push({ '/etc/motd': 'newest\n', '/etc/key2': 'other\n' }, '/etc/key2: { private: true }')
    expect(await node.client('run')).toMatchObject({ status: 1, output: said })
    expect(readFileSync(join(node.root, 'etc/key2'), 'utf8')).toBe('of the runtime\n')
    expect(motd(node)).toBe('newer\n')
  })
})
