import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Guest, startGuest } from './guest.ts'
import { attemptWith, type Head, startHead } from './head.ts'
import { bridgeAddress, createNetwork, type Network } from './network.ts'
import { headWith, kernelArgs, skipReason } from './scene.ts'

const uefiMac = '52:54:00:04:00:01'
const biosMac = '52:54:00:04:00:02'

describe.skipIf(skipReason !== '')(`machines on a network with DHCP and TFTP ${skipReason}`, () => {
  let network: Network
  let head: Head
  let tftp: string
  const guests: Guest[] = []
  beforeAll(async () => {
    network = await createNetwork()
    const place = { listen: bridgeAddress, reach: bridgeAddress, port: 9080, prefix: network.prefix }
    head = await headWith('busybox', () => startHead(place))
    tftp = mkdtempSync(join(tmpdir(), 'muster-tftp-'))
    copyFileSync('/usr/lib/ipxe/snponly.efi', join(tftp, 'snponly.efi'))
    network.dnsmasq(tftp, [
      ...advisedOptions(head),
      `--dhcp-host=${uefiMac},10.77.0.51`,
      `--dhcp-host=${biosMac},10.77.0.52`,
    ])
  })
  afterAll(async () => {
    // First, because it ends the processes that the others only began.
    network?.stop()
    for (const guest of guests) await guest.stop()
    await head?.stop()
    if (tftp) rmSync(tftp, { recursive: true, force: true })
  })

  it('boot with the lines for dnsmasq that the service prints: firmware, iPXE by TFTP, script by HTTP', async () => {
    await head.muster('node', 'add', 'u001', '--mac', uefiMac, '--image', 'busybox', '--kernel-args', kernelArgs)
    await head.muster('node', 'set', 'u001', '--root', 'initramfs', '--address', '10.77.0.51/24')
    const wire = { kind: 'tap', device: 'tap0', rom: false } as const
    const guest = startGuest({ mac: uefiMac, firmware: 'uefi', memory: 512, network: wire }, network.prefix)
    guests.push(guest)
    await guest.says(/MARK busybox hostname=u001/, 180)
    expect(network.log()).toMatch(/sent .*snponly\.efi to 10\.77\.0\.51/)
    expect(guest.serial()).toContain(`(${uefiMac}) 10.77.0.51/24`)
    expect((await attemptWith(head, 'u001', 'ready')).outcome).toBe('ready')
  })

  it("boot by the card's own iPXE, with the address that DHCP gave", async () => {
    await head.muster('node', 'add', 'b001', '--mac', biosMac, '--image', 'busybox', '--root', 'tmpfs')
    await head.muster('node', 'set', 'b001', '--kernel-args', kernelArgs)
    const wire = { kind: 'tap', device: 'tap1', rom: true } as const
    const guest = startGuest({ mac: biosMac, firmware: 'bios', memory: 256, network: wire }, network.prefix)
    guests.push(guest)
    await guest.says(/MARK busybox hostname=b001/, 90)
    expect(guest.serial()).toContain(`(${biosMac}) 10.77.0.52/24`)
    expect((await attemptWith(head, 'b001', 'ready')).outcome).toBe('ready')
  })
})

/** The lines of dnsmasq.conf in the service's greeting, as options of the command line. */
function advisedOptions(head: Head): string[] {
  const lines = head.log().match(/^ +dhcp-\S+$/gm) ?? []
  expect(lines.length).toBeGreaterThan(1)
  return lines.map((line) => `--${line.trim()}`)
}
