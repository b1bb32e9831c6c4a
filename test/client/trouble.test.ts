/** What goes wrong on the way: servers that are down, busy or not believed, downloads that are damaged, disks that are full. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { shells } from '../init/shells.ts'
import { bootNode, type Cluster, type Making, type Node, program, startCluster } from './scene.ts'

let cluster: Cluster
const nodes: Node[] = []
beforeAll(async () => {
  cluster = await startCluster()
})
afterAll(() => cluster.close())
afterEach(() => {
  for (const node of nodes.splice(0)) node.remove()
  cluster.asked.length = 0
  cluster.around = undefined
})

const boot = async (making?: Making): Promise<Node> => {
  const node = await bootNode(cluster, making)
  nodes.push(node)
  return node
}

/** The file in which the client keeps something, as a number. */
const kept = (node: Node, key: string): number =>
  Number(readFileSync(join(node.root, 'run/muster/client', key), 'utf8'))
const forgetPause = (node: Node) => rmSync(join(node.root, 'run/muster/client/wait'), { force: true })
const uptime = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
const motd = (node: Node): string => readFileSync(join(node.root, 'etc/motd'), 'utf8')

/** The same answer with other bytes, and with the length of these unless it is said otherwise. */
async function damaged(
  answer: Response,
  change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>,
  length?: number,
) {
  const bytes = change(new Uint8Array(await answer.arrayBuffer()))
  const headers = new Headers(answer.headers)
  headers.set('content-length', String(length ?? bytes.length))
  return new Response(bytes, { status: answer.status, headers })
}

const flipped = (at: (bytes: Uint8Array) => number) => (bytes: Uint8Array) =>
  bytes.map((byte, index) => (index === at(bytes) ? byte ^ 1 : byte))

const damages: [string, string, (answer: Response) => Promise<Response>, RegExp][] = [
  [
    'an altered list',
    'runtime$',
    (answer) =>
      damaged(
        answer,
        flipped((bytes) => bytes.length - 2),
      ),
    /altered on its way and is refused/,
  ],
  [
    'a list that was cut',
    'runtime$',
    (answer) => damaged(answer, (bytes) => bytes.slice(0, -9), 500),
    /no whole answer/,
  ],
  [
    'a shorter list',
    'runtime$',
    (answer) => damaged(answer, (bytes) => bytes.slice(0, -9)),
    /altered on its way and is refused/,
  ],
  [
    'a longer list',
    'runtime$',
    (answer) => damaged(answer, (bytes) => Buffer.concat([bytes, bytes])),
    /altered on its way and is refused/,
  ],
  [
    'an altered content',
    'archive',
    (answer) =>
      damaged(
        answer,
        flipped(() => 513),
      ),
    /\/etc\/motd does not have the digest/,
  ],
  [
    'an altered name',
    'archive',
    (answer) =>
      damaged(
        answer,
        flipped(() => 0),
      ),
    /\/etc\/motd does not have the digest/,
  ],
  [
    'an archive that was cut',
    'archive',
    (answer) => damaged(answer, (bytes) => bytes.slice(0, 600), 2000),
    /no whole answer/,
  ],
  [
    'an empty archive',
    'archive',
    (answer) => damaged(answer, () => new Uint8Array(1024)),
    /\/etc\/motd does not have the digest/,
  ],
]

