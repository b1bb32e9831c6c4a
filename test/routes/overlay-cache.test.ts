/**
 * What is kept between requests must never be seen: after each of many random edits, of everything that a list is made of, a
 * service that has been up all the time answers as one that has just been started on the same data.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type App, createApp } from '../../src/app.ts'
import { fsAssets } from '../../src/assets/fs.ts'
import { templateFolder } from '../../src/head/template-folder.ts'
import { openImage } from '../../src/images/open.ts'
import { openedImages } from '../../src/images/opened-images.ts'
import type { Services } from '../../src/services.ts'
import { bytes } from '../archive/tar-writer.ts'
import { startOfTests, type TestApp, testApp } from '../harness.ts'
import { basics, tarOf } from '../images/small-image.ts'
import { type BootedNode, bootNode } from './booted-node.ts'

const shipped = new URL('../../boot-assets', import.meta.url).pathname
const names = ['n1', 'n2', 'n3'] as const
type Name = (typeof names)[number]
const macOf = (name: Name) => `52:54:00:00:00:0${name.slice(1)}`
const bmcOf = (name: Name) => ({ address: `10.1.0.${name.slice(1)}`, password: 'secret:munge' })

/** Overlays that read something of everything there is, in every place where an overlay can. */
const directories: Record<string, (text: string) => Record<string, string>> = {
  names: (text) => ({
    'overlay.yaml':
      'files:\n  "/n/{{name}}": { each: netdevs, when: ip }\n  "/t/{{key}}": { each: tags }\n  /w: { when: tags.rack }\n  /l: { link: "{{#timezone}}{{timezone}}{{/timezone}}x" }\n',
    'files/n/{{name}}.mustache': '{{ip}} {{#dns}}{{.}} {{/dns}}',
    'files/t/{{key}}': text,
    'files/w': text,
    'files/name.mustache': `{{node.fqdn}} {{image.name}} {{image.version}} ${text}`,
    'files/profiles.mustache': '{{#node.profiles}}{{.}} {{/node.profiles}}{{#dns.servers}}{{.}} {{/dns.servers}}',
  }),
  nodes: (text) => ({
    'files/all.mustache': `${text}{{#nodes}}{{fqdn}}{{#netdevs}}{{#ip}} {{ip}}{{/ip}}{{/netdevs}}\n{{/nodes}}`,
    'files/view.mustache': '{{view}}',
  }),
  files: (text) => ({
    'files/image.mustache': `{{#image.file}}/etc/{{#tags.rack}}{{tags.rack}}{{/tags.rack}}{{^tags.rack}}passwd{{/tags.rack}}{{/image.file}}${text}`,
    'files/head.mustache': '{{#head.file}}motd{{/head.file}}',
    'files/users.mustache': '{{#users.passwd}}{{.}}\n{{/users.passwd}}{{#authorizedKeys}}{{.}}{{/authorizedKeys}}',
  }),
  secret: (text) => ({
    'overlay.yaml':
      'secrets: { host: ssh-ed25519, made: random }\nfiles: { /k: { private: true }, /bmc: { private: true } }\n',
    'files/k.mustache': `${text}{{secrets.host}}{{#secrets.host_pub}}{{secrets.host_pub}}{{/secrets.host_pub}}{{secrets.made}}{{#secrets.munge}}{{secrets.munge}}{{/secrets.munge}}`,
    'files/bmc.mustache': '{{#bmc}}{{address}} {{#password}}{{password}}{{/password}}{{/bmc}}',
  }),
}
const overlayNames = [...Object.keys(directories), 'motd', 'hosts', 'shipped']
const profileNames = ['base', 'rack', 'gpu'] as const

let test: TestApp
let head: string
let site: string
let clock = startOfTests
const nodes = new Map<Name, BootedNode>()

const freshAssets = () => fsAssets([site, shipped], () => clock.getTime())

