import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestApp } from '../harness.ts'
import { cluster } from './cast.ts'
import { emptyDirectory, muster, type Setting } from './muster.ts'

let app: TestApp
beforeAll(async () => {
  app = await cluster()
})
afterAll(() => app.close())

const go = (line: string, setting?: Setting) => muster(app, line.split(' '), setting)

describe('exit codes', () => {
  it.each([
    ['an unknown noun', 'nodes', 2, "unknown command 'nodes'"],
    ['an unknown verb', 'node lst', 2, "unknown command 'lst'"],
    ['an unknown option', 'node list --colour', 2, "unknown option '--colour'"],
    ['a token as an option', 'node list --token x', 2, "unknown option '--token'"],
    ['a missing argument', 'node set', 2, "missing required argument 'selector'"],
    ['a missing option', 'token create ci', 2, "required option '--scope <scope>' not specified"],
    ['a choice that is none', 'token create ci --scope root', 2, 'Allowed choices are read, edit, admin'],
    ['a value that is none', 'node set n* --mtu big -y', 2, 'It must be a whole number.'],
    ['a selector that is no selector', 'node list n[5-1]', 2, 'n[5-1] has the range 5-1, which is empty'],
    ['a limit that is no number', 'node history gpu1 --limit x', 2, 'limit'],
    ['a name that a URL would swallow', 'node show ..', 2, '".." is not a name'],
    ['a node that is not there', 'node show n999', 1, 'no node n999'],
    ['a setting that is wrong', 'node set n001 --address here -y', 1, 'settings.netdevs.default.address: must be'],
    ['a node that cannot boot', 'boot show n999', 1, 'no node n999'],
  ])('%s', async (_name, line, expected, message) => {
    const { code, out, err } = await go(line)
    expect(err).toContain('muster: ')
    expect(err).toContain(message)
    expect({ code, out }).toEqual({ code: expected, out: '' })
  })

  it('help that was asked for is no error, and help that was not is', async () => {
    expect(await go('--help')).toMatchObject({ code: 0, err: '' })
    expect(await go('node --help')).toMatchObject({ code: 0, err: '' })
    expect(await muster(app, [])).toMatchObject({ code: 2, out: '' })
    expect(await go('node')).toMatchObject({ code: 2, out: '' })
  })

  it('every fault of the settings is told, each once', async () => {
    const { err } = await muster(app, [
      'node',
      'set',
      'n001',
      '--address',
      'here',
      '--mac',
      'x',
      '--root-size',
      '1',
      '--init',
      'x',
      '-y',
    ])
    expect(err.trimEnd().split('\n')).toHaveLength(3)
    expect(err.match(/must be/g)).toHaveLength(3)
  })
})

describe('the service', () => {
  it('that does not answer is named, with what to do', async () => {
    const refused = () => {
      throw new TypeError('fetch failed', { cause: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }) })
    }
    expect(await go('node list', { fetch: refused })).toEqual({
      code: 1,
      out: '',
      err: 'muster: cannot reach http://127.0.0.1:9080 (connection refused): start the service with `muster serve`, or name another with --server or MUSTER_SERVER\n',
    })
  })

  it('is the one of --server, else of MUSTER_SERVER', async () => {
    const asked: string[] = []
    const fetch: Setting['fetch'] = (input) => {
      asked.push(String(input))
      return Response.json([])
    }
    await go('overlay list', { fetch })
    await go('overlay list', { fetch, env: { MUSTER_SERVER: 'http://head:1234/' } })
    await go('overlay list --server https://other/muster/', { fetch, env: { MUSTER_SERVER: 'http://head:1234/' } })
    await go('--server https://other overlay list', { fetch })
    expect(asked).toEqual([
      'http://127.0.0.1:9080/api/overlays',
      'http://head:1234/api/overlays',
      'https://other/muster/api/overlays',
      'https://other/api/overlays',
    ])
  })

  it.each([
    ['no URL', 'head:9080', 'the server must be a URL'],
    ['another protocol', 'ftp://head', 'the server must be a URL'],
    ['a URL with a password, which is not repeated', 'http://me:hunter2@head', 'must not carry a password'],
  ])('is not %s', async (_name, server, message) => {
    const { code, err } = await muster(app, ['node', 'list', '--server', server])
    expect(code).toBe(2)
    expect(err).toContain(message)
    expect(err).not.toContain('hunter2')
  })

  it('that is not Muster is told from one that is', async () => {
    const fetch = () => new Response('<h1>Bad Gateway</h1>\u001b[2J', { status: 502 })
    expect(await go('node list', { fetch })).toMatchObject({
      code: 1,
      err: 'muster: http://127.0.0.1:9080 answered 502 and not as Muster does: is it Muster?\n',
    })
    const page = () => new Response('<h1>Welcome</h1>', { headers: { 'content-type': 'text/html' } })
    expect(await go('node list', { fetch: page })).toMatchObject({
      code: 1,
      err: expect.stringContaining('is it Muster?'),
    })
  })
})

