/** Files of images and of the head node that templates include: read as rarely as can be, and never guessed. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Digest } from '../../src/blobs/digest.ts'
import { templateFiles } from '../../src/boot/template-files.ts'
import { templateFolder } from '../../src/head/template-folder.ts'
import type { Services } from '../../src/services.ts'
import { archive, bytes, member } from '../archive/tar-writer.ts'
import { startOfTests, type TestApp, testApp } from '../harness.ts'
import { basics } from '../images/small-image.ts'

const textOf = (found: Uint8Array | undefined) => found && new TextDecoder().decode(found)
const now = () => startOfTests

describe('files of an image', () => {
  let test: TestApp
  let digest: Digest
  const large = 16 * 2 ** 20 + 1
  beforeAll(async () => {
    test = await testApp()
    const tar = archive(
      ...basics.map(member),
      member({ name: 'etc/', flag: '5', mode: 0o755 }),
      member({ name: 'etc/os-release', flag: '2', link: '../usr/lib/os-release' }),
      member({ name: 'etc/outside', flag: '2', link: '../../../../usr/lib/os-release' }),
      member({ name: 'etc/dangling', flag: '2', link: '/nowhere' }),
      member({ name: 'usr/lib/os-release', data: bytes('ID=rocky\n') }),
      member({ name: 'opt/large', data: new Uint8Array(large) }),
    )
    const made = await test.call('POST', '/api/images/rocky9/versions', {
      body: tar,
      headers: { 'content-type': 'application/x-tar' },
    })
    digest = made.digest
  })
  afterAll(() => test.close())

  const filesOf = (around: Partial<Services> = {}) => templateFiles({ ...test.services, ...around })

  it('are found through links, which never lead out of the image', async () => {
    for (const path of ['/usr/lib/os-release', '/etc/os-release', '/etc/outside'])
      expect(textOf(await filesOf().ofImage(digest, path))).toBe('ID=rocky\n')
  })

  it.each(['/etc/none', '/etc/dangling', '/etc', '/usr/lib/os-release/x'])(
    'that are none (%s) are absent',
    async (path) => {
      expect(await filesOf().ofImage(digest, path)).toBeUndefined()
    },
  )

  it('are read once, however many ask, also when there is none', async () => {
    let opened = 0
    const files = filesOf({
      openImage: async (wanted) => {
        opened++
        if (!test.services.openImage) throw new Error('images can be opened here')
        return test.services.openImage(wanted)
      },
    })
    await Promise.all(Array.from({ length: 10 }, () => files.ofImage(digest, '/etc/os-release')))
    await files.ofImage(digest, '/etc/none')
    for (const path of ['/etc/os-release', '/etc/none']) await files.ofImage(digest, path)
    expect(opened).toBe(2)
  })

  it('that are too large are refused', async () => {
    await expect(filesOf().ofImage(digest, '/opt/large')).rejects.toMatchObject({
      code: 'TEMPLATE_INVALID',
      message: expect.stringContaining(`/opt/large of the image has ${large} bytes`),
    })
  })

  it('of an image that cannot be read are an error, which is not remembered', async () => {
    let fails = true
    const files = filesOf({
      openImage: async (wanted) => {
        if (fails || !test.services.openImage) throw new Error('EIO')
        return test.services.openImage(wanted)
      },
    })
    await expect(files.ofImage(digest, '/etc/os-release')).rejects.toThrow('EIO')
    fails = false
    expect(textOf(await files.ofImage(digest, '/etc/os-release'))).toBe('ID=rocky\n')
  })

  it('cannot be read where images cannot be opened, and that is said', async () => {
    const { openImage: _none, ...services } = test.services
    await expect(templateFiles(services).ofImage(digest, '/etc/os-release')).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    })
  })
})

describe('files of the head node', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'muster-files-'))
    await mkdir(join(folder, 'site'))
    await writeFile(join(folder, 'site/banner'), 'welcome\n')
    await symlink('banner', join(folder, 'site/link'))
    await writeFile(join(folder, 'huge'), new Uint8Array(16 * 2 ** 20 + 1))
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('are read by their path in the folder, through links', async () => {
    const read = templateFolder(folder)
    expect(textOf(await read('site/banner'))).toBe('welcome\n')
    expect(textOf(await read('site/link'))).toBe('welcome\n')
  })

  it.each(['none', 'site', 'site/banner/x'])('that are none (%s) are absent', async (path) => {
    expect(await templateFolder(folder)(path)).toBeUndefined()
  })

  it.each(['../etc/passwd', 'site/../../x', '/etc/passwd', 'site//banner', './huge', '', 'a\0b'])(
    'outside of the folder (%j) are refused',
    async (path) => {
      await expect(templateFolder(folder)(path)).rejects.toMatchObject({ code: 'NAME_INVALID' })
    },
  )

  it('that are too large are refused', async () => {
    await expect(templateFolder(folder)('huge')).rejects.toMatchObject({ code: 'TEMPLATE_INVALID' })
  })

  it('are the same object as long as they say the same, and none where there is no folder', async () => {
    let at = 0
    const files = templateFiles({ headFile: templateFolder(folder), now: () => new Date(at) })
    const first = await files.ofHead('site/banner')
    at += 2000
    expect(await files.ofHead('site/banner')).toBe(first)
    await writeFile(join(folder, 'site/banner'), 'hello\n')
    // Within a second nobody looks.
    expect(await files.ofHead('site/banner')).toBe(first)
    // A clock that was set back counts as time gone by.
    at -= 5000
    expect(textOf(await files.ofHead('site/banner'))).toBe('hello\n')
    expect(await templateFiles({ now }).ofHead('site/banner')).toBeUndefined()
  })
})
