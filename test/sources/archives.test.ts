/** Archives and layouts as real tools write them, read back: the same layers, however they lie. */
import { copyFileSync, createReadStream, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Io } from '../../src/cli/io.ts'
import { openSource, type SourceOptions } from '../../src/sources/source.ts'
import { archive, type Member, member } from '../archive/tar-writer.ts'
import { muster } from '../cli/muster.ts'
import { testApp } from '../harness.ts'
import { basics, tarOf } from '../images/small-image.ts'
import { amd64Layers, arm64Layers, digestOf, json, layoutIn, named } from './layouts.ts'
import { contentsOf, emptyFolder, need, openFilesIn, optionsIn, run, skopeo } from './rig.ts'

const folder = emptyFolder()
const labels = { 'org.opencontainers.image.title': 'rocky' }

beforeAll(() => {
  need('skopeo', 'buildah', 'tar', 'xz', 'bzip2', 'zstd')
  const layout = layoutIn(join(folder, 'layout'))
  const amd64 = layout.image(amd64Layers, { labels })
  const arm64 = layout.image(arm64Layers, { architecture: 'arm64', pack: 'zstd' })
  layout.finish([named('nine', amd64), named('both', layout.index([amd64, arm64]))])
  const from = `oci:${layout.folder}`
  run('skopeo', ['--insecure-policy', 'copy', '-q', `${from}:nine`, `docker-archive:${folder}/docker.tar:site/rocky:9`])
  skopeo(`${from}:nine`, `oci-archive:${folder}/oci.tar:nine`)
  skopeo('--all', `${from}:both`, `oci-archive:${folder}/both.tar:both`)
})

const read = async (text: string, given: Partial<SourceOptions> = {}) =>
  contentsOf(await openSource(text, optionsIn(folder, given)))

/** A layer without its compression. */
const plain = (layer: Buffer): Buffer =>
  layer[0] === 0x1f ? gunzipSync(layer) : layer[0] === 0x28 ? zstdDecompressSync(layer) : layer

const layersOf = ({ layers }: { layers: Buffer[] }) => layers.map((layer) => digestOf(plain(layer)))
const expected = amd64Layers.map(digestOf)

describe('what skopeo writes', () => {
  it.each([
    ['a layout', 'oci:layout:nine', 'oci:layout:nine'],
    ['a layout, by the place in its index', 'oci:layout:@0', 'oci:layout:@0'],
    ['an archive of a layout', 'oci-archive:oci.tar', 'oci-archive:oci.tar'],
    ['an archive of a layout, with a name', 'oci-archive:oci.tar:nine', 'oci-archive:oci.tar:nine'],
    ['an archive of a layout, as a plain file', 'oci.tar', 'oci-archive:oci.tar'],
    ['an archive of docker', 'docker-archive:docker.tar', 'docker-archive:docker.tar'],
    [
      'an archive of docker, with a name',
      'docker-archive:docker.tar:site/rocky:9',
      'docker-archive:docker.tar:site/rocky:9',
    ],
    ['an archive of docker, by the place in its list', 'docker-archive:docker.tar:@0', 'docker-archive:docker.tar:@0'],
    ['an archive of docker, as a plain file', 'docker.tar', 'docker-archive:docker.tar'],
  ])('is read from %s', async (_name, text, source) => {
    const found = await read(text)
    expect(layersOf(found)).toEqual(expected)
    expect(found).toMatchObject({ source, whiteouts: 'oci', labels, sourceDigest: expect.stringMatching(/^sha256:/) })
    expect(found.sizes).toEqual(found.layers.map((layer) => layer.length))
  })

  it.each([
    ['linux/amd64', expected],
    ['linux/arm64', arm64Layers.map(digestOf)],
  ])('is read for %s from an archive for several', async (platform, digests) => {
    for (const text of ['oci-archive:both.tar', 'both.tar', 'oci:layout:both']) {
      const found = await read(text, { platform })
      expect([layersOf(found), found.platform]).toEqual([digests, platform])
    }
  })

  it('is refused for a platform that it is not for', async () => {
    const refusal = {
      code: 'SOURCE_UNKNOWN',
      message: expect.stringMatching(/the only image there is for linux\/amd64/),
    }
    for (const text of ['docker.tar', 'oci.tar'])
      await expect(read(text, { platform: 'arm64' })).rejects.toMatchObject(refusal)
  })

  it('is a layout also when nobody said so', async () => {
    const layout = layoutIn(join(folder, 'single'))
    layout.finish([layout.image(amd64Layers)])
    expect(await read('single')).toMatchObject({ source: 'oci:single', whiteouts: 'oci' })
  })
})

