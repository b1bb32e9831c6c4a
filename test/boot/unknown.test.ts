import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Guest, startGuest } from './guest.ts'
import { attemptWith, type Head } from './head.ts'
import { bootfile, headWith, kernelArgs, skipReason } from './scene.ts'

const mac = '52:54:00:05:00:01'

describe.skipIf(skipReason !== '')(`a machine that nobody knows ${skipReason}`, () => {
  let head: Head
  let guest: Guest | undefined
  beforeAll(async () => {
    head = await headWith('busybox')
  })
  afterAll(async () => {
    await guest?.stop()
    await head?.stop()
  })

  it('says so, and boots without a power cycle once it is approved', async () => {
    guest = startGuest({ mac, firmware: 'bios', memory: 256, network: { kind: 'user', bootfile: bootfile(head) } })
    await guest.says(/nobody knows this machine yet/, 60)
    await guest.says(new RegExp(`muster discovered approve ${mac} NAME`), 30)
    const [machine] = JSON.parse(await head.muster('--json', 'discovered', 'list'))
    expect(machine).toMatchObject({ mac, facts: { platform: 'pcbios' } })
    await head.muster('discovered', 'approve', mac, 'n005')
    await head.muster('node', 'set', 'n005', '--image', 'busybox', '--root', 'initramfs', '--kernel-args', kernelArgs)
    await guest.says(/MARK busybox hostname=n005/, 150)
    expect((await attemptWith(head, 'n005', 'ready')).outcome).toBe('ready')
    expect(guest.serial().match(/SeaBIOS \(version/g)).toHaveLength(1)
  })
})
