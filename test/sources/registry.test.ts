import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openSource, type SourceOptions } from '../../src/sources/source.ts'
import { muster } from '../cli/muster.ts'
import { testApp } from '../harness.ts'
import { certificates } from './certificates.ts'
import { amd64Layers, arm64Layers, type Described, layoutIn, named } from './layouts.ts'
import { password, startRegistry, user } from './registries.ts'
import { contentsOf, emptyFolder, need, optionsIn, run, skopeo } from './rig.ts'

const folder = emptyFolder()
let registry: Awaited<ReturnType<typeof startRegistry>>
let ca: string
let authfile: string
let images: { amd64: Described; arm64: Described; index: Described }

/** A file of logins with one for the registry. */
function loginFile(name: string, secret: string): string {
  const file = join(folder, name)
  const auth = Buffer.from(`${user}:${secret}`).toString('base64')
  writeFileSync(file, JSON.stringify({ auths: { [registry.name]: { auth } } }))
  return file
}

beforeAll(async () => {
  need('skopeo', 'openssl', 'docker-registry', 'htpasswd')
  const made = certificates(folder)
  ca = made.ca
  registry = await startRegistry(folder, { tls: made, locked: true })
  authfile = loginFile('auth.json', password)
  const layout = layoutIn(join(folder, 'layout'))
  const labels = { 'org.opencontainers.image.revision': '0123456789abcdef0123456789abcdef01234567' }
  const amd64 = layout.image(amd64Layers, { labels })
  const arm64 = layout.image(arm64Layers, { architecture: 'arm64', pack: 'zstd' })
  const index = layout.index([amd64, arm64])
  images = { amd64, arm64, index }
  layout.finish([named('both', index), named('one', amd64)])
  const certs = join(folder, 'certs')
  run('mkdir', [certs])
  writeFileSync(join(certs, 'ca.crt'), readFileSync(ca))
  const to = ['--dest-cert-dir', certs, '--dest-authfile', authfile]
  skopeo('--all', ...to, `oci:${layout.folder}:both`, `docker://${registry.name}/site/rocky:9`)
  skopeo(...to, `oci:${layout.folder}:one`, `docker://${registry.name}/site/rocky:single`)
})
afterAll(() => registry?.stop())

const openIt = (rest: string, given: Partial<SourceOptions> = {}) =>
  openSource(`docker://${registry.name}/${rest}`, optionsIn(folder, { ca, authfile, ...given }))

