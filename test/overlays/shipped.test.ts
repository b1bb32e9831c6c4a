import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { renderOverlays } from '../../src/overlays/layers.ts'
import { buildView, type NamedSettings } from '../../src/overlays/view.ts'
import { type Effective, settingsSchema } from '../../src/registry/settings.ts'
import { bonded, bootAssets, infiniband, inputOf, plain, printed, shippedOverlay, textOf } from './fixtures.ts'

describe.each(['hostname', 'hosts', 'network', 'ssh-keys'])('the shipped overlay %s', (overlay) => {
  it.each([
    ['a node with one Ethernet device', plain],
    ['a node with a bond, a VLAN and IPv6', bonded],
    ['a node with InfiniBand and DHCP', infiniband],
  ])('gives %s these files', async (_kind, node) => {
    const files = renderOverlays([await shippedOverlay(overlay)], buildView(inputOf(node)))
    await expect(printed(files)).toMatchFileSnapshot(`../golden/overlays/${overlay}/${node.name}.txt`)
  })
})

/** Settings that the schema takes, with as much in them as templates read. */
const anySettings: fc.Arbitrary<Effective> = (() => {
  const byte = fc.nat(255).map((value) => value.toString(16).padStart(2, '0'))
  const mac = (length: number) =>
    fc.array(byte, { minLength: length, maxLength: length }).map((bytes) => bytes.join(':'))
  const name = fc.constantFrom('default', 'eth0', 'ib0', 'bond0', 'v-100', 'a_b', '0')
  const text = fc.string({ unit: 'grapheme' })
  const host = fc.constantFrom('example', 'a.b', 'X1')
  const netdev = fc.record(
    {
      mac: fc.oneof(mac(6), mac(8), mac(20)),
      device: fc.constantFrom('eno1', 'ens1f0np0', 'bond0.100'),
      type: fc.constantFrom('ethernet', 'vlan', 'bond', 'infiniband'),
      address: fc.tuple(fc.ipV4(), fc.nat(32)).map((parts) => parts.join('/')),
      address6: fc.tuple(fc.ipV6(), fc.nat(128)).map((parts) => parts.join('/')),
      gateway: fc.ipV4(),
      gateway6: fc.ipV6(),
      mtu: fc.integer({ min: 68, max: 65536 }),
      primary: fc.boolean(),
      vlan: fc.record({ id: fc.integer({ min: 1, max: 4094 }), parent: name }, { requiredKeys: [] }),
      bond: fc.record({ members: fc.array(name, { maxLength: 3 }), miimon: fc.nat(60000) }, { requiredKeys: [] }),
      dns: fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 2 }),
      tags: fc.dictionary(fc.constantFrom('xmit_hash_policy', 'lacp_rate', 'transport_mode', 'x'), text),
    },
    { requiredKeys: [] },
  )
  return fc
    .record(
      {
        domain: host,
        nameservers: fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 2 }),
        search: fc.array(host, { maxLength: 2 }),
        netdevs: fc.dictionary(name, netdev, { maxKeys: 4 }),
        tags: fc.dictionary(fc.constantFrom('a', 'b'), text),
        resources: fc.dictionary(fc.constantFrom('sshAuthorizedKeys', 'other'), fc.jsonValue()),
      },
      { requiredKeys: [] },
    )
    .map((settings) => settingsSchema.safeParse(settings))
    .filter((parsed) => parsed.success)
    .map((parsed) => parsed.data as Effective) // nothing here is null, which is all that inheritance takes away
})()

const anyNodes: fc.Arbitrary<NamedSettings[]> = fc
  .array(anySettings, { minLength: 1, maxLength: 5 })
  .map((all) => all.map((settings, at) => ({ name: at % 2 ? `n${at}` : `n${at}.own.example`, settings })))

