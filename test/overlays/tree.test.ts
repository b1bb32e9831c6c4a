/** The list that a node is given, and what is in it. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Digest } from '../../src/blobs/digest.ts'
import { AppError } from '../../src/errors.ts'
import type { Reload } from '../../src/overlays/manifest.ts'
import { pathFault } from '../../src/overlays/path.ts'
import type { RenderedFile } from '../../src/overlays/render.ts'
import { contentAt, contentDigests, maskedList, treeOf } from '../../src/overlays/tree.ts'
import { parseStrictly } from './list-parser.ts'

const hexOf = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex')
const sync = (bytes: Uint8Array | string): Digest => `sha256:${hexOf(bytes)}`
const bytes = (text: string) => new TextEncoder().encode(text)
const common = { mode: 0o644, uid: 0, gid: 0, overlay: 'o' }
const file = (path: string, text: string, more: Partial<RenderedFile> = {}): RenderedFile =>
  ({ ...common, ...more, path, type: 'file', content: bytes(text) }) as RenderedFile

const chrony: RenderedFile[] = [
  { ...common, path: '/etc/chrony.d', type: 'directory', mode: 0o755 },
  file('/etc/chrony.d/site.conf', 'server 10.0.0.1\n', { reload: [{ unit: 'chronyd.service' }] }),
  { ...common, path: '/etc/localtime', type: 'link', target: '/usr/share/zoneinfo/UTC', mode: 0o644 },
  { ...common, path: '/etc/motd.d/cockpit', type: 'removal' },
  file('/etc/munge/munge.key', 'secret', { mode: 0o400, uid: 985, gid: 985, private: true }),
  file('/etc/postfix/virtual', 'a b\n', {
    reload: [{ unit: 'chronyd.service' }, { argv: ['/usr/sbin/postmap', '/etc/postfix/virtual'] }],
  }),
  { ...common, path: '/etc/secret link', type: 'link', target: 'token', private: true },
]

const list = `muster-overlay 1
action 1 unit chronyd.service
action 2 argv /usr/sbin/postmap
action 2 argv /etc/postfix/virtual
d 0755 0 0 - - /etc/chrony.d
f 0644 0 0 ${hexOf('server 10.0.0.1\n')} 1 /etc/chrony.d/site.conf
l 0777 0 0 ${hexOf('/usr/share/zoneinfo/UTC')} - /etc/localtime
r - - - - - /etc/motd.d/cockpit
f 0400 985 985 ${hexOf('secret')} - /etc/munge/munge.key
f 0644 0 0 ${hexOf('a b\n')} 1,2 /etc/postfix/virtual
l 0777 0 0 ${hexOf('token')} - /etc/secret link
`

const treeOfThese = (files: RenderedFile[]) => treeOf(files, contentDigests(sync))

describe('a list', () => {
  it('says types, modes, owners, digests and what is to be done', async () => {
    const tree = await treeOfThese(chrony)
    expect(tree.list).toBe(list)
    expect(tree.digest).toBe(`sha256:${hexOf(list)}`)
  })

  it('is the same with Web Crypto', async () => {
    expect(await treeOf(chrony, contentDigests())).toEqual(await treeOfThese(chrony))
  })

  it('has a public part without private files, whose actions are numbered anew', async () => {
    const files = chrony.map((one) => (one.path.endsWith('site.conf') ? { ...one, private: true as const } : one))
    const tree = await treeOfThese(files)
    expect(tree.private).toBe(true)
    const open = parseStrictly(tree.public.list)
    expect(open.map(({ path }) => path)).toEqual([
      '/etc/chrony.d',
      '/etc/localtime',
      '/etc/motd.d/cockpit',
      '/etc/postfix/virtual',
    ])
    expect(open.at(-1)?.actions).toEqual([
      ['unit chronyd.service'],
      ['argv /usr/sbin/postmap', 'argv /etc/postfix/virtual'],
    ])
    expect(tree.public.digest).toBe(`sha256:${hexOf(tree.public.list)}`)
  })

  it('is its own public part when nothing is private', async () => {
    const tree = await treeOfThese([file('/etc/motd', 'hello')])
    expect(tree.private).toBe(false)
    expect(tree.public).toEqual({ list: tree.list, digest: tree.digest })
  })

  it('hides the digests of private files, and only these, from whoever reads what nodes have', async () => {
    const masked = maskedList(await treeOfThese(chrony))
    expect(masked).toBe(list.replace(hexOf('secret'), '-').replace(hexOf('token'), '-'))
  })

  it('of nothing is its title', async () => {
    expect((await treeOfThese([])).list).toBe('muster-overlay 1\n')
  })

  it('finds contents by the numbers of lines', async () => {
    const tree = await treeOfThese(chrony)
    const contents = list.split('\n').map((_line, at) => {
      const content = contentAt(tree, at + 1)
      return content && new TextDecoder().decode(content)
    })
    const none = undefined
    expect(contents).toEqual([
      none,
      none,
      none,
      none,
      none,
      'server 10.0.0.1\n',
      '/usr/share/zoneinfo/UTC',
      none,
      'secret',
      'a b\n',
      'token',
      none,
    ])
    for (const line of [0, -1, 1.5, Number.NaN]) expect(contentAt(tree, line)).toBeUndefined()
  })

  it.each<[string, Reload]>([
    ['an argument with a newline', { argv: ['/bin/x', 'a\nf 4755 0 0 - - /x'] }],
    ['an empty argument', { argv: ['/bin/x', ''] }],
    ['an argument that ends in a blank', { argv: ['/bin/x', 'a '] }],
    ['an argument that begins with a blank', { argv: ['/bin/x', ' a'] }],
    ['no argument', { argv: [] }],
    ['a unit with a newline', { unit: 'a.service\n' }],
  ])('cannot carry %s, and says which file has it', async (_, reload) => {
    const tree = treeOfThese([file('/etc/motd', 'x', { reload: [reload] })])
    await expect(tree).rejects.toThrow(/overlay o: \/etc\/motd has a reload/)
    await expect(tree).rejects.toBeInstanceOf(AppError)
  })

  it('is read back as what it was made of, whatever the files are', async () => {
    await fc.assert(
      fc.asyncProperty(someFiles, async (files) => {
        const tree = await treeOfThese(files)
        const lines = parseStrictly(tree.list)
        expect(lines.map(shown)).toEqual(files.map(told))
        expect(tree.lines).toEqual(lines.map(({ line, type }) => (type === 'f' || type === 'l' ? line : 0)))
        expect(parseStrictly(tree.public.list).map(shown)).toEqual(files.filter((one) => !one.private).map(told))
        for (const { line, digest } of lines)
          if (digest !== '-') expect(hexOf(contentAt(tree, line) ?? '')).toBe(digest)
      }),
      { numRuns: 300 },
    )
  })
})

describe('digests of contents', () => {
  it('of all but the smallest contents are computed once for each object', async () => {
    let count = 0
    const digest = contentDigests((given) => {
      count++
      return sync(given)
    })
    const shared = new Uint8Array(5000)
    for (let at = 0; at < 3; at++) expect(await digest(shared)).toBe(sync(shared))
    expect(count).toBe(1)
    await digest(new Uint8Array(5000))
    expect(count).toBe(2)
  })

  it('of large contents are left to Web Crypto', async () => {
    const digest = contentDigests(() => {
      throw new Error('this would hold up everybody')
    })
    const large = new Uint8Array(300_000)
    expect(await digest(large)).toBe(sync(large))
  })
})

describe('a path', () => {
  it.each(['/etc/motd ', '/etc/a b '])('that ends in a blank (%j) is refused: no node could be told it', (path) => {
    expect(pathFault(path)).toBe('ends in a blank')
  })

  it('may have blanks anywhere else', () => {
    expect(pathFault('/etc/a b/ c')).toBeUndefined()
  })
})

const shown = ({ type, mode, uid, gid, digest, actions, path }: ReturnType<typeof parseStrictly>[number]) => ({
  type,
  mode,
  uid,
  gid,
  digest,
  actions,
  path,
})

/** What the list should say of a file. */
const told = (one: RenderedFile) => {
  const actions = [
    ...new Map(
      (one.reload ?? []).map((action) => {
        const lines = 'unit' in action ? [`unit ${action.unit}`] : action.argv.map((argument) => `argv ${argument}`)
        return [JSON.stringify(lines), lines]
      }),
    ).values(),
  ]
  const path = one.path
  if (one.type === 'removal') return { type: 'r', mode: '-', uid: '-', gid: '-', digest: '-', actions, path }
  const mode = one.type === 'link' ? '0777' : one.mode.toString(8).padStart(4, '0')
  const digest = one.type === 'file' ? hexOf(one.content) : one.type === 'link' ? hexOf(one.target) : '-'
  return { type: one.type[0], mode, uid: String(one.uid), gid: String(one.gid), digest, actions, path }
}

