import { describe, expect, it } from 'vitest'
import { migView } from '../../src/overlays/mig-view.ts'
import { buildView } from '../../src/overlays/view.ts'
import { type Effective, settingsSchema } from '../../src/registry/settings.ts'
import { deviceOf, unitName } from '../../src/registry/unit-name.ts'
import { type Given, inputOf } from './fixtures.ts'

/** The view of settings that the schema takes. */
const viewOf = (settings: Effective, given: Given = {}) => {
  settingsSchema.parse(settings)
  return buildView(inputOf({ name: 'n1', settings }, [], given))
}
const disk = (...partitions: NonNullable<NonNullable<Effective['disks']>[number]['partitions']>): Effective => ({
  disks: [{ match: '/dev/sda', partitions }],
})

describe('names of units', () => {
  // `systemd-escape --path --suffix=mount PATH` of systemd 252.
  it.each([
    ['/scratch', 'scratch.mount'],
    ['/scratch/local', 'scratch-local.mount'],
    ['//scratch//local/', 'scratch-local.mount'],
    ['/a-b', 'a\\x2db.mount'],
    ['/.hidden/.x', '\\x2ehidden-.x.mount'],
    ['/ä b', '\\xc3\\xa4\\x20b.mount'],
    ['/a:b_c.d', 'a:b_c.d.mount'],
    ['/', '-.mount'],
  ])('escape %s as systemd does', (path, unit) => {
    expect(unitName(path, 'mount')).toBe(unit)
  })

  it.each([
    ['/dev/sda2', '/dev/sda2'],
    ['LABEL=swap space', '/dev/disk/by-label/swap\\x20space'],
    ['UUID="AB-CD"', '/dev/disk/by-uuid/ab-cd'],
    ['PARTLABEL=a/b', '/dev/disk/by-partlabel/a\\x2fb'],
  ])('are about the device that %s means', (spec, device) => {
    expect(deviceOf(spec)).toBe(device)
  })
})

describe('mounts', () => {
  it('are partitions and entries of resources.fstab, parents first', () => {
    const view = viewOf({
      ...disk(
        { label: 'local', filesystem: 'xfs', mount: '/scratch/local', options: ['noatime', 'size=50%'] },
        { label: 'scratch', mount: '/scratch/' },
        { label: 'dash', mount: '/scratch-b' },
        { label: 'swap', filesystem: 'swap', mount: '/ignored' },
        { label: 'root', mount: '/' },
        { label: 'bare' },
      ),
      resources: {
        fstab: [
          { spec: 'head:/home', file: '/home' },
          { spec: 'tmpfs', file: '/tmp', vfstype: 'tmpfs', mntops: 'mode=1777', freq: 0, passno: '0' },
          { spec: 'second:/scratch', file: '/scratch', vfstype: 'nfs4' },
          { spec: '/dev/sdb1', file: '/data', vfstype: 'xfs', mntops: '_netdev', passno: 2 },
        ],
      },
    })
    expect(view.mounts.map(({ where, what, type, isNetwork }) => [where, what, type, isNetwork])).toEqual([
      ['/data', '/dev/sdb1', 'xfs', true],
      ['/home', 'head:/home', 'nfs', true],
      ['/scratch', '/dev/disk/by-partlabel/scratch', 'ext4', false],
      ['/scratch/local', '/dev/disk/by-partlabel/local', 'xfs', false],
      ['/scratch-b', '/dev/disk/by-partlabel/dash', 'ext4', false],
      ['/tmp', 'tmpfs', 'tmpfs', false],
    ])
    expect(view.mounts[3]).toMatchObject({
      options: 'noatime,size=50%',
      unit: 'scratch-local.mount',
      forUnit: { options: 'noatime,size=50%%' },
      freq: 0,
      passno: 2,
      isLocal: true,
    })
    expect(view.fstab[0]).toEqual({
      spec: 'head:/home',
      file: '/home',
      vfstype: 'nfs',
      mntops: 'defaults',
      freq: 0,
      passno: 0,
    })
  })

  it('have swap beside them, each device once', () => {
    const view = viewOf({
      ...disk({ label: 'swap', filesystem: 'swap', options: ['discard'] }),
      resources: {
        fstab: [
          { spec: 'LABEL=more', file: 'none', vfstype: 'swap', mntops: 'pri=5' },
          { spec: 'PARTLABEL=swap', file: 'none', vfstype: 'swap' },
        ],
      },
    })
    expect(view.mounts).toEqual([])
    expect(view.swaps).toMatchObject([
      { what: '/dev/disk/by-partlabel/swap', options: 'discard', unit: 'dev-disk-by\\x2dpartlabel-swap.swap' },
      { what: '/dev/disk/by-label/more', options: 'pri=5', unit: 'dev-disk-by\\x2dlabel-more.swap' },
    ])
  })

  it('say what is wrong with an fstab that was stored before it was checked', () => {
    const view = buildView(inputOf({ name: 'n1', settings: { resources: { fstab: [{ spec: 'x' }] } } }))
    expect(() => view.mounts).toThrow(
      expect.objectContaining({ code: 'SETTINGS_INVALID', field: 'settings.resources.fstab.0.file' }),
    )
  })
})

