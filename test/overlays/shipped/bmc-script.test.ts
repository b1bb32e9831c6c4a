import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bootAssets } from '../fixtures.ts'
import { commandLine, shellNames } from './shells.ts'

const files = join(bootAssets, 'overlays/bmc/files/muster')
const script = join(files, 'init.d/50-bmc')
const secret = 'correct horse 4 $x\\'

/** A BMC as it comes from the factory. */
const factory: Record<string, string> = {
  medium1: '802.3 LAN',
  medium2: '802.3 LAN',
  access: 'disabled',
  source: 'DHCP Address',
  address: '0.0.0.0',
  netmask: '0.0.0.0',
  gateway: '0.0.0.0',
  vlan: 'Disabled',
  ...Object.fromEntries(
    [1, 2, 3, 4].flatMap((id) => [
      [`user${id}.name`, id === 2 ? 'ADMIN' : ''],
      [`user${id}.password`, id === 2 ? 'ADMIN' : ''],
      [`user${id}.messaging`, id === 2 ? 'enabled' : 'disabled'],
      [`user${id}.privilege`, id === 2 ? 'ADMINISTRATOR' : 'NO ACCESS'],
      [`user${id}.enabled`, id === 2 ? 'enabled' : 'disabled'],
      [`user${id}.payload`, 'disabled'],
    ]),
  ),
  'sol.enabled': 'false',
  'sol.force-encryption': 'true',
  'sol.force-authentication': 'false',
  'sol.privilege-level': 'USER',
  'sol.volatile-bit-rate': '9.6',
  'sol.non-volatile-bit-rate': '9.6',
}

const wanted = {
  address: '10.1.0.7',
  netmask: '255.255.0.0',
  gateway: '10.1.0.1',
  vlan: '12',
  user: 'muster',
  bitRate: '115.2',
}

let folder: string
const at = (...parts: string[]) => join(folder, ...parts)
const read = (name: string) => readFileSync(at('state', name), 'utf8').trimEnd()
const set = (state: Record<string, string>) => {
  for (const [name, value] of Object.entries(state)) writeFileSync(at('state', name), `${value}\n`)
}
/** What the script finds on the node; without a password its private file is empty, with `null` it has not come. */
const give = (settings: Record<string, string>, password: string | null = secret) => {
  const lines = Object.keys(wanted).map((key) => `${key}=${settings[key] ?? ''}\n`)
  writeFileSync(at('muster/bmc'), `# What init.d/50-bmc sets\n${lines.join('')}`)
  rmSync(at('muster/bmc.password'), { force: true })
  if (password !== null)
    writeFileSync(at('muster/bmc.password'), password === '' ? '' : `${password}\n`, { mode: 0o600 })
}
const program = (name: string, text: string) => writeFileSync(at('bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-bmc-'))
  for (const name of ['bin', 'state', 'muster', 'dev']) mkdirSync(at(name))
  cpSync(join(files, 'lib'), at('muster/lib'), { recursive: true })
  for (const name of ['sh', 'sed', 'tail', 'awk', 'grep', 'sleep', 'cat', 'timeout', 'setsid'])
    symlinkSync(commandLine(name)[0] ?? '', at('bin', name))
  copyFileSync(join(import.meta.dirname, 'ipmitool.sh'), at('bin/ipmitool'))
  program('modprobe', `echo "$*" >> ${at('state/modprobe')}; [ "$1" != ipmi_si ] || : > ${at('dev/ipmi0')}`)
  set(factory)
  give(wanted)
})
afterEach(() => rmSync(folder, { recursive: true }))

