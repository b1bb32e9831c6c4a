/** Overlay lists, read back as they were written. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestOf } from '../../src/blobs/digest.ts'
import type { RenderedFile } from '../../src/overlays/render.ts'
import { contentDigests, maskedList, treeOf } from '../../src/overlays/tree.ts'
import { differences, parseList } from '../../src/overlays/tree-list.ts'

const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)
const common = { mode: 0o644, uid: 0, gid: 0, overlay: 'site' }
const reload = [{ unit: 'chronyd.service' }, { argv: ['/usr/sbin/postmap', '/etc/a b'] }]

describe('a list', () => {
  it('is read back as it was written', async () => {
    const files: RenderedFile[] = [
      { ...common, path: '/etc/a file', type: 'file', content: bytes('x'), mode: 0o4755, uid: 3, gid: 4, reload },
      { ...common, path: '/etc/dir', type: 'directory', mode: 0o1777 },
      { ...common, path: '/etc/key', type: 'file', content: bytes('secret'), private: true, mode: 0o600 },
      { ...common, path: '/etc/link', type: 'link', target: '../x' },
      { ...common, path: '/etc/motd.d', type: 'removal' },
    ]
    const tree = await treeOf(files, contentDigests())
    const hexOf = async (text: string) => (await digestOf(bytes(text))).slice(7)
    expect(parseList(maskedList(tree))).toEqual([
      {
        path: '/etc/a file',
        type: 'file',
        mode: 0o4755,
        uid: 3,
        gid: 4,
        digest: await hexOf('x'),
        private: false,
        actions: 'unit chronyd.service\nargv /usr/sbin/postmap\nargv /etc/a b\n',
      },
      { path: '/etc/dir', type: 'directory', mode: 0o1777, uid: 0, gid: 0, private: false, actions: '' },
      { path: '/etc/key', type: 'file', mode: 0o600, uid: 0, gid: 0, private: true, actions: '' },
      {
        path: '/etc/link',
        type: 'link',
        mode: 0o777,
        uid: 0,
        gid: 0,
        digest: await hexOf('../x'),
        private: false,
        actions: '',
      },
      { path: '/etc/motd.d', type: 'removal', private: false, actions: '' },
    ])
  })

  it('differs from another in exactly the paths that do, however actions are numbered', async () => {
    const name = fc.stringMatching(/^[a-z][a-z .-]{0,8}[a-z]$/)
    const made = fc.record({
      content: fc.string({ maxLength: 3 }),
      mode: fc.constantFrom(0o600, 0o644),
      reload: fc.constantFrom(undefined, [{ unit: 'a.service' }], [{ unit: 'b.service' }], reload),
    })
    const filesOf = (given: Record<string, { content: string; mode: number; reload: typeof reload | undefined }>) =>
      Object.entries(given)
        .map(
          ([path, one]): RenderedFile => ({
            ...common,
            path: `/etc/${path}`,
            mode: one.mode,
            type: 'file',
            content: bytes(one.content),
            ...(one.reload && { reload: one.reload }),
          }),
        )
        .sort((a, b) => (a.path < b.path ? -1 : 1))
    const files = fc.dictionary(name, made as never, { maxKeys: 6 }) as fc.Arbitrary<Parameters<typeof filesOf>[0]>
    await fc.assert(
      fc.asyncProperty(files, files, async (one, other) => {
        const [a, b] = await Promise.all([
          treeOf(filesOf(one), contentDigests()),
          treeOf(filesOf(other), contentDigests()),
        ])
        const expected = [...new Set([...Object.keys(one), ...Object.keys(other)])].filter(
          (path) => JSON.stringify(one[path]) !== JSON.stringify(other[path]),
        )
        const found = differences(parseList(a.list), parseList(b.list))
        expect(found).toEqual(expected.map((path) => `/etc/${path}`).sort())
        expect(differences(parseList(a.list), parseList(a.list))).toEqual([])
      }),
    )
  })

  it('of another format is read as far as it is understood', () => {
    const list = `muster-overlay 9\nz 0644 0 0 - - /x\nd 0755 0 0 - 7 /etc/d new-field\nf junk\n\n`
    expect(parseList(list)).toEqual([
      { path: '/etc/d new-field', type: 'directory', mode: 0o755, uid: 0, gid: 0, private: false, actions: '' },
    ])
    expect(parseList('')).toEqual([])
  })
})
