/** What the boot suites need of the machine, and how it gets there. */
import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Debian package → a file that it brings. */
const needed: Record<string, string> = {
  'qemu-system-x86': '/usr/bin/qemu-system-x86_64',
  'ipxe-qemu': '/usr/lib/ipxe/qemu/pxe-virtio.rom',
  ipxe: '/usr/lib/ipxe/snponly.efi',
  ovmf: '/usr/share/OVMF/OVMF_CODE_4M.fd',
  'busybox-static': '/bin/busybox',
  'dnsmasq-base': '/usr/sbin/dnsmasq',
  iproute2: '/sbin/ip',
  kmod: '/sbin/depmod',
  mmdebstrap: '/usr/bin/mmdebstrap',
  skopeo: '/usr/bin/skopeo',
  umoci: '/usr/bin/umoci',
}

/**
 * Installs what is missing where this is root on Debian, and throws when that fails: there the suites must run. Answers
 * why they cannot run elsewhere, `undefined` when they can.
 */
export async function missingPackages(): Promise<string | undefined> {
  const before = await absent()
  if (before.length === 0) return undefined
  const wanted = before.join(' ')
  if (process.getuid?.() !== 0) return `not root, and these Debian packages are missing: ${wanted}`
  if (!(await exists('/usr/bin/apt-get'))) return `no apt-get, and these are missing by their Debian names: ${wanted}`
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  await run('apt-get', ['update', '-qq'], { env })
  const options = ['-o', 'DPkg::Lock::Timeout=300', 'install', '-y', '-qq', '--no-install-recommends']
  await run('apt-get', [...options, ...before], { env, maxBuffer: 16 << 20 })
  const after = await absent()
  if (after.length > 0) throw new Error(`still missing after apt-get: ${after.join(' ')}`)
  return undefined
}

async function absent(): Promise<string[]> {
  const found = await Promise.all(
    Object.entries(needed).map(async ([name, file]) => ((await exists(file)) ? [] : [name])),
  )
  return found.flat()
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
