import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Guest, startGuest } from './guest.ts'
import { attemptWith, type Head } from './head.ts'
import { bootfile, headWith, kernelArgs, skipReason } from './scene.ts'

const mac = '52:54:00:02:00:01'

describe.skipIf(skipReason !== '')(`a UEFI machine ${skipReason}`, () => {
  let head: Head
  let guest: Guest | undefined
  beforeAll(async () => {
    head = await headWith('busybox')
  })
  afterAll(async () => {
    await guest?.stop()
    await head?.stop()
  })

  it('boots busybox from a tmpfs of the size that its settings say, by the first init that there is', async () => {
    await head.muster('node', 'add', 'n002', '--image', 'busybox', '--root', 'tmpfs', '--root-size', '64M')
    await head.muster('node', 'set', 'n002', '--kernel-args', kernelArgs, '--mac', mac, '--init', '/sbin/absent')
    guest = startGuest({ mac, firmware: 'uefi', memory: 512, network: { kind: 'user', bootfile: bootfile(head) } })
    await guest.says(/MARK busybox hostname=n002 root=tmpfs mount=muster-root \/ tmpfs rw,\S*size=65536k/, 150)
    expect(guest.serial()).toContain('there is no executable /sbin/absent: using /sbin/init')
    const { events } = await attemptWith(head, 'n002', 'ready')
    const stages = events.filter(({ kind }) => kind === 'stage').map(({ detail }) => detail.step)
    expect(stages).toEqual(['root', 'init'])
    expect(events.at(-1)).toMatchObject({ kind: 'ready', detail: { rootKind: 'tmpfs' } })
  })
})