describe('what is compressed', () => {
  it.each([
    ['gzip', ['-k'], 'gz'],
    ['zstd', ['-q', '-k'], 'zst'],
    ['xz', ['-k', '-0'], 'xz'],
    ['bzip2', ['-k'], 'bz2'],
  ])('with %s is read, be it an archive or a root tar', async (program, flags, ending) => {
    const place = emptyFolder()
    copyFileSync(join(folder, 'docker.tar'), join(place, 'docker.tar'))
    writeFileSync(join(place, 'root.tar'), tarOf(basics))
    run(program, [...flags, join(place, 'docker.tar'), join(place, 'root.tar')])
    const images = await contentsOf(await openSource(`docker.tar.${ending}`, optionsIn(place)))
    expect(layersOf(images)).toEqual(expected)
    const root = await contentsOf(await openSource(`root.tar.${ending}`, optionsIn(place)))
    expect(digestOf(plain(root.layers[0]!))).toBe(digestOf(tarOf(basics)))
    const file = readFileSync(join(place, `root.tar.${ending}`))
    expect(root).toMatchObject({ whiteouts: 'none', sourceDigest: digestOf(file), source: `root.tar.${ending}` })
    // What goes through a program grows on the way, nobody knows by how much.
    expect(root.sizes).toEqual([['gz', 'zst'].includes(ending) ? file.length : undefined])
    expect(openFilesIn(place)).toEqual([])
  })

  it.each([
    ['xz', 'xz', /no xz here to read it: install xz \(Debian: xz-utils\)/],
    ['bzip2', 'bz2', /no bzip2 here to read it: install bzip2/],
  ])('with %s is refused with the way out where there is no such program', async (program, ending, message) => {
    const place = emptyFolder()
    writeFileSync(join(place, 'root.tar'), tarOf(basics))
    run(program, [join(place, 'root.tar')])
    const options = optionsIn(place, { env: { PATH: '/nowhere', TMPDIR: place } })
    await expect(openSource(`root.tar.${ending}`, options).then(contentsOf)).rejects.toMatchObject({
      code: 'SOURCE_INVALID',
      message: expect.stringMatching(message),
    })
  })

  it('and cut off is refused, with what the program says', async () => {
    const place = emptyFolder()
    writeFileSync(join(place, 'root.tar'), tarOf(basics))
    run('xz', [join(place, 'root.tar')])
    writeFileSync(join(place, 'cut.tar.xz'), readFileSync(join(place, 'root.tar.xz')).subarray(0, -20))
    const options = optionsIn(place)
    await expect(openSource('cut.tar.xz', options).then(contentsOf)).rejects.toMatchObject({ code: 'SOURCE_INVALID' })
    expect(options.complaints.join()).toMatch(/Unexpected end of input/)
  })
})

describe('a pipe', () => {
  it.each([
    ['an archive of docker', 'docker.tar', 'docker-archive:-'],
    ['an archive of a layout', 'oci.tar', 'oci-archive:-'],
  ])('brings %s', async (_name, file, source) => {
    const stdin = createReadStream(join(folder, file))
    const found = await read('-', { stdin })
    expect([layersOf(found), found.source]).toEqual([expected, source])
  })

  it('brings a root tar, which is passed on as it comes', async () => {
    writeFileSync(join(folder, 'piped.tar'), tarOf(basics))
    const source = await openSource('-', optionsIn(folder, { stdin: createReadStream(join(folder, 'piped.tar')) }))
    const found = await contentsOf(source)
    expect(found).toMatchObject({ whiteouts: 'none', sourceDigest: digestOf(tarOf(basics)), source: '-' })
    expect(found.layers[0]?.equals(tarOf(basics))).toBe(true)
    expect(() => source.layers[0]?.open()).toThrow(expect.objectContaining({ code: 'SOURCE_UNKNOWN' }))
  })

  it('that is no pipe is refused', async () => {
    await expect(read('-')).rejects.toMatchObject({ code: 'REQUEST_INVALID' })
  })
})

