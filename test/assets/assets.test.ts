import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fsAssets } from '../../src/assets/fs.ts'
import { type AssetsBinding, boundAssets } from '../../src/assets/worker.ts'

let folder: string
let clock = 0
const shipped = () => join(folder, 'shipped')
const site = () => join(folder, 'site')
const write = (path: string, text: string | Uint8Array) => {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), text)
}
const open = () => fsAssets([site(), shipped()], () => clock)

beforeEach(() => {
  clock = 0
  folder = mkdtempSync(join(tmpdir(), 'muster-assets-'))
  write('shipped/ipxe/default.ipxe', 'shipped default')
  write('shipped/ipxe/other.ipxe', 'shipped other')
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('assets in folders', () => {
  it('are text and bytes, and undefined when they are not there', async () => {
    const assets = open()
    expect(await assets.text('ipxe/default.ipxe')).toBe('shipped default')
    expect(await assets.bytes('ipxe/default.ipxe')).toEqual(new TextEncoder().encode('shipped default'))
    for (const absent of ['ipxe/none', 'ipxe', 'ipxe/default.ipxe/more', 'none/none'])
      expect(await assets.text(absent)).toBeUndefined()
    expect(await assets.list('none')).toEqual([])
  })

  it('of the site shadow the shipped ones, file by file', async () => {
    write('site/ipxe/default.ipxe', 'site default')
    write('site/ipxe/extra.ipxe', 'site extra')
    const assets = open()
    expect(await assets.text('ipxe/default.ipxe')).toBe('site default')
    expect(await assets.text('ipxe/other.ipxe')).toBe('shipped other')
    expect((await assets.list('ipxe')).map(({ path }) => path)).toEqual(['default.ipxe', 'extra.ipxe', 'other.ipxe'])
  })

  it('of the site that are a file hide a shipped folder, and the other way round', async () => {
    write('shipped/a/deep/file', 'a')
    write('shipped/b', 'b')
    write('site/a', 'file')
    write('site/b/file', 'folder')
    const assets = open()
    expect((await assets.list('ipxe')).length).toBe(2)
    expect([await assets.text('a'), await assets.text('a/deep/file')]).toEqual(['file', undefined])
    expect([await assets.text('b'), await assets.text('b/file')]).toEqual([undefined, 'folder'])
  })

  it('are listed with their links and whether they can be run', async () => {
    write('shipped/o/run', '#!/bin/sh')
    chmodSync(join(shipped(), 'o/run'), 0o755)
    write('shipped/o/sub/plain', '')
    symlinkSync('../run', join(shipped(), 'o/sub/link'))
    symlinkSync('/etc', join(shipped(), 'o/etc'))
    expect(await open().list('o')).toEqual([
      { path: 'etc', link: '/etc' },
      { path: 'run', executable: true },
      { path: 'sub/link', link: '../run' },
      { path: 'sub/plain', executable: false },
    ])
  })

  it('are walked at most once a second, and a change is seen then', async () => {
    const assets = open()
    const before = assets.version()
    expect(await assets.text('ipxe/default.ipxe')).toBe('shipped default')
    write('shipped/ipxe/default.ipxe', 'edited')
    write('site/new', 'new')
    clock = 999
    expect(assets.version()).toBe(before)
    expect(await assets.text('ipxe/default.ipxe')).toBe('shipped default')
    expect(await assets.text('new')).toBeUndefined()
    clock = 1000
    expect(await assets.text('new')).toBe('new')
    expect(assets.version()).not.toBe(before)
    expect(await assets.text('ipxe/default.ipxe')).toBe('edited')
    const after = assets.version()
    clock = 5000
    expect(assets.version()).toBe(after)
  })

  it.each([
    ['an edit of the same length', () => write('shipped/ipxe/other.ipxe', 'shipped OTHER')],
    ['a new mode', () => chmodSync(join(folder, 'shipped/ipxe/other.ipxe'), 0o755)],
    ['a file that is gone', () => rmSync(join(folder, 'shipped/ipxe/other.ipxe'))],
  ])('have another version after %s', async (_label, change) => {
    const assets = open()
    const before = assets.version()
    change()
    clock += 1000
    expect(assets.version()).not.toBe(before)
  })

  it.each(['../secret', 'ipxe/../../secret', '/etc/passwd', 'ipxe//default.ipxe', './x', '', 'a\\b', 'a\0b', 'ipxe/'])(
    'refuse the path %j',
    async (path) => {
      write('secret', 'secret')
      for (const ask of [open().text, open().bytes, open().list])
        await expect(ask(path)).rejects.toMatchObject({ code: 'NAME_INVALID' })
    },
  )

  it('never give what lies outside, whatever the path', async () => {
    write('secret', 'secret')
    mkdirSync(site())
    symlinkSync(folder, join(site(), 'up'))
    const part = fc.oneof(
      fc.constantFrom('..', '.', '', 'up', 'secret', 'ipxe', '\0', '\\', '%2e%2e', '...'),
      fc.string(),
    )
    const assets = open()
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 6 }), async (parts) => {
        const given = await assets.text(parts.join('/')).catch((error) => error.code)
        expect(given).toBeOneOf([undefined, 'NAME_INVALID'])
      }),
    )
  })

  it('read a link that ends inside, and refuse one that ends outside', async () => {
    write('secret', 'secret')
    symlinkSync('default.ipxe', join(shipped(), 'ipxe/same.ipxe'))
    symlinkSync('../../secret', join(shipped(), 'ipxe/out.ipxe'))
    symlinkSync('nowhere', join(shipped(), 'ipxe/dangling.ipxe'))
    const assets = open()
    expect(await assets.text('ipxe/same.ipxe')).toBe('shipped default')
    expect(await assets.text('ipxe/dangling.ipxe')).toBeUndefined()
    await expect(assets.text('ipxe/out.ipxe')).rejects.toMatchObject({ code: 'NAME_INVALID' })
  })

  it('refuse text that is not UTF-8, and give its bytes', async () => {
    write('shipped/binary', Uint8Array.of(0xff, 0xfe))
    const assets = open()
    await expect(assets.text('binary')).rejects.toMatchObject({
      code: 'TEMPLATE_INVALID',
      message: 'binary is not UTF-8 text',
    })
    expect(await assets.bytes('binary')).toEqual(Uint8Array.of(0xff, 0xfe))
  })
})

