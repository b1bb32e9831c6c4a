/** What the network services themselves say of files: each checker answers `path: fault` lines, of many files in one call. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Texts by the path that their node has them at. */
export type Texts = Record<string, string>

/** A folder with these files in it, for as long as `use` takes. */
function inFolder<T>(files: Texts, use: (folder: string) => T, mode = 0o644): T {
  const folder = mkdtempSync(join(tmpdir(), 'muster-network-'))
  try {
    // systemd-networkd reads as a user of its own.
    chmodSync(folder, 0o755)
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(folder, dirname(path)), { recursive: true })
      writeFileSync(join(folder, path), text)
      chmodSync(join(folder, path), mode)
    }
    return use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Runs a program; says which Debian package has it when it is missing. */
function run(
  debianPackage: string,
  argv: [string, ...string[]],
  options: { input?: string; env?: Record<string, string> } = {},
): { status: number | null; stdout: string; stderr: string } {
  const [program, ...args] = argv
  const { error, status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    ...options,
    env: { PATH: process.env.PATH ?? '', ...options.env },
  })
  if (error) throw new Error(`${program}: ${error.message}: install Debian's ${debianPackage}`)
  return { status, stdout, stderr }
}

/** Runs a script in a network and mount namespace of its own, with a fresh /run and /sys. */
const inNamespace = (debianPackage: string, script: string, args: string[], env: Record<string, string> = {}) =>
  run(
    debianPackage,
    [
      'unshare',
      '--net',
      '--mount',
      'sh',
      '-euc',
      `mount -t tmpfs tmpfs /run; mount -t sysfs sysfs /sys; ${script}`,
      'sh',
      ...args,
    ],
    { env },
  )

/** NetworkManager's library reads each keyfile, normalizes it and verifies it, as its daemon does. */
export function networkManagerFaults(files: Texts): string[] {
  const script = fileURLToPath(new URL('keyfiles.py', import.meta.url))
  const { status, stdout, stderr } = run('python3-gi and gir1.2-nm-1.0', ['/usr/bin/python3', script], {
    input: JSON.stringify(files),
  })
  if (status !== 0) throw new Error(`${stderr}\ninstall Debian's python3-gi and gir1.2-nm-1.0`)
  const faults: [string, string][] = JSON.parse(stdout)
  return faults.map(([path, fault]) => `${path}: ${fault}`)
}

/** A file with a fault that is known, by which the reader shows that it reads. */
const canary = '/etc/systemd/network/99-canary.network'

/** systemd-networkd reads .netdev and .network files at its start, and logs what it does not take. */
export const networkdFaults = (files: Texts): string[] =>
  inFolder({ ...files, [canary]: '[Match]\nName=canary\n[Cage]\n' }, (folder) => {
    const { stderr } = inNamespace(
      'systemd',
      `mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
       chown -R systemd-network:systemd-network /run/systemd/netif
       mount --bind "$1" /etc/systemd/network
       timeout --preserve-status 10 /lib/systemd/systemd-networkd 2>/run/log & daemon=$!
       until grep -q 'Enumeration completed' /run/log; do kill -0 $daemon && sleep 0.05; done
       kill $daemon; wait $daemon || true; cat /run/log >&2`,
      [join(folder, 'etc/systemd/network')],
      { SYSTEMD_LOG_LEVEL: 'info', SYSTEMD_LOG_TARGET: 'console' },
    )
    if (!stderr.includes(`${canary}:3: Unknown section`)) throw new Error(`systemd-networkd did not start: ${stderr}`)
    return stderr
      .split('\n')
      .filter((line) => line.startsWith('/etc/systemd/network/'))
      .filter((line) => !line.startsWith(canary))
  })

/**
 * What netplan 0.106 says, and goes on, when two netdevs have a gateway: that is the site's affair, and every service takes it. It
 * trips over its own words where they have both IPv4 and IPv6 gateways.
 */
const netplanNotes = [
  /^\*\* \(.*WARNING \*\*: .*Problem encountered while validating default route consistency.*\n/gm,
  /^Error: Conflicting default route declarations for IPv[46].*\n/gm,
  /^\(.*GLib-WARNING \*\*: .*GError set over the top of a previous GError.*\nThis indicates a bug.*\nThe overwriting error message was: Conflicting default route.*\n/gm,
]

/** netplan reads one node's files and writes systemd-networkd's. */
export const netplanFaults = (files: Texts): string[] =>
  inFolder(
    files,
    (folder) => {
      const { status, stderr } = run('netplan.io', ['/usr/libexec/netplan/generate', '--root-dir', folder])
      const said = netplanNotes.reduce((text, note) => text.replace(note, ''), stderr.replaceAll(folder, '')).trim()
      return status === 0 && said === '' ? [] : [said]
    },
    0o600,
  )

/** What `ifup` would do with each interface of an interfaces file, in the order of its stanzas. */
export const ifupdownCommands = (files: Texts): { faults: string[]; commands: string } =>
  inFolder(files, (folder) => {
    const file = join(folder, 'etc/network/interfaces.d/muster')
    const text = files['/etc/network/interfaces.d/muster'] ?? ''
    const names = [...text.matchAll(/^auto (?:mac\/[0-9a-f:]+=)?(\S+)$/gm)].map(([, name]) => name ?? '')
    const faults: string[] = []
    let commands = ''
    for (const name of names) {
      const { status, stdout, stderr } = run('ifupdown', [
        'ifup',
        '--no-act',
        '--force',
        '--no-scripts',
        '--verbose',
        '-i',
        file,
        `eth0=${name}`,
      ])
      commands += `${stdout}${stderr}`
      const said = stderr
        .split('\n')
        .filter((line) => line !== '' && !/^(?:ifup: configuring interface|[a-z]+ |sysctl)/.test(line))
      if (status !== 0 || said.some((line) => line.startsWith('ifup: '))) faults.push(`${name}: ${said.join('\n')}`)
    }
    return { faults, commands }
  })

/** What udev says of rules and .link files, and what it calls an interface with this MAC. */
export const udevName = (files: Texts, mac: string): { faults: string[]; name: string } =>
  inFolder({ '/etc/udev/rules.d/.keep': '', '/etc/systemd/network/.keep': '', ...files }, (folder) => {
    const { status, stdout, stderr } = inNamespace(
      'udev',
      `mount --bind "$1/etc/udev/rules.d" /etc/udev/rules.d
       mount --bind "$1/etc/systemd/network" /etc/systemd/network
       ip link add veth9 type veth peer name veth8
       ip link set veth9 address "$2"
       udevadm test --action=add /sys/class/net/veth9 >/run/log 2>&1
       grep -e '^/etc/' -e ' /etc/.*:[0-9]' /run/log >&2 || true
       ip -o link show | grep -F "$2"`,
      [folder, mac],
    )
    if (status !== 0) throw new Error(`udevadm test failed: ${stdout}${stderr}`)
    const faults = stderr.split('\n').filter((line) => /unknown|invalid|fail|ignor/i.test(line))
    return { faults, name: /^[0-9]+: ([^@:]+)/.exec(stdout)?.[1] ?? '' }
  })
