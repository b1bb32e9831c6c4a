import { cpSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { run } from '../init/shells.ts'
import { bootNode, startCluster } from './scene.ts'

it('has units that systemd understands, enabled, with the interval of the node', async () => {
  const cluster = await startCluster()
  const node = await bootNode(cluster, { settings: { runtimeInterval: 90 } })
  const units = join(node.root, 'etc/systemd/system')
  // The targets that they are ordered by.
  cpSync('/usr/lib/systemd/system', join(node.root, 'usr/lib/systemd/system'), {
    recursive: true,
    verbatimSymlinks: true,
  })
  // Nothing is said about a unit that is right.
  const names = ['muster-client.timer', 'muster-client.service', 'muster-ready.service']
  const ended = await run(
    [
      'systemd-analyze',
      'verify',
      `--root=${node.root}`,
      '--man=no',
      ...names.map((name) => join('/etc/systemd/system', name)),
    ],
    {
      PATH: process.env.PATH ?? '',
    },
  )
  const ours = ended.output.split('\n').filter((line) => line.includes('muster'))
  expect(ours).toEqual([])
  expect(readFileSync(join(units, 'muster-client.timer'), 'utf8')).toMatch(
    /^OnBootSec=90s\nOnUnitActiveSec=90s\n(#.*\n)?RandomizedDelaySec=10s$/m,
  )
  expect(readlinkSync(join(units, 'timers.target.wants/muster-client.timer'))).toBe('../muster-client.timer')
  expect(readlinkSync(join(units, 'multi-user.target.wants/muster-client.service'))).toBe('../muster-client.service')
  node.remove()
  await cluster.close()
})
