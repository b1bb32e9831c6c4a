/** A Debian with systemd as mmdebstrap makes it, for the suite that boots a whole distribution. Cached: it takes a minute. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { KernelFiles } from '../../examples/debian-kernel.ts'
import { installModules } from '../../examples/kernel-modules.ts'

const run = promisify(execFile)

const packages = [
  'systemd',
  'systemd-sysv',
  'udev',
  'dbus',
  'iproute2',
  'kmod',
  'curl',
  'ca-certificates',
  // A program with a file capability, and what restores and shows it.
  'iputils-ping',
  'libcap2-bin',
  'attr',
]

/** What a node never reads. */
const left_out = ['doc', 'man', 'locale', 'info', 'lintian', 'zoneinfo', 'i18n', 'bash-completion']

const marker = `#!/bin/sh
state=$(systemctl is-system-running --wait)
for unit in $(systemctl --failed --no-legend --plain | cut -d ' ' -f 1); do echo "FAILED $unit"; done
sed 's/^/HOSTS /' /etc/hosts
echo "CAPABILITY $(getcap /usr/bin/ping)"
echo "CAPABILITY $(getcap /usr/bin/pong) links=$(stat -c %h /usr/bin/ping)"
echo "LAYERS left-over=$([ -e /etc/left-over ] && echo there || echo gone) replaced=$(cat /etc/replaced)"
echo "CONFIG $(stat -c '%a %U' /muster/config) $([ -e /muster/ticket ] && echo ticket-left)"
echo "MARK debian state=$state hostname=$(hostname) root=$(findmnt -no FSTYPE /)"
`

const files: Record<string, string> = {
  '/usr/local/sbin/boot-marker': marker,
  '/etc/systemd/system/boot-marker.service': `[Unit]
After=multi-user.target
[Service]
Type=simple
StandardOutput=tty
TTYPath=/dev/console
ExecStart=/usr/local/sbin/boot-marker
`,
  // What the second layer of the image deletes and replaces.
  '/etc/left-over': 'of the first layer\n',
  '/etc/replaced': 'by nobody\n',
  // Last in order, so that whatever an overlay says of a device comes first.
  '/etc/systemd/network/99-any.network':
    '[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n',
}

const wanted = {
  'multi-user.target.wants/boot-marker.service': '../boot-marker.service',
  'multi-user.target.wants/systemd-networkd.service': '/lib/systemd/system/systemd-networkd.service',
  'network-online.target.wants/systemd-networkd-wait-online.service':
    '/lib/systemd/system/systemd-networkd-wait-online.service',
  'default.target': '/lib/systemd/system/multi-user.target',
  'apt-daily.timer': '/dev/null',
  'apt-daily-upgrade.timer': '/dev/null',
  'systemd-firstboot.service': '/dev/null',
}

/** Path of the root as a tar. Needs root, `mmdebstrap` and `depmod`. */
export async function debianRoot(cache: string, kernel: KernelFiles): Promise<string> {
  const recipe = createHash('sha256')
    .update(await readFile(import.meta.filename))
    .update(kernel.version)
    .digest('hex')
  const target = join(cache, `debian-${recipe.slice(0, 16)}.tar`)
  if (await exists(target)) return target
  const work = await mkdtemp(join(cache, 'debian-'))
  try {
    await writeExtras(join(work, 'extras'), kernel)
    await run('tar', ['-C', join(work, 'extras'), '--owner=0', '--group=0', '-cf', join(work, 'extras.tar'), '.'])
    const { stdout: codename } = await run('sh', ['-c', '. /etc/os-release && echo "$VERSION_CODENAME"'])
    await run(
      'mmdebstrap',
      [
        '--variant=minbase',
        `--include=${packages.join(',')}`,
        '--aptopt=APT::Install-Recommends "false"',
        ...left_out.map((folder) => `--dpkgopt=path-exclude=/usr/share/${folder}/*`),
        '--customize-hook=rm -rf "$1/usr/lib/x86_64-linux-gnu/gconv" "$1/etc/machine-id" "$1/etc/hostname"',
        '--customize-hook=: > "$1/etc/machine-id"; : > "$1/etc/fstab"; chroot "$1" passwd -d root',
        `--customize-hook=tar-in ${join(work, 'extras.tar')} /`,
        codename.trim(),
        join(work, 'root.tar'),
      ],
      { maxBuffer: 64 << 20 },
    )
    await rename(join(work, 'root.tar'), target)
    return target
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** The tree that goes over Debian's own. Modules stand under `/usr/lib`, because `/lib` is a link there. */
async function writeExtras(tree: string, kernel: KernelFiles): Promise<void> {
  await mkdir(join(tree, 'usr'), { recursive: true })
  await installModules(kernel, ['virtio_pci', 'virtio_net', 'virtio_rng', 'virtio_console', 'efivarfs'], tree)
  await rename(join(tree, 'lib'), join(tree, 'usr/lib'))
  await mkdir(join(tree, 'boot'))
  await run('cp', [kernel.image, join(tree, 'boot', `vmlinuz-${kernel.version}`)])
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(tree, path)), { recursive: true })
    await writeFile(join(tree, path), text, { mode: path.startsWith('/usr/local/sbin/') ? 0o755 : 0o644 })
  }
  for (const [path, target] of Object.entries(wanted)) {
    const link = join(tree, 'etc/systemd/system', path)
    await mkdir(dirname(link), { recursive: true })
    await symlink(target, link)
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
