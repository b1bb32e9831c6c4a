import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { secretsOf } from '../../src/registry/node-secrets.ts'
import { getNode } from '../../src/registry/nodes.ts'
import { createSnapshots } from '../../src/registry/snapshot.ts'
import { freePort, startHeadProcess } from '../crash/head-process.ts'
import { type TestApp, testApp } from '../harness.ts'
import { openssh } from '../secrets/openssh-tools.ts'
import { emptyDirectory, muster, type Setting } from './muster.ts'

let app: TestApp
let cwd: string
beforeEach(async () => {
  app = await testApp()
  cwd = await emptyDirectory()
  await app.call('PUT', '/api/profiles/gpu', { body: {} })
  await app.call('PUT', '/api/nodes/n001', { body: { profiles: ['gpu'] } })
})
afterEach(() => app.close())

const run = (line: string, setting: Setting = {}) => muster(app, line.split(' '), { cwd, ...setting })
const piped = (text: string | Uint8Array): Setting => ({
  stdin: Object.assign(Readable.from([Buffer.from(text)]), { isTTY: false }),
})
const texts = async (declared = {}) =>
  secretsOf(app.services)(
    await getNode(app.services.registry, 'n001'),
    await createSnapshots(app.services.registry)(),
    declared,
  )
const text = async (name = 'key') => (await texts()).get(name)

describe('muster secret set', () => {
  it('takes a file, for the cluster, a profile or a node', async () => {
    await writeFile(join(cwd, 'key'), 'one\ntwo\n')
    for (const [flags, owner] of [
      ['', 'cluster'],
      [' --profile gpu', 'profile:gpu'],
      [' --node n001', 'node:n001'],
    ]) {
      const { code, out, err } = await run(`secret set key --file key${flags}`)
      expect([code, err]).toEqual([0, ''])
      expect(out).toMatch(new RegExp(`^set key of ${owner}, revision [0-9]+\n$`))
    }
    expect(await text()).toBe('one\ntwo\n')
    const owners = (await app.call('GET', '/api/secrets')).items.map(({ owner }: { owner: string }) => owner)
    expect(owners).toEqual(['cluster', 'node:n001', 'profile:gpu'])
  })

  it.each([
    ['a line as echo ends it, without the end', 'hunter2\n', 'hunter2'],
    ['a line as Windows ends it, without the end', 'hunter2\r\n', 'hunter2'],
    ['a line without an end', ' hunter2 ', ' hunter2 '],
    ['several lines as they are', 'a\n\nb\n', 'a\n\nb\n'],
    ['a line and an empty one as they are', 'a\n\n', 'a\n\n'],
  ])('takes standard input: %s', async (_label, given, kept) => {
    expect(await run('secret set key', piped(given))).toMatchObject({ code: 0, err: '' })
    expect(await text()).toBe(kept)
  })

  it.each([
    ['bytes that are no text', Uint8Array.of(0xff, 0xfe), /^muster: standard input is no text: give it as base64\n$/],
    ['nothing', '', /^muster: secret cluster\/key is empty \(value\)\n$/],
    ['too much', 'x'.repeat(70_000), /^muster: secret cluster\/key is longer than 65536 bytes \(value\)\n$/],
    ['far too much', 'x'.repeat(2_000_000), /^muster: standard input is too long for a secret\n$/],
  ])('refuses %s', async (_label, given, told) => {
    const { code, out, err } = await run('secret set key', piped(given))
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(told)
    expect(await text()).toBeUndefined()
  })

  it('asks a terminal twice', async () => {
    const { code, out, err } = await run('secret set key --node n001', { types: 'hunter2\nhunter2\n' })
    expect([code, out]).toEqual([0, 'set key of node:n001, revision 6\n'])
    expect(err).toBe('Secret key of node:n001: \nThe same once more: \n')
    expect(await text()).toBe('hunter2')
  })

  it.each([
    ['differ', 'hunter2\nhunter3\n', 'muster: the two texts differ: nothing was changed'],
    ['end', 'hunter2\n', 'muster: nothing was typed: nothing was changed'],
  ])('changes nothing when the two %s', async (_label, types, told) => {
    const { code, out, err } = await run('secret set key', { types })
    expect([code, out]).toEqual([1, ''])
    expect(err).toContain(told)
    expect(err).not.toContain('hunter')
    expect(await text()).toBeUndefined()
  })

  it.each([
    ['a backspace', 'hunterr\u007f2'],
    ['Ctrl-U', 'wrong\u0015hunter2'],
    ['an arrow key and a key that means nothing', 'hun\u001b[Dter\u00022'],
    ['a backspace where there is nothing', '\u007f\bhunter2'],
    ['the marks around what is pasted', '\u001b[200~hunter2\u001b[201~'],
  ])('understands %s at a terminal', async (_label, keys) => {
    expect((await run('secret set key', { types: `${keys}\rhunter2\r` })).code).toBe(0)
    expect(await text()).toBe('hunter2')
  })

  it('takes letters of any script, also when they arrive in pieces', async () => {
    const bytes = Buffer.from('pässwörd🔑x\u007f\rpässwörd🔑\r')
    const pieces = Array.from(bytes, (byte) => Buffer.of(byte))
    const stdin = Object.assign(Readable.from(pieces), { isTTY: true })
    expect((await run('secret set key', { stdin })).code).toBe(0)
    expect(await text()).toBe('pässwörd🔑')
  })

  it('asks before it replaces, and needs -y where there is nobody to ask', async () => {
    await run('secret set key', piped('old'))
    const refused = await run('secret set key', piped('new'))
    expect([refused.code, refused.err]).toEqual([
      2,
      'muster: there is no terminal to ask on: use -y to apply this without a question\n',
    ])
    await writeFile(join(cwd, 'key'), 'new')
    const declined = await run('secret set key --file key', { types: 'n\n' })
    expect([declined.code, declined.err]).toEqual([
      1,
      'Replace key of cluster, set at 2026-01-31 12:00:00Z? [y/N] muster: nothing was changed\n',
    ])
    expect(await text()).toBe('old')
    expect((await run('secret set key -y', piped('new'))).code).toBe(0)
    expect(await text()).toBe('new')
    // Somebody else's secret of the same name is nobody's business.
    expect((await run('secret set key --node n001', piped('mine'))).code).toBe(0)
  })

  it.each([
    ['a text as an argument', 'secret set key hunter2', 2, /too many arguments/],
    ['two owners', 'secret set key --node n001 --profile gpu', 2, /name a node or a profile, not both/],
    ['a node that is not there', 'secret set key --node n999', 1, /no node n999/],
    [
      'a name that templates could not say',
      'secret set a.b',
      2,
      /must begin with a letter, then letters, digits, _ or -/,
    ],
    ['a file that is not there', 'secret set key --file none', 1, /ENOENT/],
  ])('refuses %s', async (_label, line, code, told) => {
    const ran = await run(line, piped('x'))
    expect([ran.code, ran.out]).toEqual([code, ''])
    expect(ran.err).toMatch(told)
  })
})

