/** The smallest root worth booting: busybox, a kernel, the drivers of a virtual machine, and an inittab. */
import { execFile } from 'node:child_process'
import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { KernelFiles } from './debian-kernel.ts'
import { installModules } from './kernel-modules.ts'

const run = promisify(execFile)

/** What to put into the root. */
export type BusyboxRoot = {
  /** A statically linked busybox. */
  busybox: string
  kernel: KernelFiles
  /** Lines of `/etc/rc`, which init runs once. */
  rc: string[]
  /** More files: absolute path → text. Those below `/bin`, `/sbin`, `/usr/bin` and `/muster/init.d` are executable. */
  files?: Record<string, string>
  /** Applets to leave out, so that the root has no such command. */
  without?: string[]
}

const drivers = ['virtio_pci', 'virtio_net', 'virtio_blk', 'virtio_rng', 'e1000', 'e1000e', 'af_packet']

/** Writes the root as a tar to `target`. Needs `tar` and `depmod`. */
export async function writeBusyboxRoot(root: BusyboxRoot, target: string): Promise<void> {
  const tree = await mkdtemp(join(tmpdir(), 'busybox-root-'))
  try {
    // A temporary folder is its maker's alone; a root is not.
    await chmod(tree, 0o755)
    await installBusybox(root.busybox, tree, new Set(root.without))
    await installModules(root.kernel, drivers, tree)
    await mkdir(join(tree, 'boot'), { recursive: true })
    await copyFile(root.kernel.image, join(tree, 'boot', `vmlinuz-${root.kernel.version}`))
    for (const folder of ['dev', 'etc', 'proc', 'root', 'run', 'sys', 'tmp', 'var/log']) {
      await mkdir(join(tree, folder), { recursive: true })
    }
    for (const [path, text] of Object.entries({ ...baseFiles(root.rc), ...root.files })) {
      await mkdir(dirname(join(tree, path)), { recursive: true })
      await writeFile(join(tree, path), text, { mode: isProgram(path) ? 0o755 : 0o644 })
    }
    await run('tar', ['-C', tree, '--numeric-owner', '--owner=0', '--group=0', '--sort=name', '-cf', target, '.'])
  } finally {
    await rm(tree, { recursive: true, force: true })
  }
}

function baseFiles(rc: string[]): Record<string, string> {
  return {
    '/etc/os-release': 'ID=busybox-demo\nVERSION_ID=1\nNAME="Busybox demo"\nPRETTY_NAME="Busybox demo"\n',
    '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n',
    '/etc/group': 'root:x:0:\n',
    '/etc/inittab': '::sysinit:/etc/rc\n::askfirst:-/bin/sh\n::ctrlaltdel:/sbin/reboot\n',
    '/etc/rc': ['#!/bin/sh', ...rc, ''].join('\n'),
  }
}

function isProgram(path: string): boolean {
  return path === '/etc/rc' || /^\/(?:usr\/)?s?bin\/|^\/muster\/init\.d\//.test(path)
}

/** busybox itself and one link for each of its applets. */
async function installBusybox(busybox: string, tree: string, without: Set<string>): Promise<void> {
  await mkdir(join(tree, 'bin'), { recursive: true })
  await copyFile(busybox, join(tree, 'bin/busybox'))
  const { stdout } = await run(busybox, ['--list-full'])
  for (const applet of stdout.split('\n').filter((path) => path !== '' && path !== 'bin/busybox')) {
    if (without.has(applet.slice(applet.lastIndexOf('/') + 1))) continue
    await mkdir(dirname(join(tree, applet)), { recursive: true })
    await symlink('/bin/busybox', join(tree, applet))
  }
}
