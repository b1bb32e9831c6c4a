/** Images on the command line: what is in them, and every edit of them. */
import { execFileSync } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { archive, bytes, member, utf8 } from '../archive/tar-writer.ts'
import { type TestApp, testApp } from '../harness.ts'
import { basics } from '../images/small-image.ts'
import { emptyDirectory, muster, type Setting } from './muster.ts'

let app: TestApp
beforeEach(async () => {
  app = await testApp()
  for (const motd of ['one', 'two', 'three']) await importTree(motd)
})
afterEach(() => app.close())

const go = (line: string, setting?: Setting) => muster(app, line.split(' '), setting)

const importTree = (motd: string) =>
  app.call('POST', `/api/images/rocky9/versions?source=${motd}.tar`, {
    body: archive(
      ...basics.map(member),
      member({ name: 'etc/motd', data: bytes(motd) }),
      member({ name: 'etc/os-release', flag: '2', link: '../usr/lib/os-release' }),
      member({ name: 'usr/lib/os-release', data: bytes('ID=rocky\nVERSION_ID=9.6\n') }),
      member({ name: 'usr/bin/su', mode: 0o4755, data: bytes('su') }),
      member({ name: 'usr/bin/sudo', flag: '1', link: 'usr/bin/su' }),
      member({ name: 'var/tmp/', flag: '5', mode: 0o1777 }),
      member({ name: 'etc/shadow', mode: 0o600, uid: 0, gid: 42, data: bytes('root:*') }),
      member({ name: utf8('etc/ev\u001b[31mil'), data: bytes('') }),
      member({ name: 'dev/null', flag: '3', mode: 0o666, raw: { 329: bytes('0000001\0'), 337: bytes('0000003\0') } }),
    ),
    headers: { 'content-type': 'application/x-tar' },
  })

describe('image files', () => {
  const looks: [file: string, line: string][] = [
    ['image-files', 'image files rocky9'],
    ['image-files-directory', 'image files rocky9@1 /etc'],
    ['image-files-long', 'image files rocky9 /etc -l'],
    ['image-files-recursive', 'image files rocky9 -lR'],
  ]
  it.each(looks)('%s', async (file, line) => {
    const { code, out, err } = await go(line)
    expect([code, err]).toEqual([0, ''])
    await expect(`$ muster ${line}\n${out}`).toMatchFileSnapshot(`../golden/cli/${file}.txt`)
  })

  it('names one file as it was asked for', async () => {
    expect((await go('image files rocky9 /etc/shadow')).out).toBe('/etc/shadow\n')
    expect((await go('image files rocky9 usr/bin/su -l')).out).toMatch(/^-rwsr-xr-x +2 +0 +0 +2 .* usr\/bin\/su\n$/)
  })

  it('reads every page', async () => {
    const { out } = await go('image files rocky9 -R --json', {
      // As if a page had room for two.
      fetch: (input, init) => app.app.request(String(input).replace('limit=10000', 'limit=2'), init),
    })
    expect(JSON.parse(out)).toEqual(await app.call('GET', '/api/images/rocky9/versions/3/files'))
  })

  it('says what is not there', async () => {
    expect(await go('image files rocky9 /nope')).toEqual({ code: 1, out: '', err: expect.stringContaining('no /nope') })
    expect((await go('image files rocky9@9')).err).toMatch(/^muster: image rocky9 has no version 9: /)
    expect((await go('image files rocky9@')).code).toBe(2)
    expect((await go('image files nope')).err).toMatch(/^muster: no image nope/)
  })
})

describe('image cat', () => {
  it('prints the bytes of a file, of a version when one is named', async () => {
    expect(await go('image cat rocky9 /etc/motd')).toEqual({ code: 0, out: 'three', err: '' })
    expect((await go('image cat rocky9@1 etc/motd')).out).toBe('one')
    expect((await go('image cat rocky9 /etc/os-release', { terminal: true })).out).toContain('ID=rocky\n')
  })

  it('says what is no file', async () => {
    expect(await go('image cat rocky9 /etc')).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/directory/),
    })
  })
})

