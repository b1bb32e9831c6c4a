/** Documents and archives that nobody's tools write. Each must be refused in words, and nothing else may happen. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openSource, type SourceOptions } from '../../src/sources/source.ts'
import { archive, type Member, member } from '../archive/tar-writer.ts'
import {
  amd64Layers,
  arm64Layers,
  type Described,
  digestOf,
  json,
  layoutIn,
  type Manifest,
  named,
  ociTypes,
} from './layouts.ts'
import { contentsOf, emptyFolder, optionsIn } from './rig.ts'

/** Opens what `make` wrote into a new folder and reads all of it: the refusal. */
async function refusalOf(make: (folder: string) => string, given: Partial<SourceOptions> = {}): Promise<Error> {
  const folder = emptyFolder()
  const text = make(folder)
  try {
    await contentsOf(await openSource(text, optionsIn(folder, given)))
  } catch (error) {
    if (error instanceof Error) return error
  }
  throw new Error(`${text} was read`)
}

const invalid = (message: RegExp, code = 'SOURCE_INVALID') => ({ code, message: expect.stringMatching(message) })

/** A layout whose one image has a changed manifest. */
const withManifest = (worsen: (manifest: Manifest) => unknown) => (folder: string) => {
  const layout = layoutIn(folder)
  layout.finish([layout.image(amd64Layers, { worsen: { manifest: worsen } })])
  return 'oci:.'
}
const withConfig = (worsen: (config: Record<string, unknown>) => unknown) => (folder: string) => {
  const layout = layoutIn(folder)
  layout.finish([layout.image(amd64Layers, { worsen: { config: worsen } })])
  return 'oci:.'
}
const withIndex = (worsen: (entry: Described) => unknown[], index?: Record<string, unknown>) => (folder: string) => {
  const layout = layoutIn(folder)
  layout.finish(worsen(layout.image(amd64Layers)), index)
  return 'oci:.'
}
/** The first layer's descriptor, changed. */
const withLayer = (change: Record<string, unknown>) =>
  withManifest((manifest) => ({
    ...manifest,
    layers: manifest.layers.map((layer, at) => (at === 0 ? { ...layer, ...change } : layer)),
  }))

