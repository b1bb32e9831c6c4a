/** Golden files say what overlays make; here the programs that read it on a node say whether they take it. */
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { renderOverlays } from '../../../src/overlays/layers.ts'
import type { RenderedFile } from '../../../src/overlays/render.ts'
import { buildView } from '../../../src/overlays/view.ts'
import { type RootKind, settingsSchema } from '../../../src/registry/settings.ts'
import { createSshKey } from '../../../src/secrets/ssh-key.ts'
import { bootAssets, shippedOverlay, textOf } from '../fixtures.ts'
import { filesOf, full, fullInput, imageFiles, kinds } from './nodes.ts'
import { asked, inScratch, stub, unpack, verifyUnits } from './scratch.ts'
import { commandLine, shellNames } from './shells.ts'

const file = (files: RenderedFile[], path: string) => files.find((one) => one.path === path)

describe('sshd', () => {
  // What its unit makes before it starts, and without which not even its settings are checked.
  beforeAll(() => mkdirSync('/run/sshd', { recursive: true, mode: 0o755 }))

  it('takes the host keys that are made for a node, and their public halves belong to them', async () => {
    const [ed25519, ecdsa] = [await createSshKey('ssh-ed25519', 'g1'), await createSshKey('ssh-ecdsa', 'g1')]
    const secrets = {
      ssh_host_ed25519_key: ed25519.private,
      ssh_host_ed25519_key_pub: ed25519.public,
      ssh_host_ecdsa_key: ecdsa.private,
      ssh_host_ecdsa_key_pub: ecdsa.public,
    }
    const files = await filesOf(['ssh-host-keys'], full, { secrets })
    for (const one of files.filter(({ path }) => path.startsWith('/etc/ssh/')))
      expect(one).toMatchObject({ mode: 0o600, private: true, reload: [{ unit: 'sshd.service' }] })
    await inScratch((root) => {
      unpack(files, root)
      const keys = ['ed25519', 'ecdsa'].map((kind) => join(root, `etc/ssh/ssh_host_${kind}_key`))
      const settings = keys.flatMap((key) => ['-o', `HostKey=${key}`])
      expect(asked('sshd', ['-t', '-f', '/dev/null', ...settings])).toEqual({ status: 0, output: '' })
      for (const key of keys)
        expect(asked('ssh-keygen', ['-l', '-f', `${key}.pub`]).output).toBe(
          asked('ssh-keygen', ['-l', '-f', key]).output,
        )
    })
  })

  it('takes a key that somebody has set without its public half', async () => {
    const [ed25519, ecdsa] = [await createSshKey('ssh-ed25519', 'own'), await createSshKey('ssh-ecdsa', 'own')]
    // As an editor leaves it, and as `$(cat …)` does.
    const secrets = { ssh_host_ed25519_key: `${ed25519.private}\n`, ssh_host_ecdsa_key: ecdsa.private.trimEnd() }
    const files = await filesOf(['ssh-host-keys'], full, { secrets })
    expect(files.map(({ path }) => path)).toEqual([
      '/etc/ssh/ssh_host_ecdsa_key',
      '/etc/ssh/ssh_host_ed25519_key',
      '/muster/init.d/50-ssh-host-keys',
    ])
    await inScratch((root) => {
      unpack(files, root)
      const settings = ['ed25519', 'ecdsa'].flatMap((kind) => ['-o', `HostKey=${root}/etc/ssh/ssh_host_${kind}_key`])
      expect(asked('sshd', ['-t', '-f', '/dev/null', ...settings])).toEqual({ status: 0, output: '' })
    })
  })

  it('knows the authorized keys', async () => {
    await inScratch(async (root) => {
      unpack(await filesOf(['ssh-authorized-keys'], full), root)
      const { status, output } = asked('ssh-keygen', ['-l', '-f', join(root, 'root/.ssh/authorized_keys')])
      expect(status).toBe(0)
      expect(output.trim().split('\n')).toHaveLength(2)
    })
  })
})