describe('image export', () => {
  it('writes a tar, compressed as its name says', async () => {
    const cwd = await emptyDirectory()
    for (const file of ['a.tar', 'a.tar.gz', 'a.tgz', 'a.tar.zst'])
      expect(await go(`image export rocky9@2 ${file}`, { cwd })).toMatchObject({ code: 0, err: '' })
    const tar = await readFile(join(cwd, 'a.tar'))
    expect(gunzipSync(await readFile(join(cwd, 'a.tar.gz'))).equals(tar)).toBe(true)
    expect(gunzipSync(await readFile(join(cwd, 'a.tgz'))).equals(tar)).toBe(true)
    expect(zstdDecompressSync(await readFile(join(cwd, 'a.tar.zst'))).equals(tar)).toBe(true)
    expect(execFileSync('tar', ['-xOf', join(cwd, 'a.tar'), 'etc/motd']).toString()).toBe('two')
    expect((await readdir(cwd)).sort()).toEqual(['a.tar', 'a.tar.gz', 'a.tar.zst', 'a.tgz'])
    expect((await go('image export rocky9@2 b.tar', { cwd })).out).toBe(
      `wrote b.tar, ${(tar.length / 1000).toPrecision(3)} kB\n`,
    )
  })

  it('writes to stdout for -', async () => {
    const cwd = await emptyDirectory()
    await go('image export rocky9 a.tar', { cwd })
    expect((await go('image export rocky9 -')).out).toBe(await readFile(join(cwd, 'a.tar'), 'utf8'))
  })

  it('asks before it replaces a file, and leaves it when the answer is no', async () => {
    const cwd = await emptyDirectory()
    await writeFile(join(cwd, 'a.tar'), 'mine')
    const asked = await go('image export rocky9 a.tar', { cwd, types: 'n\n' })
    expect([asked.code, asked.err]).toEqual([1, expect.stringContaining('a.tar is there already: replace it?')])
    expect(await readFile(join(cwd, 'a.tar'), 'utf8')).toBe('mine')
    expect((await go('image export rocky9 a.tar -y', { cwd })).code).toBe(0)
    expect((await readFile(join(cwd, 'a.tar'))).length).toBeGreaterThan(10_000)
  })

  it('leaves nothing of an archive that breaks off, nor of one that it cannot write', async () => {
    const cwd = await emptyDirectory()
    const broken = await go('image export rocky9 a.tar', {
      cwd,
      fetch: async (input, init) => {
        const response = await app.app.request(input as string, init)
        if (!String(input).endsWith('/export')) return response
        const pieces = [bytes('beginning')]
        return new Response(
          new ReadableStream({
            pull(controller) {
              const piece = pieces.shift()
              if (piece) controller.enqueue(piece)
              else controller.error(new TypeError('terminated'))
            },
          }),
        )
      },
    })
    expect(broken).toEqual({ code: 1, out: '', err: 'muster: the answer broke off: try again\n' })
    expect(await readdir(cwd)).toEqual([])
    expect(await go('image export rocky9 a.tar.xz', { cwd })).toMatchObject({ code: 2 })
    expect(await readdir(cwd)).toEqual([])
  })
})

describe('image tag', () => {
  it('names a version, moves and goes', async () => {
    expect(await go('image tag rocky9@1 tested', { types: 'y\n' })).toEqual({
      code: 0,
      out: 'rocky9\n  tags.tested: (none) → 1\nrocky9@tested is rocky9@1\n',
      err: 'Apply to image rocky9? [y/N] ',
    })
    expect((await go('image tag rocky9@2 tested -y')).out).toContain('  tags.tested: 1 → 2\n')
    expect((await go('image tag rocky9@2 tested -y')).out).toBe('nothing to change\n')
    expect((await go('image versions rocky9')).out).toMatch(/^3 +\(current\) .*\n2 +tested .*\n1 +- /m)
    expect((await go('image cat rocky9@tested /etc/motd')).out).toBe('two')
    expect((await go('image set-current rocky9 tested -y')).out).toBe(
      'rocky9\n  current: 3 → 2\nnodes get rocky9@2 at their next boot\n',
    )
    expect((await go('image untag rocky9 tested -y')).out).toBe(
      'rocky9\n  tags.tested: 2 → (none)\ntook tag tested off image rocky9\n',
    )
    expect((await go('image untag rocky9 tested -y')).err).toBe('muster: image rocky9 has no tag tested\n')
    expect((await go('image tag rocky9 tested -y')).err).toBe('muster: say which version of rocky9: rocky9@3\n')
  })
})

describe('image rollback', () => {
  it('goes to what was current before, and forth again', async () => {
    await go('image set-current rocky9 1 -y')
    expect(await go('image rollback rocky9 -m oops', { types: 'y\n' })).toEqual({
      code: 0,
      out: 'rocky9\n  current: 1 → 3\nnodes get rocky9@3 at their next boot\n',
      err: 'Apply to image rocky9? [y/N] ',
    })
    expect((await go('image rollback rocky9 -y')).out).toContain('nodes get rocky9@1 ')
    expect((await app.call('GET', '/api/images/rocky9/history')).items[1].message).toBe('oops')
  })

  it('passes over what is deleted, and says when nothing is left', async () => {
    await go('image delete rocky9@2 -y')
    expect((await go('image rollback rocky9 -y')).out).toContain('  current: 3 → 1\n')
    await app.call('POST', '/api/images/fresh/versions', {
      body: archive(...basics.map(member)),
      headers: { 'content-type': 'application/x-tar' },
    })
    expect(await go('image rollback fresh -y')).toMatchObject({
      code: 2,
      err: 'muster: no other version of fresh was current before: see `muster image versions fresh`\n',
    })
  })
})

