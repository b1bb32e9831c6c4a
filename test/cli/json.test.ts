import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createProgram } from '../../src/cli/program.ts'
import type { TestApp } from '../harness.ts'
import { basics, tarOf } from '../images/small-image.ts'
import { cluster } from './cast.ts'
import { emptyDirectory, muster } from './muster.ts'

let app: TestApp
let cwd: string
beforeAll(async () => {
  app = await cluster()
  cwd = await emptyDirectory()
  await writeFile(join(cwd, 'root.tar'), tarOf(basics))
  await writeFile(join(cwd, 'root.txt'), 'hunter2')
})
afterAll(() => app.close())

/** Verbs that look, and the path whose answer they print as it is. */
const looks: [argv: string, path: string][] = [
  ['node list n*', '/api/nodes?select=n*&effective=true'],
  ['node list gpu1 --all', '/api/nodes?select=gpu1&effective=true'],
  ['node show gpu1', '/api/nodes/gpu1/effective'],
  ['node explain gpu1 kernel', '/api/nodes/gpu1/explain?field=kernel'],
  ['node drift n*', '/api/drift?select=n*'],
  ['node history gpu1 --limit 1', '/api/nodes/gpu1/history?limit=1'],
  ['profile list', '/api/profiles'],
  ['profile show gpu', '/api/profiles/gpu'],
  ['profile users default', '/api/profiles/default/users'],
  ['image list', '/api/images'],
  ['image show rocky9', '/api/images/rocky9'],
  ['image versions rocky9', '/api/images/rocky9/versions'],
  ['image history rocky9', '/api/images/rocky9/history'],
  ['overlay list', '/api/overlays'],
  ['overlay show greeting', '/api/overlays/greeting'],
  ['overlay versions greeting', '/api/overlays/greeting/versions'],
  ['overlay pull greeting', '/api/overlays/greeting/files'],
  ['overlay render --node gpu1 greeting', '/api/overlays/greeting/render?node=gpu1'],
  ['overlay render --node gpu1', '/api/overlays/render?node=gpu1'],
  ['overlay which --node gpu1 /etc/motd', '/api/overlays/which?node=gpu1&path=/etc/motd'],
  ['overlay lint greeting', '/api/overlays/greeting/lint'],
  ['boot show gpu1', '/api/boot/gpu1'],
  ['boot log gpu1', '/api/boot/gpu1/log'],
  ['discovered list', '/api/discovered'],
  ['secret list', '/api/secrets'],
  ['secret list --node gpu1', '/api/secrets?node=gpu1'],
  ['token list', '/api/tokens'],
]