const deep = (depth: number) => new TextEncoder().encode(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`)

describe('a manifest is refused that', () => {
  it.each([
    ['has manifests and layers', withManifest((one) => ({ ...one, manifests: [] })), /has manifests and layers/],
    ['has neither', withManifest(({ layers: _layers, ...one }) => one), /has neither/],
    ['is called an index and is none', withManifest((one) => ({ ...one, mediaType: ociTypes.index })), /calls itself/],
    ['is called something else', withManifest((one) => ({ ...one, mediaType: 'text/plain' })), /calls itself/],
    ['is of schema 1', withManifest((one) => ({ ...one, schemaVersion: 1 })), /schema 1.*skopeo copy/],
    ['is of no schema', withManifest(({ schemaVersion: _version, ...one }) => one), /schemaVersion is not 2/],
    ['is a list', withManifest(() => []), /is no JSON object/],
    ['is null', withManifest(() => null), /is no JSON object/],
    ['has no config', withManifest(({ config: _config, ...one }) => one), /config: is no JSON object/],
    [
      'has a config that is no image’s',
      withManifest((one) => ({
        ...one,
        config: { ...one.config, mediaType: 'application/vnd.cncf.helm.config.v1+json' },
      })),
      /no container image: its config is application\/vnd.cncf.helm/,
    ],
    [
      'has a config of gigabytes',
      withManifest((one) => ({ ...one, config: { ...one.config, size: 2 ** 33 } })),
      /its config has 8589934592 bytes/,
    ],
    [
      'has a config that is not there',
      withManifest((one) => ({ ...one, config: { ...one.config, digest: `sha256:${'0'.repeat(64)}` } })),
      /is not in it/,
    ],
    [
      'has a config of another size',
      withManifest((one) => ({ ...one, config: { ...one.config, size: 1 } })),
      /more than the 1 bytes/,
    ],
    ['has layers that are no list', withManifest((one) => ({ ...one, layers: {} })), /layers is no list/],
    [
      'has layers that are null',
      withManifest((one) => ({ ...one, layers: [null, null] })),
      /layers\[0\]: is no JSON object/,
    ],
    [
      'has too many layers',
      withManifest((one) => ({ ...one, layers: Array(501).fill(one.layers[0]) })),
      /layers has 501 items/,
    ],
    [
      'has no layers',
      (folder: string) => {
        const layout = layoutIn(folder)
        layout.finish([layout.image([])])
        return 'oci:.'
      },
      /has no layers/,
    ],
  ])('%s', async (_name, make, message) => {
    expect(await refusalOf(make)).toMatchObject(invalid(message))
  })
})

describe('a layer is refused that', () => {
  it.each([
    ['has a digest that is a path', { digest: 'sha256:../../../../etc/passwd' }, /is no sha256 digest/],
    ['has a digest with a path behind it', { digest: `sha256:${'0'.repeat(64)}/../x` }, /is no sha256 digest/],
    ['has a digest in capitals', { digest: `sha256:${'A'.repeat(64)}` }, /is no sha256 digest/],
    ['has a digest of another kind', { digest: `sha512:${'0'.repeat(128)}` }, /is no sha256 digest/],
    ['has a digest that is a list', { digest: [`sha256:${'0'.repeat(64)}`] }, /is no sha256 digest/],
    ['has a digest with a newline', { digest: `sha256:${'0'.repeat(64)}\n` }, /is no sha256 digest/],
    ['has no digest', { digest: undefined }, /is no sha256 digest/],
    ['is not there', { digest: `sha256:${'0'.repeat(64)}` }, /is not in it/],
    ['has less than no bytes', { size: -1 }, /size is no size/],
    ['has half a byte', { size: 0.5 }, /size is no size/],
    ['has a size that is text', { size: '10' }, /size is no size/],
    ['has more bytes than numbers can count', { size: 2 ** 60 }, /size is no size/],
    ['has fewer bytes than it should', { size: 10_000_000 }, /and should have 10000000/],
    ['has more bytes than it should', { size: 10 }, /more than the 10 bytes/],
    ['is foreign', { mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' }, /foreign layer/],
    [
      'is not to be handed on',
      { mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip' },
      /foreign layer/,
    ],
    ['lies elsewhere', { urls: ['https://evil.example/layer'] }, /foreign layer/],
    ['is encrypted', { mediaType: `${ociTypes.gzip}+encrypted` }, /is encrypted/],
    [
      'is a program for Singularity',
      { mediaType: 'application/vnd.sylabs.sif.layer.v1.sif' },
      /no layer of a container image but/,
    ],
    ['has no type', { mediaType: undefined }, /has no mediaType/],
    ['has notes that are no texts', { annotations: { a: { b: 1 } } }, /annotations: "a" is no text/],
  ])('%s', async (_name, change, message) => {
    expect(await refusalOf(withLayer(change))).toMatchObject(invalid(message))
  })
})

describe('a config is refused that', () => {
  it.each([
    [
      'knows of fewer layers',
      withConfig((one) => ({ ...one, rootfs: { diff_ids: [digestOf(amd64Layers[0]!)] } })),
      /speaks of 1 layers where there are 2/,
    ],
    [
      'knows of more layers',
      withConfig((one) => ({ ...one, rootfs: { diff_ids: Array(3).fill(digestOf(amd64Layers[0]!)) } })),
      /speaks of 3 layers where there are 2/,
    ],
    ['has no root', withConfig(({ rootfs: _rootfs, ...one }) => one), /rootfs: is no JSON object/],
    [
      'has a layer’s digest that is none',
      withConfig((one) => ({ ...one, rootfs: { diff_ids: ['sha256:x', 'sha256:y'] } })),
      /diff_ids\[0\]: is no sha256 digest/,
    ],
    [
      'has labels that are no texts',
      withConfig((one) => ({ ...one, config: { Labels: { a: 1 } } })),
      /Labels: "a" is no text/,
    ],
    [
      'is nested without end',
      withConfig((one) => ({ ...one, x: JSON.parse(new TextDecoder().decode(deep(100))) })),
      /nested deeper than 32/,
    ],
  ])('%s', async (_name, make, message) => {
    expect(await refusalOf(make)).toMatchObject(invalid(message))
  })
})

describe('an index is refused that', () => {
  it.each([
    ['has no image', withIndex(() => []), /has no image/],
    ['has a config too', withIndex((one) => [one], { config: {} }), /manifests and a config/],
    ['has layers too', withIndex((one) => [one], { layers: [] }), /manifests and layers/],
    ['has too many images', withIndex((one) => Array(1001).fill(one)), /1001 items/],
    [
      'has an image whose digest is a path',
      withIndex((one) => [{ ...one, digest: 'sha256:../../index.json' }]),
      /is no sha256 digest/,
    ],
    ['has an image of gigabytes', withIndex((one) => [{ ...one, size: 2 ** 40 }]), /and should have 1099511627776/],
    ['calls an image an index', withIndex((one) => [{ ...one, mediaType: ociTypes.index }]), /but is sent as/],
    [
      'has nothing but what belongs to images',
      withIndex((one) => [{ ...one, platform: { os: 'unknown', architecture: 'unknown' } }]),
      /has no image/,
    ],
  ])('%s', async (_name, make, message) => {
    expect(await refusalOf(make)).toMatchObject(invalid(message))
  })

  it('leads to indexes without end', async () => {
    const make = (folder: string) => {
      const layout = layoutIn(folder)
      let one = layout.image(amd64Layers)
      for (let depth = 0; depth < 5; depth++) one = layout.index([one])
      layout.finish([one])
      return 'oci:.'
    }
    expect(await refusalOf(make)).toMatchObject(invalid(/more than 4 indexes/))
  })
})

describe('a layout is refused that', () => {
  const layoutWith = (change: (folder: string) => void) => (folder: string) => {
    withIndex((one) => [one])(folder)
    change(folder)
    return 'oci:.'
  }
  it.each([
    ['has no marker', layoutWith((folder) => rmSync(join(folder, 'oci-layout'))), /oci-layout is not in it/],
    [
      'has an index that is a link',
      layoutWith((folder) => {
        renameSync(join(folder, 'index.json'), join(folder, 'other.json'))
        symlinkSync('other.json', join(folder, 'index.json'))
      }),
      /index.json is a symbolic link/,
    ],
    [
      'has blobs behind a link',
      layoutWith((folder) => {
        renameSync(join(folder, 'blobs'), join(folder, 'elsewhere'))
        symlinkSync('elsewhere', join(folder, 'blobs'))
      }),
      /blobs is no directory of its own/,
    ],
    [
      'has digests behind a link',
      layoutWith((folder) => {
        renameSync(join(folder, 'blobs/sha256'), join(folder, 'elsewhere'))
        symlinkSync('../elsewhere', join(folder, 'blobs/sha256'))
      }),
      /blobs\/sha256 is no directory of its own/,
    ],
    [
      'has an index that waits for somebody to write it',
      layoutWith((folder) => {
        rmSync(join(folder, 'index.json'))
        execFileSync('mkfifo', [join(folder, 'index.json')])
      }),
      /is no regular file/,
    ],
    [
      'has an index that is a directory',
      layoutWith((folder) => {
        rmSync(join(folder, 'index.json'))
        mkdirSync(join(folder, 'index.json'))
      }),
      /is no regular file/,
    ],
    [
      'has an index of megabytes',
      layoutWith((folder) => writeFileSync(join(folder, 'index.json'), Buffer.alloc(5 * 2 ** 20, ' '))),
      /longer than 4194304 bytes/,
    ],
    [
      'has an index that is nested without end',
      layoutWith((folder) => writeFileSync(join(folder, 'index.json'), deep(500_000))),
      /nested deeper than 32/,
    ],
    [
      'has an index that is no UTF-8',
      layoutWith((folder) => writeFileSync(join(folder, 'index.json'), Buffer.from([0x7b, 0xff, 0x7d]))),
      /is no JSON/,
    ],
    [
      'has an index that is an image',
      layoutWith((folder) =>
        writeFileSync(
          join(folder, 'index.json'),
          json({
            schemaVersion: 2,
            config: { mediaType: ociTypes.config, digest: digestOf(json({})), size: 2 },
            layers: [],
          }),
        ),
      ),
      /is no index/,
    ],
    [
      'is of another version',
      layoutWith((folder) => writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}')),
      /version 2.0.0, not 1/,
    ],
    [
      'has a blob that is a device',
      layoutWith((folder) => {
        const index = join(folder, 'index.json')
        const name = `sha256:${'1'.repeat(64)}`
        writeFileSync(
          index,
          json({ schemaVersion: 2, manifests: [{ mediaType: ociTypes.manifest, digest: name, size: 10 }] }),
        )
        symlinkSync('/dev/zero', join(folder, 'blobs/sha256', '1'.repeat(64)))
      }),
      /is a symbolic link/,
    ],
  ])('%s', async (_name, make, message) => {
    expect(await refusalOf(make)).toMatchObject(invalid(message))
  })

  it('has several images, with the names that there are', async () => {
    const make = (folder: string) => {
      const layout = layoutIn(folder)
      layout.finish([named('eight', layout.image(arm64Layers)), named('nine', layout.image(amd64Layers))])
      return 'oci:.'
    }
    expect(await refusalOf(make)).toMatchObject(
      invalid(/several images: name one as oci:.:IMAGE \(eight, nine\)/, 'SOURCE_UNKNOWN'),
    )
    expect(await refusalOf((folder) => `${make(folder)}:ten`)).toMatchObject(
      invalid(/has no image ten/, 'SOURCE_UNKNOWN'),
    )
    expect(await refusalOf((folder) => `${make(folder)}:@2`)).toMatchObject(
      invalid(/has no image @2/, 'SOURCE_UNKNOWN'),
    )
  })
})

describe('an archive of docker is refused that', () => {
  const config = json({ os: 'linux', architecture: 'amd64', rootfs: { diff_ids: [digestOf(amd64Layers[0]!)] } })
  const configName = `${digestOf(config).slice(7)}.json`
  const list = (more: Record<string, unknown> = {}) => ({
    name: 'manifest.json',
    data: json([{ Config: configName, RepoTags: ['a:1'], Layers: ['layer.tar'], ...more }]),
  })
  const files: Member[] = [
    { name: 'layer.tar', data: amd64Layers[0]! },
    { name: configName, data: config },
  ]
  const archiveOf =
    (...members: Member[]) =>
    (folder: string) => {
      writeFileSync(join(folder, 'images.tar'), archive(...members.map(member)))
      return 'docker-archive:images.tar'
    }

  it.each([
    ['has no list', archiveOf(...files), /has no manifest.json/],
    ['has a list of nothing', archiveOf({ name: 'manifest.json', data: json([]) }), /has no image/],
    ['has a list that is none', archiveOf({ name: 'manifest.json', data: json({}) }), /images is no list/],
    ['has two lists', archiveOf(...files, list(), list()), /manifest.json is in it twice/],
    ['has a layer twice', archiveOf(...files, files[0]!, list()), /layer.tar is in it twice/],
    [
      'names a layer outside of it',
      archiveOf(...files, list({ Layers: ['../../etc/passwd'] })),
      /names no file of the archive/,
    ],
    [
      'names a layer by its absolute path',
      archiveOf(...files, list({ Layers: ['/etc/passwd'] })),
      /etc\/passwd is not in it/,
    ],
    ['names a layer that is not there', archiveOf(...files, list({ Layers: ['other.tar'] })), /other.tar is not in it/],
    ['names a layer that is no text', archiveOf(...files, list({ Layers: [7] })), /Layers\[0\]: names no file/],
    [
      'has a layer that is a link to elsewhere',
      archiveOf({ name: 'layer.tar', flag: '2', link: '/etc/passwd' }, files[1]!, list()),
      /links to a place outside/,
    ],
    [
      'has a layer that is a link out of it',
      archiveOf({ name: 'layer.tar', flag: '2', link: '../../x' }, files[1]!, list()),
      /links to a place outside/,
    ],
    [
      'has a layer that is a link to itself',
      archiveOf({ name: 'layer.tar', flag: '2', link: 'layer.tar' }, files[1]!, list()),
      /link to a link/,
    ],
    ['has a layer that is a device', archiveOf({ name: 'layer.tar', flag: '3' }, files[1]!, list()), /is a character/],
    ['has a layer that is a FIFO', archiveOf({ name: 'layer.tar', flag: '6' }, files[1]!, list()), /is a fifo/],
    [
      'has a config that is not what its name says',
      archiveOf(files[0]!, { name: configName, data: json({}) }, list()),
      /is not what its name says/,
    ],
    [
      'has a config for other layers',
      archiveOf(...files, list({ Layers: ['layer.tar', 'layer.tar'] })),
      /speaks of 1 layers where there are 2/,
    ],
    [
      'has a list of megabytes',
      archiveOf({ name: 'manifest.json', data: new Uint8Array(5 * 2 ** 20) }),
      /5242880 bytes/,
    ],
    [
      'is cut off',
      (folder: string) => {
        writeFileSync(join(folder, 'images.tar'), archive(...files.map(member)).subarray(0, 5000))
        return 'docker-archive:images.tar'
      },
      /cut off/,
    ],
    [
      'is text',
      (folder: string) => {
        writeFileSync(join(folder, 'images.tar'), 'this is no tar\n'.repeat(1000))
        return 'docker-archive:images.tar'
      },
      /no tar header/,
    ],
  ])('%s', async (_name, make, message) => {
    expect(await refusalOf(make)).toMatchObject(invalid(message))
  })

  it('has several images, with the names that there are', async () => {
    const other = { Config: configName, Layers: ['layer.tar'] }
    const both = {
      name: 'manifest.json',
      data: json([
        { ...other, RepoTags: ['quay.io/a/b:1'] },
        { ...other, RepoTags: null },
      ]),
    }
    const make = archiveOf(...files, both)
    expect(await refusalOf(make)).toMatchObject(
      invalid(/has 2 images: name one as .*:IMAGE \(quay.io\/a\/b:1, @1\)/, 'SOURCE_UNKNOWN'),
    )
    expect(await refusalOf((folder) => `${make(folder)}:c:1`)).toMatchObject(
      invalid(/has no image c:1/, 'SOURCE_UNKNOWN'),
    )
  })
})
