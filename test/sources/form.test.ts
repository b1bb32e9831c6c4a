import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { parseForm } from '../../src/sources/form.ts'
import { matching, ownPlatform, parsePlatform, platformText } from '../../src/sources/platform.ts'
import { hostOf, parseReference, referenceText } from '../../src/sources/reference.ts'

const pin = `sha256:${'a'.repeat(64)}`

describe('a source as somebody types it', () => {
  it.each([
    ['-', { kind: 'stdin' }],
    ['root.tar', { kind: 'path', path: 'root.tar' }],
    ['/srv/images/rocky', { kind: 'path', path: '/srv/images/rocky' }],
    ['C:root.tar', { kind: 'path', path: 'C:root.tar' }],
    ['oci:layout', { kind: 'oci', path: 'layout' }],
    ['oci:layout:9', { kind: 'oci', path: 'layout', image: '9' }],
    ['oci-archive:/a/b.tar:x/y:9', { kind: 'oci-archive', path: '/a/b.tar', image: 'x/y:9' }],
    ['docker-archive:b.tar:@1', { kind: 'docker-archive', path: 'b.tar', image: '@1' }],
    [
      'docker://rockylinux',
      { kind: 'registry', reference: { registry: 'docker.io', repository: 'library/rockylinux', tag: 'latest' } },
    ],
  ])('is understood: %s', (text, form) => {
    expect(parseForm(text)).toEqual(form)
  })

  it.each([
    ['', /is missing/],
    ['a\0b', /NUL/],
    ['docker:rocky', /two slashes/],
    ['oci:', /write oci:PATH/],
    ['docker-archive:b.tar:', /write docker-archive:PATH/],
    ['containers-storage:localhost/rocky:9', /podman save localhost\/rocky:9 \| muster image import - NAME/],
    ['docker-daemon:rocky:9', /docker save rocky:9 \| muster image import - NAME/],
    ['dir:/tmp/x', /skopeo copy dir:\/tmp\/x/],
    ['sif:x.sif', /singularity build --sandbox/],
    ['file:///srv/root.tar', /give the path alone: \/srv\/root.tar/],
    ['https://example.com/root.tar', /curl -L URL/],
  ])('is refused with the way out: %j', (text, message) => {
    expect(() => parseForm(text)).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID', message: expect.stringMatching(message) }),
    )
  })
})