describe('image delete and prune', () => {
  it('delete takes one version, or says who needs it', async () => {
    await app.call('PUT', '/api/nodes/n1', { body: { settings: { image: 'rocky9@1' } } })
    expect((await go('image delete rocky9@1 -y')).err).toBe(
      'muster: rocky9@1 is used by node n1: give them another version first\n',
    )
    const { out, err } = await go('image delete rocky9@2', { types: 'y\n' })
    expect(err).toBe('Delete rocky9@2? [y/N] ')
    expect(out).toMatch(/^rocky9@2 \(deleted\)\n {2}digest: sha256:\w+ → \(none\)\n {2}source: two.tar → \(none\)\n/)
    expect(out).toMatch(/\ndeleted rocky9@2\n$/)
  })

  it('prune keeps the newest and what is needed', async () => {
    for (const motd of ['four', 'five']) await importTree(motd)
    await app.call('PUT', '/api/nodes/n1', { body: { settings: { image: 'rocky9@2' } } })
    const { out, err } = await go('image prune rocky9 --keep 2', { types: 'y\n' })
    expect(err).toBe('Delete these versions of image rocky9? [y/N] ')
    expect(out).toMatch(/^rocky9@1 \(deleted\)\n(?: .*\n)+rocky9@3 \(deleted\)\n/)
    expect(out).toMatch(/\ndeleted 2 versions of image rocky9\nkept rocky9@2: node n1\n$/)
    expect((await go('image prune rocky9 --keep 2 -y')).out).toBe('nothing to change\n')
    expect((await go('image prune rocky9 --keep no')).code).toBe(2)
    expect((await go('image prune rocky9')).code).toBe(2)
  })
})

describe('image rename and copy', () => {
  it('rename shows whom it follows', async () => {
    await app.call('PUT', '/api/nodes/n1', { body: { settings: { image: 'rocky9@2' } } })
    await app.call('PUT', '/api/profiles/p', { body: { settings: { image: 'rocky9' } } })
    expect(await go('image rename rocky9 el9', { types: 'y\n' })).toEqual({
      code: 0,
      out: [
        'rocky9 (deleted)',
        '  current: 3 → (none)',
        '  newest: 3 → (none)',
        'el9 (new)',
        '  current: (none) → 3',
        '  newest: (none) → 3',
        'n1',
        '  image: rocky9@2 → el9@2',
        'p',
        '  image: rocky9 → el9',
        'renamed image rocky9 to el9, and in 1 node and 1 profile',
        '',
      ].join('\n'),
      err: 'Rename image rocky9 to el9? [y/N] ',
    })
    expect((await go('image rename el9@1 x')).err).toBe('muster: this is about all of el9: leave @1 out\n')
  })

  it('copy makes a new image', async () => {
    expect((await go('image copy rocky9@1 small -y')).out).toMatch(/^small,small@1 \(new\)\n|^small \(new\)\n/)
    expect((await go('image cat small /etc/motd')).out).toBe('one')
    expect((await go('image copy rocky9 all --history -y')).out).toMatch(/\nmade image all\n$/)
    expect((await app.call('GET', '/api/images/all')).versions).toBe(3)
    expect((await go('image copy rocky9@1 x --history')).code).toBe(2)
    expect((await go('image copy rocky9 all -y')).err).toMatch(/^muster: there is an image all already/)
  })
})

describe('image prepare', () => {
  it('makes the archive of a single-stage boot, with progress for people', async () => {
    const { code, out, err } = await go('image prepare rocky9@2')
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/^rocky9@2: [0-9.]+ k?B to fetch, [0-9.]+ kB in memory\n/)
    expect(await app.call('GET', '/api/images/rocky9/versions/2/prepare')).toMatchObject({ state: 'made' })
    expect((await go('image prepare rocky9', { terminal: true })).code).toBe(0)
  })

  it('asks again when the wait was too long and the making goes on', async () => {
    let asked = 0
    const { code } = await go('image prepare rocky9', {
      fetch: async (input, init) => {
        if (init?.method === 'POST' && asked++ === 0) {
          void app.app.request(input as string, init)
          throw new TypeError('fetch failed', {
            cause: Object.assign(new Error(), { code: 'UND_ERR_HEADERS_TIMEOUT' }),
          })
        }
        return app.app.request(input as string, init)
      },
    })
    expect([code, asked]).toEqual([0, 2])
  })

  it('gives up when nothing is being made', async () => {
    const { code, err } = await go('image prepare rocky9', {
      fetch: async (input, init) => {
        if (init?.method === 'POST') throw new TypeError('fetch failed')
        return app.app.request(input as string, init)
      },
    })
    expect([code, err]).toEqual([1, expect.stringContaining('cannot reach')])
  })
})

describe('image show', () => {
  it('lists what a node fetches', async () => {
    const { manifest } = await app.call('GET', '/api/images/rocky9/versions/3')
    const { out } = await go('image show rocky9 --segments')
    expect(out.split('\n')).toHaveLength(manifest.segments.length + 2)
    expect(out).toContain(manifest.segments[0].digest)
  })

  it('knows a version by its tag and its digest', async () => {
    await go('image tag rocky9@2 tested -y')
    const { digest } = await app.call('GET', '/api/images/rocky9/versions/2')
    const { out } = await go('image show rocky9@tested')
    expect(out).toMatch(/^version: rocky9@2\ntags: \[tested\]\n/)
    expect((await go(`image show rocky9@${digest}`)).out).toBe(out)
    expect((await go('image show rocky9@nope')).err).toMatch(/^muster: image rocky9 has no version nope/)
  })
})