describe('assets behind a binding', () => {
  const index = [
    { path: 'ipxe/default.ipxe', executable: false },
    { path: 'ipxe/link.ipxe', link: './default.ipxe' },
    { path: 'ipxe/loop', link: 'loop' },
    { path: 'ipxe/etc', link: '/etc/passwd' },
    { path: 'o/a b#c?', executable: true },
  ]
  const fetched: string[] = []
  const binding: AssetsBinding = {
    fetch: async (url) => {
      fetched.push(url)
      return new Response(`bytes of ${new URL(url).pathname}`)
    },
  }
  beforeEach(() => fetched.splice(0))

  it('are fetched once, through links, with every character of their names', async () => {
    const assets = boundAssets(binding, index)
    expect(await assets.text('ipxe/default.ipxe')).toBe('bytes of /ipxe/default.ipxe')
    expect(await assets.text('ipxe/link.ipxe')).toBe('bytes of /ipxe/default.ipxe')
    expect(await assets.text('o/a b#c?')).toBe('bytes of /o/a%20b%23c%3F')
    expect(fetched).toHaveLength(2)
  })

  it('are asked for only when the index has them', async () => {
    const assets = boundAssets(binding, index)
    for (const absent of ['none', 'ipxe', 'ipxe/loop', 'ipxe/etc']) expect(await assets.text(absent)).toBeUndefined()
    await expect(assets.text('../x')).rejects.toMatchObject({ code: 'NAME_INVALID' })
    expect(fetched).toEqual([])
    expect(await assets.list('o')).toEqual([{ path: 'a b#c?', executable: true }])
  })

  it('that the binding does not have are a failure, not an absence', async () => {
    const assets = boundAssets({ fetch: async () => new Response('', { status: 404 }) }, index)
    await expect(assets.text('ipxe/default.ipxe')).rejects.toThrow('answers 404')
  })
})

describe('boot-assets/index.json', () => {
  it('lists every shipped file: after a change, write it anew with `npm run assets`', async () => {
    const root = fileURLToPath(new URL('../../boot-assets', import.meta.url))
    const assets = fsAssets([root])
    const listed = readdirSync(root).map(async (folder) =>
      (await assets.list(folder)).map((file) => ({ ...file, path: `${folder}/${file.path}` })),
    )
    const files = (await Promise.all(listed)).flat().sort((a, b) => (a.path < b.path ? -1 : 1))
    await expect(`${JSON.stringify(files, null, 2)}\n`).toMatchFileSnapshot(join(root, 'index.json'))
  })
})
