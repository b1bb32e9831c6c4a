/** The root archive that a single-stage boot needs. It is made when a node first asks, so a script may have to wait for it. */
import { AppError } from '../errors.ts'
import type { CpioRoot } from '../images/manifest.ts'
import type { RootArchives } from '../images/root-archives.ts'
import type { BootPlan } from './plan.ts'

/** Answers the archive of an image. Throws `IMAGE_PREPARING` when it is not made yet. */
export type FindRoot = (image: BootPlan['image']) => Promise<CpioRoot>

/** Milliseconds that a script waits: small images are made in that time, and no boot loader has lost patience by then. */
const patience = 4000

/** Finds archives and makes none. */
export const rootIfMade =
  (roots: RootArchives): FindRoot =>
  async (image) => {
    const found = await roots.find(image.digest)
    if (found) return found
    throw preparing(image, roots)
  }

/** Finds archives, and begins to make what is missing. Throws as `RootArchives.make` does when that comes to nothing. */
export const rootInTime =
  (roots: RootArchives): FindRoot =>
  async (image) => {
    const found = await roots.find(image.digest)
    if (found) return found
    const { promise: late, resolve } = Promise.withResolvers<undefined>()
    const timer = setTimeout(() => resolve(undefined), patience)
    const made = await Promise.race([roots.make(image.digest), late]).finally(() => clearTimeout(timer))
    if (made) return made
    throw preparing(image, roots)
  }

function preparing({ name, version, digest }: BootPlan['image'], roots: RootArchives): AppError {
  const progress = roots.progress(digest)
  const far = progress && progress.total > 0 ? `, ${Math.floor((100 * progress.bytes) / progress.total)} % done` : ''
  const state = progress
    ? `is being prepared for boots in a single stage${far}`
    : 'is not prepared yet for boots in a single stage'
  return new AppError(
    'IMAGE_PREPARING',
    `${name}@${version} ${state}: \`muster image prepare ${name}@${version}\` waits for it`,
  )
}
