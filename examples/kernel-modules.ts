/** Kernel modules: the few of a kernel that a root needs, with all that they depend on (modules.dep(5)). */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { KernelFiles } from './debian-kernel.ts'

const run = promisify(execFile)

/**
 * Copies modules into `root/lib/modules/VERSION` and indexes them there. A name that the kernel has no module of is built
 * in, or absent, and passed over. Needs `depmod`.
 */
export async function installModules(kernel: KernelFiles, names: string[], root: string): Promise<void> {
  const target = join(root, 'lib/modules', kernel.version)
  const dependencies = parseDependencies(await readFile(join(kernel.modules, 'modules.dep'), 'utf8'))
  const wanted = names.flatMap((name) => dependencies.get(name) ?? [])
  for (const path of new Set(wanted)) {
    await mkdir(dirname(join(target, path)), { recursive: true })
    await copyFile(join(kernel.modules, path), join(target, path))
  }
  await mkdir(target, { recursive: true })
  for (const index of ['modules.order', 'modules.builtin', 'modules.builtin.modinfo']) {
    // Older kernels have fewer of them.
    if (existsSync(join(kernel.modules, index))) await copyFile(join(kernel.modules, index), join(target, index))
  }
  await run('depmod', ['-b', root, kernel.version])
}

/** Module name → its path and those of everything that it needs. `-` and `_` are one letter in names of modules. */
export function parseDependencies(text: string): Map<string, string[]> {
  const byName = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [path, needs] = line.split(':')
    if (path === undefined || path === '' || needs === undefined) continue
    const name = basename(path).replace(/\.ko(\.(xz|zst|gz))?$/, '')
    byName.set(name.replaceAll('-', '_'), [path, ...needs.trim().split(/\s+/).filter(Boolean)])
  }
  return byName
}
