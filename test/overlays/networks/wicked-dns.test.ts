import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bootAssets } from '../fixtures.ts'
import { commandLine, shellNames } from '../shipped/shells.ts'

const script = join(bootAssets, 'overlays/wicked/files/muster/init.d/40-wicked-dns')
const config = `## Path: Network/General
LINK_REQUIRED="auto"
NETCONFIG_DNS_STATIC_SEARCHLIST="old.example"
NETCONFIG_DNS_STATIC_SERVERS=""
NETCONFIG_DNS_POLICY="auto"
`
const wanted = `# Made by Muster
NETCONFIG_DNS_STATIC_SERVERS="10.0.0.1 "
NETCONFIG_DNS_STATIC_SEARCHLIST="cluster.example "
`

describe.each(shellNames)('the script that gives netconfig its resolvers under %s', (shell) => {
  let root: string
  const at = (name: string) => join(root, 'etc/sysconfig/network', name)
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'muster-wicked-'))
    mkdirSync(at(''), { recursive: true })
  })
  afterEach(() => rmSync(root, { recursive: true }))

  const run = () => {
    const [command = '', ...args] = commandLine(shell)
    const env = { PATH: '/usr/bin:/bin', MUSTER_ROOT: root }
    const { status, stdout, stderr } = spawnSync(command, [...args, script], { env, encoding: 'utf8' })
    return { status, stdout, stderr: stderr.replaceAll(root, '') }
  }

  it('keeps the other settings, also when it is run again', () => {
    writeFileSync(at('config'), config)
    writeFileSync(at('muster-dns'), wanted)
    for (const _time of ['first', 'second']) {
      expect(run()).toEqual({ status: 0, stdout: '', stderr: '' })
      expect(readFileSync(at('config'), 'utf8')).toBe(
        '## Path: Network/General\nLINK_REQUIRED="auto"\nNETCONFIG_DNS_POLICY="auto"\n' +
          'NETCONFIG_DNS_STATIC_SERVERS="10.0.0.1 "\nNETCONFIG_DNS_STATIC_SEARCHLIST="cluster.example "\n',
      )
      expect(statSync(at('config')).mode & 0o777).toBe(0o644)
      expect(readdirSync(at('')).sort()).toEqual(['config', 'muster-dns'])
    }
  })

  it('says what to install when the image has no such file', () => {
    writeFileSync(at('muster-dns'), wanted)
    expect(run()).toEqual({
      status: 1,
      stdout: '',
      stderr:
        'wicked-dns: /etc/sysconfig/network/config is missing: install sysconfig-netconfig in the image, or use the overlay resolv\n',
    })
  })

  it('says so when its own file is missing', () => {
    writeFileSync(at('config'), config)
    expect(run()).toMatchObject({ status: 1, stderr: expect.stringMatching(/muster-dns is missing/) })
    expect(readFileSync(at('config'), 'utf8')).toBe(config)
  })
})
