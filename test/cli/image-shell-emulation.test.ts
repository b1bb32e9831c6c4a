import { describe, expect, it } from 'vitest'
import { whyNotRun } from '../../src/cli/image-shell-emulation.ts'

/** As Debian's qemu-user-static registers it, and Linux shows it. */
const handler = (
  magic: string,
  { state = 'enabled', flags = 'OCF', mask = 'ffffffffffffff00fffffffffffffffffeffffff' } = {},
) => `${state}\ninterpreter /usr/bin/qemu-static\nflags: ${flags}\noffset 0\nmagic ${magic}\nmask ${mask}\n`
const aarch64 = '7f454c460201010000000000000000000200b700'
const s390x = '7f454c4602020100000000000000000000020016'
const bigEndianMask = 'ffffffffffffff00fffffffffffffffffffeffff'
const enabled = { status: 'enabled\n' }

const why = (architecture: string, files: Record<string, string>) => whyNotRun(architecture, { own: 'x86_64', files })

describe('programs of another machine', () => {
  it('need nothing on the machine that they are for', () => {
    expect(why('x86_64', {})).toBeUndefined()
  })

  it.each([
    ['aarch64', { 'qemu-aarch64': handler(aarch64) }],
    ['s390x', { 'qemu-s390x': handler(s390x, { mask: bigEndianMask }) }],
    ['aarch64', { other: handler(s390x, { mask: bigEndianMask }), 'qemu-aarch64': handler(aarch64, { flags: 'F' }) }],
    ['aarch64', { loose: handler(aarch64, { flags: '' }), strict: handler(aarch64) }],
  ])('run when an enabled handler for %s has the flag F', (architecture, files) => {
    expect(why(architecture, { ...enabled, ...files })).toBeUndefined()
  })

  it.each<[string, Record<string, string>, RegExp]>([
    ['binfmt_misc is not mounted', {}, /binfmt_misc is not mounted: `mount -t binfmt_misc.*qemu-user-static/],
    ['binfmt_misc is switched off', { status: 'disabled\n' }, /echo 1 >\/proc\/sys\/fs\/binfmt_misc\/status/],
    [
      'no handler is there',
      enabled,
      /no emulator for it: install one \(Debian: `apt-get install qemu-user-static`, EL: `dnf/,
    ],
    [
      'the handler is one of another machine',
      { ...enabled, 'qemu-s390x': handler(s390x, { mask: bigEndianMask }) },
      /the image is for aarch64 and this machine is x86_64, which has no emulator/,
    ],
    [
      'the handler is switched off',
      { ...enabled, 'qemu-aarch64': handler(aarch64, { state: 'disabled' }) },
      /echo 1 >\/proc\/sys\/fs\/binfmt_misc\/qemu-aarch64/,
    ],
    [
      'the handler is not seen in the image',
      { ...enabled, 'qemu-aarch64': handler(aarch64, { flags: 'OC' }) },
      /without the flag F.*podman run --rm --privileged multiarch\/qemu-user-static --reset -p yes/,
    ],
    [
      'a handler goes by the name of the file',
      { ...enabled, exe: 'enabled\ninterpreter /usr/bin/wine\nflags: F\nextension .exe\n' },
      /no emulator/,
    ],
  ])('do not run, and the way out is said, when %s', (_label, files, message) => {
    expect(why('aarch64', files)).toMatch(message)
  })
})