describe('users', () => {
  const image = {
    '/etc/passwd': 'root:x:0:0:root:/root:/bin/bash\nmunge:x:985:985::/:/sbin/nologin\n+::::::\n',
    '/etc/group': 'root:x:0:\nwheel:x:10:\nmunge:x:985:\n',
    '/etc/shadow': 'root:!locked::0:99999:7:::\nmunge:!!:1::::::\n',
  }
  const head = {
    passwd:
      'root:x:0:0:root:/root:/bin/zsh\nchrony:x:990:990::/:/sbin/nologin\nalice:HASH:1000:1000:Alice:/home/alice:/bin/bash\nnobody:x:65534:65534::/:/sbin/nologin\nbroken\n',
    group: 'alice:x:1000:\nstaff:x:2000:alice\n',
  }
  const resources = {
    localusers: [
      { name: 'bob', uid: 1001, gid: 100, gecos: 'Bob', home: '/srv/bob', shell: '/bin/sh' },
      { name: 'carol', uid: '1002' },
      { name: 'alice', uid: 5000 },
    ],
    localgroups: [
      { name: 'wheel', gid: 10, members: ['bob'] },
      { name: 'staff', gid: 2000, members: 'bob,alice' },
      { name: 'empty', gid: 3000 },
    ],
  }

  it("are the image's, people of the head node, and those of the settings; each name once, NIS last", () => {
    expect(viewOf({ resources }, { image, head }).users.passwd).toEqual([
      'root:x:0:0:root:/root:/bin/bash',
      'munge:x:985:985::/:/sbin/nologin',
      'alice:x:1000:1000:Alice:/home/alice:/bin/bash',
      'bob:x:1001:100:Bob:/srv/bob:/bin/sh',
      'carol:x:1002:1002::/home/carol:/bin/bash',
      '+::::::',
    ])
  })

  it('have groups whose members add up', () => {
    expect(viewOf({ resources }, { image, head }).users.group).toEqual([
      'root:x:0:',
      'wheel:x:10:bob',
      'munge:x:985:',
      'alice:x:1000:',
      'staff:x:2000:alice,bob',
      'empty:x:3000:',
    ])
  })

  it('have no password unless the image has one for them', () => {
    expect(viewOf({ resources }, { image, head }).users.shadow).toEqual([
      'root:!locked::0:99999:7:::',
      'munge:!!:1::::::',
      'alice:*:::::::',
      'bob:*:::::::',
      'carol:*:::::::',
    ])
  })

  it('let root in without a password when the tag PasswordlessRoot says so', () => {
    const { users } = viewOf({ tags: { PasswordlessRoot: 'true' } }, { image })
    expect([users.passwd[0], users.shadow[0]]).toEqual(['root::0:0:root:/root:/bin/bash', 'root:::0:99999:7:::'])
    expect(viewOf({ tags: { PasswordlessRoot: 'false' } }, { image }).users.passwd[0]).toMatch(/^root:x:/)
  })

  it('are those of the settings when there are no files', () => {
    const { users } = viewOf({ resources })
    expect([users.passwd.length, users.group.length, users.shadow.length]).toEqual([3, 3, 3])
  })
})

