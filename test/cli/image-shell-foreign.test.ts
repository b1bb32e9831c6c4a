/** Images for another machine, run by the kernel through binfmt_misc and qemu. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { machine } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { arm64Image } from '../images/small-image.ts'
import { ended, leftovers, type ShellRig, shellRig } from './shell-rig.ts'

const qemu = '/usr/bin/qemu-aarch64-static'
const directory = '/proc/sys/fs/binfmt_misc'
/** Registers the emulator and runs what follows. With the mount namespace, which has the only mount, the emulator goes. */
const withEmulator = [
  '--mount',
  'sh',
  '-c',
  `mount -t binfmt_misc binfmt_misc ${directory} && printf %s "$1" >${directory}/register && shift && exec "$@"`,
  'sh',
  // As Debian registers it: magic and mask of an ELF header, and F, which opens the emulator here and now.
  [
    ':muster-test-aarch64:M:',
    `\\x7fELF\\x02\\x01\\x01${'\\x00'.repeat(9)}\\x02\\x00\\xb7\\x00`,
    `${'\\xff'.repeat(7)}\\x00${'\\xff'.repeat(8)}\\xfe${'\\xff'.repeat(3)}`,
    qemu,
    'F',
  ].join(':'),
]

function missing(): string | undefined {
  if (machine() === 'aarch64') return 'this machine is the other one'
  if (!existsSync(qemu)) return `${qemu} is not installed (Debian: qemu-user-static)`
  const tried = spawnSync('unshare', [...withEmulator, 'true'], { encoding: 'utf8' })
  return tried.status === 0 ? undefined : `binfmt_misc cannot be mounted: ${tried.stderr.trim()}`
}

/** A program for aarch64 that writes a line to /made and to stdout (syscalls openat, write and exit of Linux). */
function program(): Uint8Array {
  const movz = (register: number, value: number) => 0xd2800000 | (value << 5) | register
  const [svc, minus100] = [0xd4000001, 0x92800c60]
  const [path, line] = ['/made\0\0\0', 'aarch64\n']
  const count = 17
  const adr = (register: number, at: number, target: number) => 0x10000000 | (((target - at) >> 2) << 5) | register
  const text = count * 4
  const code = [
    minus100,
    adr(1, 4, text),
    // O_WRONLY and O_CREAT.
    movz(2, 0x41),
    movz(3, 0o644),
    movz(8, 56),
    svc,
    // The descriptor is in x0.
    adr(1, 24, text + path.length),
    movz(2, line.length),
    movz(8, 64),
    svc,
    movz(0, 1),
    adr(1, 44, text + path.length),
    movz(8, 64),
    svc,
    movz(0, 0),
    movz(8, 93),
    svc,
  ]
  const head = 64 + 56
  const size = head + text + path.length + line.length
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  const base = 0x400000n
  for (const [at, value] of [
    [16, 2],
    [18, 183],
    [52, 64],
    [54, 56],
    [56, 1],
  ] as const)
    view.setUint16(at, value, true)
  for (const [at, value] of [
    [20, 1],
    [64, 1],
    [68, 5],
  ] as const)
    view.setUint32(at, value, true)
  const words = [
    [24, base + BigInt(head)],
    [32, 64n],
    [80, base],
    [88, base],
    [96, BigInt(size)],
    [104, BigInt(size)],
    [112, 4096n],
  ] as const
  for (const [at, value] of words) view.setBigUint64(at, value, true)
  for (const [at, word] of code.entries()) view.setUint32(head + at * 4, word >>> 0, true)
  bytes.set(new TextEncoder().encode(path + line), head + text)
  return bytes
}

const reason = missing()
let rig: ShellRig
beforeAll(async () => {
  rig = await shellRig()
  const tree = join(rig.folder, 'arm')
  for (const folder of ['bin', 'sbin', 'boot', 'lib/modules/6.1.0-18-arm64'])
    await mkdir(join(tree, folder), { recursive: true })
  for (const name of ['bin/sh', 'sbin/init']) await writeFile(join(tree, name), program(), { mode: 0o755 })
  await writeFile(join(tree, 'boot/vmlinuz-6.1.0-18-arm64'), arm64Image())
  await rig.importTree('arm', tree)
})
afterAll(() => rig.close())

describe('an image for another machine', () => {
  it('is refused before anything is fetched where nothing runs its programs', {
    skip: machine() === 'aarch64',
  }, async () => {
    const { code, err } = await rig.image('exec', 'arm', '--', '/bin/sh')
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/^muster: the image is for aarch64 and this machine is \w+.*qemu-user-static/),
    ])
  })

  it(`is run where an emulator is registered ${reason ? `(skipped: ${reason})` : ''}`, {
    skip: reason !== undefined,
  }, async () => {
    const args = ['bin/muster', 'image', 'exec', 'arm', '--tmp', rig.tmp, '--', '/bin/sh']
    const child = spawn('unshare', [...withEmulator, ...args], { env: rig.env, stdio: ['ignore', 'pipe', 'pipe'] })
    expect(await ended(child)).toEqual({
      code: 0,
      out: 'aarch64\n',
      err: expect.stringContaining('made arm@2 from arm@1: 1 added, 0 changed, 0 removed\n'),
    })
    expect(await rig.file('arm@2', '/made')).toBe('aarch64\n')
    expect(await leftovers(rig)).toEqual([])
  })
})
