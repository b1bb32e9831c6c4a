/** What overlays cost: renderings and queries are counted, and what is kept is weighed. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { joined } from '../../src/archive/pieces.ts'
import { digestOf } from '../../src/blobs/digest.ts'
import { mostKept, type OverlayArchives, overlayArchives } from '../../src/boot/archives.ts'
import type { OverlayList } from '../../src/boot/plans.ts'
import { parseOverlay } from '../../src/overlays/parse.ts'
import { overlaySource } from '../../src/overlays/store.ts'
import { nodeByName } from '../../src/registry/nodes.ts'
import { pushOverlay } from '../../src/registry/overlays.ts'
import type { Settings } from '../../src/registry/settings.ts'
import { createSnapshots } from '../../src/registry/snapshot.ts'
import { queriesOf } from '../registry/statements.ts'
import { type TestServices, testServices } from './fixtures.ts'

const editor = { author: 'test', at: new Date('2026-01-31T12:00:00Z') }
const macOf = (at: number) =>
  `52:54:00:00:${[at >> 8, at & 255].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`
const nameOf = (at: number) => `n${String(at).padStart(4, '0')}`

let test: TestServices
let archives: OverlayArchives
let fromHead: Map<string, string>
beforeEach(async () => {
  fromHead = new Map()
  test = await testServices(() => ({
    headFile: async (path) => {
      const text = fromHead.get(path)
      return text === undefined ? undefined : new TextEncoder().encode(text)
    },
  }))
  await test.seedImage('rocky9')
  archives = overlayArchives(test.services)
  await push('own', { 'files/etc/hostname.mustache': '{{node.name}}\n', 'files/etc/constant': 'same\n' })
  await push('rack', { 'files/etc/rack.mustache': '{{#tags.rack}}{{tags.rack}}{{/tags.rack}}\n' })
  await push('all', {
    'files/etc/all.mustache': '{{#nodes}}{{name}}{{#primary}} {{#ip}}{{ip}}{{/ip}}{{/primary}}\n{{/nodes}}',
  })
  await push('included', { 'files/etc/included.mustache': '{{#head.file}}motd{{/head.file}}' })
  await push('secret', {
    'overlay.yaml': 'files:\n  /etc/key: { private: true }\n',
    'files/etc/key.mustache': '{{#secrets.munge}}{{secrets.munge}}{{/secrets.munge}}\n',
  })
})
afterEach(async () => {
  vi.restoreAllMocks()
  await test.close()
})

async function push(name: string, files: Record<string, string>) {
  const sources = Object.entries(files).map(([path, text]) => ({
    path,
    content: new TextEncoder().encode(text),
    executable: false,
  }))
  await pushOverlay(test.services.registry, editor, { name, git: undefined, ...(await parseOverlay(name, sources)) })
}

/** So many nodes of one profile, with these overlays. */
async function cluster(nodes: number, overlays: string[], own: (at: number) => Settings = () => ({})) {
  await test.seedProfile('all', { image: 'rocky9', overlays: { system: overlays, runtime: [] } })
  for (let at = 0; at < nodes; at++) await setNode(at, own(at))
}
const setNode = (at: number, settings: Settings = {}) => test.seedNode(nameOf(at), macOf(at), settings, ['all'])

const digestsOf = async (nodes: number, list: OverlayList = 'system') =>
  Promise.all(Array.from({ length: nodes }, (_, at) => treeOf(at, list).then(({ digest }) => digest)))

async function treeOf(at: number, list: OverlayList = 'system') {
  const snapshot = await createSnapshots(test.services.registry)()
  const node = await nodeByName(test.services.registry)(nameOf(at))
  if (!node) throw new Error(`no node ${nameOf(at)}`)
  return archives.treeOf(node, list, snapshot)
}
const textAt = async (at: number, path: string) => {
  const file = (await treeOf(at)).files.find((one) => one.path === path)
  return file?.type === 'file' ? new TextDecoder().decode(file.content) : undefined
}

/** How many templates `work` renders. */
async function rendersOf(work: () => Promise<unknown>): Promise<number> {
  const before = archives.renders()
  await work()
  return archives.renders() - before
}

