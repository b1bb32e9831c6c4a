import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Guest, startGuest } from './guest.ts'
import { attemptWith, type Head } from './head.ts'
import { bootfile, headWith, kernelArgs, skipReason } from './scene.ts'

const mac = '52:54:00:06:00:01'

describe.skipIf(skipReason !== '')(`a boot that fails on the node ${skipReason}`, () => {
  let head: Head
  let guest: Guest | undefined
  beforeAll(async () => {
    head = await headWith('busybox')
  })
  afterAll(async () => {
    await guest?.stop()
    await head?.stop()
  })

  it('says why, tells it, reboots after a pause, and boots once the settings are mended', async () => {
    await head.muster('node', 'add', 'n006', '--image', 'busybox', '--root', 'tmpfs', '--root-size', '1M', '--mac', mac)
    await head.muster('node', 'set', 'n006', '--kernel-args', kernelArgs, '--on-failure', 'reboot')
    guest = startGuest({ mac, firmware: 'bios', memory: 256, network: { kind: 'user', bootfile: bootfile(head) } })
    const why = /failed: (the root takes \d+ MiB, more than root\.size allows \(1 MiB\): raise root\.size)/
    const [, message] = await guest.says(why, 90)
    const failed = await attemptWith(head, 'n006', 'failed')
    expect(failed.outcome).toBe('failed')
    expect(failed.events.at(-1)).toMatchObject({ kind: 'failed', detail: { message } })
    await guest.says(/rebooting in (1[5-9]|[23]\d|4[0-5]) s/, 10)
    await head.muster('node', 'set', 'n006', '--root-size', '50%')
    await guest.says(/MARK busybox hostname=n006 root=tmpfs/, 150)
    const ready = await attemptWith(head, 'n006', 'ready')
    expect(ready.id).not.toBe(failed.id)
    expect(guest.serial()).not.toContain('Kernel panic')
  })
})