/** Verbs that do something, in an order in which they can; what they print. */
const edits: [argv: string, document: unknown][] = [
  ['node add m[1-2]', { revision: 11, nodes: ['m1', 'm2'] }],
  ['node set m* --init /init', { revision: 12, nodes: ['m1', 'm2'] }],
  ['node set m* --init /init', { revision: 12, nodes: ['m1', 'm2'], changes: [] }],
  ['node unset m1 init', { revision: 13, nodes: ['m1'] }],
  ['node delete m*', { revision: 14, nodes: ['m1', 'm2'] }],
  ['profile set fresh --init /init', { name: 'fresh', revision: 15, settings: { init: '/init' } }],
  ['profile set fresh --init /bin/init', { name: 'fresh', revision: 16, settings: { init: '/bin/init' } }],
  ['profile unset fresh init', { name: 'fresh', revision: 17, settings: {} }],
  ['profile delete fresh', null],
  ['image set-current rocky9 1', { name: 'rocky9', current: 1, newest: 2 }],
  ['image import root.tar small', { event: 'done', number: 1, created: true }],
  ['image kernels small', [{ version: '6.1.0-18-amd64', path: '/boot/vmlinuz-6.1.0-18-amd64' }]],
  ['image files small /bin', { items: [{ path: '/bin/sh', mode: '0755' }], next: null }],
  ['image show small --segments', { number: 1, manifest: { segments: expect.any(Array) } }],
  ['image export small small-again.tar', { file: 'small-again.tar', size: expect.any(Number) }],
  ['image prepare small', { size: expect.any(Number), warnings: [] }],
  ['image diff small@1 1', { packages: [], files: { items: [], next: null } }],
  ['image verify small', { bad: [] }],
  ['image tag small@1 tested', { name: 'small', tags: { tested: 1 } }],
  ['image untag small tested', { name: 'small', tags: {} }],
  ['image copy small tiny', { name: 'tiny', current: 1 }],
  ['image rename tiny wee', { name: 'wee', nodes: 0, profiles: 0 }],
  ['rollout start rocky9@2 --nodes n[001-002] --wave 1,2', { id: 1, state: 'running', begun: 1 }],
  ['rollout pause 1', { id: 1, state: 'paused' }],
  ['rollout resume 1', { id: 1, state: 'running' }],
  ['rollout skip 1 n001', { id: 1 }],
  ['rollout status 1', { id: 1, image: 'rocky9' }],
  ['rollout list', { items: [{ id: 1 }] }],
  ['rollout revert 1', { id: 1, state: 'reverted' }],
  ['image rollback rocky9', { name: 'rocky9', current: 2 }],
  ['image prune rocky9 --keep 1', { deleted: [1], kept: [] }],
  ['image prune rocky9 --keep 1', { deleted: [], kept: [], changes: [] }],
  ['image delete wee@1', null],
  ['image delete small', null],
  ['overlay push greeting', { name: 'greeting', version: 1, created: false }],
  ['overlay diff greeting', { from: 'nothing', to: 'greeting@1', files: [{ change: 'added' }, { change: 'added' }] }],
  ['overlay revert greeting 1', { name: 'greeting', version: 1, created: false }],
  ['overlay render --node gpu1 --diff', { node: 'gpu1', reported: [], unknown: [], files: [{ state: 'new' }] }],
  ['discovered approve 52:54:00:00:00:99 n099', { name: 'n099' }],
  ['secret set password --node gpu1 --file root.txt', { owner: 'node:gpu1', name: 'password', public: null }],
  ['secret generate munge --kind random', { owner: 'cluster', name: 'munge', generated: false }],
  ['secret delete munge', null],
  ['token create ci --scope read', { name: 'ci', scope: 'read', token: expect.any(String) }],
  ['token delete ci', null],
  ['boot script gpu1', expect.stringMatching(/^#!ipxe\n/)],
  ['completion bash', expect.stringContaining('complete ')],
  ['version', { version: expect.any(String) }],
]

/** Verbs that need a cast of their own to succeed: asked below, or where containers, shells and garbage are. */
const others = [
  'overlay delete',
  'discovered forget',
  'image cat',
  'image build',
  'image shell',
  'image exec',
  'image gc',
]

describe('--json', () => {
  it.each(looks)("prints the API's document: %s", async (argv, path) => {
    const { code, out, err } = await muster(app, [...argv.split(' '), '--json'], { cwd })
    expect([code, err]).toEqual([0, ''])
    expect(JSON.parse(out)).toEqual(await app.call('GET', path, { scope: 'admin' }))
  })

  it.each(edits)('prints what was done: %s', async (argv, document) => {
    const { code, out } = await muster(app, ['--json', ...argv.split(' '), '-y'], { cwd })
    expect(code).toBe(0)
    // What takes long tells events, each on a line of its own; the last one is what was done.
    const printed: unknown = JSON.parse(out.includes('{"event":') ? (out.trim().split('\n').at(-1) ?? '') : out)
    if (typeof document === 'object' && document !== null && !('asymmetricMatch' in document))
      expect(printed).toMatchObject(document)
    else expect(printed).toEqual(document)
  })

  it('prints null for what is gone: overlay delete, discovered forget', async () => {
    const own = await cluster()
    await own.call('PATCH', '/api/profiles/default', { body: { settings: { overlays: null } } })
    for (const argv of ['overlay delete greeting', 'discovered forget 52:54:00:00:00:99']) {
      expect(await muster(own, [...argv.split(' '), '-y', '--json'])).toEqual({ code: 0, out: 'null\n', err: '' })
    }
    await own.close()
  })

  it('leaves bytes as they are: image cat', async () => {
    const own = await cluster()
    await muster(own, ['image', 'import', 'root.tar', 'small', '-y'], { cwd })
    const { out } = await muster(own, ['image', 'cat', 'small', '/boot/vmlinuz-6.1.0-18-amd64', '--json'], { cwd })
    expect(out).toHaveLength(20_000)
    await own.close()
  })

  it('keeps the diff and the question on stderr', async () => {
    const { out, err } = await muster(app, ['node', 'set', 'n001', '--init', '/x', '--json'], {
      types: 'y\n',
      env: { NO_COLOR: '1' },
    })
    expect(err).toBe('n001\n  init: (none) → /x\nApply to 1 node? [y/N] ')
    expect(JSON.parse(out)).toMatchObject({ nodes: ['n001'] })
  })

  it('was asked of every verb that there is', () => {
    const asked = new Set([...looks, ...edits].map(([argv]) => argv.split(' ').slice(0, 2).join(' ')))
    const verbs = (command: Command, path: string[]): string[] =>
      command.commands.filter((one) => !one.name().startsWith('_')).length === 0
        ? [path.join(' ')]
        : command.commands.flatMap((one) => (one.name().startsWith('_') ? [] : verbs(one, [...path, one.name()])))
    const program = createProgram({
      stdin: process.stdin,
      stdout: process.stdout,
      stderr: process.stderr,
      env: {},
      cwd,
    })
    const missing = verbs(program, []).filter(
      (verb) => ![...asked].some((one) => one === verb || one.split(' ')[0] === verb) && !others.includes(verb),
    )
    // The service itself answers nothing.
    expect(missing).toEqual(['serve'])
  })
})
