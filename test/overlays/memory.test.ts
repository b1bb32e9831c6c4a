import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Wanted } from '../../src/overlays/inputs.ts'
import { type LayeredOverlay, renderOverlays } from '../../src/overlays/layers.ts'
import { renderMemory } from '../../src/overlays/memory.ts'
import { rememberedOutputs } from '../../src/overlays/outputs.ts'
import type { RenderedFile } from '../../src/overlays/render.ts'
import { buildView, type NamedSettings, type ViewInput } from '../../src/overlays/view.ts'
import { bonded, cluster, type Given, inputOf, overlayOf, plain, textOf } from './fixtures.ts'

const node = (name: string, settings: NamedSettings['settings'] = {}): NamedSettings => ({ name, settings })

/** Renders, and tells how many entries were rendered for it and what they came to. */
function rendering(overlays: LayeredOverlay[], memory = renderMemory()) {
  return (of: NamedSettings, given: Given = {}, more: Partial<ViewInput> = {}) => {
    const before = memory.renders
    const files = renderOverlays(overlays, buildView({ ...inputOf(of, cluster, given), ...more }), memory)
    return { files, texts: files.map(textsOf), renders: memory.renders - before }
  }
}

const textsOf = (file: RenderedFile): string =>
  file.type === 'file' ? textOf(file) : file.type === 'link' ? file.target : file.type

const contentOf = (file: RenderedFile | undefined) => (file?.type === 'file' ? file.content : undefined)

