import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import type { ImageManifest } from '../../src/images/manifest.ts'
import { bytes, type Member } from '../archive/tar-writer.ts'
import { arm64Image, bzImage, elf, rig, tarOf } from './small-image.ts'

const { import: importTar, read, remove, leftovers } = rig()
afterAll(() => {
  expect(leftovers()).toEqual([])
  remove()
})

const shell: Member = { name: 'usr/bin/sh', mode: 0o755, data: elf() }
const file = (name: string, data: Uint8Array): Member => ({ name, data })
const dir = (name: string): Member => ({ name, flag: '5', mode: 0o755 })
const link = (name: string, to: string): Member => ({ name, flag: '2', link: to })
const listed = (image: ImageManifest) => image.kernels.map(({ version, path }) => `${version} ${path}`)

describe('the kernels of an image are found, newest first:', () => {
  test.each<[string, Member[], string[]]>([
    [
      'Rocky: in /boot and again beside the modules, with a rescue and a debug kernel',
      [
        link('lib', 'usr/lib'),
        link('bin', 'usr/bin'),
        ...['5.14.0-70.el9.x86_64', '5.14.0-570.el9.x86_64', '5.14.0-570.el9.x86_64+debug'].flatMap((version) => [
          file(`boot/vmlinuz-${version}`, bzImage(version)),
          file(`boot/.vmlinuz-${version}.hmac`, bytes('x')),
          file(`usr/lib/modules/${version}/vmlinuz`, bzImage(version)),
        ]),
        file('boot/vmlinuz-0-rescue-0123456789abcdef', bzImage('5.14.0-70.el9.x86_64')),
      ],
      [
        '5.14.0-570.el9.x86_64 /boot/vmlinuz-5.14.0-570.el9.x86_64',
        '5.14.0-70.el9.x86_64 /boot/vmlinuz-5.14.0-70.el9.x86_64',
        '5.14.0-570.el9.x86_64+debug /boot/vmlinuz-5.14.0-570.el9.x86_64+debug',
      ],
    ],
    [
      'Rocky in a container: only beside the modules, /usr merged',
      [link('lib', 'usr/lib'), file('usr/lib/modules/5.14.0-570.el9.x86_64/vmlinuz', bzImage('5.14.0-570.el9.x86_64'))],
      ['5.14.0-570.el9.x86_64 /usr/lib/modules/5.14.0-570.el9.x86_64/vmlinuz'],
    ],
    [
      'Debian: links in the root',
      [
        file('boot/vmlinuz-6.1.0-18-amd64', bzImage('6.1.0-18-amd64')),
        file('boot/vmlinuz-6.1.0-9-amd64', bzImage('6.1.0-9-amd64')),
        dir('lib/modules/6.1.0-18-amd64'),
        dir('lib/modules/6.1.0-9-amd64'),
        link('vmlinuz', 'boot/vmlinuz-6.1.0-18-amd64'),
        link('boot/vmlinuz', '/vmlinuz'),
      ],
      ['6.1.0-18-amd64 /boot/vmlinuz-6.1.0-18-amd64', '6.1.0-9-amd64 /boot/vmlinuz-6.1.0-9-amd64'],
    ],
    [
      'SUSE: /boot holds links to what is beside the modules',
      [
        link('boot/vmlinuz', 'vmlinuz-6.4.0-150600.23.25-default'),
        link('boot/vmlinuz-6.4.0-150600.23.25-default', '../usr/lib/modules/6.4.0-150600.23.25-default/vmlinuz'),
        file('usr/lib/modules/6.4.0-150600.23.25-default/vmlinuz', bzImage('6.4.0-150600.23.25-default')),
        link('lib', 'usr/lib'),
      ],
      ['6.4.0-150600.23.25-default /boot/vmlinuz-6.4.0-150600.23.25-default'],
    ],
    [
      'Arch: the name says nothing, the kernel and its modules do',
      [file('boot/vmlinuz-linux', bzImage('6.9.1-arch1-1')), dir('usr/lib/modules/6.9.1-arch1-1')],
      ['6.9.1-arch1-1 /boot/vmlinuz-linux'],
    ],
    ['a plain name', [file('boot/vmlinuz', bzImage('6.6.6'))], ['6.6.6 /boot/vmlinuz']],
    [
      'a name, when the header says nothing',
      [file('boot/vmlinuz-6.6.7', bytes('kernel'))],
      ['6.6.7 /boot/vmlinuz-6.6.7'],
    ],
    [
      'the same version with other bytes',
      [file('boot/vmlinuz-6.6.6', bzImage('6.6.6')), file('lib/modules/6.6.6/vmlinuz', bzImage('6.6.6', 1))],
      ['6.6.6 /boot/vmlinuz-6.6.6', '6.6.6 /lib/modules/6.6.6/vmlinuz'],
    ],
    [
      'only a debug kernel, an empty file, a broken link, a folder and a link out',
      [
        file('boot/vmlinuz-6.6.6+debug', bzImage('6.6.6+debug')),
        file('boot/vmlinuz-1', new Uint8Array(0)),
        link('boot/vmlinuz-2', 'gone'),
        dir('boot/vmlinuz-3'),
        link('boot/vmlinuz-4', '../../../../etc/hostname'),
      ],
      ['6.6.6+debug /boot/vmlinuz-6.6.6+debug'],
    ],
  ])('%s', async (_, members, expected) => {
    expect(listed(await importTar(tarOf([shell, ...members])))).toEqual(expected)
  })

  test('arm64: gzip comes off, and the architecture is told by the kernel when no program does', async () => {
    const image = await importTar(
      tarOf([
        file('boot/Image-6.4.0-default', arm64Image()),
        file('lib/modules/6.1.0-arm64/vmlinuz.gz', gzipSync(arm64Image(9999))),
      ]),
    )
    expect(image.architecture).toBe('aarch64')
    expect(listed(image)).toEqual([
      '6.4.0-default /boot/Image-6.4.0-default',
      '6.1.0-arm64 /lib/modules/6.1.0-arm64/vmlinuz.gz',
    ])
    expect(await read(image.kernels[1]!)).toEqual(arm64Image(9999))
  })

  test.each<[string, Member[], string, string]>([
    [
      'gzip bombs',
      [file('boot/vmlinuz-6.6.6', gzipSync(new Uint8Array(2 ** 27)))],
      'ARCHIVE_LIMIT',
      '/boot/vmlinuz-6.6.6',
    ],
    [
      'damaged gzip',
      [file('boot/vmlinuz-6.6.6', gzipSync(arm64Image()).subarray(0, 30))],
      'ARCHIVE_INVALID',
      '/boot/vmlinuz-6.6.6',
    ],
    [
      'too many',
      Array.from({ length: 101 }, (_, at) => file(`boot/vmlinuz-6.6.${at}`, bytes('k'))),
      'ARCHIVE_LIMIT',
      '101 kernel files, boot/vmlinuz-6.6.',
    ],
    ['versions that no URL can hold', [file('boot/vmlinuz-6 6\n6', bytes('k'))], 'IMAGE_UNBOOTABLE', 'no kernel'],
  ])('and refused when they are %s', async (_, members, code, text) => {
    await expect(importTar(tarOf([shell, ...members]))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(text),
    })
  })
})