describe('the rest of the view', () => {
  it.each([
    [undefined, []],
    ['', []],
    ['9,9', [{ index: 'all', profiles: '9,9' }]],
    [
      '14,14,15:9,9::0',
      [
        { index: '0', profiles: '14,14,15' },
        { index: '1', profiles: '9,9' },
        { index: '3', profiles: '0' },
      ],
    ],
    [':1g.5gb+me', [{ index: '1', profiles: '1g.5gb+me' }]],
  ])('divides GPUs as the tag %j says', (tag, gpus) => {
    expect(migView(tag)).toEqual({ gpus })
  })

  it.each([
    ['255.255.255.0', 24],
    ['255.255.255.255', 32],
    ['0.0.0.0', 0],
    ['255.255.254.0', 23],
    ['255.0.255.0', undefined],
  ])('has of a BMC with netmask %s the prefix %s', (netmask, prefix) => {
    expect(viewOf({ bmc: { netmask } }).bmc).toMatchObject({ netmask, prefix, write: false, address: undefined })
  })

  it('has no BMC where none is set', () => {
    expect(viewOf({}).bmc).toBeUndefined()
  })

  it.each<[Effective, string[]]>([
    [{}, []],
    [{ ntp: ['a', 'b'], tags: { ntp_server: 'c' } }, ['a', 'b']],
    [{ tags: { ntp_servers: 'a, b', ntp_server: 'c' } }, ['a', 'b']],
    [{ tags: { ntp_server: 'c' } }, ['c']],
  ])('has of %j the time servers %j', (settings, ntp) => {
    expect(viewOf(settings).ntp).toEqual(ntp)
  })

  it('has the time zone of the settings, else of the tag', () => {
    expect(viewOf({ timezone: 'UTC', tags: { localtime: 'Asia/Tokyo' } }).timezone).toBe('UTC')
    expect(viewOf({ tags: { localtime: 'Asia/Tokyo' } }).timezone).toBe('Asia/Tokyo')
    expect(viewOf({}).timezone).toBeUndefined()
  })

  it('has the resolvers of the node, then of its netdevs, each once', () => {
    const netdevs = { b: { dns: ['10.0.0.3', '10.0.0.1'] }, a: { dns: ['10.0.0.2'] } }
    expect(viewOf({ nameservers: ['10.0.0.1'], netdevs, domain: 'x.example' }).dns).toEqual({
      servers: ['10.0.0.1', '10.0.0.2', '10.0.0.3'],
      search: ['x.example'],
    })
    expect(viewOf({ search: ['a.example'], domain: 'x.example' }).dns).toEqual({ servers: [], search: ['a.example'] })
  })

  it('has authorized keys of the settings, else of the head node', () => {
    const head = { authorized_keys: '# comment\n\nssh-rsa A root@head\n' }
    expect(viewOf({}, { head }).authorizedKeys).toEqual(['ssh-rsa A root@head'])
    expect(viewOf({ resources: { sshAuthorizedKeys: ['ssh-rsa B'] } }, { head }).authorizedKeys).toEqual(['ssh-rsa B'])
    expect(viewOf({}).authorizedKeys).toEqual([])
  })

  it('has the settings, but for the name of the password', () => {
    const settings: Effective = { bmc: { user: 'admin', password: 'secret:bmc' }, serial: 'X1', description: 'spare' }
    const view = viewOf(settings)
    expect(view.settings).toEqual({ ...settings, bmc: { user: 'admin' } })
    expect(settings.bmc?.password).toBe('secret:bmc')
    expect(view.node).toMatchObject({ profiles: ['default'], serial: 'X1', description: 'spare', uuid: undefined })
  })

  it('prints all of itself for somebody who writes a template', () => {
    const text = viewOf({ netdevs: { eth0: { address: '10.0.0.1/8' } } }).view
    expect(text).toMatch(/^\{\n {2}"authorizedKeys": \[\],\n {2}"bmc": null,/)
    expect(JSON.parse(text)).toMatchObject({ primary: { ip: '10.0.0.1' }, nodes: 0, image: { architecture: 'x86_64' } })
  })
})