describe('tokens', () => {
  it('come from MUSTER_TOKEN, else from the file that MUSTER_TOKEN_FILE names, else from the data folder', async () => {
    const folder = await emptyDirectory()
    await writeFile(join(folder, 'admin.token'), `${app.tokens.admin}\n`)
    const none = { MUSTER_TOKEN: undefined }
    expect((await go('token list', { env: { ...none, MUSTER_TOKEN_FILE: 'admin.token' }, cwd: folder })).code).toBe(0)
    expect((await go('token list', { env: { ...none, MUSTER_DATA: folder } })).code).toBe(0)
    expect((await go('token list', { env: { MUSTER_TOKEN: app.tokens.read, MUSTER_DATA: folder } })).code).toBe(1)
  })

  it.each([
    ['that are missing', {}, /send a token.* \(set MUSTER_TOKEN or MUSTER_TOKEN_FILE; .*\/nowhere\/admin\.token\)/],
    ['that are wrong', { MUSTER_TOKEN: 'muster_wrong' }, /\(the token is that of MUSTER_TOKEN\)/],
  ])('%s: the message says where they come from', async (_name, env, message) => {
    const { code, err } = await go('node list', { env: { MUSTER_TOKEN: undefined, MUSTER_DATA: '/nowhere', ...env } })
    expect(code).toBe(1)
    expect(err).toMatch(message)
  })

  it('are never repeated, not even when they are no tokens', async () => {
    const { code, err } = await go('node list', { env: { MUSTER_TOKEN: 'hunter2\u0001 hunter3' } })
    expect(code).toBe(2)
    expect(err).toBe('muster: the token is that of MUSTER_TOKEN and it does not look like one\n')
  })

  it('in a file that is not there are a fault', async () => {
    const { code, err } = await go('node list', { env: { MUSTER_TOKEN: undefined, MUSTER_TOKEN_FILE: '/nowhere' } })
    expect([code, err]).toEqual([2, 'muster: MUSTER_TOKEN_FILE names /nowhere, which does not exist\n'])
  })

  it('that may only read are told so', async () => {
    const { code, err } = await go('node add n9', { env: { MUSTER_TOKEN: app.tokens.read } })
    expect([code, err]).toEqual([1, 'muster: token the-read may read, and this needs edit\n'])
  })
})

describe('hostile text', () => {
  const evil = 'evil\u001b]0;owned\u0007\u001b[2J\u009b31m\u202e\r\nroot: all is well'
  const harmless = (text: string) => expect(text.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/)

  it('from the service cannot steer the terminal', async () => {
    const member = {
      name: evil,
      profiles: [evil],
      settings: { [evil]: evil },
      revision: 1,
      changedAt: evil,
      effective: {},
    }
    const answers: Record<string, unknown> = {
      'node list': {
        items: [{ ...member, effective: { image: evil, netdevs: { [evil]: { mac: evil } } } }],
        next: null,
      },
      'node show x': { [evil]: [{ [evil]: evil }], tags: { a: evil } },
      'node explain x': [{ field: evil, value: evil, from: [evil], hidden: [{ from: evil, value: evil }] }],
      'profile list': { items: [member], next: null },
      'overlay list': [{ name: evil, origin: evil, version: 1, files: 1, description: evil }],
      'overlay render --node x o': [
        { path: evil, mode: evil, owner: evil, type: 'file', content: evil, overlay: evil },
      ],
      'boot log x': [
        {
          id: evil,
          startedAt: evil,
          mac: evil,
          outcome: evil,
          events: [{ at: evil, kind: evil, detail: { [evil]: evil } }],
        },
      ],
      'discovered list': [{ mac: evil, address: evil, facts: { product: evil }, lastSeenAt: evil, requests: 1 }],
      'token list': [{ name: evil, scope: evil, createdAt: evil, expiresAt: null }],
    }
    for (const [line, document] of Object.entries(answers)) {
      const { code, out, err } = await go(line, {
        fetch: () => Response.json(document),
        terminal: true,
        env: { NO_COLOR: '1' },
      })
      expect([line, code, err]).toEqual([line, 0, ''])
      expect(out).toContain('evil')
      harmless(out)
      const printed = await go(`${line} --json`, { fetch: () => Response.json(document), terminal: true })
      harmless(printed.out)
      expect(JSON.parse(printed.out)).toEqual(document)
    }
  })

  it('in a refusal cannot steer the terminal either', async () => {
    const faults = [
      { field: evil, message: evil },
      { field: 'b', message: evil },
    ]
    const fetch = () => Response.json({ code: 'SETTINGS_INVALID', message: evil, field: evil, faults }, { status: 400 })
    const { code, err } = await go('node list', { fetch, terminal: true })
    expect(code).toBe(1)
    harmless(err)
  })

  it('on the command line cannot either', async () => {
    harmless((await muster(app, ['node', evil], { terminal: true })).err)
    harmless((await muster(app, ['node', 'show', evil], { terminal: true })).err)
    harmless((await muster(app, ['node', 'set', 'n*', '--mtu', evil], { terminal: true })).err)
  })

  it.each(['a/b', '../tokens', '%2e%2e', 'a?select=*', 'a#b', '$&', ':name', ' ', '__proto__'])(
    'as a name asks for that name and no other thing: %s',
    async (name) => {
      const asked: string[] = []
      const fetch: Setting['fetch'] = (input, init) => {
        const { pathname, search } = new URL(String(input))
        asked.push(pathname + search)
        return app.app.request(input as string, init)
      }
      const { code } = await muster(app, ['profile', 'show', name], { fetch })
      expect(code).not.toBe(0)
      expect(asked).toEqual([`/api/profiles/${encodeURIComponent(name)}`])
    },
  )

  it('in an overlay that is pulled stays in its directory', async () => {
    for (const path of ['../escape', '/etc/escape', 'a/../../escape', 'a//b', '.', 'a\0b']) {
      const cwd = await emptyDirectory()
      const fetch = () =>
        Response.json([
          { path: 'fine', content: '' },
          { path, content: '' },
        ])
      const { code, err } = await go('overlay pull o', { cwd, fetch })
      expect(code).toBe(1)
      expect(err).toContain('nothing was written')
    }
    const cwd = await emptyDirectory()
    const through = [
      { path: 'link', content: '', link: '/tmp' },
      { path: 'link/escaped', content: '' },
    ]
    expect((await go('overlay pull o', { cwd, fetch: () => Response.json(through) })).code).toBe(1)
  })
})