/** What goes wrong with one part. Which part that is does not depend on the shell, so other shells than the first see a few. */
const faults: [string, () => void, string][] = [
  [
    'a BMC forgets the address',
    () => set({ forgets: '' }),
    'the BMC took the network settings, and does not have them',
  ],
  [
    'the password did not come',
    () => give(wanted, null),
    'the password did not come: private files were not given to this node, see the lines above',
  ],
  [
    'a new user has no password',
    () => give(wanted, ''),
    'the BMC has no user muster, and bmc.password is not set: nobody is let in without one',
  ],
  [
    'the password is too long',
    () => give(wanted, 'x'.repeat(21)),
    'the password is longer than the 20 bytes that IPMI has for it',
  ],
  [
    'the BMC refuses the password',
    () => set({ refuses: '' }),
    'the BMC does not take the password for user 3: some want more letters, digits or signs',
  ],
  [
    'the name is too long',
    () => give({ ...wanted, user: 'seventeen-letters' }),
    'bmc.user is longer than the 16 characters that IPMI has for it',
  ],
  [
    'the name is not ASCII',
    () => give({ ...wanted, user: 'müller' }),
    'bmc.user must be printable ASCII and not begin with -',
  ],
  [
    'every place is taken',
    () => set({ 'user3.name': 'a', 'user4.name': 'b' }),
    'there is no user muster, and no free place for one: delete one on the BMC',
  ],
  [
    'the address is IPv6',
    () => give({ ...wanted, address: 'fd00::7' }),
    'its address or gateway is IPv6, which this script does not set: leave bmc.address out, or set it on the BMC',
  ],
  [
    'the BMC has no serial over LAN',
    () => rmSync(at('state/sol.enabled')),
    'the BMC says nothing of serial over LAN, so its bit rate cannot be set',
  ],
]

