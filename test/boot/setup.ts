/** Once before all suites: packages, kernel, and the two roots that are booted, all cached. */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { writeBusyboxRoot } from '../../examples/busybox-root.ts'
import { debianKernel } from '../../examples/debian-kernel.ts'
import { debianImage } from './debian-image.ts'
import { debianRoot } from './debian-root.ts'
import { missingPackages } from './packages.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Why nothing can be booted here; empty when everything is there. */
    skipReason: string
    /** A root tree as a tar. */
    busyboxTar: string
    /** A container image of two layers, as `docker save` writes it. */
    debianImage: string
  }
}

/** What the busybox root says once it is up. */
const rc = [
  'echo "TICKET /run/muster $(stat -c %a /run/muster), /muster/ticket $([ -e /muster/ticket ] && echo there || echo gone)"',
  'echo "MARK busybox hostname=$(hostname) root=$(stat -f -c %T /) mount=$(grep " / " /proc/mounts | tail -n 1)"',
]

export default async function setup(project: TestProject): Promise<void> {
  const reason = await prepare(project)
  project.provide('skipReason', reason ?? '')
  if (reason !== undefined) console.error(`boot suites are skipped: ${reason}`)
}

async function prepare(project: TestProject): Promise<string | undefined> {
  project.provide('busyboxTar', '')
  project.provide('debianImage', '')
  const missing = await missingPackages()
  if (missing !== undefined) return missing
  const cache = process.env.MUSTER_TEST_CACHE ?? join(homedir(), '.cache/muster-test')
  await mkdir(cache, { recursive: true })
  const kernel = await debianKernel(cache)
  const busyboxTar = join(cache, 'busybox.tar')
  const busybox = existsSync('/usr/bin/busybox') ? '/usr/bin/busybox' : '/bin/busybox'
  await writeBusyboxRoot({ busybox, kernel, rc, files: { '/muster/init.d/50-hello': hello } }, busyboxTar)
  project.provide('busyboxTar', busyboxTar)
  project.provide('debianImage', await debianImage(await debianRoot(cache, kernel)))
  return undefined
}

const hello = '#!/bin/sh\necho "HELLO from init.d, pid 1 is $(tr "\\\\000" " " </proc/1/cmdline)"\n'
