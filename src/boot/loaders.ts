/** The programs that fetch scripts from us, and what they say of the machine they run on. */
import { AppError } from '../errors.ts'
import type { Architecture } from '../images/manifest.ts'
import type { BootPlan } from './plan.ts'

/** A program that runs our scripts. */
export type Loader = 'ipxe' | 'grub'

/** iPXE's `${buildarch}` as the kernel names machines. BIOS builds of iPXE are i386 and start 64-bit kernels all the same. */
const architectures: Record<string, Architecture> = {
  i386: 'x86_64',
  x86_64: 'x86_64',
  arm64: 'aarch64',
  riscv64: 'riscv64',
}

/** Throws `PLAN_IMPOSSIBLE` when iPXE says that it was built for another machine than the image. Saying nothing is fine. */
export function checkArchitecture(plan: Pick<BootPlan, 'image'>, node: string, buildarch: string | undefined): void {
  if (!buildarch || architectures[buildarch] === plan.image.architecture) return
  const { name, version, architecture } = plan.image
  throw new AppError(
    'PLAN_IMPOSSIBLE',
    `${node} is ${buildarch.slice(0, 20)} and image ${name}@${version} is for ${architecture}: give it another image`,
    { field: 'image' },
  )
}

/** What a machine said of itself, and what its node's settings say it should have said. */
export type Identity = { uuid?: string | null | undefined; serial?: string | null | undefined }

/**
 * How a machine differs from its node: `serial A, not B`; `undefined` when it does not. Only what both sides know counts.
 * Firmware before SMBIOS 2.6 has the first three groups of a UUID in the other byte order (DSP0134 §7.2.1), and so may the
 * tool have that the admin copied it from.
 */
export function difference(expected: Identity, said: Identity): string | undefined {
  if (expected.uuid && said.uuid) {
    const [ours, theirs] = [expected.uuid.toLowerCase(), said.uuid.toLowerCase()]
    if (ours !== theirs && ours !== swapped(theirs)) return `UUID ${said.uuid.slice(0, 100)}, not ${expected.uuid}`
  }
  if (expected.serial && said.serial && asAsked(expected.serial) !== asAsked(said.serial))
    return `serial ${said.serial.slice(0, 100)}, not ${expected.serial}`
  return undefined
}

/**
 * A serial as it comes through a query: iPXE before November 2021 decodes `%26` and `%2B` before it asks, so that `&` ends
 * the value and `+` is a blank.
 */
const asAsked = (serial: string): string => (serial.split('&')[0] ?? '').replaceAll('+', ' ').trim()

function swapped(uuid: string): string {
  const groups = uuid.split('-')
  const turn = (group: string) => (group.match(/../g) ?? []).toReversed().join('')
  return groups.map((group, at) => (at < 3 ? turn(group) : group)).join('-')
}