describe('what was rendered before', () => {
  it('is the same object for the same inputs, on another node and in another view', async () => {
    const render = rendering([await overlayOf('o', { 'files/f.mustache': 'rack {{tags.rack}} of {{cluster}}' })])
    const first = render(node('n1', { tags: { rack: 'r1' } }))
    const second = render(node('n2', { tags: { rack: 'r1' }, domain: 'elsewhere.example' }))
    expect([first.renders, second.renders]).toEqual([1, 0])
    expect(contentOf(second.files[0])).toBe(contentOf(first.files[0]))
  })

  it('is rendered again where a tag was edited, and only the entries that read that tag', async () => {
    const render = rendering([
      await overlayOf('o', {
        'files/rack.mustache': '{{tags.rack}}',
        'files/both.mustache': '{{tags.rack}} {{tags.row}}',
        'files/row.mustache': '{{tags.row}}',
        'files/name.mustache': '{{node.name}}',
        'files/maybe.mustache': '{{#tags.gpu}}gpu{{/tags.gpu}}',
        'files/fixed.mustache': 'fixed',
        'files/plain': 'plain',
      }),
    ])
    expect(render(node('n1', { tags: { rack: 'r1', row: '1' } })).renders).toBe(6)
    expect(render(node('n1', { tags: { rack: 'r2', row: '1' } }))).toMatchObject({
      renders: 2,
      texts: ['r2 1', 'fixed', '', 'n1', 'plain', 'r2', '1'],
    })
    expect(render(node('n1', { tags: { rack: 'r2', row: '1', note: 'nobody reads this' } })).renders).toBe(0)
    expect(render(node('n1', { tags: { rack: 'r2', row: '1', gpu: 'yes' } })).renders).toBe(1)
    expect(render(node('n1', { tags: { rack: 'r1', row: '1' } })).renders).toBe(0)
  })

  it.each<[string, string, NamedSettings['settings'], NamedSettings['settings']]>([
    ['a text that was absent', '{{#tags.a}}{{tags.a}}{{/tags.a}}', {}, { tags: { a: '' } }],
    [
      'a list of the same texts, cut elsewhere',
      '{{#search}}{{.}},{{/search}}',
      { search: ['a', 'b'] },
      { search: ['a.b'] },
    ],
    ['a number that was a text', '{{resources.a}}', { resources: { a: '1' } }, { resources: { a: 1 } }],
    [
      'a text that looks like a map',
      '{{#resources.a}}{{#b}}{{b}}{{/b}}{{/resources.a}}',
      { resources: { a: { b: 1 } } },
      { resources: { a: '{"b":1}' } },
    ],
    ['two texts, moved', '{{tags.a}}{{tags.b}}', { tags: { a: '1:x', b: '' } }, { tags: { a: '1', b: ':x' } }],
    [
      'a netdev',
      '{{primary.ip}}',
      { netdevs: { a: { address: '10.0.0.1/8' } } },
      { netdevs: { a: { address: '10.0.0.2/8' } } },
    ],
    [
      'resolvers of the primary',
      '{{primary.resolvers.0}}',
      { nameservers: ['10.0.0.1'], netdevs: { a: {} } },
      { nameservers: ['10.0.0.2'], netdevs: { a: {} } },
    ],
    [
      'resolvers',
      '{{#dns.servers}}{{.}} {{/dns.servers}}',
      { netdevs: { a: { dns: ['10.0.0.1'] } } },
      { netdevs: { a: { dns: ['10.0.0.2'] } } },
    ],
    [
      'services',
      '{{#network.networkd}}{{name}}{{/network.networkd}}',
      { netdevs: { a: { device: 'a' } } },
      { netdevs: { a: { device: 'a' } }, tags: { network: 'none' } },
    ],
    ['a mount', '{{#mounts}}{{where}}{{/mounts}}', {}, { resources: { fstab: [{ spec: 'h:/a', file: '/a' }] } }],
    ['a BMC', '{{#bmc}}{{address}}{{/bmc}}', { bmc: { address: '10.0.0.1' } }, { bmc: { address: '10.0.0.2' } }],
    [
      'its bit rate',
      '{{#bmc}}{{#bitRate}}{{bitRate}}{{/bitRate}}{{/bmc}}',
      { bmc: { write: true } },
      { bmc: { write: true }, tags: { bmcBitRate: '9.6' } },
    ],
    ['GPUs', '{{#mig.gpus}}{{profiles}}{{/mig.gpus}}', {}, { tags: { gpuMigProfiles: '9,9' } }],
    ['users', '{{#users.passwd}}{{.}}{{/users.passwd}}', {}, { resources: { localusers: [{ name: 'a', uid: 1000 }] } }],
    ['keys', '{{#authorizedKeys}}{{.}}{{/authorizedKeys}}', {}, { resources: { sshAuthorizedKeys: ['ssh-rsa A'] } }],
    ['settings', '{{#settings.disks}}x{{/settings.disks}}', {}, { disks: [{ match: '/dev/sda' }] }],
    ['the whole view', '{{view}}', {}, { timezone: 'Asia/Tokyo' }],
    ['the view in a section', '{{#.}}{{#tags.a}}{{tags.a}}{{/tags.a}}{{/.}}', {}, { tags: { a: 'x' } }],
  ])('is not taken for %s', async (_what, template, before, after) => {
    const overlay = await overlayOf('o', { 'files/f.mustache': template })
    const render = rendering([overlay])
    const fresh = (settings: NamedSettings['settings']) => rendering([overlay])(node('n1', settings)).texts
    expect(render(node('n1', before)).texts).toEqual(fresh(before))
    const later = render(node('n1', after))
    expect(later.texts).toEqual(fresh(after))
    expect(later.renders).toBe(1)
    expect(render(node('n1', before)).renders).toBe(0)
  })

  it('knows the primary by its flag, also for the order of resolvers', async () => {
    const render = rendering([await overlayOf('o', { 'files/f.mustache': '{{#dns.servers}}{{.}} {{/dns.servers}}' })])
    const netdevs = { a: { dns: ['10.0.0.1'] }, b: { dns: ['10.0.0.2'] } }
    expect(render(node('n1', { netdevs })).texts).toEqual(['10.0.0.1 10.0.0.2 '])
    expect(render(node('n1', { netdevs: { ...netdevs, b: { ...netdevs.b, primary: true } } })).texts).toEqual([
      '10.0.0.2 10.0.0.1 ',
    ])
  })

  it('tells the files of images by the digest of the image, and asks for none of them again', async () => {
    const overlay = await overlayOf('o', { 'files/f.mustache': '{{#image.file}}/etc/release{{/image.file}}' })
    const memory = renderMemory()
    const render = rendering([overlay], memory)
    expect(render(plain, { image: { '/etc/release': '9.1' } }).texts).toEqual(['9.1'])
    const refused = {
      ...inputOf(plain).inputs,
      imageFile: () => {
        throw new Error('nobody asked')
      },
    }
    expect(render(bonded, {}, { inputs: refused })).toMatchObject({ texts: ['9.1'], renders: 0 })
    const image = { name: 'rocky9', version: 4, digest: `sha256:${'b'.repeat(64)}` as const, architecture: 'x86_64' }
    expect(render(plain, { image: { '/etc/release': '9.2' } }, { image })).toMatchObject({ texts: ['9.2'], renders: 1 })
  })

  it('tells files of the head node by what is in them', async () => {
    const render = rendering([await overlayOf('o', { 'files/f.mustache': '{{#head.file}}banner{{/head.file}}' })])
    expect(render(plain, { head: { banner: 'one' } })).toMatchObject({ texts: ['one'], renders: 1 })
    expect(render(bonded, { head: { banner: 'one' } })).toMatchObject({ texts: ['one'], renders: 0 })
    expect(render(plain, { head: { banner: 'two' } })).toMatchObject({ texts: ['two'], renders: 1 })
    expect(render(plain, { head: { banner: 'one' } })).toMatchObject({ texts: ['one'], renders: 0 })
  })

  it('tells users by the files and settings that they come from', async () => {
    const render = rendering([
      await overlayOf('o', { 'files/f.mustache': '{{#users.passwd}}{{.}}\n{{/users.passwd}}' }),
    ])
    const image = { '/etc/passwd': 'root:x:0:0:root:/root:/bin/bash\n' }
    expect(render(plain, { image }).renders).toBe(1)
    const head = { passwd: 'alice:x:1000:1000::/home/alice:/bin/bash\n' }
    expect(render(plain, { image, head }).texts[0]).toContain('alice')
    expect(render(bonded, { image, head }).renders).toBe(0)
    expect(render(node('n1', { tags: { PasswordlessRoot: 'true' } }), { image, head }).texts[0]).toMatch(/^root::0/)
  })

  it('is of a secret as long as its text is the same', async () => {
    const yaml = 'files: { /f: { private: true, template: true } }'
    const render = rendering([await overlayOf('o', { 'overlay.yaml': yaml, 'files/f': '{{secrets.a}}' })])
    expect(render(plain, { secrets: { a: 'one', b: 'x' } })).toMatchObject({ texts: ['one'], renders: 1 })
    expect(render(bonded, { secrets: { a: 'one', b: 'y' } })).toMatchObject({ texts: ['one'], renders: 0 })
    expect(render(plain, { secrets: { a: 'two', b: 'y' } })).toMatchObject({ texts: ['two'], renders: 1 })
  })

  it('is of a password that stands within a BMC as long as its text is the same', async () => {
    const overlay = await overlayOf('o', {
      'overlay.yaml': 'files: { /f: { private: true } }',
      'files/f.mustache': '{{#bmc}}{{address}} {{password}}{{/bmc}}',
    })
    const render = rendering([overlay])
    const own = node('n1', { bmc: { address: '10.0.0.9', password: 'secret:bmc' } })
    expect(render(own, { secrets: { bmc: 'one' } }).texts).toEqual(['10.0.0.9 one'])
    expect(render(own, { secrets: { bmc: 'two' } }).texts).toEqual(['10.0.0.9 two'])
  })

  it('covers names of files, targets of links, each and when', async () => {
    const overlay = await overlayOf('o', {
      'overlay.yaml': [
        'files:',
        '  "/etc/{{name}}.conf": { each: netdevs, when: ip }',
        '  /etc/localtime: { template: true, when: timezone }',
        '  /etc/gone: { when: tags.gone }',
        '  /etc/chrony.d/: { mode: "0750", when: ntp }',
      ].join('\n'),
      'files/etc/{{name}}.conf': 'same for all',
      'files/etc/gone': 'gone',
      'files/etc/localtime': '../usr/share/zoneinfo/{{timezone}}',
    })
    const render = rendering([overlay])
    const settings = { netdevs: { a: { address: '10.0.0.1/8' }, b: {} } }
    const paths = ({ files }: ReturnType<typeof render>) => files.map(({ path }) => path)
    expect(paths(render(node('n1', settings)))).toEqual(['/etc/a.conf'])
    expect(render(node('n2', settings)).renders).toBe(0)
    const more = render(node('n1', { ...settings, timezone: 'Asia/Tokyo', tags: { gone: 'yes' }, ntp: ['a'] }))
    expect(paths(more)).toEqual(['/etc/a.conf', '/etc/chrony.d', '/etc/gone', '/etc/localtime'])
    expect(more.renders).toBe(3)
  })

  it('is no longer good for an entry whose content is another, and still for the others of its overlay', async () => {
    const memory = renderMemory()
    const first = await overlayOf('o', { 'files/a.mustache': '{{node.name}}', 'files/b.mustache': '{{cluster}}' })
    const second = await overlayOf('o', { 'files/a.mustache': '{{node.name}}!', 'files/b.mustache': '{{cluster}}' })
    const versioned = ({ layers, ...rest }: LayeredOverlay, version: number): LayeredOverlay => ({
      ...rest,
      layers: layers.map((layer) => ({ ...layer, origin: 'site' as const, version })),
    })
    const before = rendering([versioned(first, 1)], memory)(plain)
    const after = rendering([versioned(second, 2)], memory)(plain)
    expect(after).toMatchObject({ texts: ['n2!', 'green'], renders: 1 })
    expect(after.files.map(({ version }) => version)).toEqual([2, 2])
    expect(contentOf(after.files[1])).toBe(contentOf(before.files[1]))
    expect(rendering([versioned(first, 1)], memory)(plain).files.map(({ version }) => version)).toEqual([1, 1])
  })

  it('is rendered once for the whole cluster when it reads nothing but cluster-wide names, until the nodes change', async () => {
    const render = rendering([
      await overlayOf('o', { 'files/hosts.mustache': '{{cluster}} {{head.host}}{{#nodes}} {{name}}{{/nodes}}' }),
    ])
    const stamp = 'the nodes of now'
    const rendered = cluster.map((one) => render(one, { stamp }))
    expect(rendered.map(({ renders }) => renders)).toEqual([1, 0, 0])
    expect(new Set(rendered.map(({ files }) => contentOf(files[0]))).size).toBe(1)
    expect(rendered[0]?.texts).toEqual(['green 10.0.0.1 ib1.fabric.example n2 n10'])
    expect(render(plain, { stamp: 'another' }).renders).toBe(1)
    expect(render(plain, { stamp }, { head: { url: 'http://10.0.0.2' } }).texts[0]).toMatch('green 10.0.0.2')
  })

  it('is not lost when a rendering has to be begun again for what it wants', async () => {
    const overlay = await overlayOf('o', {
      'files/a.mustache': '{{node.name}}',
      'files/b.mustache': '{{#head.file}}x{{/head.file}}',
    })
    const memory = renderMemory()
    const inputs = inputOf(plain).inputs
    const wanting = {
      ...inputs,
      headFile: () => {
        throw new Wanted(async () => {})
      },
    }
    expect(() => renderOverlays([overlay], buildView({ ...inputOf(plain), inputs: wanting }), memory)).toThrow(Wanted)
    expect(memory.renders).toBe(1)
    expect(rendering([overlay], memory)(plain, { head: { x: 'y' } })).toMatchObject({ texts: ['n2', 'y'], renders: 1 })
  })

  it('is not kept where nearly every node has its own, until nodes have the same', async () => {
    const memory = renderMemory()
    const overlay = await overlayOf('o', {
      'files/own.mustache': '{{node.name}} {{tags.rack}}',
      'files/rack.mustache': '{{tags.rack}}',
      'files/hosts.mustache': '{{tags.rack}}{{#nodes}} {{name}}{{/nodes}}',
    })
    const render = rendering([overlay], memory)
    const stamp = 'the nodes of now'
    const racks = Array.from({ length: 1000 }, (_, at) => `r${at}`)
    for (const rack of racks) {
      const { texts } = render(node('n1', { tags: { rack } }), { stamp })
      expect(texts).toEqual([`${rack} ib1.fabric.example n2 n10`, `n1 ${rack}`, rack])
    }
    // What is made of all nodes is: to make it again costs much.
    expect(memory.outputs.measure().count).toBeGreaterThan(1000)
    expect(memory.outputs.measure().count).toBeLessThan(1300)
    expect(render(node('n1', { tags: { rack: 'r1' } }), { stamp }).renders).toBeLessThan(3)
    let last = 3
    for (let at = 0; at < 5000; at++) last = render(node('n1', { tags: { rack: 'same' } }), { stamp }).renders
    expect(last).toBe(0)
  })

  it('keeps no error', async () => {
    const render = rendering([await overlayOf('o', { 'files/f.mustache': '{{tags.rack}}' })])
    for (const _time of [1, 2]) expect(() => render(plain)).toThrow(/unknown name tags.rack/)
    expect(render(node('n2', { tags: { rack: 'r' } })).texts).toEqual(['r'])
  })

  it('is what a rendering without memory gives, whatever was rendered in between', async () => {
    const overlays = [
      await overlayOf('o', {
        'overlay.yaml': 'files: { "/n/{{name}}": { each: netdevs, when: mac }, /w: { when: tags.a } }',
        'files/a.mustache':
          '{{#tags.a}}{{tags.a}}{{#tags.b}}{{tags.b}}{{domain}}{{/tags.b}}{{/tags.a}}{{^tags.a}}{{node.name}}{{/tags.a}}',
        'files/b.mustache': '{{#tags}}{{#a}}{{a}}{{/a}}{{#b}}{{b}}{{/b}}{{/tags}}{{#search}}{{.}} {{/search}}',
        'files/n/{{name}}.mustache': '{{name}} {{mac}} {{#tags.a}}{{tags.a}}{{/tags.a}}',
        'files/w.mustache': '{{#ntp}}{{.}} {{node.fqdn}}{{/ntp}}',
        'files/i.mustache': '{{#image.file}}/{{#tags.b}}b{{/tags.b}}{{^tags.b}}a{{/tags.b}}{{/image.file}}',
      }),
    ]
    const text = fc.constantFrom('', 'x', 'y', '1:')
    const settings = fc.record(
      {
        tags: fc.record({ a: text, b: text }, { requiredKeys: [] }),
        domain: fc.constantFrom('a.example', 'b.example'),
        search: fc.array(fc.constantFrom('a', 'b'), { maxLength: 2 }),
        ntp: fc.array(fc.constantFrom('a', 'b'), { maxLength: 2 }),
        netdevs: fc.dictionary(
          fc.constantFrom('eth0', 'eth1'),
          fc.record({ mac: fc.constantFrom('52:54:00:00:00:01', '52:54:00:00:00:02') }, { requiredKeys: [] }),
        ),
      },
      { requiredKeys: [] },
    )
    const given = { image: { '/a': 'A', '/b': 'B' } }
    // A message names a domain that is missing: what counts is that both are refused.
    const answer = (render: ReturnType<typeof rendering>, one: NamedSettings) => {
      try {
        return render(one, given).files.map((file) => [file.path, textsOf(file)])
      } catch (error) {
        return String(error)
      }
    }
    const nodes = fc.array(fc.record({ name: fc.constantFrom('n1', 'n2'), settings }), { maxLength: 12 })
    fc.assert(
      fc.property(nodes, fc.constantFrom(1500, 64 * 1024 * 1024), (many, most) => {
        const render = rendering(overlays, renderMemory(most))
        for (const one of many) expect(answer(render, one)).toEqual(answer(rendering(overlays), one))
      }),
      { numRuns: 400 },
    )
  })
})

