/** Debian's kernel for virtual machines: small, with virtio, fetched as a package and unpacked without being installed. */
import { execFile } from 'node:child_process'
import { access, constants, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A kernel as files: the program to boot, and the folder `lib/modules/VERSION` with `modules.dep`. */
export type KernelFiles = { version: string; image: string; modules: string }

/**
 * The newest kernel of a tree laid out like a root that can be read with its modules. Debian has it as
 * `boot/vmlinuz-VERSION`; Fedora, RHEL and SUSE also as `lib/modules/VERSION/vmlinuz`, which everybody may read.
 */
export async function findKernel(root: string): Promise<KernelFiles | undefined> {
  const versions = await readdir(join(root, 'lib/modules')).catch(() => [])
  for (const version of versions.sort().reverse()) {
    const modules = join(root, 'lib/modules', version)
    if (!(await readable(join(modules, 'modules.dep')))) continue
    for (const image of [join(root, 'boot', `vmlinuz-${version}`), join(modules, 'vmlinuz')]) {
      if (await readable(image)) return { version, image, modules }
    }
  }
  return undefined
}

/**
 * The kernel of `linux-image-cloud-amd64`, from the cache or from the machine's package sources. Needs `apt-get`, `dpkg`
 * and `depmod`; throws what they say when one fails.
 */
export async function debianKernel(cache: string): Promise<KernelFiles> {
  const target = join(cache, 'debian-kernel')
  const cached = await findKernel(target)
  if (cached !== undefined) return cached
  await mkdir(cache, { recursive: true })
  const work = await mkdtemp(join(cache, 'kernel-'))
  try {
    const { stdout } = await run('apt-cache', ['depends', 'linux-image-cloud-amd64'])
    const name = /Depends: (linux-image-\S+)/.exec(stdout)?.[1]
    if (name === undefined) throw new Error('apt knows no linux-image-cloud-amd64: run apt-get update')
    await run('apt-get', ['download', '-qq', name], { cwd: work })
    const file = (await readdir(work)).find((entry) => entry.endsWith('.deb'))
    if (file === undefined) throw new Error(`apt-get download brought no package ${name}`)
    await run('dpkg', ['-x', join(work, file), join(work, 'root')])
    await run('depmod', ['-b', join(work, 'root'), name.slice('linux-image-'.length)])
    await rm(target, { recursive: true, force: true })
    await rename(join(work, 'root'), target)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  const fetched = await findKernel(target)
  if (fetched === undefined) throw new Error(`the kernel package holds no kernel: see ${target}`)
  return fetched
}

async function readable(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  )
}