describe('a tree', () => {
  it('is rendered once, however often and by however many it is asked for', async () => {
    await cluster(1, ['own'])
    expect(await rendersOf(() => Promise.all(Array.from({ length: 50 }, () => treeOf(0))))).toBe(1)
    expect(await rendersOf(() => treeOf(0))).toBe(0)
    expect(await treeOf(0)).toBe(await treeOf(0))
  })

  it('is rendered for one node after an edit of that node, and for no other', async () => {
    await cluster(20, ['own', 'rack'])
    // The names differ, the racks do not.
    expect(await rendersOf(() => digestsOf(20))).toBe(21)
    await setNode(7, { tags: { rack: 'r1' } })
    const made = vi.spyOn(await import('../../src/overlays/tree.ts'), 'treeOf')
    expect(await rendersOf(() => digestsOf(20))).toBe(1)
    expect(made).toHaveBeenCalledTimes(1)
    expect(await textAt(7, '/etc/rack')).toBe('r1\n')
  })

  it('is not even put together again after an edit of something else', async () => {
    await cluster(3, ['own', 'all'])
    await digestsOf(3)
    const made = vi.spyOn(await import('../../src/overlays/tree.ts'), 'treeOf')
    await test.seedProfile('other', { tags: { a: 'b' } })
    await push('elsewhere', { 'files/etc/x': 'x' })
    await setNode(3, {})
    await test.seedImage('debian13')
    // The new node is in the list of all, and one that is edited where nobody looks is not.
    expect(await rendersOf(() => digestsOf(4))).toBe(2)
    expect(made).toHaveBeenCalledTimes(4)
    made.mockClear()
    await setNode(2, { description: 'new' })
    expect(await rendersOf(() => digestsOf(4))).toBe(0)
    expect(made).toHaveBeenCalledTimes(1)
  })

  it('changes with what its node inherits, with the image and with an overlay', async () => {
    await cluster(2, ['own', 'rack'])
    const seen = new Set(await digestsOf(2))
    const changes = async (edit: () => Promise<unknown>) => {
      await edit()
      for (const digest of await digestsOf(2)) {
        expect(seen.has(digest)).toBe(false)
        seen.add(digest)
      }
    }
    await changes(() =>
      test.seedProfile('all', {
        image: 'rocky9',
        overlays: { system: ['own', 'rack'], runtime: [] },
        tags: { rack: 'r9' },
      }),
    )
    await changes(() => push('own', { 'files/etc/hostname.mustache': '{{node.name}} {{image.digest}}\n' }))
    await changes(() => test.seedImage('rocky9', { warnings: ['another version'] }))
    await changes(() =>
      test.seedProfile('all', { image: 'rocky9', overlays: { system: ['own', 'included'], runtime: [] } }).then(() => {
        fromHead.set('motd', 'hello\n')
      }),
    )
  })

  it('says which version of an overlay its files are of, also when they are the same bytes', async () => {
    await cluster(1, ['own'])
    const versionOf = async () => (await treeOf(0)).files.find(({ path }) => path === '/etc/constant')?.version
    const { digest } = await treeOf(0)
    expect(await versionOf()).toBe(1)
    await push('own', {
      'overlay.yaml': 'description: x\n',
      'files/etc/hostname.mustache': '{{node.name}}\n',
      'files/etc/constant': 'same\n',
    })
    expect(await versionOf()).toBe(2)
    expect((await treeOf(0)).digest).toBe(digest)
  })

  it('is one for all nodes that get the same', async () => {
    await push('own', { 'files/etc/constant': 'same\n' })
    await cluster(3, ['own'])
    const [one, other] = [await treeOf(0), await treeOf(2)]
    expect(one).toBe(other)
  })

  it('that cannot be rendered says so to each, and is rendered when the fault is gone', async () => {
    await push('own', { 'files/etc/x.mustache': '{{tags.rack}}' })
    await cluster(2, ['own'])
    for (const at of [0, 1, 0]) await expect(treeOf(at)).rejects.toThrow('unknown name tags.rack in own:/etc/x')
    await setNode(0, { tags: { rack: 'r1' } })
    expect(await textAt(0, '/etc/x')).toBe('r1')
    await expect(treeOf(1)).rejects.toThrow('unknown name tags.rack')
  })

  it('of an image that is gone names the node that asked', async () => {
    await cluster(2, ['own'])
    await test.seedProfile('all', { image: 'gone', overlays: { system: ['own'] } })
    for (const at of [0, 1]) await expect(treeOf(at)).rejects.toThrow(`${nameOf(at)}: no image gone`)
  })
})

