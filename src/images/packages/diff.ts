/** Which packages two images have of each other, and in which versions. Pure. */
import type { Package } from './package.ts'
import { compareVersions } from './versions.ts'

/** A package that differs. Several versions of one package can be installed at once, as kernels are: then lists have them all. */
export type PackageDifference = {
  name: string
  architecture: string
  manager: Package['manager']
  /** Versions that only the first image has, oldest first. */
  before: string[]
  /** Versions that only the second image has, oldest first. */
  after: string[]
  change: 'added' | 'removed' | 'upgraded' | 'downgraded'
}

/** The packages that differ, by name. */
export function diffPackages(before: readonly Package[], after: readonly Package[]): PackageDifference[] {
  const [ones, others] = [grouped(before), grouped(after)]
  const keys = [...new Set([...ones.keys(), ...others.keys()])].sort()
  return keys.flatMap((key): PackageDifference[] => {
    const [one, other] = [ones.get(key) ?? [], others.get(key) ?? []]
    const [sample] = [...one, ...other]
    if (!sample) return []
    const { name, architecture, manager } = sample
    const only = (some: readonly Package[], rest: readonly Package[]) =>
      [...new Set(some.map(({ version }) => version))]
        .filter((version) => !rest.some((that) => that.version === version))
        .sort((a, b) => compareVersions(manager, a, b))
    const gone = only(one, other)
    const come = only(other, one)
    if (gone.length === 0 && come.length === 0) return []
    return [{ name, architecture, manager, before: gone, after: come, change: changeOf(manager, gone, come) }]
  })
}

function changeOf(manager: Package['manager'], gone: string[], come: string[]): PackageDifference['change'] {
  const [newestGone, newestCome] = [gone.at(-1), come.at(-1)]
  if (newestGone === undefined) return 'added'
  if (newestCome === undefined) return 'removed'
  return compareVersions(manager, newestCome, newestGone) < 0 ? 'downgraded' : 'upgraded'
}

function grouped(packages: readonly Package[]): Map<string, Package[]> {
  const groups = new Map<string, Package[]>()
  for (const one of packages) {
    const key = `${one.name}\n${one.architecture}\n${one.manager}`
    const group = groups.get(key)
    if (group) group.push(one)
    else groups.set(key, [one])
  }
  return groups
}
