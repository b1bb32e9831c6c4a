/** The programs of the image: systemd, and what the client asks the head node with. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { shells } from '../init/shells.ts'
import { type Node, program } from './scene.ts'
import { useCluster } from './setup.ts'

const { cluster, boot } = useCluster()
const motd = (node: Node): string => readFileSync(join(node.root, 'etc/motd'), 'utf8')

it('tells systemd of units that changed, then to reload what an overlay names', async () => {
  const tools = mkdtempSync(join(tmpdir(), 'muster-systemd-'))
  program(tools, 'systemctl', `echo "$*" >>${tools}/log`)
  const node = await boot({ tools: ['curl', join(tools, 'systemctl')] })
  const yaml = '/etc/motd: { reload: motd.service }\n/etc/systemd/system/x.service: { reload: x.service }'
  await cluster().push({ '/etc/motd': '1', '/etc/systemd/system/x.service': '[Unit]\n' }, yaml)
  expect((await node.client('run')).output).toContain('motd.service is not reloaded: systemd does not run here')
  execFileSync('mkdir', ['-p', join(node.root, 'run/systemd/system')])
  await cluster().push({ '/etc/motd': '2', '/etc/systemd/system/x.service': '[Unit]\n\n' }, yaml)
  await node.client('run')
  expect(readFileSync(join(tools, 'log'), 'utf8')).toBe(
    'daemon-reload\ntry-reload-or-restart -- motd.service\ntry-reload-or-restart -- x.service\n',
  )
  rmSync(tools, { recursive: true })
})

// busybox takes its own wget and nc whatever PATH says.
const tools = ['curl', 'wget', 'nc', 'nc=nc.openbsd'].flatMap((tool) =>
  shells
    .filter(([name]) => ['curl', 'nc'].includes(tool) || name === 'dash')
    .map(([name, shell]) => [tool, name, shell] as const),
)

it.each(tools)('does all of it with nothing but %s, under %s', async (tool, _name, shell) => {
  await cluster().push({ '/etc/motd': 'one\n' })
  const node = await boot({ shell, tools: [tool] })
  const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, at) => (at * 31 + (at >> 8)) % 251)).toString('latin1')
  await cluster().push({ '/etc/motd': 'two\n', '/etc/bytes': bytes, '/etc/many/lines': '\r\n\r\n\n' })
  expect(await node.client('run')).toMatchObject({ status: 0 })
  expect(motd(node)).toBe('two\n')
  expect(await node.client('apply')).toEqual({ status: 0, output: 'muster: nothing to change\n' })
  const ports = cluster()
    .asksFor('/self/overlays')
    .map(({ port }) => port < 1024)
  expect(ports.length).toBe(3)
  // wget and busybox's nc cannot choose their port.
  expect(new Set(ports)).toEqual(new Set([tool !== 'wget' && tool !== 'nc']))
})

it('says what is missing where there is nothing to ask with', async () => {
  const node = await boot({ tools: [] })
  expect(await node.client('run')).toMatchObject({ status: 1, output: expect.stringContaining('(package curl)') })
})