describe('a storm', () => {
  it('of a thousand nodes after an edit of their overlay renders what is the same for all once, and reads the nodes once', async () => {
    const names = Array.from({ length: 1000 }, (_, at) => nameOf(at))
    await cluster(0, ['all', 'rack'])
    const { changeNodes } = await import('../../src/registry/nodes.ts')
    await changeNodes(
      test.services.registry,
      editor,
      async () => names,
      (name) => ({
        profiles: ['all'],
        settings: {
          netdevs: {
            default: {
              mac: macOf(names.indexOf(name)),
              address: `10.0.${names.indexOf(name) >> 8}.${names.indexOf(name) & 255}/16`,
            },
          },
        },
      }),
    )
    const listed = vi.spyOn(await import('../../src/registry/nodes.ts'), 'listNodes')
    // The rack and the list of all nodes.
    expect(await rendersOf(() => digestsOf(1000))).toBe(2)
    expect(listed).toHaveBeenCalledTimes(1)
    await push('rack', { 'files/etc/rack.mustache': 'rack {{#tags.rack}}{{tags.rack}}{{/tags.rack}}\n' })
    expect(await rendersOf(() => digestsOf(1000))).toBe(1)
    await setNode(5, { netdevs: { default: { address: '10.9.9.9/16' } } })
    expect(await rendersOf(() => digestsOf(1000))).toBe(1)
    expect(await textAt(999, '/etc/all')).toContain(`${nameOf(5)} 10.9.9.9\n`)
    // After the first time only what was edited is read.
    expect(listed).toHaveBeenCalledTimes(1)
  })
})

describe('the nodes that templates see', () => {
  it('are those that there are, also when some are made and deleted', async () => {
    const { changeNodes } = await import('../../src/registry/nodes.ts')
    await cluster(3, ['all'])
    expect(await textAt(0, '/etc/all')).toBe('n0000 \nn0001 \nn0002 \n')
    await changeNodes(
      test.services.registry,
      editor,
      async () => ['n0001'],
      () => undefined,
    )
    await setNode(10)
    expect(await textAt(0, '/etc/all')).toBe('n0000 \nn0002 \nn0010 \n')
    await test.seedProfile('all', {
      image: 'rocky9',
      overlays: { system: ['all'] },
      netdevs: { default: { primary: true } },
      domain: 'cluster.example',
    })
    await push('all', { 'files/etc/all.mustache': '{{#nodes}}{{fqdn}}\n{{/nodes}}' })
    expect(await textAt(0, '/etc/all')).toBe('n0000.cluster.example\nn0002.cluster.example\nn0010.cluster.example\n')
  })
})

describe('secrets', () => {
  const setSecret = async (owner: 'cluster' | `node:${string}`, text: string) => {
    const { setSecret: set } = await import('../../src/registry/secrets.ts')
    await set(test.services, editor, { owner, name: 'munge', value: text })
  }

  it('change the trees of those who read them, and of nobody else', async () => {
    await cluster(3, ['own', 'secret'])
    await digestsOf(3)
    expect(await textAt(1, '/etc/key')).toBe('\n')
    await setSecret('cluster', 'one')
    expect(await textAt(1, '/etc/key')).toBe('one\n')
    // The same for all: rendered once.
    expect(await rendersOf(() => digestsOf(3))).toBe(0)
    const made = vi.spyOn(await import('../../src/overlays/tree.ts'), 'treeOf')
    await setSecret(`node:${nameOf(2)}`, 'two')
    expect(await rendersOf(() => digestsOf(3))).toBe(1)
    expect(made).toHaveBeenCalledTimes(1)
    expect([await textAt(1, '/etc/key'), await textAt(2, '/etc/key')]).toEqual(['one\n', 'two\n'])
  })

  it('are not in boot archives', async () => {
    await cluster(1, ['own', 'secret'])
    await setSecret('cluster', 'the key of munge')
    expect(await textAt(0, '/etc/key')).toBe('the key of munge\n')
    const node = await nodeByName(test.services.registry)(nameOf(0))
    if (!node) throw new Error('no node')
    const snapshot = await createSnapshots(test.services.registry)()
    const { pieces, tree } = await archives.bootArchive(node, 'system', snapshot)
    const bytes = joined(pieces)
    expect(tree.private).toBe(true)
    expect(new TextDecoder('latin1').decode(bytes)).not.toContain('the key of munge')
    expect(new TextDecoder('latin1').decode(bytes)).not.toContain('etc/key')
  })
})