/** A service that was just started: nothing is kept but what is stored. */
function freshApp(): App {
  const open: Services['openImage'] = openedImages((digest) => openImage(test.services.blobs, digest))
  return createApp({ ...test.services, assets: freshAssets(), openImage: open })
}

beforeAll(async () => {
  head = await mkdtemp(join(tmpdir(), 'muster-head-'))
  site = await mkdtemp(join(tmpdir(), 'muster-site-'))
  test = await testApp({ assets: freshAssets(), headFile: templateFolder(head), privateTo: 'ticket' })
  for (const image of ['rocky9', 'debian13'])
    for (const text of ['one', 'two'])
      await test.call('POST', `/api/images/${image}/versions`, {
        body: tarOf([
          ...basics,
          { name: 'etc/', flag: '5', mode: 0o755 },
          { name: 'etc/r1', data: bytes(`${image} ${text}\n`) },
          { name: 'etc/r2', data: bytes(text) },
          { name: 'etc/passwd', data: bytes(`root:x:0:0:${image} ${text}:/root:/bin/sh\n`) },
          { name: 'etc/group', data: bytes('root:x:0:\n') },
          { name: 'etc/shadow', data: bytes('root:*::0:99999:7:::\n') },
        ]),
        headers: { 'content-type': 'application/x-tar' },
      })
  await act({ do: 'tag', version: 1 })
  await act({ do: 'head', path: 'motd', text: 'first' })
  for (const name of profileNames) await act({ do: 'profile', name, profiles: [], settings: { image: 'rocky9' } })
  for (const name of Object.keys(directories)) await act({ do: 'push', name, text: 'first' })
  await act({ do: 'asset', path: 'overlays/shipped/files/s.mustache', text: '{{node.name}}' })
  for (const name of names) {
    await act({ do: 'node', name, profiles: ['base'], settings: {}, at: 1 })
    await boot(name)
  }
}, 120_000)
afterAll(async () => {
  await test.close()
  for (const folder of [head, site]) await rm(folder, { recursive: true })
})

/** The tick is longer than files of the head node and assets are trusted. */
function tick(): void {
  clock = new Date(clock.getTime() + 2000)
  test.at(clock)
}

async function boot(name: Name): Promise<void> {
  // A ticket of the moment in which the node was deleted would be of the one that is gone.
  tick()
  await test.call('PATCH', `/api/nodes/${name}`, {
    body: { settings: { overlays: { system: [], runtime: [] }, image: 'rocky9' } },
    headers: { 'content-type': 'application/merge-patch+json' },
  })
  nodes.set(name, await bootNode(test, macOf(name)))
}

const overlayList = fc.uniqueArray(fc.constantFrom(...overlayNames), { minLength: 2, maxLength: 5 })
const settings = fc.record(
  {
    image: fc.constantFrom('rocky9', 'debian13', 'rocky9@1', 'debian13@good'),
    overlays: fc.record({ system: overlayList, runtime: overlayList }, { requiredKeys: [] }),
    tags: fc.dictionary(fc.constantFrom('rack', 'row'), fc.constantFrom('r1', 'r2'), { maxKeys: 2 }),
    domain: fc.constantFrom('a.example', 'b.example'),
    nameservers: fc.constantFrom(['10.0.0.1'], ['10.0.0.2', '10.0.0.1']),
    timezone: fc.constantFrom('Asia/Tokyo', 'UTC'),
    description: fc.constantFrom('x', 'y'),
    resources: fc.record({ localusers: fc.constantFrom([{ name: 'amy', uid: 2000 }], [{ name: 'bob', uid: 2001 }]) }),
  },
  { requiredKeys: [] },
)
const text = fc.constantFrom('one', 'two', 'three')
const parents = (of: readonly string[]) => fc.subarray([...of])
const name = fc.constantFrom(...names)
const owner = fc.constantFrom('cluster', 'profile:base', 'profile:gpu', 'node:n1', 'node:n2')
const secret = fc.constantFrom('munge', 'host', 'made')
const of = <const Verb extends string, T extends Record<string, fc.Arbitrary<unknown>>>(verb: Verb, fields: T) =>
  fc.record({ do: fc.constant(verb), ...fields })

