/** Where files go: what lies below others, disks that are full, contexts of SELinux. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { bootNode, type Node, program } from './scene.ts'
import { useCluster } from './setup.ts'

const { cluster, boot } = useCluster()
const forgetPause = (node: Node) => rmSync(join(node.root, 'run/muster/client/wait'), { force: true })
const motd = (node: Node): string => readFileSync(join(node.root, 'etc/motd'), 'utf8')

it('gives a file back that leaves the runtime overlays and is also of the system’s', async () => {
  await cluster().push({ '/etc/motd': 'of the system\n', '/etc/both': 'of the system\n' }, undefined, 'below')
  await cluster().push({ '/etc/motd': 'of the runtime\n', '/etc/both': 'of the runtime\n' })
  const node = await boot({ settings: { overlays: { system: ['below'] } } })
  expect(motd(node)).toBe('of the runtime\n')
  await cluster().push({ '/etc/both': 'of the runtime\n' })
  expect(await node.client('run')).toMatchObject({ status: 0 })
  expect(motd(node)).toBe('of the system\n')
  // Those of another boot are not mixed with these.
  await cluster().push({ '/etc/motd': 'newer\n', '/etc/both': 'newer\n' }, undefined, 'below')
  await cluster().push({ '/etc/other': '1' })
  expect((await node.client('run')).output).toContain('the system overlays have changed since this boot')
  expect(readFileSync(join(node.root, 'etc/both'), 'utf8')).toBe('of the runtime\n')
  expect(existsSync(join(node.root, 'etc/other'))).toBe(true)
})

it('leaves nothing half on a full disk, says so, and goes on when there is room', async () => {
  const root = mkdtempSync(join(tmpdir(), 'muster-node-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1200k,mode=0755', 'muster-test', root])
  try {
    await cluster().push({ '/etc/a': 'one', '/etc/motd': 'one\n' })
    const node = await bootNode(cluster(), { root })
    await node.client('run')
    const before = node.files()
    const random = () => Array.from({ length: 40_000 }, () => Math.random().toString(36).slice(2, 12)).join('')
    await cluster().push({ '/etc/a': 'two', '/etc/big': random(), '/etc/motd': 'two\n', '/etc/new/x': '1' })
    const ended = await node.client('run')
    expect(ended.status).toBe(1)
    expect(ended.output).toMatch(/failed: .*(is it full|disk full|No space left|cannot write)/)
    expect(node.files()).toEqual(before)
    expect(cluster().reports('failed')).toHaveLength(1)
    execFileSync('mount', ['-o', 'remount,size=8m', root])
    forgetPause(node)
    expect(await node.client('run')).toMatchObject({ status: 0 })
    expect(motd(node)).toBe('two\n')
  } finally {
    execFileSync('umount', ['-l', root])
    rmSync(root, { recursive: true })
  }
})

it('keeps the SELinux context of what it replaces, and gives new files that of their path', async () => {
  const tools = mkdtempSync(join(tmpdir(), 'muster-selinux-'))
  const note = `echo "\${0##*/} $*" | sed "s#$MUSTER_ROOT##g" >>${tools}/log`
  program(tools, 'selinuxenabled')
  program(tools, 'chcon', note)
  program(tools, 'matchpathcon', 'echo "system_u:object_r:$(echo "$2" | tr / _)_t:s0"')
  await cluster().push({ '/etc/motd': 'one\n' })
  const node = await boot({
    tools: ['curl', ...['selinuxenabled', 'chcon', 'matchpathcon'].map((name) => join(tools, name))],
  })
  await cluster().push({ '/etc/motd': 'two\n', '/etc/new': '1', '/etc/zlink': { link: 'new' } })
  expect(await node.client('run')).toMatchObject({ status: 0 })
  expect(readFileSync(join(tools, 'log'), 'utf8').trim().split('\n')).toEqual([
    'chcon -h system_u:object_r:_etc_new_t:s0 /etc/.new.muster~',
    'chcon -h system_u:object_r:_etc_zlink_t:s0 /etc/.zlink.muster~',
    'chcon --reference=/etc/motd /etc/.motd.muster~',
  ])
  rmSync(tools, { recursive: true })
})

it('gives new folders the SELinux context of their path, and asks restorecon where nothing else can say it', async () => {
  const tools = mkdtempSync(join(tmpdir(), 'muster-selinux-'))
  const note = `echo "\${0##*/} $*" | sed "s#$MUSTER_ROOT##g" >>${tools}/log`
  program(tools, 'selinuxenabled')
  program(tools, 'chcon', note)
  program(tools, 'restorecon', note)
  program(tools, 'matchpathcon', 'echo "of:$2"')
  const log = () => readFileSync(join(tools, 'log'), 'utf8').trim().split('\n')
  const every = ['selinuxenabled', 'chcon', 'matchpathcon', 'restorecon'].map((name) => join(tools, name))
  for (const [has, wants] of [
    [every, ['chcon -h of:/srv/new /srv/new', 'chcon -h of:/srv/new/file /srv/new/.file.muster~']],
    [every.filter((path) => !path.endsWith('matchpathcon')), ['restorecon /srv/new', 'restorecon /srv/new/file']],
  ] as const) {
    await cluster().push({ '/etc/motd': 'one\n' })
    const node = await boot({ tools: ['curl', ...has] })
    mkdirSync(join(node.root, 'srv'))
    await cluster().push({ '/srv/new/file': '1' })
    expect(await node.client('run')).toMatchObject({ status: 0 })
    expect(log()).toEqual(wants)
    rmSync(join(tools, 'log'))
  }
  rmSync(tools, { recursive: true })
})

it('says why a file could not be changed, changes the others, and says no more of what it did before', async () => {
  await cluster().push({ '/etc/held': 'one\n', '/etc/motd': 'one\n' })
  const node = await boot()
  const held = join(node.root, 'etc/held')
  execFileSync('mount', ['--bind', held, held])
  try {
    await cluster().push({ '/etc/held': 'two\n', '/etc/motd': 'two\n' })
    const ended = await node.client('run')
    expect(ended.status).toBe(1)
    expect(ended.output).toMatch(/failed: \/etc\/held could not be changed: .*busy/i)
    expect(motd(node)).toBe('two\n')
    expect(cluster().reports('failed')).toEqual([
      expect.objectContaining({ message: expect.stringMatching(/held could not be changed: .*busy/i) }),
    ])
    forgetPause(node)
    expect((await node.client('run')).output).not.toContain('motd')
  } finally {
    execFileSync('umount', [held])
  }
  forgetPause(node)
  expect((await node.client('run')).output).toContain('all is well again')
  expect(readFileSync(held, 'utf8')).toBe('two\n')
})

it('gives folders all of their mode, also one with a set-group-ID bit that it is not to have', async () => {
  const node = await boot()
  execFileSync('mkdir', ['-p', '-m', '2775', join(node.root, 'srv/a')])
  const yaml = '/srv/a/: { mode: "0750" }\n/srv/a/b/: { mode: "0755" }\n/srv/s/: { mode: "2770", owner: "0:5" }'
  await cluster().push({ '/srv/a/b/file': '1', '/srv/s/file': '2' }, yaml)
  await node.client('run')
  expect(node.files().filter((line) => / directory /.test(line) && line.includes('srv/'))).toEqual([
    './srv/a directory 750 0:0',
    './srv/a/b directory 755 0:0',
    './srv/s directory 2770 0:5',
  ])
  expect((await node.client('apply')).output).toBe('muster: nothing to change\n')
})