describe('files of the head node', () => {
  it('are read again after a second, and their change is a change', async () => {
    await cluster(2, ['own', 'included'])
    await expect(treeOf(0)).rejects.toThrow('there is no file motd')
    fromHead.set('motd', 'one\n')
    test.clock.forward(0.02)
    expect(await textAt(0, '/etc/included')).toBe('one\n')
    const { digest } = await treeOf(0)
    expect(await rendersOf(() => digestsOf(2))).toBe(1)
    fromHead.set('motd', 'two\n')
    test.clock.forward(0.02)
    expect(await textAt(1, '/etc/included')).toBe('two\n')
    expect((await treeOf(0)).digest).not.toBe(digest)
    test.clock.forward(0.02)
    expect(await rendersOf(() => digestsOf(2))).toBe(0)
    // Without an edit of the registry nobody else could tell.
    const snapshot = await createSnapshots(test.services.registry)()
    expect(archives.knownDigest(nameOf(0), 'system', snapshot)).toBeUndefined()
  })

  it('is not refused for a file that only the node before it has read', async () => {
    await push('maybe', {
      'files/etc/maybe.mustache': '{{#tags.file}}{{#head.file}}{{tags.file}}{{/head.file}}{{/tags.file}}.',
    })
    await cluster(3, ['maybe'], (at) => (at === 1 ? { tags: { file: 'motd' } } : {}))
    fromHead.set('motd', 'one')
    expect(await textAt(0, '/etc/maybe')).toBe('.')
    expect(await textAt(1, '/etc/maybe')).toBe('one.')
    vi.spyOn(fromHead, 'get').mockImplementation(() => {
      throw new Error('the disk is gone')
    })
    test.clock.forward(0.02)
    expect(await textAt(2, '/etc/maybe')).toBe('.')
    const snapshot = await createSnapshots(test.services.registry)()
    expect(archives.knownDigest(nameOf(2), 'system', snapshot)).toBeDefined()
    await expect(textAt(1, '/etc/maybe')).rejects.toThrow('the disk is gone')
  })

  it('that cannot be read are an error, and never taken for absent', async () => {
    const broken = overlayArchives({
      ...test.services,
      headFile: async () => {
        throw new Error('EIO')
      },
    })
    archives = broken
    await cluster(1, ['included'])
    await expect(treeOf(0)).rejects.toThrow('EIO')
  })
})

describe('digests', () => {
  it('are known without a query as long as nobody edits', async () => {
    await cluster(1, ['own', 'all', 'secret'])
    const snapshot = await createSnapshots(test.services.registry)()
    expect(archives.knownDigest(nameOf(0), 'system', snapshot)).toBeUndefined()
    const { digest } = await treeOf(0)
    expect(await queriesOf(async () => archives.knownDigest(nameOf(0), 'system', snapshot))).toBe(0)
    expect(archives.knownDigest(nameOf(0), 'system', snapshot)).toMatchObject({ digest, private: true })
    await setNode(0, { tags: { rack: 'x' } })
    const later = await createSnapshots(test.services.registry)()
    expect(archives.knownDigest(nameOf(0), 'system', later)).toBeUndefined()
  })
})

describe('assets that are edited while a tree is made', () => {
  it('do not make it known as of after the edit', async () => {
    let edits = 0
    const assets = { ...test.services.assets, version: () => `${test.services.assets.version()} ${edits}` }
    const source = overlaySource({ ...test.services, assets })
    const find: typeof source.find = async (name) => {
      const found = await source.find(name)
      edits++
      return found
    }
    archives = overlayArchives({ ...test.services, assets, overlays: { ...source, find } })
    await cluster(1, ['own'])
    const snapshot = await createSnapshots(test.services.registry)()
    await treeOf(0)
    expect(archives.knownDigest(nameOf(0), 'system', snapshot)).toBeUndefined()
  })
})

describe('what is kept', () => {
  it('is bounded, however many nodes and however large their files, and shared contents count once', async () => {
    const large = 'x'.repeat(2 * 1024 * 1024)
    await push('own', { 'files/etc/shared': large, 'files/etc/hostname.mustache': '{{node.name}}\n' })
    await cluster(60, ['own'])
    for (let at = 0; at < 60; at++) await treeOf(at)
    // Sixty times the file would be 120 MiB.
    expect(archives.kept()).toBeGreaterThan(large.length)
    expect(archives.kept()).toBeLessThan(2 * large.length)
    fromHead.set('large', large)
    await push('own', { 'files/etc/each.mustache': '{{node.name}}{{#head.file}}large{{/head.file}}' })
    for (let at = 0; at < 60; at++) await treeOf(at)
    expect(archives.kept()).toBeLessThanOrEqual(mostKept)
    expect(archives.kept()).toBeGreaterThan(mostKept / 2)
    // What had to go is rendered again, and is the same.
    const { digest } = await treeOf(0)
    const content = new TextEncoder().encode(`${nameOf(0)}${large}`)
    expect((await treeOf(0)).list).toContain((await digestOf(content)).slice('sha256:'.length))
    expect((await treeOf(0)).digest).toBe(digest)
  }, 30_000)
})