describe('an image in a registry', () => {
  it('is imported for each platform that one tag has', async () => {
    const app = await testApp()
    const flags = ['--ca', ca, '--authfile', authfile]
    const from = `docker://${registry.name}/site/rocky:9`
    for (const [platform, architecture] of [
      ['linux/amd64', 'x86_64'],
      ['arm64', 'aarch64'],
    ] as const) {
      const name = `rocky-${architecture}`
      const ran = await muster(app, ['image', 'import', from, name, '--platform', platform, ...flags])
      expect(ran).toMatchObject({ code: 0, err: '' })
      expect(ran.out).toContain(`imported ${name}@1\n`)
      expect(ran.out).toContain(`architecture: ${architecture}\n`)
    }
    const [version] = await app.call('GET', '/api/images/rocky-x86_64/versions')
    expect(version).toMatchObject({
      source: from,
      provenance: {
        sourceDigest: images.amd64.digest,
        platform: 'linux/amd64',
        git: { commit: '0123456789abcdef0123456789abcdef01234567', dirty: false },
      },
    })
    const again = await muster(app, ['image', 'import', from, 'rocky-aarch64', '--platform', 'arm64', ...flags])
    expect(again.out).toContain('nothing new: rocky-aarch64@1 has this content already\n')
    await app.close()
  })

  it('has the layers that were pushed, lowest first', async () => {
    const found = await contentsOf(await openIt('site/rocky:9', { platform: 'linux/arm64' }))
    expect(found).toMatchObject({ whiteouts: 'oci', platform: 'linux/arm64', sourceDigest: images.arm64.digest })
    const sent = readFileSync(join(folder, 'layout/blobs/sha256', manifestOf(images.arm64).layers[0].digest.slice(7)))
    expect(found.layers.map((layer) => layer.equals(sent))).toEqual([true])
    expect((await contentsOf(await openIt('site/rocky:single'))).layers.length).toBe(2)
  })

  it('is found by its digest, that of an index or that of an image', async () => {
    const one = await contentsOf(await openIt(`site/rocky@${images.amd64.digest}`))
    expect(one).toMatchObject({
      sourceDigest: images.amd64.digest,
      source: expect.stringContaining(images.amd64.digest),
    })
    expect(one.platform).toBeUndefined()
    const both = await openIt(`site/rocky:anything@${images.index.digest}`, { platform: 'amd64' })
    expect((await contentsOf(both)).sourceDigest).toBe(images.amd64.digest)
  })

  it.each([
    [
      'a tag that is not there, and says which are',
      'site/rocky:8',
      {},
      'SOURCE_UNKNOWN',
      /is not there: there is .*(9.*single|single.*9)/,
    ],
    ['a repository that is not there', 'site/nothing:9', {}, 'SOURCE_UNKNOWN', /site\/nothing:9 is not there/],
    ['a digest that is not there', `site/rocky@sha256:${'0'.repeat(64)}`, {}, 'SOURCE_UNKNOWN', /is not there/],
    [
      'a platform that is not there, and says which are',
      'site/rocky:9',
      { platform: 'riscv64' },
      'SOURCE_UNKNOWN',
      /nothing for linux\/riscv64; there is linux\/amd64, linux\/arm64: choose with --platform/,
    ],
    [
      'another platform than the only one',
      'site/rocky:single',
      { platform: 'arm64' },
      'SOURCE_UNKNOWN',
      /nothing for linux\/arm64; the only image there is for linux\/amd64/,
    ],
  ] as const)('refuses %s', async (_name, rest, given, code, message) => {
    await expect(openIt(rest, given)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })
})

describe('a registry with a lock', () => {
  it('says where the wrong password came from, and does not show it', async () => {
    const wrong = loginFile('wrong.json', 'battery staple')
    const refusal = await openIt('site/rocky:9', { authfile: wrong }).catch((error: Error) => error)
    expect(refusal).toMatchObject({ code: 'SOURCE_DENIED', message: expect.stringContaining(wrong) })
    expect(JSON.stringify(refusal)).not.toMatch(/battery|YWRtaW4/)
  })

  it('says how to log in to whoever has no login', async () => {
    const { authfile: _none, ...options } = optionsIn(folder, { ca })
    await expect(openSource(`docker://${registry.name}/site/rocky:9`, options)).rejects.toMatchObject({
      code: 'SOURCE_DENIED',
      message: expect.stringContaining(`podman login ${registry.name}`),
    })
  })
})

describe('a registry with a certificate of its own', () => {
  it('is not trusted without --ca, nor with that of another authority', async () => {
    const other = certificates(folder, 'other')
    const refusal = { code: 'SOURCE_UNREACHABLE', message: expect.stringMatching(/is not trusted .*--ca FILE/) }
    await expect(openIt('site/rocky:9', { ca: other.ca })).rejects.toMatchObject(refusal)
    const { ca: _none, ...options } = optionsIn(folder, { authfile })
    await expect(openSource(`docker://${registry.name}/site/rocky:9`, options)).rejects.toMatchObject(refusal)
  })

  it('is taken as it is with --insecure', async () => {
    const { ca: _none, ...options } = optionsIn(folder, { authfile, insecure: true })
    const found = await openSource(`docker://${registry.name}/site/rocky:single`, options)
    expect((await contentsOf(found)).layers.length).toBe(2)
  })

  it('refuses a file without a certificate in it', async () => {
    await expect(openIt('site/rocky:9', { ca: authfile })).rejects.toMatchObject({ code: 'REQUEST_INVALID' })
  })
})

describe('a registry without TLS', () => {
  it('is used with --insecure alone', async () => {
    const place = emptyFolder()
    const plain = await startRegistry(place)
    try {
      skopeo('--dest-tls-verify=false', `oci:${join(folder, 'layout')}:one`, `docker://${plain.name}/small:1`)
      const from = `docker://${plain.name}/small:1`
      await expect(openSource(from, optionsIn(place))).rejects.toMatchObject({
        code: 'SOURCE_UNREACHABLE',
        message: expect.stringContaining('--insecure allows http'),
      })
      expect((await contentsOf(await openSource(from, optionsIn(place, { insecure: true })))).layers.length).toBe(2)
    } finally {
      await plain.stop()
    }
  })
})

const manifestOf = ({ digest }: Described) =>
  JSON.parse(readFileSync(join(folder, 'layout/blobs/sha256', digest.slice(7)), 'utf8'))
