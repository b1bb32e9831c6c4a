import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Guest, startGuest } from './guest.ts'
import { attemptWith, type Head } from './head.ts'
import { bootfile, headWith, kernelArgs, skipReason } from './scene.ts'

const mac = '52:54:00:03:00:01'

describe.skipIf(skipReason !== '')(`Debian with systemd ${skipReason}`, () => {
  let head: Head
  let guest: Guest | undefined
  beforeAll(async () => {
    head = await headWith('debian')
  })
  afterAll(async () => {
    await guest?.stop()
    await head?.stop()
  })

  it('reaches multi-user from a tmpfs, with nothing failed, and its unit tells that it is ready', async () => {
    await head.muster('node', 'add', 'd001', '--image', 'debian', '--root', 'tmpfs', '--mac', mac)
    await head.muster(
      'node',
      'set',
      'd001',
      '--kernel-args',
      kernelArgs,
      '--domain',
      'cluster.test',
      '--address',
      '10.0.2.15/24',
    )
    guest = startGuest({ mac, firmware: 'bios', memory: 1024, network: { kind: 'user', bootfile: bootfile(head) } })
    const [line] = await guest.says(/MARK debian .*/, 200)
    expect(line, guest.serial()).toBe('MARK debian state=running hostname=d001 root=tmpfs')
    const { events } = await attemptWith(head, 'd001', 'ready', 90)
    expect(events.at(-1)).toMatchObject({ kind: 'ready', detail: { rootKind: 'tmpfs' } })
    expect(events.at(-1)?.detail.rootUsedKiB).toBeGreaterThan(100_000)
  })

  it('has the files of its overlays, with their modes', () => {
    expect(guest?.serial()).toMatch(/HOSTS 10\.0\.2\.15\s.*d001/)
    expect(guest?.serial()).toMatch(/CONFIG 600 root *$/m)
  })

  it('has the file capabilities of its image', () => {
    expect(guest?.serial()).toMatch(/CAPABILITY \/usr\/bin\/ping cap_net_raw[=+]ep/)
  })

  it('is what its layers add up to: deleted, replaced and linked across them', () => {
    expect(guest?.serial()).toContain('LAYERS left-over=gone replaced=by the second layer')
    expect(guest?.serial()).toMatch(/CAPABILITY \/usr\/bin\/pong cap_net_raw[=+]ep links=2/)
  })
})