const kernel = file('boot/vmlinuz-6.6.6', bytes('a kernel whose header says nothing'))

describe('the architecture of an image is that of', () => {
  test.each<[string, Member[], string]>([
    ['its shell', [{ name: 'bin/sh', data: elf(62) }], 'x86_64'],
    [
      'its shell, through links',
      [link('bin', 'usr/bin'), link('usr/bin/sh', 'dash'), file('usr/bin/dash', elf(183))],
      'aarch64',
    ],
    [
      'its init, when the shell is a script',
      [file('bin/sh', bytes('#!')), link('sbin/init', '/lib/init'), file('lib/init', elf(243))],
      'riscv64',
    ],
    ['its first program', [{ name: 'opt/x', mode: 0o755, data: elf(21) }, file('opt/a-firmware', elf(62))], 'ppc64le'],
    ['a big-endian program', [file('bin/sh', elf(22, { order: 2 }))], 's390x'],
    ['its kernel', [file('boot/vmlinuz-7.0.0', bzImage('7.0.0'))], 'x86_64'],
  ])('%s', async (_, members, expected) => {
    expect((await importTar(tarOf([kernel, ...members]))).architecture).toBe(expected)
  })

  test.each([
    ['32 bits', elf(62, { bits: 1 }), 62],
    ['the other byte order', elf(21, { order: 2 }), 21],
    ['arm without 64', elf(40, { bits: 1 }), 40],
  ])('none that boots: %s', async (_, data, machine) => {
    await expect(importTar(tarOf([kernel, file('bin/sh', data)]))).rejects.toMatchObject({
      code: 'IMAGE_UNBOOTABLE',
      message: `bin/sh is for ELF machine ${machine}: Muster boots x86_64, aarch64, riscv64, ppc64le, s390x`,
    })
  })
})