describe('whatever the settings are', () => {
  it('/etc/hosts has one line for each address, and nothing but addresses and names', async () => {
    const hosts = await shippedOverlay('hosts')
    fc.assert(
      fc.property(anyNodes, (nodes) => {
        const text = textOf(renderOverlays([hosts], buildView(inputOf(nodes[0]!, nodes)))[0])
        const lines = text.split('\n')
        const addresses = nodes.flatMap(({ settings }) =>
          Object.values(settings.netdevs ?? {})
            .flatMap(({ address, address6 }) => [address, address6])
            .filter(Boolean),
        )
        expect(lines).toHaveLength(4 + addresses.length + 1)
        expect(lines.pop()).toBe('')
        for (const line of lines.slice(1)) expect(line).toMatch(/^[0-9a-f.:]+(?: [A-Za-z0-9._-]+)+$/)
      }),
    )
  })

  it('no overlay prints an object or something undefined, and twice is the same', async () => {
    const overlays = await Promise.all(['hostname', 'hosts', 'network', 'ssh-keys'].map(shippedOverlay))
    let rendered = 0
    fc.assert(
      fc.property(anyNodes, (nodes) => {
        for (const overlay of overlays) {
          const once = () => {
            try {
              return printed(renderOverlays([overlay], buildView(inputOf(nodes[0]!, nodes))))
            } catch (error) {
              // Settings that mean no interface, such as a VLAN without a parent, are refused by name.
              expect(error).toMatchObject({ code: 'TEMPLATE_INVALID', message: expect.stringMatching(/ line [0-9]+/) })
              return 'refused'
            }
          }
          const text = once()
          if (text !== 'refused') rendered++
          if (overlay.name !== 'ssh-keys') expect(text).not.toMatch(/undefined|\[object|null|NaN/)
          expect(once()).toBe(text)
        }
      }),
    )
    expect(rendered).toBeGreaterThan(200)
  })
})

describe('the hosts overlay', () => {
  it('reads the settings of each node equally often however many nodes there are', async () => {
    const hosts = await shippedOverlay('hosts')
    const readsPerNode = (count: number) => {
      let reads = 0
      const nodes = Array.from({ length: count }, (_, at) => ({
        name: `n${at}`,
        get settings() {
          reads++
          return plain.settings
        },
      }))
      const text = textOf(renderOverlays([hosts], buildView(inputOf(plain, nodes)))[0])
      expect(text.split('\n')).toHaveLength(4 + count + 1)
      return reads / count
    }
    expect(readsPerNode(2000)).toBe(readsPerNode(100))
  })

  it('is rendered once for all nodes of a revision', async () => {
    const hosts = await shippedOverlay('hosts')
    const memory = { templates: new Map(), shared: new Map() }
    const outputs = [plain, bonded, infiniband].map(
      (node) => renderOverlays([hosts], buildView(inputOf(node)), memory)[0],
    )
    expect(memory.shared.size).toBe(1)
    expect(new Set(outputs.map((file) => file?.type === 'file' && file.content)).size).toBe(1)
  })
})

describe('the network overlay', () => {
  const render = async (settings: Effective) =>
    renderOverlays([await shippedOverlay('network')], buildView(inputOf({ name: 'n1', settings })))
  const netdevs = { default: { mac: '52:54:00:00:00:01' } }

  it.each([
    ['networkd', ['/etc/systemd/network/10-muster-default.network']],
    ['networkmanager', ['/etc/NetworkManager/system-connections/muster-default.nmconnection']],
    ['none', []],
  ])('is narrowed by the tag network: %s', async (network, paths) => {
    expect((await render({ netdevs, tags: { network } })).map((file) => file.path)).toEqual(paths)
  })

  it('leaves a netdev alone that nothing tells from others', async () => {
    expect(
      (await render({ netdevs: { ...netdevs, ib0: { type: 'infiniband', mtu: 4092 } } })).map((file) => file.path),
    ).toEqual([
      '/etc/NetworkManager/system-connections/muster-default.nmconnection',
      '/etc/systemd/network/10-muster-default.network',
    ])
  })

  it.each<[string, NonNullable<Effective['netdevs']>, RegExp]>([
    ['a VLAN without a parent', { v: { type: 'vlan', vlan: { id: 5 } } }, /^parent has no value/],
    ['a VLAN without a number', { v: { type: 'vlan', vlan: { parent: 'eth0' } } }, /^id has no value/],
    [
      'InfiniBand known by its port GUID alone',
      { ib0: { type: 'infiniband', mac: '00:02:c9:03:00:0a:2f:c1' } },
      /linkAddress has no value/,
    ],
  ])('refuses %s', async (_what, faulty, message) => {
    await expect(render({ netdevs: faulty })).rejects.toMatchObject({
      code: 'TEMPLATE_INVALID',
      message: expect.stringMatching(message),
    })
  })

  it('carries a VLAN on a device that is only known by its MAC', async () => {
    const files = await render({ netdevs: { ...netdevs, v5: { type: 'vlan', vlan: { id: 5, parent: 'default' } } } })
    const text = (end: string) => textOf(files.find((file) => file.path.endsWith(end)))
    expect(text('muster-v5.nmconnection')).toContain('mac-address=52:54:00:00:00:01\n')
    expect(text('muster-v5.nmconnection')).not.toContain('parent=')
    expect(text('muster-default.network')).toContain('VLAN=v5\n')
  })
})

describe.each([['dash'], ['busybox', 'sh']])('the host key script under %s', (...shell) => {
  const script = join(bootAssets, 'overlays/ssh-keys/files/muster/init.d/50-ssh-host-keys')
  let bin: string
  beforeEach(() => {
    bin = mkdtempSync(join(tmpdir(), 'ssh-keys-'))
  })
  afterEach(() => rmSync(bin, { recursive: true }))

  function program(name: string, text: string): void {
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  const run = () => {
    symlinkSync('/bin/sh', join(bin, 'sh'))
    const [command = '', ...args] = shell
    const which = spawnSync('which', [command], { encoding: 'utf8' }).stdout.trim()
    const { status, stderr } = spawnSync(which, [...args, script], { env: { PATH: bin }, encoding: 'utf8' })
    return { status, stderr }
  }

  it('asks ssh-keygen for the keys that are missing', () => {
    program('sshd', 'exit 0')
    program('ssh-keygen', `echo "$@" > ${bin}/asked`)
    expect(run()).toEqual({ status: 0, stderr: '' })
    expect(readFileSync(join(bin, 'asked'), 'utf8')).toBe('-A\n')
  })

  it('says so when there is no ssh-keygen', () => {
    program('sshd', 'exit 0')
    const { status, stderr } = run()
    expect(status).toBe(1)
    expect(stderr).toMatch(/^ssh-host-keys: the image has sshd but no ssh-keygen: install /)
  })

  it('says so when ssh-keygen fails', () => {
    program('sshd', 'exit 0')
    program('ssh-keygen', 'exit 255')
    expect(run()).toEqual({
      status: 1,
      stderr: 'ssh-host-keys: ssh-keygen -A failed: sshd will refuse connections until /etc/ssh has host keys\n',
    })
  })
})