describe.each(shellNames)('the BMC script under %s', (shell) => {
  /** Runs it; `trace` notes the arguments of every process, `limit` is in seconds for each question. */
  const run = ({ trace = false, limit = '30' } = {}) => {
    rmSync(at('state/argv'), { force: true })
    const [command = '', ...args] = [
      ...(trace ? [...commandLine('strace'), '-f', '-qq', '-s', '4096', '-e', 'trace=execve', '-o', at('trace')] : []),
      ...commandLine(shell),
      script,
    ]
    const { status, stderr, stdout } = spawnSync(command, args, {
      env: {
        PATH: at('bin'),
        MUSTER: at('muster'),
        MUSTER_DEVICES: at('dev'),
        MUSTER_PATIENCE: '1',
        MUSTER_LIMIT: limit,
        BMC_STATE: at('state'),
      },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    expect(stdout).toBe('')
    expect(existsSync(at('state/unexpected')) ? read('unexpected') : '').toBe('')
    const calls = existsSync(at('state/argv')) ? read('argv').split('\n') : []
    const changes = calls.filter((call) => /^-I open .*\b(?:set|setaccess|enable)\b/.test(call))
    return { status, stderr, changes }
  }

  it('gives a BMC from the factory everything, and then leaves it alone', () => {
    const first = run()
    expect(first.stderr).toMatch(/^(?:bmc: set .*\n)+$/)
    expect(first.status).toBe(0)
    expect(first.changes.length).toBeGreaterThan(10)
    expect(Object.fromEntries(readdirSync(at('state')).map((name) => [name, read(name)]))).toMatchObject({
      source: 'Static Address',
      address: '10.1.0.7',
      netmask: '255.255.0.0',
      gateway: '10.1.0.1',
      vlan: '12',
      access: 'always available',
      'user2.name': 'ADMIN',
      'user2.password': 'ADMIN',
      'user3.name': 'muster',
      'user3.password': secret,
      'user3.privilege': 'ADMINISTRATOR',
      'user3.messaging': 'enabled',
      'user3.enabled': 'enabled',
      'user3.payload': 'enabled',
      'user4.name': '',
      'sol.enabled': 'true',
      'sol.force-encryption': 'true',
      'sol.force-authentication': 'true',
      'sol.privilege-level': 'ADMINISTRATOR',
      'sol.volatile-bit-rate': '115.2',
      'sol.non-volatile-bit-rate': '115.2',
    })
    expect(run()).toEqual({ status: 0, stderr: '', changes: [] })
  })

  // busybox runs its own modprobe whatever PATH says, so there the device is there from the first.
  const ownModprobe = shell === 'busybox ash'
  beforeEach(() => {
    if (ownModprobe) writeFileSync(at('dev/ipmi0'), '')
  })

  it.skipIf(ownModprobe)('loads each module by itself until there is a device', () => {
    run()
    expect(read('modprobe').split('\n')).toEqual(['ipmi_msghandler', 'ipmi_devintf', 'ipmi_si', 'ipmi_ssif'])
    run()
    expect(read('modprobe').split('\n')).toHaveLength(4)
  })

  it('sets what differs and nothing else', () => {
    run()
    set({ gateway: '10.1.0.254', 'user3.password': 'other' })
    expect(run()).toEqual({
      status: 0,
      stderr: 'bmc: set Default Gateway IP to 10.1.0.1\nbmc: set the password\n',
      changes: ['-I open lan set 1 defgw ipaddr 10.1.0.1', '-I open user set password 3'],
    })
  })

  it('leaves alone what nothing is set for', () => {
    give({}, '')
    set({ access: 'always available' })
    give({ user: '' }, '')
    set({ 'sol.enabled': 'true', 'sol.force-authentication': 'true', 'sol.privilege-level': 'ADMINISTRATOR' })
    expect(run()).toEqual({ status: 0, stderr: '', changes: [] })
  })

  it('tells the password to no process by its arguments', () => {
    expect(run({ trace: true }).status).toBe(0)
    expect(read('user3.password')).toBe(secret)
    const trace = readFileSync(at('trace'), 'utf8')
    expect(trace).toContain('"user", "set", "password", "3"')
    expect(trace).not.toContain('correct horse')
  })

  it('gives a new user the password also where the test takes every one', () => {
    set({ 'takes-all': '' })
    expect(run().status).toBe(0)
    expect(read('user3.password')).toBe(secret)
  })

  it('asks a BMC that hangs once', () => {
    set({ hangs: '' })
    const { status, stderr } = run({ limit: '1' })
    expect(stderr).toMatch(/^bmc: the BMC has no channel that is a network, or does not answer: /)
    expect(status).toBe(1)
    expect(read('argv').split('\n')).toEqual(['-I open channel info 1'])
  })

  it('takes a user of that name where he is, and the channel that is a network', () => {
    give({ user: 'ADMIN' })
    set({ medium1: 'IPMB (I2C)' })
    const { status, changes } = run()
    expect(status).toBe(0)
    expect(changes).toContain('-I open user set password 2')
    expect(changes).toContain('-I open lan set 2 access on')
    expect(changes.filter((call) => call.includes('set name'))).toEqual([])
    expect(read('user2.password')).toBe(secret)
  })

  it('uses the longer form for a password of 17 to 20 bytes', () => {
    give(wanted, 'twelve plus eight 20')
    expect(run().status).toBe(0)
    expect(read('argv')).toContain('user test 3 20')
    expect(read('user3.password')).toBe('twelve plus eight 20')
  })

  it.each<[string, () => void, string]>([
    [
      'there is no ipmitool',
      () => rmSync(at('bin/ipmitool')),
      'the image has no ipmitool (package ipmitool), so the BMC stays as it is',
    ],
    [
      'no channel is a network',
      () => set({ medium1: 'IPMB (I2C)', medium2: 'System Interface' }),
      'the BMC has no channel that is a network, or does not answer: ipmitool channel info 1',
    ],
    [
      'the settings did not come',
      () => rmSync(at('muster/bmc')),
      'FOLDER/muster/bmc is missing: the overlay bmc came in parts',
    ],
    [
      'a part of it did not come',
      () => rmSync(at('muster/lib/bmc/user.sh')),
      'FOLDER/muster/lib/bmc/user.sh is missing: the overlay bmc came in parts',
    ],
  ])('stops and says so when %s', (_what, spoil, message) => {
    spoil()
    const { status, stderr, changes } = run()
    expect(stderr).toBe(`bmc: ${message.replace('FOLDER', folder)}\n`)
    expect(status).toBe(1)
    expect(changes).toEqual([])
  })

  it.skipIf(ownModprobe)('stops and says so when there is no BMC', () => {
    program('modprobe', 'exit 1')
    expect(run()).toEqual({
      status: 1,
      stderr:
        'bmc: there is no BMC that the kernel knows (no /dev/ipmi0, with the modules ipmi_devintf, ipmi_si, ipmi_ssif)\n',
      changes: [],
    })
  })

  it.each(shell === 'dash' ? faults : faults.slice(0, 3))(
    'does the rest and fails when %s',
    (_what, spoil, message) => {
      spoil()
      const { status, stderr, changes } = run()
      expect(stderr.split('\n')).toContain(`bmc: ${message}`)
      expect(stderr).not.toContain(secret)
      expect(status).toBe(1)
      expect(changes.length).toBeGreaterThan(0)
      if (read('user3.name') !== 'a')
        expect(read('user3.enabled')).toBe(
          message.includes('user') || message.includes('password') ? 'disabled' : 'enabled',
        )
    },
  )
})
