import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bootAssets } from '../fixtures.ts'
import { asked } from './scratch.ts'
import { commandLine, shellNames } from './shells.ts'

const script = join(bootAssets, 'overlays/ssh-host-keys/files/muster/init.d/50-ssh-host-keys')

describe.each(shellNames)('the script of ssh-host-keys under %s', (shell) => {
  let root: string
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'muster-ssh-'))
    for (const folder of ['bin', 'etc/ssh']) mkdirSync(join(root, folder), { recursive: true })
    for (const name of ['sshd', 'ssh-keygen', 'rm']) symlinkSync(commandLine(name)[0] ?? '', join(root, 'bin', name))
  })
  afterEach(() => rmSync(root, { recursive: true }))

  const run = () => {
    const [command = '', ...args] = commandLine(shell)
    const { status, stderr } = spawnSync(command, [...args, script], {
      env: { PATH: join(root, 'bin'), MUSTER_ROOT: root },
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    return { status, stderr }
  }
  const keys = () => readdirSync(join(root, 'etc/ssh')).sort()

  it('does nothing where the keys have come', () => {
    writeFileSync(join(root, 'etc/ssh/ssh_host_ecdsa_key'), 'a key\n')
    expect(run()).toEqual({ status: 0, stderr: '' })
    expect(keys()).toEqual(['ssh_host_ecdsa_key'])
  })

  it('does nothing in an image without sshd', () => {
    rmSync(join(root, 'bin/sshd'))
    expect(run()).toEqual({ status: 0, stderr: '' })
    expect(keys()).toEqual([])
  })

  it('makes a key that lasts for this boot where none has come, and fails', () => {
    writeFileSync(join(root, 'etc/ssh/ssh_host_ed25519_key'), '')
    expect(run()).toEqual({
      status: 1,
      stderr:
        'ssh-host-keys: the keys of this node did not come, see the lines above: made one that lasts until the next boot\n',
    })
    expect(keys()).toEqual(['ssh_host_ed25519_key', 'ssh_host_ed25519_key.pub'])
    expect(asked('ssh-keygen', ['-y', '-P', '', '-f', join(root, 'etc/ssh/ssh_host_ed25519_key')]).output).toMatch(
      /^ssh-ed25519 /,
    )
    expect(run()).toEqual({ status: 0, stderr: '' })
  })

  it.each<[string, () => void, string]>([
    [
      'there is no ssh-keygen',
      () => rmSync(join(root, 'bin/ssh-keygen')),
      'and the image has no ssh-keygen to make one: nobody can log in over ssh',
    ],
    [
      'ssh-keygen fails',
      () => {
        rmSync(join(root, 'bin/ssh-keygen'))
        writeFileSync(join(root, 'bin/ssh-keygen'), '#!/bin/sh\nexit 255\n', { mode: 0o755 })
      },
      'and ssh-keygen cannot make one: nobody can log in over ssh',
    ],
  ])('says so when %s', (_what, spoil, message) => {
    spoil()
    expect(run()).toEqual({ status: 1, stderr: `ssh-host-keys: ${root}/etc/ssh has no host key, ${message}\n` })
    expect(existsSync(join(root, 'etc/ssh/ssh_host_ed25519_key'))).toBe(false)
  })
})