describe('a name in a registry', () => {
  it.each([
    ['rockylinux', 'docker.io/library/rockylinux:latest'],
    ['rockylinux:9', 'docker.io/library/rockylinux:9'],
    ['rockylinux/rockylinux:9', 'docker.io/rockylinux/rockylinux:9'],
    ['docker.io/rockylinux:9', 'docker.io/library/rockylinux:9'],
    ['index.docker.io/library/rockylinux', 'docker.io/library/rockylinux:latest'],
    ['Quay.io/a/b:c', 'quay.io/a/b:c'],
    ['localhost/a:b', 'localhost/a:b'],
    ['localhost:5000/a', 'localhost:5000/a:latest'],
    ['[::1]:5000/a/b:c', '[::1]:5000/a/b:c'],
    ['10.0.0.1:5000/a-b/c__d/e.f:V1_x.y-z', '10.0.0.1:5000/a-b/c__d/e.f:V1_x.y-z'],
    [`quay.io/a/b@${pin}`, `quay.io/a/b@${pin}`],
    [`quay.io/a/b:9@${pin}`, `quay.io/a/b:9@${pin}`],
  ])('is read: %s', (text, whole) => {
    expect(referenceText(parseReference(text))).toBe(whole)
    expect(parseReference(whole)).toEqual(parseReference(text))
  })

  it('on Docker Hub is asked for where Docker Hub answers', () => {
    expect([hostOf('docker.io'), hostOf('quay.io')]).toEqual(['registry-1.docker.io', 'quay.io'])
  })

  it.each([
    ['', /nothing is no repository/],
    ['quay.io/', /nothing is no repository/],
    ['quay.io/A/b', /is no repository/],
    ['quay.io/a//b', /is no repository/],
    ['quay.io/../etc/passwd', /is no repository/],
    ['quay.io/a/.b', /is no repository/],
    ['quay.io/a b', /is no repository/],
    ['quay.io/a?x=y', /is no repository/],
    ['quay.io/a%2fb', /is no repository/],
    [`quay.io/${'a/'.repeat(200)}b`, /is no repository/],
    ['quay.io/a:', /nothing is no tag/],
    ['quay.io/a:-b', /is no tag/],
    ['quay.io/a:b/c', /is no tag/],
    [`quay.io/a:${'b'.repeat(129)}`, /is no tag/],
    ['quay_io.x/a', /is no registry/],
    ['quay.io:port/a', /is no registry/],
    ['quay.io:123456/a', /is no registry/],
    ['a..b/c', /is no registry/],
    [`quay.io/a@sha512:${'a'.repeat(128)}`, /no sha256 digest/],
    ['quay.io/a@sha256:abc', /no sha256 digest/],
    [`quay.io/a@sha256:${'A'.repeat(64)}`, /no sha256 digest/],
    [`quay.io/a@sha256:${'a'.repeat(63)}/`, /carries no user/],
  ])('is refused: %s', (text, message) => {
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID', message: expect.stringMatching(message) }),
    )
  })

  it('with a password in it is refused without showing it', () => {
    for (const text of ['user:hunter2@quay.io/a:b', `user:hunter2@quay.io/a@${pin}`]) {
      expect(() => parseReference(text)).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining('hunter2') }),
      )
    }
  })

  it('never leads anywhere else than into its registry, whatever is typed', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(...'aA0./:@-_%?#\\[]') })),
        (text) => {
          try {
            const { registry, repository, tag, digest } = parseReference(text)
            const url = new URL(`https://${hostOf(registry)}/v2/${repository}/manifests/${digest ?? tag}`)
            expect(url.pathname).toBe(`/v2/${repository}/manifests/${digest ?? tag}`)
            expect([url.username, url.password, url.search, url.hash]).toEqual(['', '', '', ''])
          } catch (error) {
            if (!(error instanceof AppError) && !(error instanceof TypeError && /Invalid URL/.test(error.message)))
              throw error
          }
        },
      ),
    )
  })
})

describe('a platform', () => {
  it.each([
    ['linux/amd64', 'linux/amd64'],
    ['arm64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/aarch64', 'linux/arm64'],
    ['Linux/X86_64', 'linux/amd64'],
    ['linux/arm/v7', 'linux/arm/v7'],
    ['ppc64le', 'linux/ppc64le'],
  ])('is read: %s', (text, whole) => {
    expect(platformText(parsePlatform(text))).toBe(whole)
  })

  it.each(['', '/', 'linux/', 'a/b/c/d', 'linux/am d64', 'linux/../x'])('is refused: %j', (text) => {
    expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'REQUEST_INVALID' }))
  })

  it.each([
    ['x64', 'linux/amd64'],
    ['arm64', 'linux/arm64'],
    ['ppc64', 'linux/ppc64le'],
    ['s390x', 'linux/s390x'],
    ['riscv64', 'linux/riscv64'],
  ])('of a machine that Node calls %s is %s', (arch, text) => {
    expect(platformText(ownPlatform(arch))).toBe(text)
  })

  it.each([
    ['amd64', 'amd64'],
    ['linux/amd64/v3', 'amd64/v3'],
    ['linux/amd64/v2', undefined],
    ['linux/arm/v6', 'arm/v6'],
    ['arm', 'arm/v7'],
    ['riscv64', undefined],
  ])('%s is served by %s', (wanted, name) => {
    const found = ['amd64/v3', 'amd64', 'arm/v7', 'arm/v6'].map((one) => ({
      name: one,
      platform: parsePlatform(`linux/${one}`),
    }))
    expect(matching(found, parsePlatform(wanted))?.name).toBe(name)
  })
})
