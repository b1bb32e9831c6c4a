import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Guest, startGuest } from './guest.ts'
import { attemptWith, type Head } from './head.ts'
import { bootfile, headWith, kernelArgs, skipReason } from './scene.ts'

const mac = '52:54:00:01:00:01'

describe.skipIf(skipReason !== '')(`a BIOS machine ${skipReason}`, () => {
  let head: Head
  let guest: Guest | undefined
  beforeAll(async () => {
    head = await headWith('busybox')
  })
  afterAll(async () => {
    await guest?.stop()
    await head?.stop()
  })

  it('boots busybox in the initramfs and tells each step', async () => {
    await head.muster(
      'node',
      'add',
      'n001',
      '--image',
      'busybox',
      '--root',
      'initramfs',
      '--kernel-args',
      kernelArgs,
      '--mac',
      mac,
    )
    guest = startGuest({ mac, firmware: 'bios', memory: 256, network: { kind: 'user', bootfile: bootfile(head) } })
    await guest.says(/MARK busybox hostname=n001 root=tmpfs mount=rootfs/, 90)
    const attempt = await attemptWith(head, 'n001', 'ready')
    expect(attempt.outcome).toBe('ready')
    const told = attempt.events.filter(({ kind }) => ['init', 'stage', 'failed', 'ready'].includes(kind))
    expect(told.map(({ kind }) => kind)).toEqual(['init', 'stage', 'ready'])
    expect(told.at(-1)?.detail).toEqual({
      uptime: expect.any(Number),
      memTotalKiB: expect.any(Number),
      memAvailableKiB: expect.any(Number),
      rootKind: 'initramfs',
      rootUsedKiB: expect.any(Number),
      image: expect.stringMatching(/^sha256:/),
      kernel: expect.any(String),
      args: kernelArgs,
      system: expect.stringMatching(/^[0-9a-f]{64}$/),
      runtime: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
  })

  it('ran the scripts of /muster/init.d before init took over', () => {
    expect(guest?.serial()).toMatch(/HELLO from init\.d, pid 1 is \/bin\/sh \/muster\/finish[\s\S]*MARK busybox/)
  })

  it('keeps its ticket where only root can look', () => {
    expect(guest?.serial()).toContain('TICKET /run/muster 700, /muster/ticket gone')
  })
})