describe('what docker writes', () => {
  const config = json({ os: 'linux', architecture: 'amd64', rootfs: { diff_ids: expected } })
  const [below, above] = ['a'.repeat(64), 'b'.repeat(64)]
  const blob = (bytes: Uint8Array): Member => ({ name: `blobs/sha256/${digestOf(bytes).slice(7)}`, data: bytes })

  it.each([
    [
      'before version 25: directories for layers, the same layer by a link',
      [
        { name: `${below}/`, flag: '5' },
        { name: `${below}/VERSION`, data: json('1.0') },
        { name: `${below}/layer.tar`, flag: '2', link: `../${above}/lower.tar` },
        { name: `${above}/lower.tar`, data: amd64Layers[0]! },
        { name: `${above}/layer.tar`, data: amd64Layers[1]! },
        { name: `${digestOf(config).slice(7)}.json`, data: config },
        {
          name: 'manifest.json',
          data: json([
            {
              Config: `${digestOf(config).slice(7)}.json`,
              RepoTags: ['rocky:9'],
              Layers: [`${below}/layer.tar`, `${above}/layer.tar`],
            },
          ]),
        },
        { name: 'repositories', data: json({}) },
      ],
    ],
    [
      'since version 25: a layout, with the old list',
      [
        { name: 'blobs/', flag: '5' },
        { name: 'blobs/sha256/', flag: '5' },
        blob(amd64Layers[0]!),
        blob(amd64Layers[1]!),
        blob(config),
        { name: 'index.json', data: json({ schemaVersion: 2, manifests: [] }) },
        {
          name: 'manifest.json',
          data: json([
            { Config: blob(config).name, RepoTags: ['rocky:9'], Layers: amd64Layers.map((layer) => blob(layer).name) },
          ]),
        },
        { name: 'oci-layout', data: json({ imageLayoutVersion: '1.0.0' }) },
      ],
    ],
  ] satisfies [string, Member[]][])('%s', async (_name, members) => {
    writeFileSync(join(folder, 'saved.tar'), archive(...members.map(member)))
    for (const text of [
      'saved.tar',
      'docker-archive:saved.tar:rocky:9',
      'docker-archive:saved.tar:docker.io/library/rocky:9',
    ]) {
      const found = await read(text).catch((error: Error) => error)
      if (text.endsWith('docker.io/library/rocky:9')) expect(found).toMatchObject({ code: 'SOURCE_UNKNOWN' })
      else expect(found).toMatchObject({ sourceDigest: digestOf(config), whiteouts: 'oci' })
    }
    expect(layersOf(await read('saved.tar'))).toEqual(expected)
  })
})

describe('what is no archive of images', () => {
  it.each([
    ['a root tree that begins with a dot', ['./', './etc/', './bin/sh']],
    ['a root tree with a name like theirs', ['blobs/', 'etc/passwd']],
    ['a root tree with a list of its own', ['manifest.json', 'bin/sh']],
  ])('is a root tar: %s', async (_name, names) => {
    writeFileSync(
      join(folder, 'odd.tar'),
      archive(...names.map((name) => member({ name, flag: name.endsWith('/') ? '5' : '0' }))),
    )
    expect(await read('odd.tar')).toMatchObject({ whiteouts: 'none' })
  })

  it('but looks like one is refused in words', async () => {
    writeFileSync(join(folder, 'odd.tar'), archive(member({ name: 'blobs/', flag: '5' })))
    await expect(read('odd.tar')).rejects.toMatchObject({
      code: 'SOURCE_INVALID',
      message: expect.stringMatching(/has neither manifest.json nor oci-layout/),
    })
  })
})

describe('what buildah builds', () => {
  it('is imported from its archive, a layer that is known is not sent again, and the tree is the merged one', async () => {
    const place = emptyFolder()
    const storage = ['--root', join(place, 'storage'), '--runroot', join(place, 'run'), '--storage-driver', 'vfs']
    const buildah = (...args: string[]) => run('buildah', [...storage, ...args], { cwd: place })
    writeFileSync(join(place, 'root.tar'), tarOf([...basics, { name: 'etc/motd', data: json('below') }]))
    writeFileSync(join(place, 'motd'), 'above\n')
    buildah('from', '--name', 'work', 'scratch')
    buildah('add', 'work', 'root.tar', '/')
    buildah('commit', '--quiet', 'work', 'localhost/base:1')
    buildah('from', '--name', 'more', 'localhost/base:1')
    buildah('copy', 'more', 'motd', '/etc/motd')
    buildah('commit', '--quiet', 'more', 'localhost/rocky:9')
    buildah('push', '--quiet', 'localhost/base:1', `oci-archive:${place}/base.tar`)
    buildah('push', '--quiet', 'localhost/rocky:9', `docker-archive:${place}/rocky.tar:localhost/rocky:9`)

    const app = await testApp()
    const sent: string[] = []
    const fetch: Io['fetch'] = (input, init) => {
      if (init?.method === 'PUT') sent.push(String(input).split('/').at(-1) ?? '')
      return app.app.request(String(input), init)
    }
    const first = await muster(app, ['image', 'import', 'base.tar', 'rocky'], { cwd: place, fetch })
    expect([first.code, first.err, sent.splice(0)]).toEqual([0, '', ['0']])
    const second = await muster(app, ['image', 'import', 'rocky.tar', 'rocky'], { cwd: place, fetch })
    expect([second.code, second.err, sent]).toEqual([0, '', ['1']])
    const motd = await app.send('GET', '/api/images/rocky/versions/2/file?path=/etc/motd')
    expect(await motd.text()).toBe('above\n')
    const [version] = await app.call('GET', '/api/images/rocky/versions')
    expect(version).toMatchObject({
      number: 2,
      source: 'docker-archive:rocky.tar',
      provenance: { layers: { length: 2 } },
    })
    await app.close()
  })
})