/** An edit; some are refused, and that is fine. */
const edit = fc.oneof(
  {
    weight: 5,
    arbitrary: of('node', { name, profiles: parents(profileNames), settings, at: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: of('forget', { name }) },
  { weight: 2, arbitrary: of('profile', { name: fc.constant('base'), profiles: parents(['rack', 'gpu']), settings }) },
  { weight: 2, arbitrary: of('profile', { name: fc.constant('rack'), profiles: parents(['gpu']), settings }) },
  { weight: 2, arbitrary: of('profile', { name: fc.constant('gpu'), profiles: parents([]), settings }) },
  { weight: 4, arbitrary: of('push', { name: fc.constantFrom(...Object.keys(directories), 'motd'), text }) },
  {
    weight: 1,
    arbitrary: of('revert', { name: fc.constantFrom('names', 'secret'), version: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 1, arbitrary: of('drop', { name: fc.constant('motd') }) },
  { weight: 3, arbitrary: of('secret', { owner, secret, value: text }) },
  { weight: 1, arbitrary: of('generate', { owner, secret }) },
  { weight: 2, arbitrary: of('tell no more', { owner, secret }) },
  {
    weight: 2,
    arbitrary: of('current', { image: fc.constantFrom('rocky9', 'debian13'), version: fc.constantFrom(1, 2) }),
  },
  { weight: 1, arbitrary: of('tag', { version: fc.constantFrom(1, 2) }) },
  {
    weight: 4,
    arbitrary: of('head', { path: fc.constantFrom('motd', 'passwd', 'authorized_keys'), text: fc.option(text) }),
  },
  {
    weight: 2,
    arbitrary: of('asset', {
      path: fc.constantFrom(
        'overlays/shipped/files/s.mustache',
        'overlays/hosts/files/etc/more',
        'overlays/motd/files/etc/m',
      ),
      text: fc.constantFrom('{{node.name}} one', '{{node.name}} two', '{{cluster}} two', 'plain'),
    }),
  },
)

/** Does an edit, through the service that has been up for long. */
// biome-ignore lint/suspicious/noExplicitAny: each edit has fields of its own
async function act(what: any): Promise<void> {
  const send = (method: string, path: string, body?: unknown) => test.send(method, path, { body })
  switch (what.do) {
    case 'node': {
      const netdevs = { default: { mac: macOf(what.name), address: `10.0.${what.at}.${what.name.slice(1)}/16` } }
      const own = { ...what.settings, netdevs, bmc: bmcOf(what.name) }
      await send('PUT', `/api/nodes/${what.name}`, { profiles: what.profiles, settings: own })
      return
    }
    case 'forget':
      await send('DELETE', `/api/nodes/${what.name}`)
      await act({ do: 'node', name: what.name, profiles: [], settings: {}, at: 1 })
      await boot(what.name)
      return
    case 'profile':
      await send('PUT', `/api/profiles/${what.name}`, {
        profiles: what.profiles,
        settings: { image: 'rocky9', ...what.settings },
      })
      return
    case 'push': {
      const files = directories[what.name]?.(what.text) ?? { 'files/etc/motd.mustache': `${what.text} {{node.name}}\n` }
      await send('PUT', `/api/overlays/${what.name}`, {
        files: Object.entries(files).map(([path, content]) => ({
          path,
          content: Buffer.from(content).toString('base64'),
        })),
      })
      return
    }
    case 'revert':
      await send('POST', `/api/overlays/${what.name}/revert`, { version: what.version })
      return
    case 'drop':
      await send('DELETE', `/api/overlays/${what.name}`)
      return
    case 'secret':
      await send('PUT', `/api/secrets/${what.owner}/${what.secret}`, { value: what.value })
      return
    case 'generate':
      await send('POST', `/api/secrets/${what.owner}/${what.secret}/generate`, { kind: 'random' })
      return
    case 'tell no more':
      await send('DELETE', `/api/secrets/${what.owner}/${what.secret}`)
      return
    case 'current':
      await send('PATCH', `/api/images/${what.image}`, { current: what.version })
      return
    case 'tag':
      await send('PUT', '/api/images/debian13/tags/good', { version: what.version })
      return
    case 'head':
      if (what.text === null) await rm(join(head, what.path), { force: true })
      else
        await writeFile(
          join(head, what.path),
          what.path === 'passwd' ? `${what.text}:x:1000:1000::/:/bin/sh\n` : what.text,
        )
      tick()
      return
    case 'asset':
      await mkdir(dirname(join(site, what.path)), { recursive: true })
      await writeFile(join(site, what.path), what.text)
      tick()
  }
}

/** What a node is told, by whatever app answers: all of it that a client looks at. */
async function told(
  app: App,
  name: Name,
  list: string,
  etag = '',
): Promise<{ status: number; etag: string; text: string }> {
  const headers = { authorization: `Bearer ${nodes.get(name)?.token}`, ...(etag && { 'if-none-match': etag }) }
  const answer = await app.request(`/self/overlays/${list}`, { headers })
  return { status: answer.status, etag: answer.headers.get('etag') ?? '', text: await answer.text() }
}

async function archive(app: App, name: Name, list: string): Promise<string> {
  const answer = await app.request(`${nodes.get(name)?.attempt}/${list}.cpio`)
  return answer.ok
    ? Buffer.from(await answer.arrayBuffer()).toString('latin1')
    : `${answer.status} ${await answer.text()}`
}

describe('a service that has been up for long', () => {
  const seen = new Map<string, string>()

  /** Compares what a node is told with what a new service tells it. */
  async function check(name: Name, list: string, started: App, after: string): Promise<number> {
    const key = `${name} ${list}`
    const had = seen.get(key) ?? ''
    const here = await told(test.app, name, list, had)
    const fresh = await told(started, name, list)
    if (fresh.status !== 200) expect(here, `${key} after ${after}`).toEqual(fresh)
    else if (fresh.etag === had) expect(here, `${key} after ${after}`).toEqual({ status: 304, etag: had, text: '' })
    else expect(here, `${key} after ${after}`).toEqual(fresh)
    if (fresh.status === 200) seen.set(key, fresh.etag)
    expect(await archive(test.app, name, list), `archive of ${key} after ${after}`).toBe(
      await archive(started, name, list),
    )
    return here.status
  }

  it.each([1, 2])(
    'answers as one that was just started, after each edit of seed %i',
    async (seed) => {
      const step = fc.record({
        edit,
        meanwhile: fc.array(fc.tuple(name, fc.constantFrom('self', 'render', 'show', 'drift')), { maxLength: 3 }),
        looks: fc.uniqueArray(fc.tuple(name, fc.constantFrom('system', 'runtime')), { minLength: 2, maxLength: 3 }),
      })
      const statuses = new Map<number, number>()
      for (const { edit: what, meanwhile, looks } of fc.sample(step, { seed, numRuns: 60 })) {
        // Others ask while the edit is under way: what they are answered is of before or after it, and must not be kept too long.
        await Promise.all([
          act(what),
          ...meanwhile.map(async ([one, how]) => {
            if (how === 'self') await told(test.app, one, 'runtime')
            else if (how === 'render') await test.send('GET', `/api/overlays/render?node=${one}`)
            else if (how === 'show') await test.send('GET', `/api/boot/${one}`)
            else await test.send('GET', '/api/drift')
          }),
        ])
        const started = freshApp()
        for (const [one, list] of looks) {
          const status = await check(one, list, started, JSON.stringify(what))
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
        }
      }
      // It would prove little if hardly anything could be rendered, or nothing ever stayed as it was.
      expect(statuses.get(200) ?? 0).toBeGreaterThan(20)
      expect(statuses.get(304) ?? 0).toBeGreaterThan(20)
    },
    60_000,
  )
})