describe('systemd', () => {
  it('verifies the units of a GPU node, and every link that enables one leads to it', async () => {
    const files = await filesOf(['slurmd', 'mig', 'swap', 'systemd-mounts'], full)
    const units = files.filter(({ path }) => /^\/etc\/systemd\/system\/[^/]+$/.test(path)).map(({ path }) => path)
    expect(units).toHaveLength(7)
    for (const { path, ...link } of files.filter(({ type }) => type === 'link')) {
      const name = path.split('/').at(-1) ?? ''
      expect(link).toMatchObject({ target: `../${name}` })
      expect(units).toContain(`/etc/systemd/system/${name}`)
    }
    await inScratch((root) => {
      unpack(files, root)
      for (const path of ['/packages/apps/slurm-aarch64/sbin/slurmd', '/bin/kill']) stub(root, path)
      expect(verifyUnits(root, units)).toEqual({ status: 0, output: '' })
    })
  })

  it.each<[string, Record<string, string>, string]>([
    ['a packaged Slurm', {}, '/usr/sbin/slurmd'],
    ["a prefix and the image's architecture", { slurmPrefix: '/opt/slurm' }, '/opt/slurm-x86_64/sbin/slurmd'],
    ['a prefix and the tag cpuArch', { slurmPrefix: '/opt/slurm', cpuArch: 'zen4' }, '/opt/slurm-zen4/sbin/slurmd'],
    [
      'a prefix and the tag arch, which counts more',
      { slurmPrefix: '/opt/slurm', cpuArch: 'x', arch: 'aarch64' },
      '/opt/slurm-aarch64/sbin/slurmd',
    ],
  ])('is given the slurmd of %s', async (_what, tags, path) => {
    const files = await filesOf(['slurmd'], { name: 'n1', settings: { tags } })
    expect(textOf(file(files, '/etc/systemd/system/slurmd.service'))).toContain(`\nExecStart=${path} --systemd `)
  })
})

describe('fstab', () => {
  it.each<[RootKind, string[]]>([
    ['initramfs', ['rootfs / rootfs defaults 0 0']],
    ['tmpfs', ['muster-root / tmpfs defaults 0 0']],
    // Which device it is, the node alone knows.
    ['disk', []],
  ])('says of a root in %s what is mounted there', async (kind, lines) => {
    const view = buildView({ ...fullInput({ name: 'n1', settings: {} }), root: { kind } })
    const [table] = renderOverlays([await shippedOverlay('fstab')], view)
    expect(textOf(table).trimEnd().split('\n').slice(1)).toEqual(lines)
  })
})

describe('tags of the slurmd overlay', () => {
  it.each<[string, string, boolean]>([
    ['slurmPrefix', '/packages/apps/slurm', true],
    ['slurmPrefix', '', true],
    ['slurmPrefix', 'opt/slurm', false],
    ['slurmPrefix', '/opt/../slurm', false],
    ['slurmPrefix', '/opt/slurm %i', false],
    ['slurmPrefix', '/opt/slurm/', false],
    ['arch', 'zen4', true],
    ['cpuArch', 'x86_64/../..', false],
    ['arch', 'two words', false],
  ])('%s may be %j: %s', (tag, text, fits) => {
    const { success, error } = settingsSchema.safeParse({ tags: { [tag]: text } })
    expect(success).toBe(fits)
    if (error) expect(error.issues.map(({ path }) => path)).toEqual([['tags', tag]])
  })
})

describe('chronyd', () => {
  it.each(kinds)('reads the configuration of %s', async (_kind, node) => {
    await inScratch(async (root) => {
      unpack(await filesOf(['chrony'], node), root)
      // Where Debian's chronyd looks there is a link to where the others do.
      const { status, output } = asked('chronyd', ['-p', '-f', join(root, 'etc/chrony/chrony.conf')])
      expect(output).toMatch(/^server \S+ iburst$/m)
      expect(status).toBe(0)
    })
  })
})

describe('pwck and grpck', () => {
  it('find nothing wrong with accounts, but that this machine lacks their homes and shells', async () => {
    await inScratch(async (root) => {
      unpack(await filesOf(['users'], { ...full, settings: { ...full.settings, tags: {} } }), root)
      const wrong = asked('pwck', ['-r', join(root, 'etc/passwd'), join(root, 'etc/shadow')]).output.split('\n')
      expect(wrong.filter((line) => !/ does not exist$|: no group \d+$|^pwck: no changes$|^$/.test(line))).toEqual([])
      const members = asked('grpck', ['-r', join(root, 'etc/group')]).output.split('\n')
      expect(members.filter((line) => !/no user \S+$|^delete member |^grpck: no changes$|^$/.test(line))).toEqual([])
    })
  })

  it('leaves an image without accounts of its own alone', async () => {
    expect(await filesOf(['users'], { name: 'n1', settings: {} }, { image: {}, head: {} })).toEqual([])
    const files = await filesOf(['users'], { name: 'n1', settings: {} }, { head: {} })
    expect(files.map((one) => [one.path, textOf(one)])).toEqual(
      ['/etc/group', '/etc/passwd', '/etc/shadow'].map((path) => [path, imageFiles[path]]),
    )
  })
})

describe.each(shellNames)('scripts of overlays under %s', (shell) => {
  const overlays = join(bootAssets, 'overlays')
  const scripts = readdirSync(overlays, { recursive: true, encoding: 'utf8' }).filter((path) =>
    /\/init\.d\/|\/sbin\/|\.sh$/.test(path),
  )

  it('are understood', () => {
    expect(scripts.length).toBeGreaterThanOrEqual(3)
    const [command = '', ...args] = commandLine(shell)
    for (const script of scripts)
      expect([script, asked(command, [...args, '-n', join(overlays, script)])]).toEqual([
        script,
        { status: 0, output: '' },
      ])
  })
})
