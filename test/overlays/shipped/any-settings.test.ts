/** Whatever settings the schema takes: every shipped overlay is rendered, and what reads the files on a node takes them. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { renderOverlays } from '../../../src/overlays/layers.ts'
import { renderMemory } from '../../../src/overlays/memory.ts'
import type { RenderedFile } from '../../../src/overlays/render.ts'
import { buildView, type NamedSettings, type View } from '../../../src/overlays/view.ts'
import { createSshKey } from '../../../src/secrets/ssh-key.ts'
import { bootAssets, printed, shippedOverlay, textOf } from '../fixtures.ts'
import { anyNodes, anySettings } from '../settings.ts'
import { fullInput, headFiles } from './nodes.ts'
import { asked, inScratch, stub, unpack, verifyUnits } from './scratch.ts'

const overlays = readdirSync(join(bootAssets, 'overlays'))
const secrets = {
  bmc: 'it',
  ssh_host_ed25519_key: 'a',
  ssh_host_ed25519_key_pub: 'b',
  ssh_host_ecdsa_key: 'c',
  ssh_host_ecdsa_key_pub: 'd',
}

/** A node, and whether the head node has files of its own. */
const anyCase = fc.tuple(anySettings, fc.boolean())
type Case = [settings: NamedSettings['settings'], head: boolean]

const viewOf = ([settings, head]: Case, nodes?: NamedSettings[]): View => {
  const input = fullInput({ name: 'n1', settings }, { head: head ? headFiles : {}, secrets })
  return buildView(
    nodes ? { ...input, inputs: { ...input.inputs, nodes: () => nodes, nodesStamp: JSON.stringify(nodes) } } : input,
  )
}

/** Calls `check` with the files that overlays give each of many nodes, and their view. Tools are slow, so cases are few. */
async function forMany(
  names: string[],
  runs: number,
  check: (files: RenderedFile[], view: View) => void | Promise<void>,
): Promise<void> {
  const shipped = await Promise.all(names.map(shippedOverlay))
  await fc.assert(
    fc.asyncProperty(anyCase, async (one) => {
      const view = viewOf(one)
      await check(renderOverlays(shipped, view), view)
    }),
    { numRuns: runs },
  )
}

/** The lines of the file that an overlay makes, without comments; none when it makes none. */
const linesOf = (files: RenderedFile[], path: string): string[] => {
  const found = files.find((one) => one.path === path)
  if (!found) return []
  const text = textOf(found)
  expect(text.endsWith('\n')).toBe(true)
  return text
    .slice(0, -1)
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
}

