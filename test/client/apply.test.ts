/** What the client does with a change, under each shell that an image may have. The busybox node has busybox's commands too. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { missingShells, shells } from '../init/shells.ts'
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

/** Everything that the client keeps while it runs, so that a test sees what it left lying. */
const leftovers = (node: Node): string[] =>
  execFileSync('find', [node.root, '-name', '*.muster~', '-o', '-path', '*/client/*', '!', '-path', '*/lib/*'], {
    encoding: 'utf8',
  })
    .split('\n')
    .filter((path) => path !== '')
    .map((path) => path.slice(path.lastIndexOf('/') + 1))
    .sort()

/** What changes when a file is replaced, written to or given other attributes. */
const identity = (path: string) => {
  const { ino, mtimeMs, ctimeMs } = statSync(path)
  return { ino, mtimeMs, ctimeMs }
}

const missing = missingShells.length > 0 ? missingShells.join(', ') : undefined
it('has every shell that an image may have', () => expect(missing).toBeUndefined())

describe.each(shells)('the client under %s', (_name, shell) => {
  it('does nothing when nothing changed, for one request', async () => {
    await cluster.push({ '/etc/motd': 'hello\n' })
    const node = await boot({ shell })
    await node.client('run')
    cluster.asked.length = 0
    expect(await node.client('run')).toEqual({ status: 0, output: '' })
    expect(cluster.asked.map(({ method, path, status }) => [method, path, status])).toEqual([
      ['GET', '/self/overlays/runtime', 304],
    ])
  })

  it('brings new contents, modes, owners, links, folders and odd names', async () => {
    await cluster.push({ '/etc/motd': 'hello\n', '/etc/keep': 'same\n' })
    const node = await boot({ shell })
    const kept = identity(join(node.root, 'etc/keep'))
    await cluster.push(
      {
        '/etc/motd': 'good bye\n',
        '/etc/keep': 'same\n',
        '/etc/new/deep/a b  c': 'blanks',
        '/etc/scratch\\x2dlocal.mount': 'an escaped name\n',
        '/etc/*': 'a pattern',
        "/etc/it's": 'a quote',
        '/etc/-f': 'an option',
        '/etc/empty': '',
        '/etc/link': { link: '../no where' },
        '/etc/run': { executable: '#!/bin/sh\n' },
      },
      '/etc/motd: { mode: "0640", owner: "5:6" }\n/srv/data/: { mode: "2750", owner: "7:8" }\n/etc/new/: { mode: "0700" }',
    )
    const ended = await node.client('run')
    expect(ended).toMatchObject({
      status: 0,
      output: expect.stringContaining('muster: changed /etc/scratch\\x2dlocal.mount'),
    })
    const file = (path: string, attributes: string, text: string) =>
      `./etc/${path} file ${attributes} ${createHash('sha256').update(text).digest('hex').slice(0, 12)}`
    expect(node.files().filter((line) => !line.startsWith('./usr'))).toEqual([
      './etc directory 755 0:0',
      file('*', '644 0:0', 'a pattern'),
      file('-f', '644 0:0', 'an option'),
      file('empty', '644 0:0', ''),
      file("it's", '644 0:0', 'a quote'),
      file('keep', '644 0:0', 'same\n'),
      './etc/link link 0:0 ../no where',
      file('motd', '640 5:6', 'good bye\n'),
      './etc/new directory 700 0:0',
      './etc/new/deep directory 755 0:0',
      file('new/deep/a b  c', '644 0:0', 'blanks'),
      file('run', '755 0:0', '#!/bin/sh\n'),
      file('scratch\\x2dlocal.mount', '644 0:0', 'an escaped name\n'),
      './srv directory 755 0:0',
      './srv/data directory 2750 7:8',
    ])
    expect(identity(join(node.root, 'etc/keep'))).toEqual(kept)
    const [archive] = cluster.asksFor('/self/overlays/runtime/archive')
    expect(archive).toMatchObject({ status: 200, port: expect.any(Number) })
    expect(archive?.port).toBeLessThan(1024)
    expect(leftovers(node)).toEqual(['alive', 'changed.runtime', 'checked.runtime', 'log', 'ready'])
  })

  it('keeps tokens and lists to root', async () => {
    await cluster.push({ '/etc/motd': '1\n' })
    const node = await boot({ shell })
    await cluster.push({ '/etc/motd': '2\n' })
    await node.client('run')
    const modes = ['run/muster', 'run/muster/token', 'run/muster/client', 'muster/overlays', 'muster/overlays/runtime']
    expect(modes.map((path) => (statSync(join(node.root, path)).mode & 0o777).toString(8))).toEqual([
      '700',
      '600',
      '700',
      '700',
      '600',
    ])
    expect(existsSync(join(node.root, 'run/muster/ticket'))).toBe(false)
  })

  it('takes back what left the overlay, but nothing that was changed on the node', async () => {
    await cluster.push({ '/etc/a/gone': '1', '/etc/a/mine': '2', '/etc/link': { link: 'a' }, '/etc/stays': '3' })
    const node = await boot({ shell })
    await cluster.push({ '/etc/stays': '3', '/opt/new/file': '4' })
    writeFileSync(join(node.root, 'etc/a/mine'), 'changed here')
    const ended = await node.client('run')
    expect(ended.output).toContain('/etc/a/mine is of no overlay any more, but was changed on this node')
    expect(node.files().filter((line) => / (file|link) /.test(line))).toEqual([
      expect.stringMatching(/^\.\/etc\/a\/mine file /),
      expect.stringMatching(/^\.\/etc\/stays file /),
      expect.stringMatching(/^\.\/opt\/new\/file file /),
    ])
    await cluster.push({ '/etc/stays': '3' })
    await node.client('run')
    // The client made these folders, the image the others.
    expect(existsSync(join(node.root, 'opt'))).toBe(false)
    expect(existsSync(join(node.root, 'etc/a'))).toBe(true)
  })

  it('turns files into folders, folders into links and back', async () => {
    await cluster.push({ '/etc/x': 'file', '/etc/d/one': '1', '/etc/d/two/three': '3' })
    const node = await boot({ shell })
    await cluster.push({ '/etc/x/y/z': 'file', '/etc/d': { link: 'x' } })
    expect(await node.client('run')).toMatchObject({ status: 0 })
    expect(lstatSync(join(node.root, 'etc/d')).isSymbolicLink()).toBe(true)
    expect(readFileSync(join(node.root, 'etc/d/y/z'), 'utf8')).toBe('file')
    await cluster.push({ '/etc/x': 'file', '/etc/d/one': '1', '/etc/d/two/three': '3' })
    expect(await node.client('run')).toMatchObject({ status: 0 })
    expect(readFileSync(join(node.root, 'etc/d/two/three'), 'utf8')).toBe('3')
    expect(readFileSync(join(node.root, 'etc/x'), 'utf8')).toBe('file')
  })

  it('changes nothing when a folder with other things in it is in the way', async () => {
    await cluster.push({ '/etc/d/ours': '1', '/etc/motd': '1\n' })
    const node = await boot({ shell })
    writeFileSync(join(node.root, 'etc/d/theirs'), 'x')
    const before = node.files()
    await cluster.push({ '/etc/d': 'a file', '/etc/motd': '2\n' })
    const ended = await node.client('run')
    expect(ended).toMatchObject({
      status: 1,
      output: expect.stringContaining('/etc/d/theirs in it, which is not of the overlays'),
    })
    expect(node.files()).toEqual(before)
    expect(cluster.reports('failed')).toEqual([
      expect.objectContaining({ message: expect.stringContaining('move that away') }),
    ])
  })

  it('takes away what an overlay removes, by its own name only', async () => {
    const node = await boot({ shell })
    for (const path of ['etc/cron.d/job', 'etc/gone/a/b', 'srv/real/file']) {
      mkdirSync(join(node.root, path, '..'), { recursive: true })
      writeFileSync(join(node.root, path), 'of the image')
    }
    symlinkSync('real', join(node.root, 'srv/linked'))
    await cluster.push(
      {},
      '/etc/cron.d/job: { remove: true }\n/etc/gone: { remove: true }\n/srv/linked/file: { remove: true }',
    )
    const ended = await node.client('run')
    expect(ended.output).toContain('/srv/linked/file is not taken away: /srv/linked is a link')
    expect(existsSync(join(node.root, 'etc/cron.d/job'))).toBe(false)
    expect(existsSync(join(node.root, 'etc/gone'))).toBe(false)
    expect(existsSync(join(node.root, 'srv/real/file'))).toBe(true)
  })

  it('runs each action once, in order, and only when its files changed', async () => {
    const node = await boot({ shell })
    const tool = program(
      join(node.root, '../'),
      `${node.name}-tool`,
      `for word; do printf '[%s]' "$word"; done >>${node.root}.done; echo >>${node.root}.done; cat >>${node.root}.done`,
    )
    const yaml = `/etc/a*: { reload: ["${tool}", "first", "two  words"] }\n/etc/b: { reload: [{ run: ["${tool}", "$(id)"] }, { run: ["${tool}", "first", "two  words"] }] }\n/etc/c: { reload: ["${tool}", "never"] }`
    await cluster.push({ '/etc/a1': '1', '/etc/a2': '1', '/etc/b': '1', '/etc/c': '' }, yaml)
    await node.client('run')
    expect(readFileSync(`${node.root}.done`, 'utf8')).toBe('[first][two  words]\n[$(id)]\n[never]\n')
    await cluster.push({ '/etc/a1': '1', '/etc/a2': '2', '/etc/c': '' }, yaml.replace(/\/etc\/b.*\n/, ''))
    await node.client('run')
    expect(readFileSync(`${node.root}.done`, 'utf8').split('\n').slice(3)).toEqual([
      '[first][two  words]',
      '[$(id)]',
      '',
    ])
    await node.client('run')
    expect(readFileSync(`${node.root}.done`, 'utf8').split('\n')).toHaveLength(6)
  })

  it('says and reports an action that fails, and goes on with the next', async () => {
    const node = await boot({ shell })
    const [bad, good] = ['exit 3', `: >${node.root}.good`].map((line, at) =>
      program(`${node.root}-tools`, `tool${at}`, line),
    )
    await cluster.push({ '/etc/b': '1' }, `/etc/b: { reload: [{ run: ["${bad}"] }, { run: ["${good}"] }] }`)
    const ended = await node.client('run')
    expect(ended).toMatchObject({ status: 1, output: expect.stringContaining(`failed: ${bad} ended with status 3`) })
    expect(existsSync(`${node.root}.good`)).toBe(true)
    expect(cluster.reports('failed').map(({ message }) => message)).toEqual([`${bad} ended with status 3`])
  })

  it('mends with apply what was changed on the node', async () => {
    await cluster.push({ '/etc/motd': 'hello\n', '/etc/b': 'b' }, '/etc/b: { mode: "0600" }')
    const node = await boot({ shell })
    const before = node.files()
    writeFileSync(join(node.root, 'etc/motd'), 'hacked\n')
    execFileSync('chmod', ['0666', join(node.root, 'etc/b')])
    expect(await node.client('run')).toEqual({ status: 0, output: '' })
    const ended = await node.client('apply')
    expect(ended).toMatchObject({ status: 0, output: expect.stringContaining('changed /etc/motd') })
    expect(node.files()).toEqual(before)
    expect(await node.client('apply')).toEqual({ status: 0, output: 'muster: nothing to change\n' })
    expect((await node.client('log')).output).toContain('changed /etc/motd')
    const status = (await node.client('status')).output
    expect(status).toMatch(/runtime +[0-9a-f]{64}\n +2 files and links, checked \d+ s ago, changed \d+ s ago/)
    expect(status).toContain('failure  none')
  })
})
