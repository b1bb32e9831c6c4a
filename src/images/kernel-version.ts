/** Kernel versions: their order, and choosing one of an image's kernels. */
import { AppError } from '../errors.ts'

/** Kernels built for debugging, slow on purpose: `…+debug`, `…+64k-debug`, `…-debug`. Never the default. */
const isDebug = (version: string): boolean => /[+-]debug$/.test(version)

/** For sorting: newest first, debug kernels last. */
export const newestFirst = (one: { version: string }, other: { version: string }): number =>
  Number(isDebug(one.version)) - Number(isDebug(other.version)) || compareVersions(other.version, one.version)

/**
 * Negative when `one` is older than `other`. Numbers compare as numbers (`5.14.0-70` < `5.14.0-570`), a number is newer
 * than a word, more is newer than less, and `rc` is older than nothing at all (`6.10.0-rc3` < `6.10.0`).
 */
export function compareVersions(one: string, other: string): number {
  const [left, right] = [segments(one), segments(other)]
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const order = compareSegments(left[at], right[at])
    if (order !== 0) return order
  }
  // Versions that differ in punctuation alone still have an order.
  return one < other ? -1 : one > other ? 1 : 0
}

/**
 * The kernel to boot: without `wanted` the newest that is not for debugging; else the exact version, the newest that starts
 * with it up to a boundary (`5.14` is not `5.140`), or the one at that absolute path. Throws `PLAN_IMPOSSIBLE` with what
 * there is. `kernels` are newest first, as in a manifest.
 */
export function selectKernel<Kernel extends { version: string; path: string }>(
  kernels: readonly Kernel[],
  wanted?: string,
): Kernel {
  const found =
    wanted === undefined
      ? kernels.find((kernel) => !isDebug(kernel.version))
      : (kernels.find((kernel) => kernel.version === wanted || kernel.path === wanted) ??
        kernels.find((kernel) => startsWithVersion(kernel.version, wanted)))
  if (found) return found
  const there = kernels.map((kernel) => `${kernel.version} (${kernel.path})`).join(', ') || 'none'
  const fault = wanted === undefined ? 'no kernel to take by default: name one of' : `no kernel ${wanted}: there is`
  throw new AppError('PLAN_IMPOSSIBLE', `${fault} ${there}`, { field: 'kernel.version' })
}

const startsWithVersion = (version: string, wanted: string): boolean =>
  wanted !== '' && version.startsWith(wanted) && /^$|^[^0-9A-Za-z]/.test(version.slice(wanted.length))

const segments = (version: string): string[] => version.match(/[0-9]+|[A-Za-z]+/g) ?? []

function compareSegments(one: string | undefined, other: string | undefined): number {
  const order = rank(one) - rank(other)
  if (order !== 0 || one === undefined || other === undefined || one === other) return order
  if (rank(one) !== number) return one < other ? -1 : 1
  const [left, right] = [BigInt(one), BigInt(other)]
  return left < right ? -1 : left > right ? 1 : 0
}

const number = 3

/** rc, then nothing, then words, then numbers. */
function rank(segment: string | undefined): number {
  if (segment === undefined) return 1
  if (segment === 'rc') return 0
  return /^[0-9]/.test(segment) ? number : 2
}
