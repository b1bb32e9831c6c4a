import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestApp } from '../harness.ts'
import { cluster } from './cast.ts'
import { muster } from './muster.ts'

let app: TestApp
beforeAll(async () => {
  app = await cluster()
})
afterAll(() => app.close())

/** What an admin sees, whole: the command line, then its output. Every verb that only looks is here. */
const looks: [file: string, ...argv: string[]][] = [
  ['node-list', 'node', 'list'],
  ['node-list-selected', 'node', 'list', 'n[001-002],profile:gpu'],
  ['node-list-all', 'node', 'list', 'gpu1', '--all'],
  ['node-show', 'node', 'show', 'gpu1'],
  ['node-explain', 'node', 'explain', 'gpu1'],
  ['node-explain-field', 'node', 'explain', 'gpu1', 'kernel'],
  ['node-history', 'node', 'history', 'gpu1'],
  ['profile-list', 'profile', 'list'],
  ['profile-show', 'profile', 'show', 'gpu'],
  ['profile-users', 'profile', 'users', 'default'],
  ['image-list', 'image', 'list'],
  ['image-show', 'image', 'show', 'rocky9'],
  ['image-show-version', 'image', 'show', 'rocky9@1'],
  ['image-versions', 'image', 'versions', 'rocky9'],
  ['image-history', 'image', 'history', 'rocky9'],
  ['image-kernels', 'image', 'kernels', 'rocky9'],
  ['overlay-show', 'overlay', 'show', 'greeting'],
  ['overlay-versions', 'overlay', 'versions', 'greeting'],
  ['overlay-render', 'overlay', 'render', '--node', 'gpu1'],
  ['overlay-render-file', 'overlay', 'render', '--node', 'gpu1', 'greeting', '/etc/motd'],
  ['overlay-which', 'overlay', 'which', '--node', 'gpu1', '/etc/motd'],
  ['overlay-diff', 'overlay', 'diff', 'greeting'],
  ['overlay-lint', 'overlay', 'lint', 'greeting'],
  ['boot-show', 'boot', 'show', 'gpu1'],
  ['boot-log', 'boot', 'log', 'gpu1'],
  ['discovered-list', 'discovered', 'list'],
  ['token-list', 'token', 'list'],
]

describe('looking', () => {
  it.each(looks)('%s', async (file, ...argv) => {
    const { code, out, err } = await muster(app, argv)
    expect([code, err]).toEqual([0, ''])
    await expect(`$ muster ${argv.join(' ')}\n${out}`).toMatchFileSnapshot(`../golden/cli/${file}.txt`)
  })

  it('is the same on a terminal but for the colours', async () => {
    const argv = ['boot', 'log', 'gpu1']
    const { out } = await muster(app, argv, { terminal: true })
    expect(out).toContain('\u001b[32mready\u001b[0m')
    expect(out.replace(/\u001b\[[0-9]+m/g, '')).toBe((await muster(app, argv)).out)
  })

  it('lists the overlays that are shipped and those of the site', async () => {
    const { out } = await muster(app, ['overlay', 'list'])
    expect(out).toMatch(/^NAME +ORIGIN +VERSION +FILES +USED BY +DESCRIPTION\n/)
    expect(out).toMatch(/^greeting +site +1 +1 +1 profile +greets whoever logs in$/m)
    expect(out).toMatch(/^hostname +shipped +- +1 /m)
  })

  it('says default of what nobody set', async () => {
    const plain = await cluster()
    await plain.call('PUT', '/api/nodes/plain', { body: { settings: { image: 'rocky9' } } })
    const { code, out } = await muster(plain, ['boot', 'show', 'plain'])
    expect(code).toBe(0)
    expect(out).toMatch(/^system overlay +base +sha256:[0-9a-f]{12} +default$/m)
    expect(out).toMatch(/^image +rocky9@[0-9]+ .* node:plain$/m)
    await plain.close()
  })

  it('prints the scripts exactly as the service makes them', async () => {
    for (const [flags, query] of [
      [[], ''],
      [['--grub'], '?loader=grub'],
    ] as const) {
      const script = await (await app.send('GET', `/api/boot/gpu1/script${query}`)).text()
      expect((await muster(app, ['boot', 'script', 'gpu1', ...flags])).out).toBe(script)
    }
  })

  it('reads every page of a long list', async () => {
    const many = await cluster()
    await many.call('POST', '/api/nodes', { body: { names: 'm[0001-2500]', profiles: [], settings: {} } })
    const { out } = await muster(many, ['node', 'list', 'm*'])
    expect(out.trimEnd().split('\n')).toHaveLength(2501)
    await many.close()
  })
})
