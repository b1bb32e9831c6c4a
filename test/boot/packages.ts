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
}

/** Installs what is missing where this is root on Debian. Answers why the suites cannot run, `undefined` when they can. */
export async function missingPackages(): Promise<string | undefined> {
  const before = await absent()
  if (before.length === 0) return undefined
  const wanted = before.join(' ')
  if (process.getuid?.() !== 0) return `not root, and these Debian packages are missing: ${wanted}`
  if (!(await exists('/usr/bin/apt-get'))) return `no apt-get, and these are missing by their Debian names: ${wanted}`
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    await run('apt-get', ['update', '-qq'], { env })
    const options = ['-o', 'DPkg::Lock::Timeout=300', 'install', '-y', '-qq', '--no-install-recommends']
    await run('apt-get', [...options, ...before], { env, maxBuffer: 16 << 20 })
  } catch (error) {
    return `apt-get could not install ${wanted}: ${error instanceof Error ? error.message : error}`
  }
  const after = await absent()
  return after.length === 0 ? undefined : `still missing after apt-get: ${after.join(' ')}`
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