const somePath = fc
  .array(
    fc.oneof(
      fc.constantFrom('a', 'b c', 'é', '-', '0', 'f 0644 0 0', '#', '\\', '"'),
      fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' }),
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((parts) => `/etc/${parts.join('/')}`)
  .filter((path) => pathFault(path) === undefined)

const someArgument = fc
  .string({ minLength: 1, maxLength: 20, unit: 'grapheme' })
  .filter((text) => !/[\u0000-\u001f\u007f]|^ | $/.test(text))

const someReload: fc.Arbitrary<Reload> = fc.oneof(
  fc.constantFrom({ unit: 'a.service' }, { unit: 'b@1.timer' }),
  fc.record({ argv: fc.array(someArgument, { minLength: 1, maxLength: 3 }) }),
)

const someFile = fc
  .record({
    path: somePath,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.nat(70_000),
    gid: fc.nat(70_000),
    isPrivate: fc.boolean(),
    reload: fc.option(fc.array(someReload, { minLength: 1, maxLength: 3 }), { nil: undefined }),
    rest: fc.oneof(
      fc.record({ type: fc.constant('file' as const), content: fc.uint8Array({ maxLength: 50 }) }),
      fc.record({ type: fc.constant('link' as const), target: fc.string({ minLength: 1, unit: 'grapheme' }) }),
      fc.record({ type: fc.constantFrom('directory' as const, 'removal' as const) }),
    ),
  })
  .map(
    ({ isPrivate, reload, rest, ...one }) =>
      ({
        ...one,
        overlay: 'o',
        ...(isPrivate && { private: true }),
        ...(reload && { reload }),
        ...rest,
      }) as RenderedFile,
  )

const someFiles = fc
  .uniqueArray(someFile, { selector: ({ path }) => path, maxLength: 12 })
  .map((files) => files.sort((a, b) => (a.path < b.path ? -1 : 1)))
