import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { freshSettings, patchOf, unsetPatch } from '../../src/cli/patch.ts'
import { settingFlags, withSettingFlags } from '../../src/cli/setting-flags.ts'
import { settingsSchema } from '../../src/registry/settings.ts'

/** The patch of a command line. */
function patch(...argv: string[]) {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => undefined })
  const { given } = withSettingFlags(command)
  command.parse(argv, { from: 'user' })
  return patchOf(given)
}

describe('setting flags', () => {
  it.each([
    ['--profile', ['--profile', 'a', '--profile', 'b,c'], { profiles: ['a', 'b', 'c'] }],
    ['an empty --profile', ['--profile', ''], { profiles: [] }],
    ['--image', ['--image', 'rocky9@3'], { image: 'rocky9@3' }],
    ['--kernel-version', ['--kernel-version', '5.14'], { kernel: { version: '5.14' } }],
    ['--kernel-args', ['--kernel-args', 'quiet a="b c"'], { kernel: { args: ['quiet', 'a="b c"'] } }],
    ['a --kernel-args that begins with a dash', ['--kernel-args', '-y'], { kernel: { args: ['-y'] } }],
    ['--root', ['--root', 'tmpfs'], { root: { kind: 'tmpfs' } }],
    ['a --root order', ['--root', 'disk,zram'], { root: { kind: ['disk', 'zram'] } }],
    ['--root-size', ['--root-size', '50%'], { root: { size: '50%' } }],
    ['--init', ['--init', '/sbin/init'], { init: '/sbin/init' }],
    ['--script', ['--script', 'default'], { script: 'default' }],
    ['--stages', ['--stages', '2'], { stages: 2 }],
    ['--on-failure', ['--on-failure', 'shell'], { onFailure: 'shell' }],
    ['--system-overlays', ['--system-overlays', 'a,~b'], { overlays: { system: ['a', '~b'] } }],
    ['--runtime-overlays', ['--runtime-overlays', 'hosts'], { overlays: { runtime: ['hosts'] } }],
    ['--domain', ['--domain', 'cluster'], { domain: 'cluster' }],
    [
      '--nameserver',
      ['--nameserver', '10.0.0.1', '--nameserver', '10.0.0.2'],
      { nameservers: ['10.0.0.1', '10.0.0.2'] },
    ],
    ['--search', ['--search', 'a.b'], { search: ['a.b'] }],
    ['--ntp', ['--ntp', 'ntp1,ntp2'], { ntp: ['ntp1', 'ntp2'] }],
    ['--timezone', ['--timezone', 'Europe/Berlin'], { timezone: 'Europe/Berlin' }],
    ['--uuid', ['--uuid', '4c4c4544-0042-4b10-8051-b4c04f564432'], { uuid: '4c4c4544-0042-4b10-8051-b4c04f564432' }],
    ['--serial', ['--serial', 'S1'], { serial: 'S1' }],
    ['--asset-tag', ['--asset-tag', 'A1'], { assetTag: 'A1' }],
    ['--description', ['--description', 'a node'], { description: 'a node' }],
    ['--tag', ['--tag', 'rack=r12', '--tag', 'note=a=b'], { tags: { rack: 'r12', note: 'a=b' } }],
    ['--tag-delete', ['--tag-delete', 'rack'], { tags: { rack: null } }],
    ['--resource', ['--resource', 'mounts=[{"a":1}]'], { resources: { mounts: [{ a: 1 }] } }],
    ['--set with JSON', ['--set', 'runtimeInterval=60'], { runtimeInterval: 60 }],
    ['--set with text', ['--set', 'settings.bmc.address=10.1.0.5'], { bmc: { address: '10.1.0.5' } }],
  ])('%s', (_name, argv, expected) => {
    const { profiles, settings } = patch(...argv).patch
    expect({ ...(profiles && { profiles }), ...settings }).toEqual(expected)
    expect(settingsSchema.safeParse(structuredClone({ ...settings })).success).toBe(true)
  })

  it('speak of the netdev that was named last', () => {
    const { patch: made, netdev } = patch(
      ...['--mac', '52:54:00:00:00:01', '--primary', '--address', '10.0.0.1/24', '--gateway', '10.0.0.254'],
      ...['--netdev', 'ib0', '--type', 'infiniband', '--device', 'ibp1', '--mtu', '4092', '--address6', 'fd00::1/64'],
      ...['--gateway6', 'fd00::ff', '--netdev', 'v10', '--vlan', '10:default', '--dns', '10.0.0.53'],
      ...['--netdev', 'bond0', '--bond', '802.3ad:default,eth1'],
    )
    expect(made.settings).toEqual({
      netdevs: {
        default: { mac: '52:54:00:00:00:01', primary: true, address: '10.0.0.1/24', gateway: '10.0.0.254' },
        ib0: { type: 'infiniband', device: 'ibp1', mtu: 4092, address6: 'fd00::1/64', gateway6: 'fd00::ff' },
        v10: { vlan: { id: 10, parent: 'default' }, type: 'vlan', dns: ['10.0.0.53'] },
        bond0: { bond: { mode: '802.3ad', members: ['default', 'eth1'] }, type: 'bond' },
      },
    })
    expect(netdev).toBe('ib0')
    expect(settingsSchema.safeParse(structuredClone({ ...made.settings })).error).toBeUndefined()
  })

  it.each([
    ['a quote that is never closed', '--kernel-args', 'a="b'],
    ['a number that is none', '--mtu', 'big'],
    ['a vlan without parent', '--vlan', '10'],
    ['a tag without value', '--tag', 'rack'],
    ['a resource that is no JSON', '--resource', 'a=b'],
    ['a path without value', '--set', 'image'],
  ])('refuse %s', (_name, flag, value) => {
    expect(() => patch(flag, value)).toThrow(/argument .* is invalid/)
  })

  it('clear by path, and for a new thing say so in its settings', () => {
    const { patch: made } = patch('--clear', 'settings.kernel.args', '--clear', 'image', '--tag-delete', 'rack')
    expect(made).toMatchObject({ clear: ['kernel.args', 'image'], settings: { tags: { rack: null } } })
    expect(freshSettings(made)).toEqual({ kernel: { args: null }, image: null, tags: {} })
  })

  it('unset by path; profiles become none', () => {
    expect(unsetPatch(['kernel.args', 'netdevs.eth1', 'profiles'])).toEqual({
      profiles: [],
      settings: { kernel: { args: null }, netdevs: { eth1: null } },
      clear: [],
    })
  })

  it('name nothing but data, whatever the path', () => {
    const { patch: made } = patch('--set', 'tags={}', '--set', 'tags.__proto__.x=1', '--set', '__proto__.y=1')
    expect(({} as Record<string, unknown>).x).toBeUndefined()
    expect(({} as Record<string, unknown>).y).toBeUndefined()
    expect(JSON.stringify(made.settings)).toContain('"__proto__":{"y":1}')
  })

  it('are all in the table once', () => {
    const names = settingFlags.map(({ flags }) => flags.split(' ')[0])
    expect(new Set(names).size).toBe(names.length)
  })
})