describe('muster secret', () => {
  it('lists what a node gets and from where, with fingerprints as ssh-keygen tells them', async () => {
    await run('secret set munge', piped('x'))
    await run('secret set munge --profile gpu', piped('y'))
    const made = await run('secret generate host --kind ssh-ecdsa --node n001')
    const line = made.out.split('\n')[1] ?? ''
    await writeFile(join(cwd, 'host.pub'), `${line}\n`)
    const [, print] = openssh('ssh-keygen', ['-l', '-f', join(cwd, 'host.pub')]).split(' ')
    const generated = await texts({ other: 'random' })
    expect(generated.get('host_pub')).toBe(line)
    const { out } = await run('secret list --node n001')
    const rows = out.split('\n').map((row) => row.split(/ {2,}/))
    expect(rows).toEqual([
      ['OWNER', 'NAME', 'CHANGED', 'REVISION', 'KEY'],
      ['node:n001', 'host', '2026-01-31 12:00:00Z', '8', `ecdsa-sha2-nistp256 ${print}`],
      ['profile:gpu', 'munge', '2026-01-31 12:00:00Z', '7', '-'],
      ['node:n001', 'other', '2026-01-31 12:00:00Z', 'generated', '-'],
      [''],
    ])
    expect((await run('secret ls')).out.trim().split('\n')).toHaveLength(5)
    expect((await run('secret list --node n999')).err).toBe('muster: no node n999\n')
  })

  it('makes secrets, and says what may be known of them', async () => {
    const { code, out } = await run('secret generate host --kind ssh-ed25519 --profile gpu -m new')
    expect(code).toBe(0)
    expect(out).toMatch(/^made host of profile:gpu, revision 6\nssh-ed25519 \S+ profile:gpu\n$/)
    expect((await run('secret generate munge --kind random')).out).toBe('made munge of cluster, revision 7\n')
    const kind = await run('secret generate munge --kind rsa')
    expect([kind.code, kind.err]).toEqual([2, expect.stringContaining('Allowed choices are')])
    expect((await run('secret generate munge --kind random')).code).toBe(2)
  })

  it('deletes when it is told so', async () => {
    await run('secret set key --profile gpu', piped('x'))
    const declined = await run('secret delete key --profile gpu', { types: 'n\n' })
    expect([declined.code, declined.err]).toEqual([1, 'Delete key of profile:gpu? [y/N] muster: nothing was changed\n'])
    expect((await run('secret rm key --profile gpu -y')).out).toBe('deleted key of profile:gpu\n')
    expect(await run('secret rm key --profile gpu -y')).toMatchObject({
      code: 1,
      err: 'muster: profile:gpu has no secret key\n',
    })
  })

  it('goes with its node, and the question counts nodes', async () => {
    await run('secret set key --node n001', piped('x'))
    const { out, err } = await run('node delete n001', { types: 'y\n' })
    expect(err).toBe('Delete 1 node? [y/N] ')
    expect(out).toContain('deleted 1 node')
    expect((await run('secret list')).out.trim().split('\n')).toHaveLength(1)
  })
})

