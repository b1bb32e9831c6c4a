import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { buildView } from '../../src/overlays/view.ts'
import { nodes } from '../../src/registry/schema.ts'
import { settingsSchema } from '../../src/registry/settings.ts'
import { type TestApp, testApp } from '../harness.ts'
import { inputOf } from '../overlays/fixtures.ts'

let test: TestApp
beforeEach(async () => {
  test = await testApp()
})
afterEach(() => test.close())

/** What the service says of a node with these settings. */
async function stored(settings: unknown) {
  const response = await test.send('PUT', '/api/nodes/n1', { body: { settings } })
  const { code, field, message } = await response.json()
  return { status: response.status, code, field, message }
}

describe('tags that overlays read', () => {
  it.each([
    ['network', 'networkd'],
    ['network', 'none'],
    ['gpuMigProfiles', '9,9:19:3g.20gb/1c.3g.20gb::1g.5gb+me'],
    ['gpuMigProfiles', ''],
    ['PasswordlessRoot', 'true'],
    ['bmcBitRate', '115.2'],
    ['localtime', 'America/Argentina/Buenos_Aires'],
    ['ntp_server', 'fd00::1'],
    ['ntp_servers', 'a.example, 10.0.0.1'],
    ['slurmPrefix', '/opt/slurm'],
    ['site', 'anything; at <all>'],
  ])('are stored: %s %j', async (key, value) => {
    expect(await stored({ tags: { [key]: value } })).toMatchObject({ status: 201 })
    expect(await test.call('GET', '/api/nodes/n1')).toMatchObject({ settings: { tags: { [key]: value } } })
  })

  it.each([
    ['network', 'dhcpcd', 'or none, not "dhcpcd"'],
    ['gpuMigProfiles', '9 9', 'must be profiles such as 9,9'],
    ['gpuMigProfiles', '-L', 'must be profiles such as 9,9'],
    ['PasswordlessRoot', 'yes', 'must be true or false, not "yes"'],
    ['bmcBitRate', '300', 'must be serial, 9.6'],
    ['localtime', '../../etc/shadow', 'must be a zone such as America/Phoenix'],
    ['ntp_server', 'a b', 'must be one host name or address'],
    ['ntp_servers', 'a;b$', 'must be host names and addresses'],
  ])('are refused by name: %s %j', async (key, value, message) => {
    expect(await stored({ tags: { [key]: value } })).toEqual({
      status: 400,
      code: 'SETTINGS_INVALID',
      field: `settings.tags.${key}`,
      message: expect.stringContaining(message),
    })
  })

  it.each([
    ['route1', '10.8.0.0/16', 'must be DESTINATION/PREFIX,GATEWAY'],
    ['route', 'fd00::/8,10.0.0.1', 'must be DESTINATION/PREFIX,GATEWAY'],
    ['DNS2', 'head.example', 'must be addresses'],
    ['xmit_hash_policy', 'layer4', 'must be one of layer2'],
  ])('are refused in netdevs too: %s %j', async (key, value, message) => {
    expect(await stored({ netdevs: { eth0: { tags: { [key]: value } } } })).toMatchObject({
      status: 400,
      field: `settings.netdevs.eth0.tags.${key}`,
      message: expect.stringContaining(message),
    })
  })

  it('can be cleared, in nodes and in profiles', async () => {
    expect(await stored({ tags: { network: null }, netdevs: { eth0: { tags: { route1: null } } } })).toMatchObject({
      status: 201,
    })
    const response = await test.send('PUT', '/api/profiles/p', { body: { settings: { tags: { network: 'bad' } } } })
    expect(await response.json()).toMatchObject({ code: 'SETTINGS_INVALID', field: 'settings.tags.network' })
  })

  it('that were stored before they were checked can be read, and be mended', async () => {
    await stored({ tags: { rack: 'r1' } })
    const { registry } = test.services
    await registry.update(nodes).set({ settings: { tags: { network: 'old', rack: 'r1' } } })
    expect(await test.call('GET', '/api/nodes/n1')).toMatchObject({ settings: { tags: { network: 'old' } } })
    const patch = (tags: unknown) => test.send('PATCH', '/api/nodes/n1', { body: { settings: { tags } } })
    expect(await (await patch({ network: 'none' })).json()).toMatchObject({ settings: { tags: { network: 'none' } } })
  })
})

