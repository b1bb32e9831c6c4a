/** What a machine says of itself against what its node says. */
import { describe, expect, it } from 'vitest'
import { checkArchitecture, difference } from '../../src/boot/loaders.ts'
import { otherMacs, readFacts, readMac } from '../../src/boot/machine.ts'

describe('an architecture', () => {
  const image = (architecture: 'x86_64' | 'aarch64' | 'ppc64le') => ({
    image: { name: 'i', version: 1, digest: `sha256:${'0'.repeat(64)}` as const, architecture },
  })
  it.each([
    ['i386', 'x86_64'],
    ['x86_64', 'x86_64'],
    ['arm64', 'aarch64'],
    [undefined, 'aarch64'],
    ['', 'ppc64le'],
  ] as const)('of iPXE %s boots an image for %s', (buildarch, architecture) => {
    expect(() => checkArchitecture(image(architecture), 'n1', buildarch)).not.toThrow()
  })
  it.each([
    ['arm64', 'x86_64'],
    ['arm32', 'aarch64'],
    ['i386', 'aarch64'],
    ['toString', 'x86_64'],
  ] as const)('of iPXE %s does not boot an image for %s', (buildarch, architecture) => {
    expect(() => checkArchitecture(image(architecture), 'n1', buildarch)).toThrow(
      `n1 is ${buildarch} and image i@1 is for ${architecture}`,
    )
  })
})

describe('hardware', () => {
  const uuid = '4c4c4544-0043-3510-8052-b4c04f4e4d31'
  it.each([
    ['says nothing', { uuid, serial: 'A' }, {}],
    ['says what nobody wants to know', {}, { uuid, serial: 'A' }],
    ['says the same', { uuid, serial: 'A' }, { uuid, serial: 'A' }],
    ['writes its UUID in capitals', { uuid }, { uuid: uuid.toUpperCase() }],
    ['has its UUID in the old byte order', { uuid }, { uuid: '44454c4c-4300-1035-8052-b4c04f4e4d31' }],
    ['has a serial that old iPXE cannot say', { serial: 'A+B & C' }, { serial: 'A B ' }],
    ['has blanks around its serial', { serial: 'A' }, { serial: ' A ' }],
  ])('that %s is that of its node', (_, expected, said) => {
    expect(difference(expected, said)).toBeUndefined()
  })
  it.each([
    ['UUID', { uuid }, { uuid: uuid.replace('4c', '4d') }, `UUID 4d4c4544-0043-3510-8052-b4c04f4e4d31, not ${uuid}`],
    ['serial', { uuid, serial: 'A' }, { uuid, serial: 'B' }, 'serial B, not A'],
    ['serial in small letters', { serial: 'A' }, { serial: 'a' }, 'serial a, not A'],
  ])('with another %s is not', (_, expected, said, difference_) => {
    expect(difference(expected, said)).toBe(difference_)
  })
})

describe('a request', () => {
  it.each([
    ['52:54:00:aa:bb:cc', '52:54:00:aa:bb:cc'],
    ['52-54-00-AA-BB-CC', '52:54:00:aa:bb:cc'],
    ['80:00:02:08:fe:80:00:00', '80:00:02:08:fe:80:00:00'],
    ['52:54:00:aa:bb', undefined],
    ['$net_default_mac', undefined],
    ['', undefined],
  ])('for %s is of the MAC %s', (text, mac) => {
    expect(readMac(text)).toBe(mac)
  })

  it('tells facts of one short line, and only those that we know', () => {
    const facts = readFacts({ serial: ' a\n\u0000b\u2028 ', product: '\u{1f600}'.repeat(200), uuid: '', evil: 'x' })
    expect(facts).toEqual({ serial: 'ab', product: '\u{1f600}'.repeat(128) })
  })

  it('names at most eight NICs, each once, and not the one that is asked for', () => {
    const macs = Array.from({ length: 20 }, (_, at) => `52:54:00:00:00:${at.toString(16).padStart(2, '0')}`)
    expect(otherMacs({ macs: macs.join(',') }, macs[1])).toEqual(macs.slice(0, 8).filter((mac) => mac !== macs[1]))
    expect(otherMacs({ macs: `${macs[0]},${macs[0]},nonsense,,` }, undefined)).toEqual([macs[0]])
  })
})