describe('a download', () => {
  it.each(damages)('is refused when it is %s, and the next one is taken', async (_name, path, damage, said) => {
    await cluster.push({ '/etc/motd': 'one\n', '/etc/other': '1' })
    const node = await boot()
    await node.client('run')
    const before = node.files()
    await cluster.push({ '/etc/motd': 'two\n', '/etc/other': '2' })
    cluster.around = async (request, answer) =>
      new RegExp(path).test(request.url.split('?')[0] ?? '') ? damage(await answer()) : answer()
    const ended = await node.client('run')
    expect(ended.output).toMatch(said)
    expect(node.files()).toEqual(before)
    const refused = !said.source.includes('whole')
    expect(ended.status).toBe(refused ? 1 : 0)
    expect(cluster.reports('failed').map(({ message }) => String(message))).toEqual(
      refused ? [expect.stringMatching(said)] : [],
    )
    cluster.around = undefined
    forgetPause(node)
    expect((await node.client('run')).output).toContain('all is well again')
    expect(motd(node)).toBe('two\n')
    expect(cluster.reports('applied')).toHaveLength(1)
  })

  it.each([
    ['a path with dots', 'f 0644 0 0 HEX - /etc/../etc/motd', 'empty parts, . or ..'],
    ['a relative path', 'f 0644 0 0 HEX - etc/motd', 'line 2 is not understood'],
    ['a type that is not known', 'b 0644 0 0 HEX - /etc/motd', 'line 2 is not understood'],
    ['an action of another kind', 'action 1 shell rm -rf /', 'line 2 is not understood'],
    ['a path twice', 'f 0644 0 0 HEX - /etc/motd\nf 0644 0 0 HEX - /etc/motd', 'a path twice: /etc/motd'],
    ['a control character', 'f 0644 0 0 HEX - /etc/mo\ttd', 'control characters'],
    ['a last line without end', 'f 0644 0 0 HEX - /etc/motd\nr', 'its last line has no end'],
  ])('is refused when its list has %s', async (_name, lines, fault) => {
    await cluster.push({ '/etc/motd': 'one\n' })
    const node = await boot()
    await cluster.push({ '/etc/motd': 'two\n' })
    const text = `muster-overlay 1\n${lines.replaceAll('HEX', 'a'.repeat(64))}${lines.endsWith('\nr') ? '' : '\n'}`
    const bytes = new TextEncoder().encode(text)
    const digest = Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex')
    cluster.around = async (request, answer) =>
      request.url.endsWith('/runtime')
        ? new Response(bytes, { headers: { etag: `"${digest}"`, 'content-length': String(bytes.length) } })
        : answer()
    expect(await node.client('run')).toMatchObject({ status: 1, output: expect.stringContaining(fault) })
    expect(motd(node)).toBe('one\n')
    expect(cluster.asksFor('/self/overlays/runtime/archive')).toEqual([])
  })

  it('begins again when the overlay changed in between, but not for ever', async () => {
    await cluster.push({ '/etc/motd': 'one\n' })
    const node = await boot()
    await cluster.push({ '/etc/motd': 'two\n' })
    let changes = 1
    cluster.around = async (request, answer) => {
      if (request.url.includes('/archive') && changes-- > 0) await cluster.push({ '/etc/motd': `three ${changes}\n` })
      return answer()
    }
    expect(await node.client('run')).toMatchObject({ status: 0 })
    expect(motd(node)).toBe('three 0\n')
    expect(cluster.asksFor('/self/overlays/runtime/archive').map(({ status }) => status)).toEqual([412, 200])
    changes = 100
    await cluster.push({ '/etc/motd': 'four\n' })
    expect((await node.client('run')).output).toContain('changes faster than it can be fetched')
    expect(motd(node)).toBe('three 0\n')
  })
})

