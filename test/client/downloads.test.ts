/** Downloads that are damaged or not believed. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { damaged, flipped } from './damage.ts'
import type { Node } from './scene.ts'
import { useCluster } from './setup.ts'

const { cluster, boot } = useCluster()
const forgetPause = (node: Node) => rmSync(join(node.root, 'run/muster/client/wait'), { force: true })
const motd = (node: Node): string => readFileSync(join(node.root, 'etc/motd'), 'utf8')

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
    await cluster().push({ '/etc/motd': 'one\n', '/etc/other': '1' })
    const node = await boot()
    await node.client('run')
    const before = node.files()
    await cluster().push({ '/etc/motd': 'two\n', '/etc/other': '2' })
    cluster().around = async (request, answer) =>
      new RegExp(path).test(request.url.split('?')[0] ?? '') ? damage(await answer()) : answer()
    const ended = await node.client('run')
    expect(ended.output).toMatch(said)
    expect(node.files()).toEqual(before)
    const refused = !said.source.includes('whole')
    expect(ended.status).toBe(refused ? 1 : 0)
    expect(
      cluster()
        .reports('failed')
        .map(({ message }) => String(message)),
    ).toEqual(refused ? [expect.stringMatching(said)] : [])
    cluster().around = undefined
    forgetPause(node)
    expect((await node.client('run')).output).toContain('all is well again')
    expect(motd(node)).toBe('two\n')
    expect(cluster().reports('applied')).toHaveLength(1)
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
    await cluster().push({ '/etc/motd': 'one\n' })
    const node = await boot()
    await cluster().push({ '/etc/motd': 'two\n' })
    const text = `muster-overlay 1\n${lines.replaceAll('HEX', 'a'.repeat(64))}${lines.endsWith('\nr') ? '' : '\n'}`
    const bytes = new TextEncoder().encode(text)
    const digest = Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex')
    cluster().around = async (request, answer) =>
      request.url.endsWith('/runtime')
        ? new Response(bytes, { headers: { etag: `"${digest}"`, 'content-length': String(bytes.length) } })
        : answer()
    expect(await node.client('run')).toMatchObject({ status: 1, output: expect.stringContaining(fault) })
    expect(motd(node)).toBe('one\n')
    expect(cluster().asksFor('/self/overlays/runtime/archive')).toEqual([])
  })

  it('begins again when the overlay changed in between, but not for ever', async () => {
    await cluster().push({ '/etc/motd': 'one\n' })
    const node = await boot()
    await cluster().push({ '/etc/motd': 'two\n' })
    let changes = 1
    cluster().around = async (request, answer) => {
      if (request.url.includes('/archive') && changes-- > 0) await cluster().push({ '/etc/motd': `three ${changes}\n` })
      return answer()
    }
    expect(await node.client('run')).toMatchObject({ status: 0 })
    expect(motd(node)).toBe('three 0\n')
    expect(
      cluster()
        .asksFor('/self/overlays/runtime/archive')
        .map(({ status }) => status),
    ).toEqual([412, 200])
    changes = 100
    await cluster().push({ '/etc/motd': 'four\n' })
    expect((await node.client('run')).output).toContain('changes faster than it can be fetched')
    expect(motd(node)).toBe('three 0\n')
  })
})