describe('the memory of outputs', () => {
  const read = (name: string) => ({ name, path: [name] })
  const stamps = (values: Record<string, string>) => (asked: { name: string }) => {
    const value = values[asked.name]
    if (value === undefined) throw new Error(`nobody should ask for ${asked.name}`)
    return `s${value.length}:${value}`
  }

  it('asks for no name that the rendering did not read', () => {
    const outputs = rememberedOutputs<string>()
    outputs.keep('e', [read('a'), read('b')], stamps({ a: '1', b: '1' }), 'ab', 0)
    outputs.keep('e', [read('a'), read('c')], stamps({ a: '2', c: '1' }), 'ac', 0)
    outputs.keep('e', [read('a'), read('c')], stamps({ a: '2', c: '2' }), 'ac2', 0)
    expect(outputs.find('e', stamps({ a: '1', b: '1' }))).toBe('ab')
    expect(outputs.find('e', stamps({ a: '2', c: '1' }))).toBe('ac')
    expect(outputs.find('e', stamps({ a: '2', c: '2' }))).toBe('ac2')
    expect(outputs.find('e', stamps({ a: '3' }))).toBeUndefined()
    expect(outputs.find('other', stamps({}))).toBeUndefined()
  })

  it('keeps no more than it may, the newest and what is wanted', () => {
    const outputs = rememberedOutputs<number>(10_000)
    for (let at = 0; at < 100; at++) {
      outputs.keep('e', [read('a')], stamps({ a: String(at) }), at, 1000)
      expect(outputs.find('e', stamps({ a: '0' }))).toBe(0)
      expect(outputs.measure().size).toBeLessThanOrEqual(10_000)
    }
    expect(outputs.find('e', stamps({ a: '99' }))).toBe(99)
    expect(outputs.find('e', stamps({ a: '1' }))).toBeUndefined()
    expect(outputs.measure().count).toBeGreaterThan(4)
  })

  it('keeps nothing that is larger than all that it may keep, and counts back to nothing', () => {
    const outputs = rememberedOutputs<number>(2000)
    outputs.keep('e', [read('a'), read('b')], stamps({ a: '1', b: '1' }), 1, 10_000)
    expect(outputs.measure()).toEqual({ count: 0, size: 0 })
    expect(outputs.find('e', stamps({ a: '1', b: '1' }))).toBeUndefined()
  })
})