describe('a head node', () => {
  it('that is down is waited for, longer each time, and asked again when it is back', async () => {
    await cluster.push({ '/etc/motd': 'one\n' })
    const node = await boot()
    await cluster.push({ '/etc/motd': 'two\n' })
    await cluster.stop()
    const ended = await node.client('run')
    expect(ended).toMatchObject({ status: 0, output: expect.stringContaining(`no whole answer from ${cluster.url}`) })
    expect(kept(node, 'wait')).toBeLessThanOrEqual(uptime() + 121)
    forgetPause(node)
    // The same is not said again.
    expect(await node.client('run')).toEqual({ status: 0, output: '' })
    expect(kept(node, 'failures')).toBe(2)
    expect((await node.client('status')).output).toContain('failure  no whole answer')
    await cluster.start()
    writeFileSync(join(node.root, 'run/muster/client/wait'), String(Math.floor(uptime()) + 1000))
    expect(await node.client('run')).toEqual({ status: 0, output: '' })
    expect(cluster.asksFor('/self/overlays')).toEqual([])
    // A person does not wait.
    expect((await node.client('apply')).output).toContain('all is well again')
    expect(motd(node)).toBe('two\n')
    expect(cluster.reports('ready')).toHaveLength(1)
    expect(existsSync(join(node.root, 'run/muster/client/wait'))).toBe(false)
  })

  it('that is busy is left alone for as long as it says, and somewhat more', async () => {
    const node = await boot()
    cluster.around = async (request, answer) =>
      request.url.includes('/overlays/')
        ? new Response('busy', { status: 503, headers: { 'retry-after': '100' } })
        : answer()
    const before = Math.floor(uptime())
    expect(await node.client('run')).toMatchObject({ status: 0, output: expect.stringContaining('busy') })
    expect(kept(node, 'wait')).toBeGreaterThanOrEqual(before + 100)
    expect(kept(node, 'wait')).toBeLessThanOrEqual(uptime() + 152)
    cluster.asked.length = 0
    await node.client('run')
    expect(cluster.asked).toEqual([])
  })

  it('that answers nonsense changes nothing', async () => {
    await cluster.push({ '/etc/motd': 'one\n' })
    const node = await boot()
    cluster.around = async () => new Response('<html>a portal</html>', { headers: { 'content-length': '21' } })
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
    cluster.around = async (request, answer) =>
      request.url.endsWith('/events') ? new Response('no', { status: 500 }) : answer()
    await node.client('run')
    cluster.around = undefined
    await node.client('run')
    await node.client('run')
    const told = cluster.asked.filter(({ path }) => path === '/self/events').map(({ status }) => status)
    expect(told).toEqual([500, 204])
    await cluster.push({ '/etc/motd': `${Math.random()}` })
    cluster.around = async (request, answer) =>
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
    expect(cluster.reports('failed')).toHaveLength(1)
  })

  it('hears now and then that the node is alive, and what it runs', async () => {
    await cluster.push({ '/etc/motd': 'one\n' })
    const node = await boot({ settings: { kernel: { args: ['quiet', 'a="b c"'] } } })
    await node.client('run')
    expect(kept(node, 'alive')).toBeGreaterThanOrEqual(uptime() + 449)
    expect(kept(node, 'alive')).toBeLessThanOrEqual(uptime() + 751)
    writeFileSync(join(node.root, 'run/muster/client/alive'), '1')
    await node.client('run')
    const digest = execFileSync('sha256sum', [join(node.root, 'muster/overlays/runtime')], { encoding: 'utf8' })
    for (const kind of ['ready', 'alive'])
      expect(cluster.reports(kind)).toEqual([
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
    expect(cluster.asked.filter(({ path }) => path === '/self/events').map(({ status }) => status)).toEqual([204, 204])
  })
})

describe('private files', () => {
  const yaml = '/etc/key: { private: true }'
  beforeEach(async () => {
    await cluster.push({}, undefined, 'extra')
    await cluster.push({ '/etc/key': 'of the system\n' }, yaml, 'extra')
    await cluster.push({ '/etc/motd': 'public\n', '/etc/key2': 'of the runtime\n' }, '/etc/key2: { private: true }')
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
    expect(cluster.reports('ready')).toEqual([])
    await node.client('run')
    expect(cluster.reports('ready')).toHaveLength(1)
    await cluster.test.services.journal.flush()
    const { items: drifts } = await cluster.test.call('GET', `/api/drift?select=${node.name}`)
    // The kernel is this machine's.
    expect(drifts[0].reasons.map(({ what }: { what: string }) => what)).toEqual(['kernel'])
  })

  it('are left out with a word and a report when they are refused, and the rest of the boot goes on', async () => {
    const node = await boot({ settings, address: '10.9.9.9/24' })
    const ended = await node.client('boot')
    expect(ended).toMatchObject({ status: 1, output: expect.stringContaining("correct the node's netdevs") })
    expect(cluster.reports('failed')).toEqual([
      expect.objectContaining({ message: expect.stringContaining('private files were refused') }),
    ])
    expect(motd(node)).toBe('public\n')
  })

  it('come later when the head node was down at boot, also those of the system overlays', async () => {
    const node = await boot({ settings })
    await cluster.stop()
    expect(await node.client('boot')).toMatchObject({ status: 1 })
    await cluster.start()
    forgetPause(node)
    await node.client('run')
    expect(existsSync(join(node.root, 'etc/key'))).toBe(true)
    expect(existsSync(join(node.root, 'etc/key2'))).toBe(true)
    cluster.asked.length = 0
    await node.client('run')
    expect(cluster.asksFor('/self/overlays').map(({ path, status }) => [path, status])).toEqual([
      ['/self/overlays/runtime', 304],
    ])
  })
})

it('gives a file back that leaves the runtime overlays and is also of the system’s', async () => {
  await cluster.push({ '/etc/motd': 'of the system\n', '/etc/both': 'of the system\n' }, undefined, 'below')
  await cluster.push({ '/etc/motd': 'of the runtime\n', '/etc/both': 'of the runtime\n' })
  const node = await boot({ settings: { overlays: { system: ['below'] } } })
  expect(motd(node)).toBe('of the runtime\n')
  await cluster.push({ '/etc/both': 'of the runtime\n' })
  expect(await node.client('run')).toMatchObject({ status: 0 })
  expect(motd(node)).toBe('of the system\n')
  // Those of another boot are not mixed with these.
  await cluster.push({ '/etc/motd': 'newer\n', '/etc/both': 'newer\n' }, undefined, 'below')
  await cluster.push({ '/etc/other': '1' })
  expect((await node.client('run')).output).toContain('the system overlays have changed since this boot')
  expect(readFileSync(join(node.root, 'etc/both'), 'utf8')).toBe('of the runtime\n')
  expect(existsSync(join(node.root, 'etc/other'))).toBe(true)
})

it('leaves nothing half on a full disk, says so, and goes on when there is room', async () => {
  const root = mkdtempSync(join(tmpdir(), 'muster-node-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1200k,mode=0755', 'muster-test', root])
  try {
    await cluster.push({ '/etc/a': 'one', '/etc/motd': 'one\n' })
    const node = await bootNode(cluster, { root })
    await node.client('run')
    const before = node.files()
    const random = () => Array.from({ length: 40_000 }, () => Math.random().toString(36).slice(2, 12)).join('')
    await cluster.push({ '/etc/a': 'two', '/etc/big': random(), '/etc/motd': 'two\n', '/etc/new/x': '1' })
    const ended = await node.client('run')
    expect(ended.status).toBe(1)
    expect(ended.output).toMatch(/failed: .*(is it full|disk full|No space left|cannot write)/)
    expect(node.files()).toEqual(before)
    expect(cluster.reports('failed')).toHaveLength(1)
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
  await cluster.push({ '/etc/motd': 'one\n' })
  const node = await boot({
    tools: ['curl', ...['selinuxenabled', 'chcon', 'matchpathcon'].map((name) => join(tools, name))],
  })
  await cluster.push({ '/etc/motd': 'two\n', '/etc/new': '1', '/etc/zlink': { link: 'new' } })
  expect(await node.client('run')).toMatchObject({ status: 0 })
  expect(readFileSync(join(tools, 'log'), 'utf8').trim().split('\n')).toEqual([
    'chcon -h system_u:object_r:_etc_new_t:s0 /etc/.new.muster~',
    'chcon -h system_u:object_r:_etc_zlink_t:s0 /etc/.zlink.muster~',
    'chcon --reference=/etc/motd /etc/.motd.muster~',
  ])
  rmSync(tools, { recursive: true })
})

it('tells systemd of units that changed, then to reload what an overlay names', async () => {
  const tools = mkdtempSync(join(tmpdir(), 'muster-systemd-'))
  program(tools, 'systemctl', `echo "$*" >>${tools}/log`)
  const node = await boot({ tools: ['curl', join(tools, 'systemctl')] })
  const yaml = '/etc/motd: { reload: motd.service }\n/etc/systemd/system/x.service: { reload: x.service }'
  await cluster.push({ '/etc/motd': '1', '/etc/systemd/system/x.service': '[Unit]\n' }, yaml)
  expect((await node.client('run')).output).toContain('motd.service is not reloaded: systemd does not run here')
  execFileSync('mkdir', ['-p', join(node.root, 'run/systemd/system')])
  await cluster.push({ '/etc/motd': '2', '/etc/systemd/system/x.service': '[Unit]\n\n' }, yaml)
  await node.client('run')
  expect(readFileSync(join(tools, 'log'), 'utf8')).toBe(
    'daemon-reload\ntry-reload-or-restart -- motd.service\ntry-reload-or-restart -- x.service\n',
  )
  rmSync(tools, { recursive: true })
})

// busybox takes its own wget and nc whatever PATH says.
const tools = ['curl', 'wget', 'nc', 'nc=nc.openbsd'].flatMap((tool) =>
  shells
    .filter(([name]) => ['curl', 'nc'].includes(tool) || !name.startsWith('busybox'))
    .map(([name, shell]) => [tool, name, shell] as const),
)

it.each(tools)('does all of it with nothing but %s, under %s', async (tool, _name, shell) => {
  await cluster.push({ '/etc/motd': 'one\n' })
  const node = await boot({ shell, tools: [tool] })
  const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, at) => (at * 31 + (at >> 8)) % 251)).toString('latin1')
  await cluster.push({ '/etc/motd': 'two\n', '/etc/bytes': bytes, '/etc/many/lines': '\r\n\r\n\n' })
  expect(await node.client('run')).toMatchObject({ status: 0 })
  expect(motd(node)).toBe('two\n')
  expect(await node.client('apply')).toEqual({ status: 0, output: 'muster: nothing to change\n' })
  const ports = cluster.asksFor('/self/overlays').map(({ port }) => port < 1024)
  expect(ports.length).toBe(3)
  // wget and busybox's nc cannot choose their port.
  expect(new Set(ports)).toEqual(new Set([tool !== 'wget' && tool !== 'nc']))
})

it('says what is missing where there is nothing to ask with', async () => {
  const node = await boot({ tools: [] })
  expect(await node.client('run')).toMatchObject({ status: 1, output: expect.stringContaining('(package curl)') })
})