describe('resources that overlays read', () => {
  it.each([
    ['fstab', [{ spec: 'head:/home', file: '/home', vfstype: 'nfs', mntops: 'defaults', freq: 0, passno: 0 }]],
    ['fstab', [{ spec: 'UUID=1-2', file: 'none', vfstype: 'swap' }]],
    ['fstab', []],
    [
      'localusers',
      [{ name: 'alice', uid: 1000, gid: 1000, gecos: 'Alice A.', home: '/home/alice', shell: '/bin/bash' }],
    ],
    ['localgroups', [{ name: 'staff', gid: '2000', members: 'alice,bob' }]],
    ['sshAuthorizedKeys', ['ssh-ed25519 AAAA alice@head']],
    ['site', { anything: [1, null, { a: true }] }],
    ['fstab', null],
  ])('are stored as they are: %s %j', async (key, value) => {
    expect(await stored({ resources: { [key]: value } })).toMatchObject({ status: 201 })
    expect(await test.call('GET', '/api/nodes/n1')).toMatchObject({ settings: { resources: { [key]: value } } })
  })

  it.each<[string, unknown, string, string]>([
    ['fstab', 'x', 'fstab', 'must be a list of entries with spec and file'],
    ['fstab', [{ spec: 'x' }], 'fstab.0.file', ''],
    ['fstab', [{ spec: 'a b', file: '/x' }], 'fstab.0.spec', 'must be one word without blanks'],
    ['fstab', [{ spec: '#x', file: '/x' }], 'fstab.0.spec', 'must not begin with #'],
    ['fstab', [{ spec: 'x', file: '/../x' }], 'fstab.0.file', 'must be an absolute path'],
    ['fstab', [{ spec: 'x', file: `/${'a-'.repeat(120)}` }], 'fstab.0.file', 'is too long'],
    ['fstab', [{ spec: 'x', file: '/x', options: 'ro' }], 'fstab.0', 'options'],
    ['fstab', [{ spec: 'sda2', file: 'none', vfstype: 'swap' }], 'fstab.0.spec', 'must be a path, LABEL='],
    ['localusers', [{ name: 'a:b', uid: 1 }], 'localusers.0.name', 'must be the name of an account'],
    ['localusers', [{ name: 'a', uid: -1 }], 'localusers.0.uid', 'expected number to be >=0'],
    ['localusers', [{ name: 'a', uid: 1, gecos: 'a:b' }], 'localusers.0.gecos', 'without colons'],
    ['localusers', [{ name: 'a', uid: 1, shell: 'bash' }], 'localusers.0.shell', 'must be an absolute path'],
    ['localgroups', [{ name: 'a', gid: 1, members: ['b,c'] }], 'localgroups.0.members', ''],
    ['sshAuthorizedKeys', ['a\nb'], 'sshAuthorizedKeys.0', 'must be one line'],
    ['sshAuthorizedKeys', 'a', 'sshAuthorizedKeys', 'must be a list of lines'],
  ])('are refused by name: %s %j', async (key, value, field, message) => {
    expect(await stored({ resources: { [key]: value } })).toEqual({
      status: 400,
      code: 'SETTINGS_INVALID',
      field: expect.stringContaining(`settings.resources.${field}`),
      message: expect.stringContaining(message),
    })
  })

  it('never make a view fail that the schema let pass', () => {
    const word = fc.oneof(
      fc.string({ maxLength: 12 }),
      fc.constantFrom('/a', '/a/b', 'none', 'swap', 'LABEL=x', '0', 'root', '%', 'a,b'),
    )
    const entry = (fields: string[]) =>
      fc.record(Object.fromEntries(fields.map((name) => [name, fc.oneof(word, fc.nat(70_000))])), {
        requiredKeys: fields.slice(0, 2),
      })
    const settings = fc.record(
      {
        tags: fc.record(
          { network: word, gpuMigProfiles: word, PasswordlessRoot: word, ntp_servers: word, localtime: word },
          { requiredKeys: [] },
        ),
        resources: fc.record(
          {
            fstab: fc.array(entry(['spec', 'file', 'vfstype', 'mntops', 'freq', 'passno']), { maxLength: 3 }),
            localusers: fc.array(entry(['name', 'uid', 'gid', 'gecos', 'home', 'shell']), { maxLength: 3 }),
            localgroups: fc.array(entry(['name', 'gid', 'members']), { maxLength: 3 }),
          },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    )
    let passed = 0
    fc.assert(
      fc.property(settings, (given) => {
        const parsed = settingsSchema.safeParse(given)
        if (!parsed.success) return
        passed++
        const view = buildView(inputOf({ name: 'n1', settings: given as never }))
        expect(JSON.stringify([view.mounts, view.swaps, view.fstab, view.mig, view.ntp, view.network])).not.toMatch(
          /\\n/,
        )
        for (const [lines, fields] of [
          [view.users.passwd, 7],
          [view.users.group, 4],
          [view.users.shadow, 9],
        ] as const)
          for (const line of lines) expect(line.split(':')).toHaveLength(fields)
      }),
      { numRuns: 3000 },
    )
    expect(passed).toBeGreaterThan(100)
  })
})
