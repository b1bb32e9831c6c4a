import { describe, expect, it } from 'vitest'
import type { RenderedFile } from '../../../src/overlays/render.ts'
import { textOf } from '../fixtures.ts'
import { filesOf, fixed, gpu, kinds, unnamed } from './nodes.ts'
import { ifupdownCommands, netplanFaults, networkdFaults, networkManagerFaults, type Texts, udevName } from './tools.ts'

const textsOf = (files: RenderedFile[]): Texts =>
  Object.fromEntries(files.filter((file) => file.type === 'file').map((file) => [file.path, textOf(file)]))

describe.each(kinds)('the files of %s', (_kind, node) => {
  it('are taken by NetworkManager', async () => {
    expect(networkManagerFaults(textsOf(await filesOf('NetworkManager', node)))).toEqual([])
  })

  it('are taken by systemd-networkd', async () => {
    expect(networkdFaults(textsOf(await filesOf('systemd-networkd', node)))).toEqual([])
  })

  it('are taken by netplan', async () => {
    expect(netplanFaults(textsOf(await filesOf('netplan', node)))).toEqual([])
  })

  it('are taken by ifupdown', async () => {
    const { faults, commands } = ifupdownCommands(textsOf(await filesOf('ifupdown', node)))
    expect(faults).toEqual([])
    expect(commands).toContain('ifup: configuring interface')
  })
})

describe('the checks themselves', () => {
  it('NetworkManager tells a setting that there is none of', () => {
    expect(networkManagerFaults({ '/a': '[connection]\nid=a\ntype=ethernet\n[etherner]\nmtu=1500\n' })).toEqual([
      "/a: invalid setting name 'etherner'",
    ])
  })

  it('systemd-networkd tells a key that there is none of', () => {
    expect(
      networkdFaults({ '/etc/systemd/network/10-a.network': '[Match]\nName=a\n[Network]\nAdress=10.0.0.1/24\n' }),
    ).toEqual([expect.stringMatching(/10-a.network:4: Unknown key 'Adress'/)])
  })

  it('netplan tells a key that there is none of', () => {
    const text = 'network: { version: 2, ethernets: { a: { dhcp5: true } } }\n'
    expect(netplanFaults({ '/etc/netplan/a.yaml': text })).toEqual([expect.stringMatching(/unknown key 'dhcp5'/)])
  })

  it('ifupdown tells a method that there is none of', () => {
    const { faults } = ifupdownCommands({ '/etc/network/interfaces.d/muster': 'auto a\niface a inet fixed\n' })
    expect(faults).toEqual([expect.stringMatching(/unknown or no method/)])
  })

  it('udev tells a key that there is none of', () => {
    const rules = { '/etc/udev/rules.d/70-persistent-net.rules': 'SUBSYSTEM=="net", NOME="a"\n' }
    expect(udevName(rules, '52:54:00:00:00:02').faults).toEqual([expect.stringMatching(/NOME/)])
  })
})

describe.each(['udev-names', 'systemd-names'])('the names of %s', (overlay) => {
  it('are what udev calls an interface with the MAC', async () => {
    const files = textsOf(await filesOf(overlay, fixed))
    expect(udevName(files, '52:54:00:00:00:02')).toEqual({ faults: [], name: 'eno1' })
    expect(udevName(files, '52:54:00:00:00:99')).toEqual({ faults: [], name: 'veth9' })
  })

  it('are told apart among many', async () => {
    const files = textsOf(await filesOf(overlay, gpu))
    expect(udevName(files, '52:54:00:00:01:02')).toEqual({ faults: [], name: 'ens1f1np1' })
  })

  it('are nobody’s where no device is set', async () => {
    const files = textsOf(await filesOf(overlay, unnamed))
    expect(udevName(files, '52:54:00:00:03:01')).toEqual({ faults: [], name: 'veth9' })
  })
})