describe('at a real terminal', () => {
  it('shows nothing of what is typed, and Ctrl-C leaves the terminal as it was', async () => {
    const folder = await emptyDirectory()
    const port = await freePort()
    const head = await startHeadProcess(join(folder, 'data'), port)
    const env = { ...process.env, MUSTER_SERVER: head.url, MUSTER_TOKEN: head.token, TERM: 'dumb', NO_COLOR: '1' }
    const bin = new URL('../../bin/muster', import.meta.url).pathname
    /** Types each text when the one before was answered by what is waited for. */
    const session = async (...steps: [sees: RegExp, types: string][]) => {
      const command = `${bin} secret set key; echo "code $?"; stty -a`
      const child = spawn('script', ['--quiet', '--return', '--flush', '--command', command, '/dev/null'], {
        env,
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      let seen = ''
      let from = 0
      child.stdout.on('data', (chunk) => (seen += String(chunk)))
      for (const [sees, types] of steps) {
        for (let tries = 0; !sees.test(seen.slice(from)); tries++) {
          if (tries === 400) throw new Error(`no ${sees} in ${JSON.stringify(seen)}`)
          await new Promise((resolve) => setTimeout(resolve, 25))
        }
        from = seen.length
        child.stdin.write(types)
      }
      if (child.exitCode === null) await once(child, 'exit')
      child.stdin.end()
      return seen
    }
    try {
      const interrupted = await session([/Secret key of cluster: $/, 'hunter\u0003'])
      expect(interrupted).toMatch(/Secret key of cluster: \r\ncode 130\r\n/)
      expect(interrupted).toMatch(/ echo .* icanon|icanon .* echo /s)
      expect(interrupted).not.toContain('hunter')
      const done = await session(
        // A letter too many is taken back, as at any prompt.
        [/Secret key of cluster: $/, 'hunter22\u007f\r'],
        [/The same once more: $/, 'hunter2\r'],
      )
      expect(done).toMatch(
        /Secret key of cluster: \r\nThe same once more: \r\nset key of cluster, revision 2\r\ncode 0\r\n/,
      )
      expect(done).not.toContain('hunter')
      const replaced = await session(
        [/Replace key of cluster, set at [^?]*\? \[y\/N\] $/, 'y\r'],
        [/Secret key of cluster: $/, 'hunter3\r'],
        [/The same once more: $/, 'hunter3\r'],
      )
      expect(replaced).toMatch(/set key of cluster, revision 3\r\ncode 0\r\n/)
      expect(replaced).not.toContain('hunter')
    } finally {
      await head.kill()
    }
  }, 60_000)
})