describe('whatever the settings are', () => {
  it.each(overlays)('%s is rendered, twice alike, and prints nothing that is no text', async (overlay) => {
    const shipped = [await shippedOverlay(overlay)]
    const memory = renderMemory()
    fc.assert(
      fc.property(anyNodes, fc.boolean(), (nodes, head) => {
        const settings = nodes[0]?.settings ?? {}
        const text = printed(renderOverlays(shipped, viewOf([settings, head], nodes)))
        expect(text).not.toMatch(/undefined|\[object |NaN/)
        expect(printed(renderOverlays(shipped, viewOf([settings, head], nodes), memory))).toBe(text)
      }),
      { numRuns: 60 },
    )
  })

  it('resolv.conf has domains and addresses, as resolv.conf(5) wants them', async () => {
    await forMany(['resolv'], 200, (files, view) => {
      const lines = linesOf(files, '/etc/resolv.conf')
      expect(files.length > 0).toBe(view.dns.servers.length > 0)
      const search = lines.filter((line) => line.startsWith('search '))
      expect(search.length).toBeLessThanOrEqual(1)
      for (const line of search) expect(line).toMatch(/^search(?: [A-Za-z0-9][A-Za-z0-9.-]*)+$/)
      const servers = lines.filter((line) => !search.includes(line)).map((line) => line.split(' '))
      for (const [word, address = '', ...more] of servers)
        expect([word, isIP(address) > 0, more]).toEqual(['nameserver', true, []])
      expect(new Set(servers.map(([, address]) => address)).size).toBe(servers.length)
    })
  })

  it('fstab says to findmnt what the view says', async () => {
    await inScratch(async (root) => {
      await forMany(['fstab'], 60, (files, view) => {
        const table = join(root, 'fstab')
        writeFileSync(table, textOf(files.find(({ path }) => path === '/etc/fstab')))
        // That targets and devices are not there is said of this machine.
        expect(asked('findmnt', ['--verify', '--tab-file', table]).output).toMatch(/\b0 parse errors/)
        const columns = ['-o', 'SOURCE,TARGET,FSTYPE,OPTIONS,FREQ,PASSNO']
        const { output } = asked('findmnt', ['--tab-file', table, '--json', '--list', '--notruncate', ...columns])
        const { filesystems } = JSON.parse(output) as { filesystems: Record<string, string | number>[] }
        expect(filesystems).toHaveLength(1 + view.mounts.length + view.swaps.length)
        for (const { what, where, type, options, freq, passno, isNetwork } of view.mounts)
          expect(filesystems).toContainEqual({
            source: what,
            target: where,
            fstype: type,
            options: isNetwork ? `${options},_netdev` : options,
            freq,
            passno,
          })
      })
    })
  })

  it('accounts are read by pwck and grpck', async () => {
    await inScratch(async (root) => {
      await forMany(['users'], 40, (files) => {
        unpack(files, root)
        const accounts = asked('pwck', ['-r', join(root, 'etc/passwd'), join(root, 'etc/shadow')]).output
        // What else it finds is about homes and shells that this machine lacks, and groups that a site must add.
        expect(accounts).not.toMatch(/invalid|duplicate|delete line|no matching/)
        expect(asked('grpck', ['-r', join(root, 'etc/group')]).output).not.toMatch(/invalid|duplicate|delete line/)
      })
    })
  })

  it('chronyd reads its configuration', async () => {
    await inScratch(async (root) => {
      await forMany(['chrony'], 40, (files) => {
        writeFileSync(join(root, 'chrony.conf'), textOf(files.find(({ path }) => path === '/etc/chrony/chrony.conf')))
        const { status, output } = asked('chronyd', ['-p', '-f', join(root, 'chrony.conf')])
        expect([status, output.match(/^server \S+ iburst$/m) === null]).toEqual([0, false])
      })
    })
  })

  it('systemd verifies the units, and names those of mounts and swaps itself', async () => {
    await forMany(['slurmd', 'mig', 'swap', 'systemd-mounts'], 40, async (files, view) => {
      await inScratch((root) => {
        unpack(files, root)
        const units = files.filter(({ path }) => /^\/etc\/systemd\/system\/[^/]+$/.test(path))
        const start = /^ExecStart=(\S+)/m.exec(textOf(units.find(({ path }) => path.endsWith('/slurmd.service'))))
        for (const path of [start?.[1] ?? '', '/bin/kill']) stub(root, path)
        const paths = units.map(({ path }) => path)
        expect(verifyUnits(root, paths)).toEqual({ status: 0, output: '' })
        for (const file of files)
          if (file.type === 'link') expect(paths).toContain(`/etc/systemd/system/${file.target.replace('../', '')}`)
      })
      for (const { where, unit } of view.mounts)
        expect(asked('systemd-escape', ['--path', '--suffix=mount', where]).output.trim()).toBe(unit)
      for (const { what, unit } of view.swaps)
        expect(asked('systemd-escape', ['--path', '--suffix=swap', what]).output.trim()).toBe(unit)
    })
  })

  it('ssh-keygen reads the authorized keys, and sshd the host keys', async () => {
    const [ed25519, ecdsa] = [await createSshKey('ssh-ed25519', 'n1'), await createSshKey('ssh-ecdsa', 'n1')]
    const made = {
      ssh_host_ed25519_key: ed25519.private,
      ssh_host_ed25519_key_pub: ed25519.public,
      ssh_host_ecdsa_key: ecdsa.private,
      ssh_host_ecdsa_key_pub: ecdsa.public,
    }
    const shipped = await Promise.all(['ssh-authorized-keys', 'ssh-host-keys'].map(shippedOverlay))
    await inScratch(async (folder) => {
      let at = 0
      mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
      fc.assert(
        fc.property(anyCase, ([settings, head]) => {
          const input = fullInput({ name: 'n1', settings }, { head: head ? headFiles : {}, secrets: made })
          const view = buildView(input)
          const root = join(folder, String(at++))
          unpack(renderOverlays(shipped, view), root)
          if (view.authorizedKeys.length > 0) {
            const { status, output } = asked('ssh-keygen', ['-l', '-f', join(root, 'root/.ssh/authorized_keys')])
            expect([status, output.trim().split('\n').length]).toEqual([0, view.authorizedKeys.length])
          }
          const keys = ['ed25519', 'ecdsa'].flatMap((kind) => ['-o', `HostKey=${root}/etc/ssh/ssh_host_${kind}_key`])
          expect(asked('sshd', ['-t', '-f', '/dev/null', ...keys])).toEqual({ status: 0, output: '' })
        }),
        { numRuns: 20 },
      )
    })
  })

  it('what scripts read has one thing on a line, and debug is JSON', async () => {
    await forMany(['bmc', 'mig', 'debug', 'localtime', 'hostname', 'issue', 'motd'], 200, (files, view) => {
      const bmc = linesOf(files, '/muster/bmc')
      expect(bmc.map((line) => line.split('=')[0])).toEqual(
        view.bmc?.write ? ['address', 'netmask', 'gateway', 'vlan', 'user', 'bitRate'] : [],
      )
      for (const line of linesOf(files, '/etc/muster/mig')) expect(line).toMatch(/^(?:all|\d+) \S+$/)
      expect(linesOf(files, '/etc/hostname')).toEqual(['n1'])
      const zone = files.find(({ path }) => path === '/etc/localtime')
      expect(zone && 'target' in zone ? zone.target : undefined).toBe(
        view.timezone === undefined ? undefined : `../usr/share/zoneinfo/${view.timezone}`,
      )
      expect(JSON.parse(linesOf(files, '/muster/debug.json').join('\n'))).toMatchObject({ node: { name: 'n1' } })
    })
  })
})
